"""The manifest of an engine folder: written by `builders`, read and checked before serving.

It records what the engine's own files don't: the checkpoint and the versions that made them.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MANIFEST_FILE = "manifest.json"
TOKENIZER_FILE = "tokenizer.json"

_TABLES = {"files", "versions", "inputs", "plan"}
"""Fields whose values are JSON objects."""


class ManifestError(ValueError):
    """An engine folder is missing, incomplete or different from its manifest."""


@dataclass(frozen=True)
class Sampling:
    """How an LLM generates. A manifest has the defaults, which a request's inputs replace.

    `temperature` 0 means greedy; `top_k` 0 and `top_p` 1 mean no limit.
    """

    max_tokens: int = 256
    min_tokens: int = 0
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0


@dataclass(frozen=True)
class AnswerPolicy:
    """How an LLM's answers over sources are cited, and what replaces an unsupported answer.

    `cite` is `model` (the model writes `[n]` itself) or `attribution` (the source of each sentence
    is found by the words that they share). A first sentence is supported if at least `min_grounded`
    of its new words, those that the question lacks, are together in a source. Otherwise
    `ungrounded` says what a client gets: the `answer` as it is, a `quote` of at most
    `quote_sentences` sentences from one section of the best source and up to two before them, or
    the `refusal` (`refuse`). `quote` also asks that as large a share of the sentence's neighbouring
    words are neighbours in the quote.
    Unless `ungrounded` is `answer`, a question is refused if the best source has less than
    `min_relevance`, on the scale of the reader and reranker that are served, or no source has
    `min_similarity`. `min_relevance` is for 300 searched passages; for ten times as many it is
    `relevance_per_tenfold` higher. A second source is quoted only if it has `second_quote_margin`
    more than that. The similarity is lowered by `missing_words_penalty` times the share of the
    question's words that the closest sentence lacks.
    """

    cite: str = "model"
    first_sentence_only: bool = False
    min_grounded: float = 0.0
    min_similarity: float = -1.0
    missing_words_penalty: float = 0.0
    min_relevance: float | None = None
    relevance_per_tenfold: float = 0.0
    second_quote_margin: float = 0.0
    ungrounded: str = "answer"
    quote_sentences: int = 2
    refusal: str = "The documents do not answer this question."

    @property
    def checks_first_sentence(self) -> bool:
        """Whether a first sentence is held until it is complete."""
        return self.first_sentence_only or self.ungrounded != "answer"


@dataclass(frozen=True)
class Prompt:
    """How `rag` asks an LLM: `system` text, and the user's turn as a Jinja template.

    The template has `question` and `sources`, a list of texts. At most `num_sources` of them are
    used (None: all that the graph gives). `stop_words` end the answer to `messages`.

    `tools` is a Jinja template that describes the functions that may be called, as text of the
    system turn; empty where the chat template does. `tool_calls` names the syntax of calls
    (python_backends/tool_calls/syntax.py); empty: the engine was built before there was one.
    """

    system: str = (
        "Answer from the numbered sources only and cite them like [1]. If they do not tell, say so."
    )
    user: str = """\
{% for source in sources -%}
[{{ loop.index }}] {{ source }}
{% endfor %}

Question: {{ question }}"""
    num_sources: int | None = None
    stop_words: tuple[str, ...] = ()
    tools: str = ""
    tool_calls: str = ""


@dataclass(frozen=True)
class Prefixes:
    """What an embedder wants before a query, before a passage, and before any other text."""

    query: str = ""
    passage: str = ""
    text: str = ""


@dataclass(frozen=True)
class PairText:
    """What a reranker's chat template writes beside the tokens that its tokenizer adds."""

    before_query: str = ""
    after_query: str = ""
    before_passage: str = ""


