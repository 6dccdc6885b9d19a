"""`python -m tests.bench`: measure section by section, keep every figure, write page and plots."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version

import click
from rich.console import Console
from transformers.utils import logging

from builders.spec import ROOT
from tests.bench import page
from tests.bench.context import DEFAULT, QUICK, BenchSettings, Context
from tests.bench.machine import describe
from tests.bench.measure import Recorder
from tests.bench.peer_process import LLAMA, PEERS, PYTHON
from tests.bench.results import FILE, SectionResult, read
from tests.bench.sections import SECTIONS, Section
from tests.bench.services import Services
from tests.served_models import in_words, served_models

_OURS = ("openvino", "openvino-genai", "torch", "transformers", "sentence-transformers", "grpcio")
_PEERS = ("fastapi", "uvicorn", "bentoml", "litserve", "ray", "mosec", "torch")
_ALL_PEERS = (*PEERS, LLAMA)
_FEW_PEERS = ("fastapi", "bentoml", "mosec", LLAMA)
"""They fit into 24 GiB beside the default models, and answered most questions before the reader."""
_BY_NAME = {section.name: section for section in SECTIONS}
_NOTES = Console(stderr=True)


@click.command()
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(list(_BY_NAME)),
    metavar="SECTION",
    help=f"measure this section alone; may be repeated; one of {', '.join(_BY_NAME)}",
)
@click.option("--repeats", type=int, help="runs of a point  [default: 3; with --quick 1]")
@click.option("--pace", type=float, help="factor on how long a run lasts  [default: 1; 0.5]")
@click.option("--quick", is_flag=True, help="fewer points, shorter runs")
@click.option(
    "--peers",
    default=",".join(_FEW_PEERS),
    show_default=True,
    help=f"the other servers, '' for none, of {', '.join(_ALL_PEERS)}; "
    "all at once take more than 24 GiB of memory",
)
@click.option("--resume", is_flag=True, help="leave out what this commit has measured already")
@click.option("--page-only", is_flag=True, help="write page and plots from the results there are")
def main(
    only: tuple[str, ...],
    repeats: int | None,
    pace: float | None,
    quick: bool,
    peers: str,
    resume: bool,
    page_only: bool,
) -> None:
    """Measure our server against bare engines and other servers; about an hour.

    Results go to build/bench/results.json. A whole run writes docs/benchmarks.md and its plots, a
    run with --only, --quick or without peers build/bench/benchmarks.md.

    Exit status: 1 when a section failed as a whole.
    """
    left_out = _left_out(peers)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers and peers are ended too
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    settings = QUICK if quick else DEFAULT
    settings = replace(settings, repeats=repeats or settings.repeats, pace=pace or settings.pace)
    sections = [_BY_NAME[name] for name in only] or [s for s in SECTIONS if s.is_default]
    if resume:
        sections = [section for section in sections if not _is_done(section, settings)]
    failed = [] if page_only else _measure_all(sections, settings, quick, left_out)
    is_partial = bool(only) or quick or len(left_out) == len(_ALL_PEERS)
    for path in page.write(read(), FILE.parent if is_partial else ROOT / "docs"):
        click.echo(f"written: {path.relative_to(ROOT)}")
    click.echo(f"figures: {FILE.relative_to(ROOT)}")
    if failed:
        raise click.ClickException(f"failed: {', '.join(failed)}")


def _left_out(peers: str) -> list[str]:
    """Peers that are not in `peers`; raises `BadParameter` for a name that is none of them."""
    asked = [name.strip() for name in peers.split(",") if name.strip()]
    if unknown := set(asked) - set(_ALL_PEERS):
        raise click.BadParameter(
            f"{min(unknown)!r} is none of {', '.join(_ALL_PEERS)}", param_hint="--peers"
        )
    return [name for name in _ALL_PEERS if name not in asked]


def _is_done(section: Section, settings: BenchSettings) -> bool:
    found = read().section(section.name)
    return bool(
        found and found.is_complete and found.commit == _commit()
        and found.settings == str(settings)
    )  # fmt: skip


def _measure_all(
    sections: Sequence[Section], settings: BenchSettings, is_quick: bool, left_out: Sequence[str]
) -> list[str]:
    """Names of the sections that failed; the figures of the others are in the file."""
    failed = []
    about_s = sum(section.quick_s if is_quick else section.about_s for section in sections)
    _NOTES.print(
        f"{len(sections)} sections: about {about_s / 60:.0f} minutes; {in_words(served_models())}"
    )
    faults = dict.fromkeys(left_out, "left out by --peers")
    with Services(faults=faults) as services:
        for number, section in enumerate(sections, start=1):
            _NOTES.print(f"{time.strftime('%H:%M:%S')} {number}/{len(sections)} {section.name}")
            recorder = Recorder(_empty_result(section, settings), settings.repeats, services)
            try:
                section.measure(Context(services, recorder, settings))
                recorder.finish()
            except Exception as error:  # the other sections can still be measured
                _NOTES.print(f"  {section.name} failed: {type(error).__name__}: {error}")
                failed.append(section.name)
    return failed


def _empty_result(section: Section, settings: BenchSettings) -> SectionResult:
    return SectionResult(
        name=section.name,
        taken_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        took_s=0.0,
        machine=describe(),
        commit=_commit(),
        settings=str(settings),
        versions=_versions(),
        models=in_words(served_models()),
    )


def _commit() -> str:
    """With a plus sign when files differ from it."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip()


def _versions() -> tuple[str, ...]:
    """Packages that decide the figures, ours and the peers'."""
    ours = [f"{name} {version(name)}" for name in _OURS]
    code = f"from importlib.metadata import version as v; print(*[n+' '+v(n) for n in {_PEERS}], sep=chr(10))"  # noqa: E501
    if not PYTHON.exists():
        return tuple(ours)
    found = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False)
    return (*ours, *(f"peers: {line}" for line in found.stdout.split("\n") if line))


if __name__ == "__main__":
    main(prog_name="python -m tests.bench")
