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

Triton 2.51 answers HTTP `/generate` with 400 for every error of a model: the code can't show this.
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
"""What the texts are: `query`, `passage` or `text` (default). An embedder may prefix each kind."""

TRUNCATE = optional("truncate", DType.STRING, 1)
"""What happens to a text that is too long: `end` (default) cuts off its end, `none` refuses it."""

TOKENIZER = ModelContract(
    name="tokenizer",
    inputs=(
        optional("input_text", DType.STRING, "texts"),  # at least one; none may be blank
        INPUT_TYPE,
        TRUNCATE,
        optional("query_text", DType.STRING, 1),  # instead: one question, never truncated
    ),
    outputs=(
        tensor("input_ids", DType.INT64, "texts", "tokens"),  # padded with 0 to the longest text
        tensor("attention_mask", DType.INT64, "texts", "tokens"),  # 1 for a token, 0 for padding
    ),
)
"""Turns texts into token ids of the embedder, truncated at its longest input.

`query_text` is for graphs that begin with it: it is checked as a question, of the type `query`.
"""

EMBEDDER = ModelContract(
    name="embedder",
    inputs=(
        tensor("input_ids", DType.INT64, "tokens", ragged=True),
        tensor("attention_mask", DType.INT64, "tokens", ragged=True),
    ),
    outputs=(tensor("embedding", DType.FP32, "dimension"),),  # of length 1 if the checkpoint's are
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

READER_TOKENIZER = replace(PAIR_TOKENIZER, name="reader_tokenizer")
"""Turns each pair of query and passage into token ids of the reader; cuts long texts of both."""

READER = replace(RERANKER, name="reader")
"""A second, larger reranker: it scores the few passages that the first one puts first."""

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
"""Cuts long documents into passages, after sentences, and finds the headings of each passage."""

CANDIDATE_SENTENCES = (
    tensor("sentences", DType.STRING, "sentences"),  # of all candidates, in order
    tensor("sentence_type", DType.STRING, 1),  # "passage", the tokenizer's `input_type`
    tensor("sentence_candidate", DType.INT32, "sentences"),  # index of each one's candidate
)
"""The candidates' sentences: one of them may answer, in a passage about other things."""

NUM_SEARCHED = tensor("num_searched", DType.INT32, 1)  # passages that were searched

PASSAGE_SELECTOR = ModelContract(
    name="passage_selector",
    inputs=(
        tensor("query", DType.STRING, 1),
        tensor("query_embedding", DType.FP32, 1, "dimension"),
        tensor("passage_embedding", DType.FP32, "passages", "dimension"),
        tensor("passages", DType.STRING, "passages"),
        optional("passages_in_context", DType.STRING, "passages"),  # their words count instead
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
"""Chooses candidates by similarity and words, counted equally, and splits them into sentences."""

SOURCES = (
    tensor("sources", DType.STRING, "sources"),  # text of the passage
    tensor("source_document", DType.INT32, "sources"),  # index of its document in the request
    tensor("source_similarity", DType.FP32, "sources"),  # mean: its cosine, its best sentence's
    tensor("source_relevance", DType.FP32, "sources"),  # reranker's and reader's score
)
"""Passages for an answer, best first: the few that were read by relevance, the others by
similarity, words and the reranker's relevance together."""

PLACES = (
    tensor("source_id", DType.STRING, "sources"),  # its document's id, `#` and its number there
    tensor("source_title", DType.STRING, "sources"),  # of its document
    tensor("source_page", DType.INT32, "sources"),  # page of its document, from 1; 0: it has none
    tensor("source_metadata", DType.STRING, "sources"),  # JSON: document, number, passage, metadata
)
"""Where in a collection each source is. Sources from a request's documents have no place."""

CANDIDATE_PLACES = tuple(
    tensor(spec.name.replace("source", "candidate"), spec.dtype, "candidates") for spec in PLACES
)

OPTIONAL_PLACES = tuple(replace(spec, optional=True) for spec in PLACES)

SOURCE_RANKER = ModelContract(
    name="source_ranker",
    inputs=(
        tensor("candidates", DType.STRING, "candidates"),
        tensor("candidates_in_context", DType.STRING, "candidates"),
        tensor("candidate_document", DType.INT32, "candidates"),
        tensor("candidate_similarity", DType.FP32, "candidates"),
        tensor("candidate_words", DType.FP32, "candidates"),
        tensor("query_embedding", DType.FP32, 1, "dimension"),
        tensor("sentence_embedding", DType.FP32, "sentences", "dimension"),
        tensor("sentence_candidate", DType.INT32, "sentences"),
        tensor("relevance", DType.FP32, "candidates", 1),
        *(replace(spec, optional=True) for spec in CANDIDATE_PLACES),
    ),
    outputs=(
        *SOURCES,  # all candidates
        *OPTIONAL_PLACES,
        tensor("read_passages", DType.STRING, "read"),  # the first ones, each below its headings
    ),
)
"""Orders the candidates by similarity, words and relevance together. Places are returned where they
are given, here and in the models after it."""

READER_RANKER = ModelContract(
    name="reader_ranker",
    inputs=(
        *(replace(spec, name=f"ranked_{spec.name}") for spec in (*SOURCES, *OPTIONAL_PLACES)),
        tensor("read_relevance", DType.FP32, "read", 1),  # of the first sources, by the reader
        optional("num_sources", DType.INT32, 1),  # at least 1; default from the placement
    ),
    outputs=(*SOURCES, *OPTIONAL_PLACES),
)
"""Orders the sources that were read by what reranker and reader say, and returns the best ones."""

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
    tensor("num_cached_tokens", DType.INT32, 1),  # last response: of the prompt, in the KV cache
)
"""One response of a generation; the texts of all responses, joined, are the answer."""

EVIDENCE = (
    tensor("citations", DType.INT32, "citations"),  # numbers of sources, from 1, as they are cited
    tensor("grounded", DType.FP32, 1),  # share of the answer's words that a source has, 0 to 1
    tensor("statements", DType.STRING, "quotes"),  # sentences that a source supports
    tensor("quotes", DType.STRING, "quotes"),  # for each of them, the sentence of the source
    tensor("quote_source", DType.INT32, "quotes"),  # and the number of the source, from 1
)
"""What supports an answer: in the last response, if `sources` were sent."""

CHECK_GROUNDING = optional("check_grounding", DType.BOOL, 1)
"""Whether the manifest's policy (`answer`) may replace the model's text: the default without a
guide. False, or a guide: the text is sent as it is."""

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
        optional("question", DType.STRING, 1),  # that `sources` must answer
        CHECK_GROUNDING,
    ),
    outputs=(*GENERATION, TOOL_CALLS, *EVIDENCE, *SOURCES, *OPTIONAL_PLACES),
    decoupled=True,
)
"""Generates an answer from a prompt, either `text_input` or `messages`. Sources that were sent come
back with its first response, and the evidence with the last."""
