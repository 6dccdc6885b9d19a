"""`llm` at 1, 4 and 16 streams against the bare engine in process at the same concurrency."""

import itertools
import queue
import threading
from pathlib import Path
from typing import Any

import tritonclient.grpc as grpcclient

from builders.repository import REPOSITORY
from python_backends.engines import Delta, load_llm_engine
from python_backends.sampling import GenerationParams
from python_backends.text import load_tokenizer
from tests.bench.engines import context, folder
from tests.bench.measure import Spread, rates
from tests.server.conftest import is_final, tensor, text

PROMPT_WORDS = 60
CONCURRENCY = (1, 4, 16)
_numbers = itertools.count()


def prompt() -> str:
    """Different from all others from the first token on: the prefix cache helps nobody."""
    number = next(_numbers)
    return f"{number} " + " ".join(f"word{(number * 31 + i * 7) % 97}" for i in range(PROMPT_WORDS))


class Bare:
    """The engine alone: ids in, ids out."""

    def __init__(self, repository: Path) -> None:
        self._tokenizer = load_tokenizer(folder("llm", repository))
        self._engine = load_llm_engine(context("llm", repository), folder("llm", repository))

    def run(self, streams: int, tokens: int) -> float:
        """Tokens generated."""
        done = threading.Semaphore(0)

        def sink(delta: Delta) -> None:
            if delta.finish_reason:
                done.release()

        params = GenerationParams(tokens, tokens, 0.0, 0, 1.0, 1.0, 0.0, 0.0, 0, ())
        for _ in range(streams):
            self._engine.submit(self._tokenizer.encode(prompt()).ids, params, sink)
        for _ in range(streams):
            done.acquire()
        return streams * tokens

    def close(self) -> None:
        """End the engine's thread."""
        self._engine.close()


class Connections:
    """gRPC streams that stay open from run to run, as a client's do; one request each at a time."""

    def __init__(self, url: str, count: int) -> None:
        self._clients = [grpcclient.InferenceServerClient(url) for _ in range(count)]
        self._queues: list[queue.Queue[Any]] = [queue.Queue() for _ in range(count)]
        for client, answers in zip(self._clients, self._queues, strict=True):
            client.start_stream(lambda result, error, to=answers: to.put((result, error)))

    def run(self, tokens: int) -> float:
        """One request on each, to its last chunk; tokens generated."""
        for client in self._clients:
            length = [tensor(name, [tokens], "INT32") for name in ("max_tokens", "min_tokens")]
            inputs = [text("text_input", prompt()), *length, tensor("stream", [True], "BOOL")]
            client.async_stream_infer("llm", inputs)
        for answers in self._queues:
            _drain(answers)
        return len(self._clients) * tokens

    def close(self) -> None:
        """End the streams."""
        for client in self._clients:
            client.stop_stream()
            client.close()


def _drain(answers: queue.Queue[Any]) -> None:
    while True:
        response, error = answers.get(timeout=120)
        if error:
            raise error
        if is_final(response):
            return


def measure(
    url: str, tokens: int, repeats: int, repository: Path = REPOSITORY
) -> dict[int, dict[str, Spread]]:
    """Tokens per second by concurrency, bare and through Triton."""
    bare = Bare(repository)
    found = {streams: _compare(bare, url, streams, tokens, repeats) for streams in CONCURRENCY}
    bare.close()
    return found


def _compare(bare: Bare, url: str, streams: int, tokens: int, repeats: int) -> dict[str, Spread]:
    connections = Connections(url, streams)
    variants = {
        "bare": lambda: bare.run(streams, tokens),
        "triton": lambda: connections.run(tokens),
    }
    found = rates(variants, repeats)
    connections.close()
    return found
