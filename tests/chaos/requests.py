"""Requests that can be told apart by their answers, over each of the served entries."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from builders.spec import load_sku
from tests.chaos.wire import Message, Tensor, make_request

STREAMED = frozenset({"llm", "ensemble", "rag", "rag_cancellable", "answer"})
"""Entries that answer on a gRPC stream."""


@dataclass(frozen=True)
class Request:
    """One request; equal ones have equal answers, because the models are greedy."""

    model: str
    tensors: tuple[Tensor, ...]
    timeout_s: float | None = None
    request_id: str = ""
    outputs: tuple[str, ...] = ()
    """Which outputs are asked for; all where there are none."""

    def message(self) -> Message:
        """For the wire; errors are to come with their codes."""
        request = make_request(self.model, self.tensors, self.request_id)
        if self.timeout_s is not None:
            request.parameters["timeout"].int64_param = round(self.timeout_s * 1e6)
        for name in self.outputs:
            request.outputs.add(name=name)
        return request


def text(name: str, *values: str | bytes) -> Tensor:
    return Tensor(name, "BYTES", values)


def number(name: str, value: int) -> Tensor:
    return Tensor(name, "INT32", (value,))


def llm(prompt: str, tokens: int, stream: bool = True, request_id: str = "") -> Request:
    """Exactly `tokens` tokens behind the prompt."""
    tensors = (
        text("text_input", prompt),
        number("max_tokens", tokens),
        number("min_tokens", tokens),
        *((Tensor("stream", "BOOL", (True,)),) if stream else ()),
    )
    return Request("llm", tensors, request_id=request_id)


def ensemble(prompt: str, tokens: int = 8) -> Request:
    """NVIDIA's contract has a batch dimension of one."""
    tensors = (text("text_input", prompt), number("max_tokens", tokens))
    return Request("ensemble", tuple(replace(tensor, shape=(1, 1)) for tensor in tensors))


_NAMES = ("Vebra", "Tolun", "Quist", "Marden", "Ilvara", "Corbet", "Zephon", "Halden", "Ostrik")


def fact(number_: int) -> tuple[str, str, str]:
    """A name, a value that no other number has, and the sentence that says so."""
    name = f"{_NAMES[number_ % len(_NAMES)]}{number_ // len(_NAMES) or ''}"
    value = str(2003 + 37 * number_)
    return name, value, f"{name} listens on port {value}."


def documents(number_: int) -> tuple[str, ...]:
    """The fact of this number among others that a mixed-up answer would name."""
    others = (fact(number_ + step)[2] for step in (1, 2, 3))
    return (fact(number_)[2], *others, "The ferry sails at noon.")


def question(number_: int) -> str:
    return f"Which port does {fact(number_)[0]} listen on?"


def rag(number_: int, model: str = "rag_cancellable", stream: bool = True) -> Request:
    tensors = (
        text("question", question(number_)),
        text("documents", *documents(number_)),
        *((Tensor("stream", "BOOL", (True,)),) if stream else ()),
    )
    return Request(model, tensors)


def retrieve(number_: int) -> Request:
    return Request(
        "retrieve",
        (text("question", question(number_)), text("documents", *documents(number_))),
    )


def rerank(number_: int) -> Request:
    return Request(
        "rerank", (text("query", question(number_)), text("passages", *documents(number_)))
    )


def embed(number_: int) -> Request:
    return Request("embed", (text("input_text", fact(number_)[2]),))


def large_embed(number_: int, rows: int = 1000) -> Request:
    """Texts of about 100 tokens that no other number has; they take a CPU seconds."""
    texts = (f"{number_} {row} " + "word " * 100 for row in range(rows))
    return Request("embed", (text("input_text", *texts),))


_WORDS = ("alpha", "beta", "port", "gamma", "8123", "release", "blue", "of", "the", "is", "Vebra")


def prompt(number_: int) -> str:
    """Words of which the reference LLM makes a different text for nearly every number."""
    words = random.Random(number_).choices(_WORDS, k=20)
    return " ".join(words)


def long_stream(number_: int, tokens: int = 1000) -> Request:
    """A stream that takes the reference LLM a second or more."""
    return llm(prompt(number_), tokens)


def of_every_length() -> Iterator[Request]:
    """Prompts of as many tokens as a step of `llm` can have; to be sent one at a time.

    OpenVINO compiles and keeps kernels for each number of tokens that a step has had. Once all have
    been seen `llm` grows no more (docs/operate.md); before that its growth says nothing of leaks.
    """
    most = load_sku("cpu").place("llm").parameters["max_step_tokens"]
    for tokens in range(1, int(most) + 1):
        yield llm(" a" * tokens, 1)


def one_of_each(number_: int) -> Iterator[Request]:
    """A small request to every entry; together they pass through every model."""
    yield embed(number_)
    yield rerank(number_)
    yield retrieve(number_)
    yield rag(number_)
    yield rag(number_, "rag", stream=False)
    yield llm(prompt(number_), 24)
    yield ensemble(prompt(number_), 24)


def rag_about(word: str) -> Request:
    """A question with a word in it that a broken stage looks for."""
    return Request(
        "rag_cancellable",
        (text("question", f"What is {word}?"), text("documents", "It is a word.")),
    )


def long_rag(number_: int, tokens: int = 1200) -> Request:
    """An answer that goes on behind its end."""
    request = rag(number_)
    limits = (number("max_tokens", tokens), number("min_tokens", tokens))
    return replace(request, tensors=request.tensors + limits)
