"""What the gateway costs beside direct gRPC: `python -m tests.gateway_bench` (about 3 minutes).

It starts tritonserver and a gateway of its own. MODEL_REPOSITORY chooses the models.
"""

import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import tritonclient.grpc as grpcclient

from builders.spec import load_sku
from operations.gateway_process import GatewayProcess
from operations.ports import Ports, free_ports
from operations.server import TritonServer
from tests.server.conftest import OpenStream, is_final, tensor, text

PAIRS = 40
"""Direct and through the gateway in turns, so that both see the same machine."""
TEXTS = 512
STREAMS = 200
STREAM_TOKENS = 32
CHAT = "/v1/chat/completions"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with TritonServer(load_sku("cpu"), free_ports(), folder / "tritonserver.log") as server:
            port = free_ports().http
            with GatewayProcess(server.ports, folder / "gateway.log", port) as gateway:
                print("| what | direct gRPC | through the gateway | |\n|---|---|---|---|")
                with httpx.Client(base_url=gateway.url, timeout=300) as client:
                    first_token(server.ports, client)
                    embeddings(server.ports, client)
                process = psutil.Process(gateway.pid)
                for streams, tokens in ((4, 128), (STREAMS, STREAM_TOKENS)):
                    asyncio.run(many_streams(gateway.url, process, streams, tokens))


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


async def many_streams(url: str, process: psutil.Process, streams: int, tokens: int) -> None:
    """The gateway's own CPU, and whether every stream ends whole."""
    before_s, memory = cpu_s(process), process.memory_info().rss
    async with httpx.AsyncClient(base_url=url, timeout=300, limits=httpx.Limits()) as client:
        chunks = await asyncio.gather(*(whole_stream(client, tokens) for _ in range(streams)))
    used_us = 1e6 * (cpu_s(process) - before_s)
    grown = (process.memory_info().rss - memory) / 2**20
    lost = sum(count == 0 for count in chunks)
    all_tokens, all_chunks = streams * tokens, sum(chunks)
    print(
        f"| {streams} streams of {tokens} tokens | | {used_us / all_tokens:.0f} µs of CPU a token, "
        f"{used_us / all_chunks:.0f} a chunk | {lost} lost, {grown:+.0f} MiB |",
        flush=True,
    )


async def whole_stream(client: httpx.AsyncClient, tokens: int) -> int:
    """Chunks of a stream; 0 if it broke or its tokens are not as many as asked for."""
    body = chat(tokens) | {"stream_options": {"include_usage": True}}
    async with client.stream("POST", CHAT, json=body) as response:
        lines = [line async for line in response.aiter_lines() if line]
    if response.status_code != 200 or lines[-1] != "data: [DONE]":
        return 0
    usage = json.loads(lines[-2].removeprefix("data: "))["usage"]
    return len(lines) if usage["completion_tokens"] == tokens else 0


def chat(tokens: int) -> dict[str, object]:
    return {
        "model": "llm",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": tokens,
        "min_tokens": tokens,
        "stream": True,
    }


def cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def row(what: str, direct: str, through_s: float, comparison: str) -> None:
    print(f"| {what} | {direct} | {1e3 * through_s:.1f} ms | {comparison} |", flush=True)


if __name__ == "__main__":
    main()