@dataclass(frozen=True)
class Manifest:
    """The fields of manifest.json; the last four are those of GPU engines."""

    role: str
    model: str
    sku: str
    key: str  # hash of `inputs`; the folder's name
    precision: str  # number format of the weights, such as fp32 or fp8
    max_tokens: int  # longest sequence; for an LLM, prompt and answer together
    checkpoint_sha256: str
    files: Mapping[str, str]  # SHA-256 by file name
    versions: Mapping[str, str]  # of the packages that made the engine
    engine: str = "openvino"
    """What can run it: `onnx` for encoders; for LLMs `openvino`, `tensorrt-llm` (TensorRT-LLM's LLM
    API, over a checkpoint) or `tensorrtllm-backend` (NVIDIA's C++ backend, over a built engine)."""
    eos_token_ids: tuple[int, ...] = ()  # each of them ends an answer
    sampling: Sampling = field(default_factory=Sampling)
    answer: AnswerPolicy = field(default_factory=AnswerPolicy)
    prompt: Prompt = field(default_factory=Prompt)
    prefixes: Prefixes = field(default_factory=Prefixes)
    pair_text: PairText = field(default_factory=PairText)
    dimensions: int = 0  # an embedder's rows are cut to so many; 0: they are not cut
    relevance_percent: int = 100  # weight of a reranker; similarity and words have 100 each
    vocabulary: int = 0  # ids that an LLM has embeddings for; 0: not known
    unguided: str = ""  # why an LLM's engine can't follow a guide; empty: it can
    comparison: str = ""  # with the reference implementation: what was compared, or why not
    inputs: Mapping[str, Any] = field(default_factory=dict)  # all that the engine depends on
    compute_capability: str = ""  # such as "9.0"
    gpu: str = ""  # product name
    container: str = ""  # image that the engine was made in
    plan: Mapping[str, Any] = field(default_factory=dict)  # the fields of an EnginePlan

    @property
    def embedding_space(self) -> str:
        """Embeddings can be compared if this is equal: the model's name, and a hash of checkpoint,
        tokenizer, prefixes, `max_tokens` and `dimensions`. Precision and engine change little."""
        decides: list[Any] = [
            self.checkpoint_sha256,
            self.files.get(TOKENIZER_FILE, ""),
            dataclasses.astuple(self.prefixes),
            self.max_tokens,
        ]
        if self.dimensions:
            decides.append(self.dimensions)
        return f"{self.model}@{hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:12]}"

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Manifest":
        """Parse manifest.json; raises `ManifestError` for other fields or types."""
        try:
            fields: dict[str, Any] = json.loads(text)
            fields["sampling"] = Sampling(**fields["sampling"])
            fields["prefixes"] = Prefixes(**fields.get("prefixes", {}))
            fields["pair_text"] = PairText(**fields.get("pair_text", {}))
            fields["answer"] = AnswerPolicy(**fields.get("answer", {}))
            fields["eos_token_ids"] = tuple(fields["eos_token_ids"])
            if prompt := fields.get("prompt"):
                fields["prompt"] = Prompt(**prompt | {"stop_words": tuple(prompt["stop_words"])})
            fields.setdefault("unguided", "its engine was made before it could be")
            for name in _TABLES & fields.keys():
                fields[name] = dict(fields[name])
            return cls(**fields)
        except (ValueError, TypeError, KeyError) as error:
            raise ManifestError(f"not a manifest of this version ({error}); rebuild") from error


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of `folder`; raises `ManifestError` when it is missing or wrong."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise ManifestError(f"no {MANIFEST_FILE} in {folder}: run 'make build-engines'")
    try:
        return Manifest.from_json(path.read_bytes())
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error


def check_file(folder: Path, manifest: Manifest, name: str) -> Path:
    """Path of a file; raises `ManifestError` unless it has the SHA-256 of the manifest."""
    path = folder / name
    if name not in manifest.files or not path.is_file():
        raise ManifestError(f"no {name} in {folder}: run 'make build-engines'")
    found = sha256(path)
    if found != manifest.files[name]:
        raise ManifestError(
            f"{path} has changed since the build: its SHA-256 is {found[:12]}…, the manifest "
            f"pins {manifest.files[name][:12]}…; run 'make build-engines' again"
        )
    return path
