"""`python -m tests.collections_bench`: both stores on a real server, printed as tables."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import psutil
from triton_rag import Client

from builders.spec import load_sku
from ensembles.collections import STORE_VARIABLE
from operations.cpu_server import CpuServer
from operations.ports import free_ports
from python_backends.stores.load import load_store
from tests.bench.machine import describe
from tests.collections_bench import ranking, speed
from tests.postgres import running_postgres

MODELS = ("vector_search", "collections")
SEARCHED = 32
"""Passages from each ranking, as pipeline.toml has it."""


@click.group()
def main() -> None:
    """Measure collections; every command starts a server of its own."""


@contextmanager
def _place(store: str, folder: Path) -> Iterator[str]:
    if store == "lancedb":
        yield str(folder / "collections")
    else:
        with running_postgres() as server:
            yield server.url


def _stores(names: tuple[str, ...]) -> tuple[str, ...]:
    return names or ("lancedb", "postgresql")


store_option = click.option(
    "--store", "stores", multiple=True, type=click.Choice(["lancedb", "postgresql"])
)


@main.command("speed")
@store_option
@click.option("--rows", default=100_000, show_default=True)
def speed_command(stores: tuple[str, ...], rows: int) -> None:
    """Times, recall, disk and memory over clustered rows of 384 values."""
    click.echo(describe())
    for store in _stores(stores):
        with tempfile.TemporaryDirectory() as name, _place(store, Path(name)) as place:
            log = Path(name) / "tritonserver.log"
            variables = {STORE_VARIABLE: place}
            server = CpuServer(load_sku("cpu"), free_ports(), log, variables=variables)
            with server as running:
                url = f"127.0.0.1:{running.ports.grpc}"
                found = speed.measure(url, rows, _processes(running.pid))
        _show(store, found)


def _processes(pid: int) -> dict[str, list[psutil.Process]]:
    stubs = psutil.Process(pid).children(recursive=True)
    return {model: [p for p in stubs if f"/{model}/" in _command(p)] for model in MODELS}


def _command(process: psutil.Process) -> str:
    """Empty for a process that has ended."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _show(store: str, found: speed.Measured) -> None:
    millions = found.rows / 1e6
    click.echo(f"\n{store}, {found.rows:,} rows; upserts {found.ingest_rows_per_s:,.0f} rows/s")
    for name, (median, worst, *served) in found.times_ms.items():
        in_triton = "".join(f"   mean in Triton {mean:6.1f} ms" for mean in served)
        click.echo(f"  {name:26} p50 {median:6.1f} ms   p99 {worst:6.1f} ms{in_triton}")
    for name, share in found.recall.items():
        click.echo(f"  recall@10, {name:26} {share:.3f}")
    click.echo(f"  processor time {found.cpu_ms:.1f} ms a search")
    click.echo(f"  written meanwhile {found.written_rows:,} rows")
    click.echo(f"  disk {found.disk_bytes / 2**30 / millions:.2f} GiB per million rows")
    for name, size in found.memory_bytes.items():
        click.echo(f"  memory of {name} {size / 2**20:.0f} MiB")


@main.command("ranking")
@store_option
@click.option("--split", default="tune", show_default=True)
def ranking_command(stores: tuple[str, ...], split: str) -> None:
    """How to put the rankings together, on the questions of tests/evaluation."""
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "tritonserver.log"
        with CpuServer(load_sku("cpu"), free_ports(), log) as running:
            url = f"127.0.0.1:{running.ports.grpc}"
            for store in _stores(stores):
                with _place(store, Path(name)) as place, Client(url, timeout_s=600) as client:
                    _rank(store, place, client, url, split)


def _rank(store: str, place: str, client: Client, url: str, split: str) -> None:
    opened, asked = load_store(place), ranking.questions(split)
    ranking.ingest(client, url, opened)
    passages = opened.collection(ranking.COLLECTION).passages
    click.echo(f"\n{store}: {len(asked)} questions ({split}), {passages:,} passages")
    for name, rule in ranking.RULES.items():
        found = ranking.figures(client, opened, asked, rule, SEARCHED)
        click.echo(
            f"  {name:28} MRR@10 {found.mrr:.3f}  among 3 {found.first_three:.0%}  "
            f"among 16 {found.recall:.0%}"
        )
    opened.close()


if __name__ == "__main__":
    os.environ.setdefault("MODEL_REPOSITORY", "model_repository")
    main(prog_name="python -m tests.collections_bench")
