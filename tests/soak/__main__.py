"""`python -m tests.soak`: load the server for a while, write docs/soak.md and its plot."""

import asyncio
import itertools
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from builders.spec import ROOT
from operations.gateway_process import GatewayProcess
from tests.bench.machine import describe
from tests.chaos import namespace, provenance
from tests.chaos.oracle import Oracle
from tests.chaos.requests import of_every_length
from tests.chaos.serving import grpc_address, start, starter
from tests.chaos.traffic import send_all
from tests.served_models import in_words, served_models
from tests.soak.collection import FACTS, Collection
from tests.soak.gateway_calls import healthy_calls, vector_store
from tests.soak.gateway_line import GatewayLine
from tests.soak.mixed_load import RELOADED, MixedLoad, healthy_requests, reload
from tests.soak.page import SoakSetting, page
from tests.soak.plot import plot
from tests.soak.record import Record, Sample

FOLDER = ROOT / "build" / "soak"
SHM_MIB = 1024
SAMPLE_S = 5.0
LONGEST_REQUEST_S = 60.0
REST_S = 90.0
"""After the last change: the collection's indexes are brought up to date, its old versions go."""
_NOTES = Console(stderr=True)


@click.command()
@click.option("--minutes", type=float, default=30, show_default=True, help="how long to load it")
@click.option("--clients", type=int, default=4, show_default=True, help="requests in flight")
@click.option("--pause-ms", type=float, default=100, show_default=True, help="after each request")
@click.option(
    "--reload-minutes",
    type=float,
    default=10,
    show_default=True,
    help="time between two reloads of a model",
)
@click.option("--nice", type=int, default=0, show_default=True, help="priority to give up")
@click.option("--bare", is_flag=True, help="tritonserver without the supervisor")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=FOLDER,
    help="for log, page and plot  [default: build/soak, page and plot in docs]",
)
@click.option("--committed", is_flag=True, help="models' code as last committed")
@click.pass_context
def main(
    context: click.Context,
    minutes: float,
    clients: int,
    pause_ms: float,
    reload_minutes: float,
    nice: int,
    bare: bool,
    folder: Path,
    committed: bool,
) -> None:
    """Load the server with every entry and watch its memory.

    Exit status: 0 when memory is flat and every request ended as it must, 1 otherwise.
    """
    commit = provenance.commit(committed)
    namespace.enter("tests.soak", SHM_MIB, folder / "snapshot", committed)
    os.nice(nice)
    setting = SoakSetting(
        minutes,
        min(300.0, minutes * 60 / 4),
        reload_minutes * 60,
        clients,
        "tritonserver without the supervisor" if bare else "the supervised server",
        f"{in_words(served_models())}; {describe()}",
        commit,
    )
    for kept in ("collections", "files"):  # by the last run
        shutil.rmtree(folder / kept, ignore_errors=True)
    with (
        start(starter(bare), folder / "tritonserver.log") as server,
        GatewayProcess(server.ports, folder / "gateway.log", port=0) as gateway,
        Collection(grpc_address(server.ports), folder / "collections") as collection,
    ):
        record, load = _soak(server, gateway, collection, setting, pause_ms / 1000)
    text, has_passed = page(record, load.faults, load.counts, setting)
    target = ROOT / "docs" if folder == FOLDER else folder
    (target / "soak.md").write_text(text)
    plot(record, target / "soak.svg")
    click.echo(text)
    context.exit(0 if has_passed else 1)


def _soak(
    server: Any,
    gateway: GatewayProcess,
    collection: Collection,
    setting: SoakSetting,
    pause_s: float,
) -> tuple[Record, MixedLoad]:
    """Learn the answers of the idle server, then load it and take samples."""
    address, oracle = grpc_address(server.ports), Oracle()
    to_send = oracle.learn(address, healthy_requests(range(FACTS)))
    calls = healthy_calls(range(FACTS), vector_store(gateway.url))
    to_send += oracle.learn(gateway.url, calls, GatewayLine)
    send_all(address, list(of_every_length()), LONGEST_REQUEST_S, 1)
    _NOTES.print(f"{len(to_send)} different requests; {setting.minutes:g} minutes begin")
    record = Record(server.pid, server.ports, gateway.pid, collection)
    load = MixedLoad(address, gateway.url, to_send, oracle, setting.clients, pause_s)
    stop = threading.Event()

    async def run() -> None:
        writing = asyncio.create_task(asyncio.to_thread(collection.write, stop))
        try:
            await asyncio.gather(
                load.run(setting.minutes * 60), _watch(server, record, load, setting)
            )
        finally:
            stop.set()
            await writing

    asyncio.run(run())
    record.look(load.counts)
    time.sleep(REST_S)
    record.look_at_rest()
    load.faults += [*collection.faults, *collection.lost()]
    return record, load


async def _watch(server: Any, record: Record, load: MixedLoad, setting: SoakSetting) -> None:
    """A sample every few seconds, and now and then a model loaded again."""
    models = itertools.cycle(RELOADED)
    next_reload_s = setting.warm_up_s + setting.reload_s / 2
    while record.time_s < setting.minutes * 60:
        _show(await asyncio.to_thread(record.look, load.counts))
        if record.time_s > next_reload_s:
            await asyncio.to_thread(reload, server.ports, next(models))
            load.counts["reload"] += 1
            next_reload_s += setting.reload_s
        await asyncio.sleep(SAMPLE_S)


def _show(sample: Sample) -> None:
    """A line of progress each minute."""
    if int(sample.time_s / 60) != int((sample.time_s - SAMPLE_S - 0.5) / 60):
        total = sum(process.memory_mib for process in sample.use.processes)
        _NOTES.print(
            f"{sample.time_s / 60:5.1f} min: {sample.requests:,} requests, {sample.errors} errors, "
            f"{sample.unexpected} unexpected, {total:.0f} MiB of memory, "
            f"{sample.use.shm_mib:.0f} MiB shared, KV {sample.use.kv_used:.0%}"
        )


if __name__ == "__main__":
    main(prog_name="python -m tests.soak")
