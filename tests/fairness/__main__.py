"""`python -m tests.fairness`: times to first token beside a flood, and CPU per request."""

import asyncio
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import click
import psutil
from rich.console import Console
from rich.table import Table

from builders.spec import load_sku
from gateway.access.key_store import FileKeyStore
from gateway.access.keys import Key, new_key_id, new_secret, token
from operations.ports import Ports, free_ports
from operations.server import TritonServer
from tests.server.gateway import Gateway, running_gateway

CHAT = "/v1/chat/completions"
FLOODING = 32
"""Streams that the neighbour always has open."""
LONG = "The quick brown fox jumps over the lazy dog near the river bank. " * 2
NO_QUEUE = 100_000
"""As many places among the running as if there were no queue."""

SETTINGS = """
[access]
keys = "{keys}"
ledger = "{folder}/usage.db"
[access.tiers.default]
requests_per_minute = 1000000
tokens_per_minute = 1000000000
[access.generating]
running = {running}
running_tokens = 100000000
"""


@click.command()
@click.option("--running", "places", multiple=True, type=int, default=(2, 4, 8, NO_QUEUE))
@click.option("--samples", default=60, show_default=True, help="Requests of the quiet tenant.")
def main(places: tuple[int, ...], samples: int) -> None:
    """Start a tritonserver and gateways, measure, print two tables."""
    with tempfile.TemporaryDirectory() as name, _triton(Path(name)) as ports:
        folder = Path(name)
        console = Console()
        console.print(_fairness(ports, folder, places, samples))
        console.print(_cost(ports, folder))


def _fairness(ports: Ports, folder: Path, places: tuple[int, ...], samples: int) -> Table:
    table = Table("running", "alone: p50, p99 ms", "beside: p50, p99 ms", "p99", "flood chunks/s")
    quiet, flooding = _new_key(folder, "quiet"), _new_key(folder, "flooding")
    for running in places:
        with _gateway(ports, folder, running) as gateway:
            alone = asyncio.run(_first_tokens_ms(gateway.url, quiet, samples))
            beside, rate = asyncio.run(_beside(gateway.url, quiet, flooding, samples))
        ratio = f"{_p99(beside) / _p99(alone):.2f} ×"
        table.add_row(_name(running), _shown(alone), _shown(beside), ratio, f"{rate:.0f}")
    return table


async def _beside(url: str, quiet: str, flooding: str, samples: int) -> tuple[list[float], float]:
    """The quiet tenant's times beside the flood, and the flood's chunks per second."""
    tokens = [0]
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as session:
        floods = [asyncio.create_task(_flood(session, flooding, tokens)) for _ in range(FLOODING)]
        await asyncio.sleep(5)  # until the flood is a flood
        before, start_s = tokens[0], time.perf_counter()
        times_ms = await _first_tokens_ms(url, quiet, samples)
        rate = (tokens[0] - before) / (time.perf_counter() - start_s)
        for task in floods:
            task.cancel()
        await asyncio.gather(*floods, return_exceptions=True)
    return times_ms, rate


async def _first_tokens_ms(url: str, key: str, samples: int) -> list[float]:
    times_ms = []
    async with aiohttp.ClientSession(url) as session:
        for number in range(samples + 3):
            start_s = time.perf_counter()
            async for _ in _chunks(session, key, f"{number} ships sail. How many?", 4):
                if start_s:
                    times_ms.append((time.perf_counter() - start_s) * 1e3)
                    start_s = 0.0
            await asyncio.sleep(0.1)
    return times_ms[3:]


async def _flood(session: aiohttp.ClientSession, key: str, tokens: list[int]) -> None:
    while True:
        with contextlib.suppress(aiohttp.ClientResponseError):  # it is refused, and asks again
            async for _ in _chunks(session, key, LONG, 128):
                tokens[0] += 1


async def _chunks(
    session: aiohttp.ClientSession, key: str, prompt: str, max_tokens: int
) -> AsyncIterator[None]:
    """Once for each chunk of an answer that has text."""
    asked = _body(prompt, max_tokens) | {"stream": True, "min_tokens": max_tokens}
    async with session.post(CHAT, json=asked, headers={"x-api-key": key}) as answer:
        answer.raise_for_status()
        async for line in answer.content:
            if line.startswith(b"data: {"):
                choices = json.loads(line[6:])["choices"]
                if choices and choices[0]["delta"].get("content"):
                    yield


def _cost(ports: Ports, folder: Path, requests: int = 400) -> Table:
    """CPU of the gateway's process for one short request, with access and without."""
    table = Table("gateway", "CPU per request, µs")
    key = _new_key(folder, "cost")
    with _gateway(ports, folder, 32) as guarded, _bare(ports, folder) as bare:
        costs: dict[str, list[float]] = {"with keys, limits, ledger": [], "without": []}
        for _ in range(5):  # in turn, so that both meet the same machine
            for name, gateway in zip(costs, (guarded, bare), strict=True):
                costs[name].append(_cpu_us(gateway, key, requests))
    for name, found in costs.items():
        table.add_row(name, f"{statistics.median(found):.0f} ({min(found):.0f}–{max(found):.0f})")
    return table


def _cpu_us(gateway: Gateway, key: str, requests: int) -> float:
    process = psutil.Process(gateway.process.pid)
    before = process.cpu_times()
    for _ in range(requests):
        answer = gateway.client.post(CHAT, json=_body("hello", 1), headers={"x-api-key": key})
        answer.raise_for_status()
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / requests * 1e6


def _body(prompt: str, max_tokens: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": "llm", "messages": messages, "max_tokens": max_tokens}


@contextlib.contextmanager
def _triton(folder: Path) -> Iterator[Ports]:
    ports = free_ports()
    with TritonServer(load_sku("cpu"), ports, folder / "tritonserver.log"):
        yield ports


@contextlib.contextmanager
def _gateway(ports: Ports, folder: Path, running: int) -> Iterator[Gateway]:
    settings = SETTINGS.format(keys=folder / "keys.json", folder=folder, running=running)
    with running_gateway(ports, folder, settings) as gateway:
        yield gateway


@contextlib.contextmanager
def _bare(ports: Ports, folder: Path) -> Iterator[Gateway]:
    bare = folder / "bare"
    bare.mkdir(exist_ok=True)
    with running_gateway(ports, bare) as gateway:
        yield gateway


def _new_key(folder: Path, tenant: str) -> str:
    secret, stored = new_secret()
    key = Key(id=new_key_id(), tenant=tenant, secrets=(stored,), created=datetime.now(UTC))
    asyncio.run(FileKeyStore(folder / "keys.json").add(key))
    return token(key.id, secret)


def _p99(times_ms: list[float]) -> float:
    return statistics.quantiles(times_ms, n=100, method="inclusive")[98]


def _shown(times_ms: list[float]) -> str:
    return f"{statistics.median(times_ms):.1f}, {_p99(times_ms):.1f}"


def _name(running: int) -> str:
    return "no queue" if running == NO_QUEUE else str(running)


if __name__ == "__main__":
    main()
