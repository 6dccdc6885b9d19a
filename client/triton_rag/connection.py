"""What both clients know of their server, and how much time a call has left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from triton_rag.errors import TimedOut
from triton_rag.identity import TRACEPARENT, Identity, make_identity
from triton_rag.wire import Message, set_timeout

DEFAULT_URL = "127.0.0.1:8001"
"""Where `make serve` listens for gRPC."""

POLL_S = 0.1
"""How often a server that is not ready is asked again."""

CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


@dataclass(frozen=True)
class Settings:
    """How calls are made; `timeout_s` None means no deadline."""

    address: str = DEFAULT_URL
    timeout_s: float | None = 60.0
    max_rows: int = 256
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.address.startswith(("http://", "https://", "grpc://")):
            raise ValueError(f"url: {self.address!r} given; host:port of the gRPC port is needed")
        if self.timeout_s is not None and self.timeout_s <= 0:
            raise ValueError(f"timeout_s: {self.timeout_s} given; more than 0 is needed")
        if self.max_rows < 1:
            raise ValueError(f"max_rows: {self.max_rows} given; 1 or more is needed")

    @cached_property
    def lower_headers(self) -> dict[str, str]:
        """Headers of every call, as gRPC wants their names."""
        return {name.lower(): value for name, value in self.headers.items()}

    def identity(self, request_id: str | None) -> Identity:
        """Of a call that starts now; a `traceparent` among the headers is honoured."""
        return make_identity(request_id, self.lower_headers.get(TRACEPARENT))

    def metadata(self, identity: Identity | None = None) -> tuple[tuple[str, str], ...]:
        """Headers of a call; one that is not a request for inference has no identity."""
        own = {} if identity is None else {TRACEPARENT: identity.traceparent}
        return tuple((self.lower_headers | own).items())

    def not_ready(self, timeout_s: float) -> TimedOut:
        """What waiting for the server ends with when it was in vain."""
        return TimedOut(f"the server at {self.address} is not ready after {timeout_s:g} s")

    def deadline(self, timeout_s: float | None) -> Deadline:
        """The end of a call that starts now; its own `timeout_s` wins over the client's."""
        return Deadline(self.timeout_s if timeout_s is None else timeout_s)


class Deadline:
    """A moment, or never."""

    def __init__(self, timeout_s: float | None) -> None:
        self._end_s = None if timeout_s is None else time.monotonic() + timeout_s

    @property
    def left_s(self) -> float | None:
        """Seconds until then, 0 when it has passed; None means for ever."""
        return None if self._end_s is None else max(0.0, self._end_s - time.monotonic())

    @property
    def has_passed(self) -> bool:
        """Whether no time is left."""
        return self.left_s == 0.0

    def tell_server(self, request: Message) -> Message:
        """The request, with the time that is left as its own timeout."""
        set_timeout(request, self.left_s)
        return request
