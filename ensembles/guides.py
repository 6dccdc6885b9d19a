"""Guided decoding: the tensors of `llm` that say what an answer must match.

An answer that ends with `stop` matches its guide; one that `max_tokens` cuts only begins so.
"""

from ensembles.tensors import DType, TensorSpec

GUIDE_TYPES = ("json", "json_schema", "regex", "ebnf_grammar")
"""TensorRT-LLM's names; `json` is any value, and has no guide. A grammar begins at rule `root`."""

GUIDE = (
    TensorSpec("guided_decoding_guide_type", DType.STRING, (1,), optional=True),
    TensorSpec("guided_decoding_guide", DType.STRING, (1,), optional=True),
)
"""An empty string is no guide, as NVIDIA's examples send it."""

GUIDE_TYPE, GUIDE_TEXT = (spec.name for spec in GUIDE)
