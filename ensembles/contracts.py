"""The contract of every model that a client or a graph can call.

A tensor has a name, a type and dimensions. A dimension with a name is a size known at run time;
equal names in one contract are equal sizes. Tensors of NVIDIA's LLM ensemble keep its spelling.
"""

from dataclasses import dataclass, replace

from ensembles.guides import GUIDE
from ensembles.sampling import NVIDIA_SAMPLING, SAMPLING
from ensembles.tensors import DType, TensorSpec, optional, tensor
from ensembles.tool_calls import TOOL_CALLS, TOOLS

OVERLOADED = "try again later"
"""The end of every message that refuses a request because a queue is full.

Triton 2.51 answers HTTP `/generate` with 400 for every error of a model, so the code does not tell.
"""

DOWN = "the rest of the server goes on"
"""The end of every message that says that a part of the server is down."""


@dataclass(frozen=True)
class ModelContract:
    """Inputs and outputs of one model.

    Triton may merge requests of a `batched` model: `dims` leave its batch dimension out. A
    `decoupled` model answers one request with any number of responses.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batched: bool = False
    decoupled: bool = False


INPUT_TYPE = optional("input_type", DType.STRING, 1)
"""What the texts are: `query`, `passage` or `text`, the default; some embedders want a prefix."""

TRUNCATE = optional("truncate", DType.STRING, 1)
"""What becomes of a text that is too long: `end`, the default, cuts it, `none` refuses it."""

TOKENIZER = ModelContract(
    name="tokenizer",
    inputs=(
        optional("input_text", DType.STRING, "texts"),  # at least one; none may be blank
        INPUT_TYPE,
        TRUNCATE,
        optional("query_text", DType.STRING, 1),  # instead: one question that must fit whole
    ),
    outputs=(
        tensor("input_ids", DType.INT64, "texts", "tokens"),  # padded with 0 to the longest text
        tensor("attention_mask", DType.INT64, "texts", "tokens"),  # 1 for a token, 0 for padding
    ),
)
"""Turns texts into token ids of the embedder, truncated at its longest input.

`query_text` is how a graph begins: it is checked as a question, and is of the type `query`.
"""

EMBEDDER = ModelContract(
    name="embedder",
    inputs=(
        tensor("input_ids", DType.INT64, "tokens", ragged=True),
        tensor("attention_mask", DType.INT64, "tokens", ragged=True),
    ),
    outputs=(tensor("embedding", DType.FP32, "dimension"),),  # normalized if the checkpoint is so
    batched=True,
)
"""Turns rows of token ids into embeddings. A row's padding does not change its embedding."""

PAIR_TOKENIZER = ModelContract(
    name="pair_tokenizer",
    inputs=(
        tensor("query", DType.STRING, 1),
        tensor("passages", DType.STRING, "passages"),
        TRUNCATE,
    ),
    outputs=(
        tensor("input_ids", DType.INT64, "passages", "tokens"),  # padded with 0
        tensor("attention_mask", DType.INT64, "passages", "tokens"),  # 1 for a token
        tensor("token_type_ids", DType.INT64, "passages", "tokens"),  # 0 query, 1 passage
    ),
)
"""Turns each pair of query and passage into token ids of the reranker; cuts long passages."""

RERANKER = ModelContract(
    name="reranker",
    inputs=(
        tensor("input_ids", DType.INT64, "tokens", ragged=True),
        tensor("attention_mask", DType.INT64, "tokens", ragged=True),
        tensor("token_type_ids", DType.INT64, "tokens", ragged=True),
    ),
    outputs=(tensor("relevance", DType.FP32, 1),),  # any number; higher is more relevant
    batched=True,
)
"""Scores rows of token ids, each a query with a passage, by relevance."""

PASSAGE_SPLITTER = ModelContract(
    name="passage_splitter",
    # The question is an input so that one step checks the whole request before others run.
    inputs=(tensor("question", DType.STRING, 1), tensor("documents", DType.STRING, "documents")),
    outputs=(
        tensor("query", DType.STRING, 1),  # the question
        tensor("query_type", DType.STRING, 1),  # "query", the tokenizer's `input_type`
        tensor("passages", DType.STRING, "passages"),  # in order of documents and their text
        tensor("passages_in_context", DType.STRING, "passages"),  # each below its headings
        tensor("passage_type", DType.STRING, 1),  # "passage"
        tensor("passage_document", DType.INT32, "passages"),  # index of each passage's document
    ),
)
"""Cuts documents into passages, long documents after sentences, and finds their headings."""

CANDIDATE_SENTENCES = (
    tensor("sentences", DType.STRING, "sentences"),  # of all candidates, in order
    tensor("sentence_type", DType.STRING, 1),  # "passage", the tokenizer's `input_type`
    tensor("sentence_candidate", DType.INT32, "sentences"),  # index of each one's candidate
)
"""Candidates taken apart: one sentence may answer in a passage about other things."""

NUM_SEARCHED = tensor("num_searched", DType.INT32, 1)  # passages that were searched

PASSAGE_SELECTOR = ModelContract(
    name="passage_selector",
    inputs=(
        tensor("query", DType.STRING, 1),
        tensor("query_embedding", DType.FP32, 1, "dimension"),
        tensor("passage_embedding", DType.FP32, "passages", "dimension"),
        tensor("passages", DType.STRING, "passages"),
        optional("passages_in_context", DType.STRING, "passages"),  # whose words count instead
        tensor("passage_document", DType.INT32, "passages"),
        optional("num_candidates", DType.INT32, 1),  # at least 1; default from the placement
    ),
    outputs=(
        tensor("candidates", DType.STRING, "candidates"),  # best first
        tensor("candidates_in_context", DType.STRING, "candidates"),  # each below its headings
        tensor("candidate_document", DType.INT32, "candidates"),  # index of the document
        tensor("candidate_similarity", DType.FP32, "candidates"),  # cosine, -1 to 1
        tensor("candidate_words", DType.FP32, "candidates"),  # BM25, scaled: 0 to 1
        *CANDIDATE_SENTENCES,
        NUM_SEARCHED,
    ),
)
"""Chooses candidates by similarity and words, which count the same, and takes them apart."""

