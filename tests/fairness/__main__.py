"""`python -m tests.fairness`: times to first token beside a flood, and CPU per request."""

import asyncio
import contextlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import httpx
import psutil
from rich.console import Console
from rich.table import Table

from builders.spec import ROOT, load_sku
from ensembles.metrics import GATEWAY_RUNNING, TOKENS
from gateway.access.key_store import FileKeyStore
from gateway.access.keys import Key, new_key_id, new_secret, token
from operations.cpu_server import CpuServer
from operations.ports import Ports, free_ports
from tests.gateway_bench.chunks import paced_model
from tests.gateway_bench.streams import CHAT
from tests.server.gateway import Gateway, running_gateway

PAUSE_S = 0.05
"""Between two requests of the quiet tenant."""
PACED = ("--places", "32", "--first-s", "0.03")
"""As many as the CPU placement decodes, and about what a GPU takes for a short prompt."""
NO_QUEUE = 100_000
"""As many places among the running as if there were no queue."""
QUIET_TOKENS = 4

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
{more}
"""


@click.command()
@click.option(
    "--running",
    "places",
    multiple=True,
    type=int,
    default=(2, 4, 8, NO_QUEUE),
    help="Setting `running`; repeat it.",
)
@click.option("--beside", type=int, help="Setting `beside` of the gateway.")
@click.option(
    "--samples", default=100, show_default=True, help="Requests of the quiet tenant in a round."
)
@click.option("--rounds", default=2, show_default=True, help="Times alone and beside the flood.")
@click.option("--paced/--triton", default=False, help="Before a stand-in whose time is not CPU.")
@click.option("--cost/--no-cost", default=True, help="Measure the CPU of access too.")
def main(
    places: tuple[int, ...], beside: int | None, samples: int, rounds: int, paced: bool, cost: bool
) -> None:
    """Start a model's server and gateways, measure, print two tables.

    It serves the small test LLM; MODEL_REPOSITORY=model_repository the default one.
    """
    with tempfile.TemporaryDirectory() as name:
        folder, console = Path(name), Console()
        upstream = paced_model(*PACED) if paced else _triton(folder)
        with upstream as ports:
            more = "" if beside is None else f"beside = {beside}"
            console.print(_fairness(ports, folder, places, more, samples, rounds))
            if cost:
                console.print(_cost(ports, folder))


def _fairness(
    ports: Ports, folder: Path, places: tuple[int, ...], more: str, samples: int, rounds: int
) -> Table:
    table = Table(
        *("running", "alone: p50, p99 ms", "beside: p50, p99 ms", "p50", "p99"),
        *("streams", "chunks/s", "tokens/s", "CPU wait"),
    )
    quiet, flooding = _new_key(folder, "quiet"), _new_key(folder, "flooding")
    for running in places:
        alone, beside = [], Beside()
        with _gateway(ports, folder, running, more) as gateway:
            for _ in range(rounds):
                alone += _first_tokens_ms(gateway.url, quiet, samples)
                _measure_beside(gateway, quiet, flooding, samples, beside)
        table.add_row(_name(running), *_row(alone, beside))
    return table


@dataclass
class Beside:
    """What was measured beside the flood, in all rounds."""

    times_ms: list[float] = field(default_factory=list)
    took_s: float = 0.0
    chunks: int = 0
    tokens: float = 0.0
    """Both tenants' tokens; a chunk may join several. The stand-in tells none."""
    waited_s: float = 0.0
    """Time in which the gateway's thread was ready and did not run."""
    running: list[float] = field(default_factory=list)
    """Streams in front of the model, one look a round."""


def _row(alone: list[float], beside: Beside) -> list[str]:
    times = beside.times_ms
    flood_tokens = max(0.0, beside.tokens - QUIET_TOKENS * len(times))
    return [
        *(_shown(alone), _shown(times)),
        f"{statistics.median(times) / statistics.median(alone):.2f} ×",
        f"{_p99(times) / _p99(alone):.2f} ×",
        f"{statistics.mean(beside.running):.0f}",
        f"{beside.chunks / beside.took_s:.0f}",
        f"{flood_tokens / beside.took_s:.0f}",
        f"{100 * beside.waited_s / beside.took_s:.0f} %",
    ]


def _measure_beside(
    gateway: Gateway, quiet: str, flooding: str, samples: int, beside: Beside
) -> None:
    with _flood(gateway.url, flooding) as flood:
        while _chunks(flood) == 0:
            time.sleep(0.1)
        tokens = _output_tokens(gateway, flooding)
        before, waited_s, start_s = _chunks(flood), _cpu_wait_s(gateway), time.perf_counter()
        beside.times_ms += _first_tokens_ms(gateway.url, quiet, samples)
        beside.took_s += time.perf_counter() - start_s
        beside.chunks += _chunks(flood) - before
        beside.waited_s += _cpu_wait_s(gateway) - waited_s
        beside.tokens += _output_tokens(gateway, flooding) - tokens
        beside.running.append(_running(gateway, flooding))


def _running(gateway: Gateway, key: str) -> float:
    pattern = rf'^{GATEWAY_RUNNING.name}{{kind="generating"}} (\S+)$'
    (found,) = re.findall(pattern, _metrics_page(gateway, key), re.M)
    return float(found)


def _output_tokens(gateway: Gateway, key: str) -> float:
    """Tokens of all generations so far, by the model's own count."""
    pattern = rf'^{TOKENS.name}{{[^}}]*type="output"[^}}]*}} (\S+)$'
    return sum(map(float, re.findall(pattern, _metrics_page(gateway, key), re.M)))


def _metrics_page(gateway: Gateway, key: str) -> str:
    return gateway.client.get("/metrics", headers={"x-api-key": key}).text


@contextlib.contextmanager
def _flood(url: str, key: str) -> Iterator[Path]:
    """Runs until the block ends; the file grows by a line with its chunks so far."""
    command = [sys.executable, "-m", "tests.fairness.flood", url, key]
    with tempfile.NamedTemporaryFile() as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output)
        try:
            yield Path(output.name)
        finally:
            process.terminate()
            process.wait()


def _chunks(flood: Path) -> int:
    lines = flood.read_text(encoding="ascii").split()
    return int(lines[-1]) if lines else 0


def _cpu_wait_s(gateway: Gateway) -> float:
    """How long the gateway's thread was ready to run and did not, so far."""
    found = Path(f"/proc/{gateway.process.pid}/schedstat").read_text(encoding="ascii")
    return int(found.split()[1]) / 1e9


def _first_tokens_ms(url: str, key: str, samples: int) -> list[float]:
    """Times of short requests in turn; the client is the only thing in this process."""
    times_ms = []
    with httpx.Client(base_url=url, timeout=120, headers={"x-api-key": key}) as client:
        for number in range(samples + 3):
            body = _body(f"{number} ships sail. How many?", QUIET_TOKENS)
            body |= {"stream": True, "min_tokens": QUIET_TOKENS}
            start_s = time.perf_counter()
            with client.stream("POST", CHAT, json=body) as answer:
                answer.raise_for_status()
                parts = answer.iter_raw()
                next(parts)
                times_ms.append((time.perf_counter() - start_s) * 1e3)
                for _ in parts:
                    pass
            time.sleep(PAUSE_S)
    return times_ms[3:]


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
    with CpuServer(load_sku("cpu"), ports, folder / "tritonserver.log"):
        yield ports


@contextlib.contextmanager
def _gateway(ports: Ports, folder: Path, running: int, more: str = "") -> Iterator[Gateway]:
    keys = folder / "keys.json"
    settings = SETTINGS.format(keys=keys, folder=folder, running=running, more=more)
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
