"""`python -m tests.evaluation`: the shipped questions against a server, into docs/evaluation.md:
one of its three parts."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from triton_rag import Client, ingest
from triton_rag.cli.evaluation import by_split, measure, measure_collection
from triton_rag.evaluation.figures import COLLECTION_ORDERS, ORDERS, Figures, figures
from triton_rag.evaluation.outcomes import Outcome

from builders.spec import ROOT, load_sku
from ensembles.collections import STORE_VARIABLE
from operations.cpu_server import CpuServer
from operations.ports import free_ports
from tests.bench.machine import describe
from tests.evaluation.collection_page import page as collection_page
from tests.evaluation.owners_page import page as owners_page
from tests.evaluation.page import joined, page
from tests.evaluation.splits import HELD_OUT, OWNERS_FOLDERS, TUNE, by_part
from tests.served_models import served_models

HERE = Path(__file__).parent
FILES = [HERE / f"{name}.jsonl" for name in ("questions", "held_out", "new_folders", "blind")]
DOCUMENTS = HERE / "documents"
LOG = ROOT / "build" / "evaluation" / "tritonserver.log"
PAGE = ROOT / "docs" / "evaluation.md"
NAME = "evaluation"


@click.command()
@click.argument("part", type=click.Choice(["requests", "collection", "owners"]))
def main(part: str) -> None:
    """Ask the questions of tests/evaluation on the models of model_repository/ (minutes)."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        CpuServer(load_sku("cpu"), free_ports(), LOG, variables={STORE_VARIABLE: folder}) as up,
        Client(f"127.0.0.1:{up.ports.grpc}", timeout_s=300) as client,
    ):
        text = {"requests": _requests, "collection": _collection, "owners": _owners}[part](client)
    PAGE.write_text(joined(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    click.echo(f"written: {PAGE.relative_to(ROOT)}")


def _requests(client: Client) -> str:
    outcomes = by_part(*(_answered(measure(client, file, DOCUMENTS)) for file in FILES))
    return page(_figures(outcomes, ORDERS), *_served())


def _collection(client: Client) -> str:
    report = ingest(client, DOCUMENTS, NAME)
    outcomes = by_split(_answered(measure_collection(client, FILES[0], NAME)))
    return collection_page(_figures(outcomes, COLLECTION_ORDERS), report, *_served())


def _owners(client: Client) -> str:
    outcomes: dict[str, list[Outcome]] = {HELD_OUT: [], TUNE: []}
    for name in OWNERS_FOLDERS:
        ingest(client, HERE / "owners" / name, name)
        asked = measure_collection(client, HERE / "owners" / f"{name}.jsonl", name)
        outcomes[asked[0].question.split] += _answered(asked)
    return owners_page(_figures(outcomes, COLLECTION_ORDERS), *_served())


def _answered(outcomes: list[Outcome]) -> list[Outcome]:
    """Raises `ClickException` where a call failed."""
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        click.echo(f"{outcome.question.id}: {outcome.error}", err=True)
    if failed:
        raise click.ClickException(f"{len(failed)} of {len(outcomes)} failed; no page is written")
    return outcomes


def _figures(
    outcomes: Mapping[str, Sequence[Outcome]], orders: Mapping[str, str]
) -> dict[str, Figures]:
    return {name: figures(part, orders) for name, part in outcomes.items()}


def _served() -> tuple[dict[str, str], str]:
    """The models and the machine."""
    return served_models(), describe()


if __name__ == "__main__":
    main(prog_name="python -m tests.evaluation")
