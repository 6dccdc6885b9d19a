"""What a request costs through the gateway and without it, by gRPC, in turns."""

import json
import random
import statistics
import time
from collections.abc import Callable

import httpx
import tritonclient.grpc as grpcclient

from operations.ports import Ports
from tests.gateway_bench.streams import CHAT, chat
from tests.server.conftest import OpenStream, is_final, tensor, text

PAIRS = 40
"""Direct and through the gateway in turns, so that both see the same machine."""
TEXTS = 512


def first_token(ports: Ports, client: httpx.Client) -> None:
    """Time to the first text, at its median."""
    body = chat(tokens=1)
    messages = text("messages", json.dumps(body["messages"]))
    inputs = [messages, tensor("max_tokens", [1], "INT32"), tensor("stream", [True], "BOOL")]

    def direct() -> None:
        stream = OpenStream(f"127.0.0.1:{ports.grpc}", "llm", inputs)
        while not is_final(stream.next()[0]):
            pass
        stream.close()

    def through() -> None:
        with client.stream("POST", CHAT, json=body) as response:
            next(line for line in response.iter_lines() if line)

    direct_s, through_s = in_turns(direct, through, PAIRS)
    added_ms = 1e3 * (through_s - direct_s)
    row("time to first token, p50", f"{1e3 * direct_s:.1f} ms", through_s, f"{added_ms:+.2f} ms")


def embeddings(ports: Ports, client: httpx.Client) -> None:
    """Texts that the embedder has not seen: it keeps rows."""
    grpc = grpcclient.InferenceServerClient(f"127.0.0.1:{ports.grpc}")

    def direct() -> None:
        grpc.infer("embed", [text("input_text", *new_texts())]).as_numpy("embedding")

    def through() -> None:
        body = {"model": "embed", "input": new_texts(), "encoding_format": "base64"}
        answer = client.post("/v1/embeddings", json=body)
        assert len(answer.raise_for_status().json()["data"]) == TEXTS

    direct_s, through_s = in_turns(direct, through, 8)
    ratio = f"{through_s / direct_s:.2f} ×"
    row(f"{TEXTS} embeddings, median", f"{1e3 * direct_s:.0f} ms", through_s, ratio)


def new_texts() -> list[str]:
    return [
        " ".join(random.choices(["time", "year", "people", "way", "day", "man", "thing"], k=12))
        + str(random.random())
        for _ in range(TEXTS)
    ]


def in_turns(direct: Callable[[], None], through: Callable[[], None], pairs: int) -> list[float]:
    """The medians of both, in seconds, after one call that warms up."""
    taken: dict[Callable[[], None], list[float]] = {direct: [], through: []}
    for _ in range(pairs + 1):
        for call, times in taken.items():
            start_s = time.perf_counter()
            call()
            times.append(time.perf_counter() - start_s)
    return [statistics.median(times[1:]) for times in taken.values()]


def row(what: str, direct: str, through_s: float, comparison: str) -> None:
    print(f"| {what} | {direct} | {1e3 * through_s:.1f} ms | {comparison} |", flush=True)