SOURCES = (
    tensor("sources", DType.STRING, "sources"),  # text of the passage
    tensor("source_document", DType.INT32, "sources"),  # index of its document in the request
    tensor("source_similarity", DType.FP32, "sources"),  # its cosine and its best sentence's, mean
    tensor("source_relevance", DType.FP32, "sources"),  # the reranker's score
)
"""Passages for an answer, best first by similarity, words and relevance together."""

PLACES = (
    tensor("source_id", DType.STRING, "sources"),  # its document's id, `#` and its number there
    tensor("source_title", DType.STRING, "sources"),  # of its document
    tensor("source_page", DType.INT32, "sources"),  # page of its document, from 1; 0: it has none
    tensor("source_metadata", DType.STRING, "sources"),  # JSON: document, number, passage, metadata
)
"""Where sources that come from a collection stand. Those of a request's documents have none."""

CANDIDATE_PLACES = tuple(
    tensor(spec.name.replace("source", "candidate"), spec.dtype, "candidates") for spec in PLACES
)

OPTIONAL_PLACES = tuple(replace(spec, optional=True) for spec in PLACES)

SOURCE_RANKER = ModelContract(
    name="source_ranker",
    inputs=(
        tensor("candidates", DType.STRING, "candidates"),
        tensor("candidate_document", DType.INT32, "candidates"),
        tensor("candidate_similarity", DType.FP32, "candidates"),
        tensor("candidate_words", DType.FP32, "candidates"),
        tensor("query_embedding", DType.FP32, 1, "dimension"),
        tensor("sentence_embedding", DType.FP32, "sentences", "dimension"),
        tensor("sentence_candidate", DType.INT32, "sentences"),
        tensor("relevance", DType.FP32, "candidates", 1),
        optional("num_sources", DType.INT32, 1),  # at least 1; default from the placement
        *(replace(spec, optional=True) for spec in CANDIDATE_PLACES),
    ),
    outputs=(*SOURCES, *OPTIONAL_PLACES),
)
"""Chooses the best candidates as sources, by similarity, words and relevance together. Places are
returned where they are given, here and in the models after it."""

PROMPT_BUILDER = ModelContract(
    name="prompt_builder",
    inputs=(
        tensor("question", DType.STRING, 1),
        *SOURCES,
        *OPTIONAL_PLACES,
        optional("max_tokens", DType.INT32, 1),
    ),
    outputs=(
        tensor("messages", DType.STRING, 1),  # JSON: [{"role": "…", "content": "…"}, …]
        *(replace(spec, name=f"prompt_{spec.name}") for spec in (*SOURCES, *OPTIONAL_PLACES)),
    ),
)
"""Writes question and sources as chat messages that leave room for `max_tokens` of answer.

The outputs `prompt_…` are the sources that fit into the messages, numbered from 1 there.
"""

GENERATION = (
    tensor("text_output", DType.STRING, 1),  # new text
    # last response: stop, length, cancelled, ungrounded, or tool_calls where it calls `tools`
    tensor("finish_reason", DType.STRING, 1),
    tensor("num_input_tokens", DType.INT32, 1),  # tokens of the prompt
    tensor("num_output_tokens", DType.INT32, 1),  # tokens that this response adds
    tensor("num_cached_tokens", DType.INT32, 1),  # last: those of the prompt in the KV cache, or 0
)
"""One response of a generation; the texts of all responses, joined, are the answer."""

EVIDENCE = (
    tensor("citations", DType.INT32, "citations"),  # sources in the answer's order; 1 is the first
    tensor("grounded", DType.FP32, 1),  # share of the answer's words that a source has, 0 to 1
    tensor("statements", DType.STRING, "quotes"),  # sentences of the answer that rest on a source
    tensor("quotes", DType.STRING, "quotes"),  # for each of them, the sentence of the source
    tensor("quote_source", DType.INT32, "quotes"),  # and the number of the source, from 1
)
"""What an answer rests on: in the last response, if `sources` were sent."""

CHECK_GROUNDING = optional("check_grounding", DType.BOOL, 1)
"""False, as with a guide: the model's text as it is; default: its policy (`answer`, manifest)."""

LLM = ModelContract(
    name="llm",
    inputs=(
        optional("text_input", DType.STRING, 1),  # a bare prompt
        optional("messages", DType.STRING, 1),  # JSON, as OpenAI's chat has it
        *TOOLS,
        *SAMPLING,
        *GUIDE,
        *NVIDIA_SAMPLING,
        optional("stop", DType.BOOL, 1),  # true: end the generations of the same request id
        *(replace(spec, optional=True) for spec in (*SOURCES, NUM_SEARCHED)),
        *OPTIONAL_PLACES,
        optional("question", DType.STRING, 1),  # what `sources` shall answer
        CHECK_GROUNDING,
    ),
    outputs=(*GENERATION, TOOL_CALLS, *EVIDENCE, *SOURCES, *OPTIONAL_PLACES),
    decoupled=True,
)
"""Generates an answer from a prompt, either `text_input` or `messages`. Sources that were sent come
back with its first response, and the evidence with the last."""
