"""The base of both clients: the server's address, deadlines, headers, and opening a stream."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import grpc
from tritonclient.grpc import service_pb2_grpc

from triton_rag.arguments import AskOptions, SamplingOptions
from triton_rag.calls import Chat, ask_request, generate_request
from triton_rag.errors import TimedOut
from triton_rag.streams import BaseStream
from triton_rag.trace_context import TRACEPARENT, RequestContext, new_context
from triton_rag.wire import Message, set_timeout

if TYPE_CHECKING:
    from typing import Unpack

DEFAULT_URL = "127.0.0.1:8001"
"""Where `make serve` listens for gRPC."""

POLL_S = 0.1
"""Pause between two checks of `wait_until_ready`."""

CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)

_THIS_MACHINE = ("127.", "localhost:", "[::1]:")


def channel_options(address: str) -> list[tuple[str, int]]:
    """Options without a proxy for servers on this machine, which http_proxy could not reach."""
    direct = [("grpc.enable_http_proxy", 0)] if address.startswith(_THIS_MACHINE) else []
    return [*CHANNEL_OPTIONS, *direct]


CompletionStreamT = TypeVar("CompletionStreamT", bound=BaseStream)
AnswerStreamT = TypeVar("AnswerStreamT", bound=BaseStream)


class Deadline:
    def __init__(self, timeout_s: float | None) -> None:
        self._end_s = None if timeout_s is None else time.monotonic() + timeout_s

    @property
    def left_s(self) -> float | None:
        """Seconds until the deadline: 0 when it has passed, None without a deadline."""
        return None if self._end_s is None else max(0.0, self._end_s - time.monotonic())

    @property
    def has_passed(self) -> bool:
        return self.left_s == 0.0


class BaseClient(Generic[CompletionStreamT, AnswerStreamT]):
    """The part of both clients that needs no waiting: settings, and streams, which open at once."""

    _completion_stream: type[CompletionStreamT]
    _answer_stream: type[AnswerStreamT]
    _grpc: Any
    """`grpc` or `grpc.aio`."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout_s: float | None = 60.0,
        max_rows: int = 256,
        credentials: grpc.ChannelCredentials | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if url.startswith(("http://", "https://", "grpc://")) or url.endswith(":") or not url:
            raise ValueError(f"url: {url!r} given; host:port of the gRPC port is needed")
        if timeout_s is not None and not timeout_s > 0:
            raise ValueError(f"timeout_s: {timeout_s} given; more than 0 is needed")
        if max_rows < 1:
            raise ValueError(f"max_rows: {max_rows} given; 1 or more is needed")
        self._address, self._timeout_s, self._max_rows = url, timeout_s, max_rows
        self._credentials = credentials
        self._headers = {name.lower(): value for name, value in (headers or {}).items()}
        if self._grpc is grpc:  # an asyncio channel belongs to the event loop that opens it
            _ = self._stub

    @cached_property
    def _channel(self) -> Any:
        options = channel_options(self._address)
        if credentials := self._credentials:
            return self._grpc.secure_channel(self._address, credentials, options)
        return self._grpc.insecure_channel(self._address, options)

    @cached_property
    def _stub(self) -> Any:
        return service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def generate_stream(
        self,
        prompt: str | None = None,
        *,
        messages: Chat | None = None,
        timeout_s: float | None = None,
        request_id: str | None = None,
        **options: Unpack[SamplingOptions],
    ) -> CompletionStreamT:
        """Like `generate`, but an iterator over pieces of text."""
        request = generate_request(prompt, messages, options, stream=True)
        return self._completion_stream(*self._open(request, timeout_s, request_id))

    def ask_stream(
        self,
        question: str,
        documents: Sequence[str] | None = None,
        *,
        timeout_s: float | None = None,
        request_id: str | None = None,
        **options: Unpack[AskOptions],
    ) -> AnswerStreamT:
        """Like `ask`, but an iterator over pieces of text."""
        request = ask_request(question, documents, options, stream=True)
        return self._answer_stream(*self._open(request, timeout_s, request_id))

    def _open(
        self, request: Message, timeout_s: float | None, request_id: str | None
    ) -> tuple[Any, str, RequestContext]:
        deadline, context = self._deadline(timeout_s), self._context(request_id)
        set_timeout(request, deadline.left_s)
        call = self._stub.ModelStreamInfer(
            iter([context.add_to(request)]),
            timeout=deadline.left_s,
            metadata=self._metadata(context),
        )
        return call, self._address, context

    def _deadline(self, timeout_s: float | None) -> Deadline:
        """The deadline of a call that starts now, by its own `timeout_s` or else the client's."""
        return Deadline(self._timeout_s if timeout_s is None else timeout_s)

    def _context(self, request_id: str | None) -> RequestContext:
        """The context of a call that starts now, in the trace of the headers if they name one."""
        return new_context(request_id, self._headers.get(TRACEPARENT))

    def _metadata(self, context: RequestContext | None = None) -> tuple[tuple[str, str], ...]:
        own = {} if context is None else {TRACEPARENT: context.traceparent}
        return tuple((self._headers | own).items())

    def _not_ready(self, timeout_s: float) -> TimedOut:
        return TimedOut(f"the server at {self._address} is not ready after {timeout_s:g} s")
