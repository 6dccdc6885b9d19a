"""The contract of every model that a client or a graph can call.

A contract has no sizes and no devices: it is the same on every SKU. Tensor names are the ones
that clients see; names shared with NVIDIA's LLM ensemble keep NVIDIA's spelling.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ensembles.tensors import Dim, DType, TensorSpec


@dataclass(frozen=True)
class ModelContract:
    """Inputs and outputs of one model.

    `batched` models have a leading batch dimension that `dims` leave out, so Triton may merge
    requests; `decoupled` models answer one request with any number of responses.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batched: bool = False
    decoupled: bool = False

    def input(self, name: str) -> TensorSpec | None:
        """The input called `name`, or None."""
        return next((spec for spec in self.inputs if spec.name == name), None)

    def output(self, name: str) -> TensorSpec | None:
        """The output called `name`, or None."""
        return next((spec for spec in self.outputs if spec.name == name), None)


def tensor(name: str, dtype: DType, *dims: Dim, ragged: bool = False) -> TensorSpec:
    """A required tensor."""
    return TensorSpec(name, dtype, dims, ragged=ragged)


def optional(name: str, dtype: DType, *dims: Dim) -> TensorSpec:
    """An input that a request may leave out."""
    return TensorSpec(name, dtype, dims, optional=True)


def as_optional(specs: tuple[TensorSpec, ...]) -> Iterator[TensorSpec]:
    """The same tensors, none of them required."""
    return (optional(spec.name, spec.dtype, *spec.dims) for spec in specs)


# --- encoders ------------------------------------------------------------------------------

TOKENIZER = ModelContract(
    name="tokenizer",
    inputs=(tensor("text", DType.STRING, "texts"),),
    outputs=(
        tensor("input_ids", DType.INT64, "texts", "tokens"),
        tensor("attention_mask", DType.INT64, "texts", "tokens"),
    ),
)

EMBEDDER = ModelContract(
    name="embedder",
    inputs=(
        tensor("input_ids", DType.INT64, "tokens", ragged=True),
        tensor("attention_mask", DType.INT64, "tokens", ragged=True),
    ),
    outputs=(tensor("embedding", DType.FP32, "dimension"),),
    batched=True,
)

PAIR_TOKENIZER = ModelContract(
    name="pair_tokenizer",
    inputs=(tensor("query", DType.STRING, 1), tensor("passages", DType.STRING, "passages")),
    outputs=(
        tensor("input_ids", DType.INT64, "passages", "tokens"),
        tensor("attention_mask", DType.INT64, "passages", "tokens"),
        tensor("token_type_ids", DType.INT64, "passages", "tokens"),
    ),
)

RERANKER = ModelContract(
    name="reranker",
    inputs=(
        tensor("input_ids", DType.INT64, "tokens", ragged=True),
        tensor("attention_mask", DType.INT64, "tokens", ragged=True),
        tensor("token_type_ids", DType.INT64, "tokens", ragged=True),
    ),
    outputs=(tensor("relevance", DType.FP32, 1),),
    batched=True,
)

# --- retrieval -----------------------------------------------------------------------------

PASSAGE_SPLITTER = ModelContract(
    name="passage_splitter",
    # The question comes along, so that one step sees all that a client sent before any other runs.
    inputs=(
        tensor("question", DType.STRING, 1),
        tensor("documents", DType.STRING, "documents"),
    ),
    outputs=(
        tensor("query", DType.STRING, 1),
        tensor("passages", DType.STRING, "passages"),
        tensor("passage_document", DType.INT32, "passages"),
    ),
)

PASSAGE_SELECTOR = ModelContract(
    name="passage_selector",
    inputs=(
        tensor("query_embedding", DType.FP32, 1, "dimension"),
        tensor("passage_embedding", DType.FP32, "passages", "dimension"),
        tensor("passages", DType.STRING, "passages"),
        tensor("passage_document", DType.INT32, "passages"),
        optional("num_candidates", DType.INT32, 1),
    ),
    outputs=(
        tensor("candidates", DType.STRING, "candidates"),
        tensor("candidate_document", DType.INT32, "candidates"),
        tensor("candidate_similarity", DType.FP32, "candidates"),
    ),
)

SOURCES = (
    tensor("sources", DType.STRING, "sources"),
    tensor("source_document", DType.INT32, "sources"),
    tensor("source_similarity", DType.FP32, "sources"),
    tensor("source_relevance", DType.FP32, "sources"),
)
"""Passages in order of relevance: text, index of the document, cosine, reranker's logit."""

