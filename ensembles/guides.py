"""Guided decoding: the tensors of `llm` that say what an answer must match.

An answer that ends with `stop` matches its guide; one that `max_tokens` cuts is only the beginning
of a match.
"""

from ensembles.tensors import DType, TensorSpec

GUIDE_TYPES = ("json", "json_schema", "regex", "ebnf_grammar")
"""TensorRT-LLM's names. `json` allows any JSON value and needs no guide. A grammar begins at rule
`root`."""

GUIDE = (
    TensorSpec("guided_decoding_guide_type", DType.STRING, (1,), optional=True),
    TensorSpec("guided_decoding_guide", DType.STRING, (1,), optional=True),
)
"""An empty string counts as no guide, because NVIDIA's examples send one."""

GUIDE_TYPE, GUIDE_TEXT = (spec.name for spec in GUIDE)
