"""Sending requests and keeping account of how each of them ended."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import grpc
import numpy as np
from tritonclient.grpc import service_pb2_grpc

from tests.chaos.requests import STREAMED, Request
from tests.chaos.wire import Response

End = Literal["answer", "error", "cancelled", "hung", "faulty"]
"""`cancelled`: by the client itself; `hung`: no end within the bound; `faulty`: two ends, or none
although the server closed the stream in good order."""

TOLERANCE = 5e-3
"""For embeddings and logits that shared a batch with others (docs: scores within 5e-3)."""

_CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own for each channel
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)


@dataclass(frozen=True)
class Reply:
    """What an answer says: the streamed text, or the numbers of a plain model."""

    text: str = ""
    numbers: tuple[float, ...] = ()

    def equals(self, other: "Reply") -> bool:
        """Equal texts, numbers equal but for rounding."""
        return (
            self.text == other.text
            and len(self.numbers) == len(other.numbers)
            and bool(np.allclose(self.numbers, other.numbers, atol=TOLERANCE))
        )


@dataclass(frozen=True)
class Outcome:
    """How one request ended; times count from its sending."""

    request: Request
    end: End
    reply: Reply
    error: str
    elapsed_s: float
    ended_at: float


class Line:
    """A connection to the server; one request at a time."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def send(
        self, request: Request, bound_s: float, on_piece: Callable[[Any, str], None] | None = None
    ) -> Outcome:
        """Send and wait for the end, for `bound_s` at most; `on_piece` sees the call, the text."""
        begun = time.monotonic()
        end, reply, error = self._send(request, bound_s, on_piece or _ignore)
        now = time.monotonic()
        return Outcome(request, end, reply, error, now - begun, now)

    def _send(
        self, request: Request, bound_s: float, on_piece: Callable[[Any, str], None]
    ) -> tuple[End, Reply, str]:
        pieces: list[str] = []
        try:
            if request.model in STREAMED:
                call = self._stub.ModelStreamInfer(iter([request.message()]), timeout=bound_s)
                return _read_stream(call, pieces, on_piece)
            return "answer", _numbers(self._stub.ModelInfer(request.message(), timeout=bound_s)), ""
        except grpc.RpcError as error:
            return _ending(error), Reply("".join(pieces)), f"{error.code().name}: {error.details()}"


def _ignore(_call: Any, _piece: str) -> None:
    pass


def _ending(error: grpc.RpcError) -> End:
    if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
        return "hung"
    is_ours = error.code() == grpc.StatusCode.CANCELLED and "Locally" in str(error.details())
    return "cancelled" if is_ours else "error"


def _read_stream(
    call: Any, pieces: list[str], on_piece: Callable[[Any, str], None]
) -> tuple[End, Reply, str]:
    """Reads to the end of the stream, so that a second end would be seen."""
    ends, error = 0, ""
    for message in call:
        response = Response(message.infer_response)
        if message.error_message:
            ends, error = ends + 1, message.error_message
            continue
        final = message.infer_response.parameters["triton_final_response"].bool_param
        ends += final
        if response.text("finish_reason") == "error":
            error = response.text("text_output")
            continue
        pieces.append(response.text("text_output"))
        on_piece(call, pieces[-1])
    reply = Reply("".join(pieces))
    if ends != 1:
        return "faulty", reply, f"{ends} ends in a stream that was closed in good order"
    return ("error" if error else "answer"), reply, error


@contextlib.contextmanager
def answered_stream(address: str, request: Request) -> Iterator[None]:
    """A gRPC stream that had its answer and stays open, as clients keep one for the next."""
    with grpc.insecure_channel(address, options=_CHANNEL_OPTIONS) as channel:
        requests = queue.SimpleQueue[Any]()
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        call = stub.ModelStreamInfer(iter(requests.get, None))
        requests.put(request.message())
        for message in call:
            if message.infer_response.parameters["triton_final_response"].bool_param:
                break
        yield
        requests.put(None)


def cut_stream(address: str, request: Request) -> str:
    """Send on a gRPC stream, and cut the connection behind its first answer; that one's error."""
    requests = queue.SimpleQueue[Any]()
    with grpc.insecure_channel(address, options=_CHANNEL_OPTIONS) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        call = stub.ModelStreamInfer(iter(requests.get, None))
        requests.put(request.message())
        error = str(next(call).error_message)
    requests.put(None)  # ends the thread that waits for the next request
    return error


def _numbers(message: Any) -> Reply:
    return Reply(numbers=tuple(map(float, Response(message).numbers())))


def send_all(
    address: str, to_send: Iterable[Request], bound_s: float, at_once: int = 8
) -> list[Outcome]:
    """Send all, each on a connection of its own; their outcomes in order."""

    def send(request: Request) -> Outcome:
        with Line(address) as line:
            return line.send(request, bound_s)

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(send, to_send))


class Load:
    """`with Load(address, to_send, workers):` keeps sending, round after round, until the end."""

    def __init__(
        self,
        address: str,
        to_send: Sequence[Request],
        workers: int,
        bound_s: float,
        pause_s: float = 0.0,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._address, self._to_send = address, to_send
        self._bound_s, self._pause_s = bound_s, pause_s
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(n, workers)) for n in range(workers)
        ]

    def _work(self, first: int, workers: int) -> None:
        number = first
        while not self._stop.is_set():
            with Line(self._address) as line:  # a reset connection must not harm the next request
                request = self._to_send[number % len(self._to_send)]
                self.outcomes.append(line.send(request, self._bound_s))
            number += workers
            self._stop.wait(self._pause_s)

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
