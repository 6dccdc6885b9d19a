"""What the gateway costs, and whether it holds: `python -m tests.gateway_bench` (3 minutes).

It starts tritonserver and a gateway of its own. MODEL_REPOSITORY chooses the models.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import httpx
import psutil

from builders.spec import load_sku
from operations.cpu_server import CpuServer
from operations.gateway_process import GatewayProcess
from operations.ports import Ports, free_ports
from tests.gateway_bench import chunks
from tests.gateway_bench.direct import embeddings, first_token
from tests.gateway_bench.streams import SAMPLE_S, WARM_S, always, at_once, cpu_s

STREAMS = 200
TOKENS = 32


@click.command()
@click.option("--minutes", type=float, help=f"Hold {STREAMS} streams open for so long instead.")
@click.option(
    "--litellm",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Virtual environment with litellm[proxy], to be measured beside.",
)
def main(minutes: float | None, litellm: Path | None) -> None:
    """Measure the gateway, as rows of a table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _servers(folder) as (ports, gateway):
            if minutes is not None:
                hold(gateway, minutes)
                return
            compare(ports, gateway)
        chunks.measure(folder, litellm)


@contextlib.contextmanager
def _servers(folder: Path) -> Iterator[tuple[Ports, GatewayProcess]]:
    with CpuServer(load_sku("cpu"), free_ports(), folder / "tritonserver.log") as server:
        port = free_ports().http
        with GatewayProcess(server.ports, folder / "gateway.log", port) as gateway:
            yield server.ports, gateway


def compare(ports: Ports, gateway: GatewayProcess) -> None:
    """With direct calls; then many streams, by themselves."""
    print("| what | direct gRPC | through the gateway | |\n|---|---|---|---|")
    with httpx.Client(base_url=gateway.url, timeout=300) as client:
        first_token(ports, client)
        embeddings(ports, client)
    process = psutil.Process(gateway.pid)
    for streams, tokens in ((4, 128), (STREAMS, TOKENS)):
        before_s, memory = cpu_s(process), process.memory_info().rss
        tally = asyncio.run(at_once(gateway.url, streams, tokens))
        used_us = 1e6 * (cpu_s(process) - before_s)
        grown = (process.memory_info().rss - memory) / 2**20
        of_token, of_chunk = used_us / (streams * tokens), used_us / max(1, tally.chunks)
        cost = f"{of_token:.0f} µs of CPU a token, {of_chunk:.0f} a chunk"
        end = f"{tally.lost} lost, {grown:+.0f} MiB"
        print(f"| {streams} streams of {tokens} tokens | | {cost} | {end} |", flush=True)


def hold(gateway: GatewayProcess, minutes: float) -> None:
    """Memory after the first minute (or half of the time) and at the end."""
    process = psutil.Process(gateway.pid)
    tally = asyncio.run(always(gateway.url, process, STREAMS, TOKENS, minutes))
    warm = min(round(WARM_S / SAMPLE_S), len(tally.memory_mib) // 2)
    later = tally.memory_mib[warm:]
    print(
        f"{STREAMS} streams at a time for {minutes:g} minutes: {tally.whole} whole,"
        f" {tally.lost} lost; memory {later[0]:.1f} MiB after {warm * SAMPLE_S:.0f} s,"
        f" {min(later):.1f} to {max(later):.1f} from then on, {later[-1]:.1f} at the end"
    )


if __name__ == "__main__":
    main()
