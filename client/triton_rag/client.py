"""The blocking client."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as protocol

from triton_rag.arguments import AskOptions, CollectionOptions, SamplingOptions, SearchOptions
from triton_rag.calls import (
    Call,
    Chat,
    ask_request,
    count_tokens_call,
    embed_call,
    generate_request,
    rerank_call,
    retrieve_call,
)
from triton_rag.collection_calls import (
    collection_call,
    documents_call,
    list_call,
    remove_call,
    search_call,
    upsert_call,
)
from triton_rag.collections import Change, Collection, Document, DocumentEntry
from triton_rag.connection import POLL_S, BaseClient, Deadline
from triton_rag.results import Answer, Completion, Ranked, Source
from triton_rag.status import NOT_READY, checked_answer, translated_errors
from triton_rag.streams import AnswerStream, CompletionStream
from triton_rag.trace_context import RequestContext
from triton_rag.wire import Message, Response

if TYPE_CHECKING:
    from typing import Self, Unpack

T = TypeVar("T")


class Client(BaseClient[CompletionStream, AnswerStream]):
    """Calls a Triton server that serves this repository; safe to share between threads.

    `url` is host:port of its gRPC port. `timeout_s` limits each call as a whole, streams included;
    a call's own `timeout_s` has precedence, None means no limit. `max_rows` is the most texts in
    one request; longer lists are sent in several. `credentials` switches TLS on; `headers` are sent
    with each call. `request_id` names a call in the server's logs and traces; its default is
    random. A call belongs to the trace of the active OpenTelemetry span, or else to a new one.
    Every method raises `TritonRagError`.
    """

    _completion_stream = CompletionStream
    _answer_stream = AnswerStream
    _grpc = grpc

    def embed(
        self,
        texts: str | Sequence[str],
        *,
        input_type: str = "text",
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> NDArray[np.float32]:
        """Embeddings, FP32 [texts, dimension]; one string gives one row.

        `input_type` is what the texts are: `query`, `passage` or `text`. Rows have length 1 if the
        served embedder normalizes them, as the default one does.
        """
        return self._run(embed_call(texts, self._max_rows, input_type), timeout_s, request_id)

    def count_tokens(
        self, texts: Sequence[str], *, timeout_s: float | None = None, request_id: str | None = None
    ) -> NDArray[np.int64]:
        """The embedder's tokens of each text, INT64 [texts], including special tokens.

        At most as many as the embedder reads: the rest of a long text is not counted.
        """
        return self._run(count_tokens_call(texts, self._max_rows), timeout_s, request_id)

    def rerank(
        self,
        query: str,
        passages: Sequence[str],
        top_n: int | None = None,
        *,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> list[Ranked]:
        """The `top_n` passages (default: all) that fit the query best, most relevant first."""
        call = rerank_call(query, passages, top_n, self._max_rows)
        return self._run(call, timeout_s, request_id)

    def retrieve(
        self,
        question: str,
        documents: Sequence[str],
        *,
        timeout_s: float | None = None,
        request_id: str | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Source]:
        """Passages of the documents that fit the question best, best first."""
        call = retrieve_call(question, documents, options)
        return self._run(call, timeout_s, request_id)

    def generate(
        self,
        prompt: str | None = None,
        *,
        messages: Chat | None = None,
        timeout_s: float | None = None,
        request_id: str | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Completion:
        """The whole continuation of a bare prompt, or the reply to chat messages."""
        request = generate_request(prompt, messages, options, stream=False)
        return self._complete(request, timeout_s, request_id)

    def search(
        self,
        question: str,
        collection: str,
        *,
        timeout_s: float | None = None,
        request_id: str | None = None,
        **options: Unpack[CollectionOptions],
    ) -> list[Source]:
        """Passages of a collection that fit the question best, best first.

        Raises `NothingFound` where the collection is empty or the filter leaves nothing.
        """
        call = search_call(question, collection, options)
        return self._run(call, timeout_s, request_id)

    def ask(
        self,
        question: str,
        documents: Sequence[str] | None = None,
        *,
        timeout_s: float | None = None,
        request_id: str | None = None,
        **options: Unpack[AskOptions],
    ) -> Answer:
        """The answer to the question from documents or a collection, with its sources."""
        request = ask_request(question, documents, options, stream=False)
        return self._answer(request, timeout_s, request_id)

    def collections(self, *, timeout_s: float | None = None) -> list[Collection]:
        """All collections, by name."""
        return self._run(list_call(), timeout_s, None)

    def collection(self, name: str, *, timeout_s: float | None = None) -> Collection:
        """What is known of the collection; raises `InvalidRequest` if there is none."""
        return self._run(collection_call("describe", name), timeout_s, None)

    def create_collection(self, name: str, *, timeout_s: float | None = None) -> Collection:
        """A new, empty collection, for embeddings of the server's embedder."""
        return self._run(collection_call("create", name), timeout_s, None)

    def delete_collection(self, name: str, *, timeout_s: float | None = None) -> Collection:
        """Delete a collection with its documents; returns what it was."""
        return self._run(collection_call("delete", name), timeout_s, None)

    def documents(
        self, name: str, *, after: str = "", limit: int = 1000, timeout_s: float | None = None
    ) -> list[DocumentEntry]:
        """Up to `limit` (at most 10,000) documents, by id, from the first after the id `after`."""
        return self._run(documents_call(name, after, limit), timeout_s, None)

    def upsert(
        self,
        name: str,
        documents: Sequence[Document],
        embeddings: NDArray[np.float32],
        *,
        timeout_s: float | None = None,
    ) -> Change:
        """Put documents in the place of those with the same ids, in one commit.

        `embeddings` are FP32 [passages, dimension]: those of all passages of all documents in
        order, as `embed(…, input_type="passage")` makes them.
        """
        return self._run(upsert_call(name, documents, embeddings), timeout_s, None)

    def remove(self, name: str, ids: Sequence[str], *, timeout_s: float | None = None) -> Change:
        """Remove documents, in one commit; ids that are not there are no error."""
        return self._run(remove_call(name, ids), timeout_s, None)

    def is_ready(self, *, timeout_s: float = 5.0) -> bool:
        """Whether the server is there and all its models are loaded."""
        try:
            request = protocol.ServerReadyRequest()
            return bool(self._send(self._stub.ServerReady, request, timeout_s).ready)
        except NOT_READY:
            return False

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Return once `is_ready`; raises `TimedOut`."""
        deadline = Deadline(timeout_s)
        while not self.is_ready(timeout_s=max(POLL_S, deadline.left_s or 0.0)):
            if deadline.has_passed:
                raise self._not_ready(timeout_s)
            time.sleep(POLL_S)

    def setting(self, model: str, name: str, *, timeout_s: float | None = None) -> str:
        """A parameter of a served model's configuration, such as "max_passage_tokens" of
        "passage_splitter"; empty where the model has none of that name."""
        left_s = self._deadline(timeout_s).left_s
        request = protocol.ModelConfigRequest(name=model)
        answer = self._send(self._stub.ModelConfig, request, left_s)
        return str(answer.config.parameters[name].string_value)

    def close(self) -> None:
        """Close the connection, which ends the streams that are open."""
        self._channel.close()

    def _send(
        self,
        method: Any,
        request: Message,
        timeout_s: float | None,
        context: RequestContext | None = None,
    ) -> Message:
        with translated_errors(self._address):
            return method(request, timeout=timeout_s, metadata=self._metadata(context))

    def _run(self, call: Call[T], timeout_s: float | None, request_id: str | None) -> T:
        deadline, context = self._deadline(timeout_s), self._context(request_id)
        with context.in_errors():
            answers = [
                self._send(self._stub.ModelInfer, context.add_to(request), deadline.left_s, context)
                for request in call.requests
            ]
            with checked_answer(self._address):
                return call.read([Response(answer) for answer in answers])

    def _complete(
        self, request: Message, timeout_s: float | None, request_id: str | None
    ) -> Completion:
        stream = CompletionStream(*self._open(request, timeout_s, request_id))
        stream.read()
        return stream.completion

    def _answer(self, request: Message, timeout_s: float | None, request_id: str | None) -> Answer:
        stream = AnswerStream(*self._open(request, timeout_s, request_id))
        stream.read()
        return stream.answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
