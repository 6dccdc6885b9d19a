"""Describes every call as data: its requests, and the function that reads the responses.

Pure functions that both clients share; nothing here touches the network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import starmap
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from triton_rag.arguments import (
    GROUNDING_TYPES,
    SAMPLING_TYPES,
    SEARCH_TYPES,
    filter_tensors,
    option_tensors,
    text_tensor,
    texts_tensor,
)
from triton_rag.results import Quote, Ranked, Source
from triton_rag.wire import Message, Response, Tensor, make_request, make_stream_request

T = TypeVar("T")

Chat = Sequence[Mapping[str, str]]
"""Messages such as `{"role": "user", "content": "…"}`, oldest first."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """A call without a stream: requests to send one after the other, and their reader."""

    requests: tuple[Message, ...]
    read: Callable[[list[Response]], T]


def embed_call(
    texts: str | Sequence[str], max_rows: int, input_type: str = "text"
) -> Call[NDArray[np.float32]]:
    tensor = texts_tensor("texts", [texts] if isinstance(texts, str) else texts)
    kind = [] if input_type == "text" else [text_tensor("input_type", input_type)]
    portions = _portions(replace(tensor, name="input_text"), max_rows)
    requests = (make_request("embed", [rows, *kind]) for rows in portions)
    return Call(tuple(requests), _joined("embedding"))


def count_tokens_call(texts: Sequence[str], max_rows: int) -> Call[NDArray[np.int64]]:
    tensor = replace(texts_tensor("texts", texts), name="input_text")
    requests = (make_request("tokenizer", [rows]) for rows in _portions(tensor, max_rows))

    def read(responses: list[Response]) -> NDArray[np.int64]:
        masks = (response.array("attention_mask") for response in responses)
        return np.concatenate([mask.sum(axis=1) for mask in masks])

    return Call(tuple(requests), read)


def rerank_call(
    query: str, passages: Sequence[str], top_n: int | None, max_rows: int
) -> Call[list[Ranked]]:
    if top_n is not None and top_n < 1:
        raise ValueError(f"top_n: {top_n} given; 1 or more is possible")
    question, tensor = text_tensor("query", query), texts_tensor("passages", passages)
    requests = (make_request("rerank", [question, rows]) for rows in _portions(tensor, max_rows))

    def read(responses: list[Response]) -> list[Ranked]:
        relevance = _joined("relevance")(responses)[:, 0]
        order = np.argsort(-relevance, kind="stable")[:top_n]
        return [Ranked(int(index), float(relevance[index])) for index in order]

    return Call(tuple(requests), read)


def retrieve_call(
    question: str, documents: Sequence[str], options: Mapping[str, object]
) -> Call[list[Source]]:
    """A call that finds the best passages of documents; `options`: `SearchOptions`."""
    tensors = (*_question_tensors(question, documents), *option_tensors(options, SEARCH_TYPES))
    return Call((make_request("retrieve", tensors),), lambda found: list(read_sources(found[0])))


def generate_request(
    prompt: str | None, messages: Chat | None, options: Mapping[str, object], *, stream: bool
) -> Message:
    """A request to `llm`: a bare prompt, or messages; `options`: `SamplingOptions`."""
    if (prompt is None) == (messages is None):
        raise TypeError("prompt, messages: exactly one of them is needed")
    text = (
        text_tensor("text_input", prompt)
        if messages is None
        else Tensor("messages", "BYTES", [json.dumps(list(messages), ensure_ascii=False)])
    )
    return make_stream_request(
        "llm", [text, *option_tensors(options, SAMPLING_TYPES), *_stream(stream)]
    )


def ask_request(
    question: str, documents: Sequence[str] | None, options: Mapping[str, object], *, stream: bool
) -> Message:
    """A request to `rag_cancellable` or `rag`, and to `answer` where `options` name a collection.

    `options`: `AskOptions`.
    """
    rest = dict(options)
    collection, wanted = rest.pop("collection", None), rest.pop("filter", None)
    model = rest.pop("model", None) or "rag_cancellable"
    if (documents is None) == (collection is None):
        raise TypeError("documents, collection: exactly one of them is needed")
    if documents is not None and wanted is not None:
        raise TypeError("filter: given with documents; it is for a collection")
    tensors = (
        text_tensor("question", question),
        *_asked(documents, collection, wanted),
        *option_tensors(rest, SEARCH_TYPES | SAMPLING_TYPES | GROUNDING_TYPES),
        *_stream(stream),
    )
    return make_stream_request(str(model) if collection is None else "answer", tensors)


def _asked(documents: Sequence[str] | None, collection: object, wanted: object) -> Iterator[Tensor]:
    """Tensors that say where to look: documents, or a collection and a filter."""
    if documents is not None:
        yield texts_tensor("documents", documents)
    else:
        yield text_tensor("collection", collection)
        yield from filter_tensors(wanted)


def read_sources(response: Response) -> tuple[Source, ...]:
    """Sources in the server's order, best first."""
    names = "source_document", "source_similarity", "source_relevance"
    columns: list[Sequence[Any]] = [response.array(name).tolist() for name in names]
    if "source_id" in response:
        columns += [response.texts("source_id"), response.texts("source_title")]
        columns += [response.array("source_page").tolist()]
        columns += [[json.loads(text) for text in response.texts("source_metadata")]]
    return tuple(starmap(Source, zip(response.texts("sources"), *columns, strict=True)))


def read_quotes(response: Response) -> tuple[Quote, ...]:
    """Quotes in the order of the answer's sentences."""
    numbers = response.array("quote_source").tolist()
    texts = response.texts("statements"), response.texts("quotes")
    return tuple(starmap(Quote, zip(*texts, numbers, strict=True)))


def _question_tensors(question: str, documents: Sequence[str]) -> tuple[Tensor, Tensor]:
    return text_tensor("question", question), texts_tensor("documents", documents)


def _portions(tensor: Tensor, max_rows: int) -> list[Tensor]:
    """The tensor cut into parts of at most `max_rows`."""
    starts = range(0, len(tensor.values), max_rows)
    parts = (tensor.values[start : start + max_rows] for start in starts)
    return [Tensor(tensor.name, tensor.dtype, part) for part in parts]


def _joined(name: str) -> Callable[[list[Response]], NDArray[Any]]:
    """Reads the rows of tensor `name` of all responses into one array."""
    return lambda responses: np.concatenate([response.array(name) for response in responses])


def _stream(stream: bool) -> list[Tensor]:
    return [Tensor("stream", "BOOL", [True])] if stream else []
