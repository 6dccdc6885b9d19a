"""`python -m tests.evaluation`: the shipped questions against a server, into docs/evaluation.md."""

from pathlib import Path

import click
from triton_rag import Client
from triton_rag.cli.evaluation import by_split, measure
from triton_rag.evaluation.figures import figures

from builders.repository import engine_link
from builders.spec import ROOT, load_sku
from ensembles.manifest import read_manifest
from operations.ports import free_ports
from operations.server import TritonServer
from tests.bench.machine import describe
from tests.evaluation.page import page

HERE = Path(__file__).parent
LOG = ROOT / "build" / "evaluation" / "tritonserver.log"
PAGE = ROOT / "docs" / "evaluation.md"
ROLES = ("embedder", "reranker", "llm")


@click.command()
def main() -> None:
    """Ask all questions of tests/evaluation on the models of model_repository/ (minutes)."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with (
        TritonServer(load_sku("cpu"), free_ports(), LOG) as server,
        Client(f"127.0.0.1:{server.ports.grpc}", timeout_s=300) as client,
    ):
        outcomes = measure(client, HERE / "questions.jsonl", HERE / "documents")
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        click.echo(f"{outcome.question.id}: {outcome.error}", err=True)
    if failed:
        raise click.ClickException(f"{len(failed)} of {len(outcomes)} failed; no page is written")
    splits = {name: figures(part) for name, part in by_split(outcomes).items()}
    PAGE.write_text(page(splits, _models(), describe()), encoding="utf-8")
    click.echo(f"written: {PAGE.relative_to(ROOT)}")


def _models() -> dict[str, str]:
    """Name and precision of what plays each role."""
    manifests = {role: read_manifest(engine_link(role)) for role in ROLES}
    return {role: f"{found.model} ({found.precision})" for role, found in manifests.items()}


if __name__ == "__main__":
    main(prog_name="python -m tests.evaluation")
