"""CPU of a streamed chunk of one token: the gateway, and LiteLLM's proxy in front of it."""

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from builders.spec import ROOT
from operations.gateway_process import GatewayProcess
from operations.ports import Ports, free_ports
from tests.gateway_bench.streams import at_once, cpu_s
from tests.server.conftest import eventually

STREAMS = 50
TOKENS = 100
ROUNDS = 3

_CONFIG = """
model_list:
- model_name: llm
  litellm_params: {{model: openai/llm, api_base: "{url}/v1", api_key: none}}
general_settings: {{dangerously_permit_weak_or_unset_master_key: true}}
"""


@dataclass(frozen=True)
class Proxy:
    """A process that answers OpenAI's API."""

    name: str
    url: str
    pid: int


def measure(folder: Path, litellm: Path | None) -> None:
    """Prints a row for each proxy; they are asked in turns."""
    with contextlib.ExitStack() as stack:
        ports = stack.enter_context(paced_model())
        log, port = folder / "paced-gateway.log", free_ports().http
        gateway = stack.enter_context(GatewayProcess(ports, log, port))
        proxies = [Proxy("the gateway", gateway.url, gateway.pid)]
        if litellm is not None:
            proxies.append(stack.enter_context(_litellm(litellm, gateway.url, folder)))
        costs_us: dict[str, list[float]] = {proxy.name: [] for proxy in proxies}
        for _ in range(ROUNDS):
            for proxy in proxies:
                costs_us[proxy.name].append(_cost_us(proxy))
    for name, found in costs_us.items():
        spread = f"{statistics.median(found):.0f} ({min(found):.0f} to {max(found):.0f})"
        print(f"| {STREAMS} streams, each token a chunk: {name} | | {spread} µs of CPU a chunk | |")


def _cost_us(proxy: Proxy) -> float:
    process = psutil.Process(proxy.pid)
    asyncio.run(at_once(proxy.url, 2, 2))
    before_s = cpu_s(process)
    tally = asyncio.run(at_once(proxy.url, STREAMS, TOKENS))
    used_us = 1e6 * (cpu_s(process) - before_s)
    assert tally.whole == STREAMS, f"{proxy.name}: {tally.lost} of {STREAMS} streams were lost"
    return used_us / tally.chunks


@contextlib.contextmanager
def paced_model(*options: str) -> Iterator[Ports]:
    """The stand-in for Triton in a process of its own."""
    ports = free_ports()
    command = [sys.executable, "-m", "tests.gateway_bench.paced_model", str(ports.http), *options]
    with _process(command) as process:
        _await(f"http://127.0.0.1:{ports.http}/v2/repository/index", process)
        yield ports


@contextlib.contextmanager
def _litellm(environment: Path, upstream: str, folder: Path) -> Iterator[Proxy]:
    """LiteLLM's proxy without keys and database, one worker; it asks the gateway."""
    config, port = folder / "litellm.yaml", free_ports().http
    config.write_text(_CONFIG.format(url=upstream), encoding="utf-8")
    command = [str(environment / "bin" / "litellm"), "--config", str(config)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    with _process(command, LITELLM_LOCAL_MODEL_COST_MAP="True") as process:
        url = f"http://127.0.0.1:{port}"
        _await(f"{url}/health/liveliness", process)
        yield Proxy("LiteLLM's proxy in front of it", url, process.pid)


@contextlib.contextmanager
def _process(command: list[str], **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | variables, stdout=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _await(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Until something answers there, whatever it says."""

    def answers() -> bool:
        assert process.poll() is None, f"{process.args!r} ended with status {process.returncode}"
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url, timeout=10)
            return True
        return False

    assert eventually(answers, timeout_s=120), f"nothing answers at {url}"