SOURCE_RANKER = ModelContract(
    name="source_ranker",
    inputs=(
        tensor("candidates", DType.STRING, "candidates"),
        tensor("candidate_document", DType.INT32, "candidates"),
        tensor("candidate_similarity", DType.FP32, "candidates"),
        tensor("relevance", DType.FP32, "candidates", 1),
        optional("num_sources", DType.INT32, 1),
    ),
    outputs=SOURCES,
)

PROMPT_BUILDER = ModelContract(
    name="prompt_builder",
    inputs=(tensor("question", DType.STRING, 1), *SOURCES, optional("max_tokens", DType.INT32, 1)),
    outputs=(
        tensor("messages", DType.STRING, 1),
        *(tensor(f"prompt_{spec.name}", spec.dtype, *spec.dims) for spec in SOURCES),
    ),
)

# --- generation ----------------------------------------------------------------------------

SAMPLING = (
    optional("max_tokens", DType.INT32, 1),
    optional("min_tokens", DType.INT32, 1),
    optional("temperature", DType.FP32, 1),
    optional("top_k", DType.INT32, 1),
    optional("top_p", DType.FP32, 1),
    optional("repetition_penalty", DType.FP32, 1),
    optional("presence_penalty", DType.FP32, 1),
    optional("frequency_penalty", DType.FP32, 1),
    optional("seed", DType.UINT64, 1),
    optional("random_seed", DType.UINT64, 1),
    optional("stop_words", DType.STRING, "stop_words"),
    optional("stream", DType.BOOL, 1),
)
"""How to generate; `random_seed` is the older name of `seed` that many clients still send."""

NVIDIA_SAMPLING = (
    optional("end_id", DType.INT32, 1),
    optional("pad_id", DType.INT32, 1),
    optional("beam_width", DType.INT32, 1),
    optional("num_return_sequences", DType.INT32, 1),
    optional("length_penalty", DType.FP32, 1),
    optional("bad_words", DType.STRING, "bad_words"),
    optional("exclude_input_in_output", DType.BOOL, 1),
    optional("return_log_probs", DType.BOOL, 1),
    optional("return_context_logits", DType.BOOL, 1),
    optional("return_generation_logits", DType.BOOL, 1),
    optional("return_perf_metrics", DType.BOOL, 1),
    optional("return_num_input_tokens", DType.BOOL, 1),
    optional("return_num_output_tokens", DType.BOOL, 1),
    optional("prompt_embedding_table", DType.FP16, "prompt_tokens", "width"),
    optional("prompt_table_extra_id", DType.UINT64, 1),
    optional("prompt_vocab_size", DType.INT32, 1),
    optional("embedding_bias_words", DType.STRING, "bias_words"),
    optional("embedding_bias_weights", DType.FP32, "bias_words"),
    optional("lora_task_id", DType.UINT64, 1),
    optional("lora_weights", DType.FP16, "lora_rows", "lora_columns"),
    optional("lora_config", DType.INT32, "lora_rows", 3),
    optional("guided_decoding_guide_type", DType.STRING, 1),
    optional("guided_decoding_guide", DType.STRING, 1),
    optional("decoder_text_input", DType.STRING, 1),
)
"""The rest of NVIDIA's `ensemble` inputs: declared so that clients that always send them are
heard. A value that can't be honoured is refused by name (generation/sampling.py); `pad_id`
changes nothing, because nothing is padded."""

GENERATION = (
    tensor("text_output", DType.STRING, 1),
    tensor("finish_reason", DType.STRING, 1),
    tensor("num_input_tokens", DType.INT32, 1),
    tensor("num_output_tokens", DType.INT32, 1),
)
"""One response: the new text, why it ended (last response only; stop, length or cancelled),
tokens of the prompt, and tokens that *this* response adds (clients of NVIDIA's contract sum)."""

CITATIONS = tensor("citations", DType.INT32, "citations")
"""Numbers `n` of the sources that the answer cites as `[n]` (1 is the first source)."""

LLM = ModelContract(
    name="llm",
    inputs=(
        optional("text_input", DType.STRING, 1),
        optional("messages", DType.STRING, 1),
        *SAMPLING,
        *NVIDIA_SAMPLING,
        optional("stop", DType.BOOL, 1),
        *as_optional(SOURCES),
    ),
    outputs=(*GENERATION, CITATIONS, *SOURCES),
    decoupled=True,
)
