"""`python -m tests.bench`: measure, keep every figure in results.json, write page and plots."""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version

from transformers.utils import logging

from builders.spec import ROOT
from tests.bench import page
from tests.bench.machine import describe
from tests.bench.measure import Recorder
from tests.bench.peer_process import PYTHON
from tests.bench.results import FILE, Section, read
from tests.bench.sections import DEFAULT, PARTS, QUICK, Context, Part, Settings
from tests.bench.services import Services

_OURS = ("openvino", "openvino-genai", "torch", "transformers", "sentence-transformers", "grpcio")
_PEERS = ("fastapi", "uvicorn", "bentoml", "litserve", "ray", "mosec", "torch")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 1 when a section failed as a whole."""
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers and peers are ended too
    parts = _chosen(given.only)
    settings = QUICK if given.quick else DEFAULT
    settings = replace(
        settings, repeats=given.repeats or settings.repeats, pace=given.pace or settings.pace
    )
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if given.page_only:
        return _write_page()
    if given.resume:
        parts = [part for part in parts if not _is_done(part, settings)]
    about_s = sum(_about_s(part, given.quick) for part in parts)
    print(f"{', '.join(part.name for part in parts)}: about {about_s / 60:.0f} minutes", flush=True)
    failed = [part.name for part in _measure_all(parts, settings)]
    _write_page()
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = ", ".join(part.name for part in PARTS)
    parser.add_argument("--only", help=f"sections, separated by commas, of: {names}")
    parser.add_argument("--repeats", type=int, help="default: 3, of --quick 1")
    parser.add_argument("--pace", type=float, help="factor on how long a run lasts")
    parser.add_argument("--quick", action="store_true", help="fewer points, shorter runs")
    parser.add_argument(
        "--resume", action="store_true", help="leave out what this commit has measured already"
    )
    parser.add_argument("--page-only", action="store_true", help="page and plots from results.json")
    return parser


def _chosen(only: str | None) -> list[Part]:
    if not only:
        return [part for part in PARTS if part.is_default]
    known = {part.name: part for part in PARTS}
    asked = only.split(",")
    if unknown := [name for name in asked if name not in known]:
        raise SystemExit(f"--only: {', '.join(unknown)} asked; {', '.join(known)} are possible")
    return [known[name] for name in asked]


def _is_done(part: Part, settings: Settings) -> bool:
    found = read().section(part.name)
    return bool(
        found and found.is_complete and found.commit == _commit()
        and found.settings == str(settings)
    )  # fmt: skip


def _about_s(part: Part, is_quick: bool) -> float:
    return part.quick_s if is_quick else part.about_s


def _measure_all(parts: Sequence[Part], settings: Settings) -> list[Part]:
    """The parts that failed; the others are in the file."""
    failed = []
    with Services() as services:
        for number, part in enumerate(parts, start=1):
            print(f"[{time.strftime('%H:%M:%S')}] {number}/{len(parts)} {part.name}", flush=True)
            recorder = Recorder(_section(part, settings), settings.repeats, services)
            try:
                part.measure(Context(services, recorder, settings))
                recorder.finish()
            except Exception as error:  # the other sections are still to be had
                print(f"  {part.name} failed: {type(error).__name__}: {error}", flush=True)
                failed.append(part)
    return failed


def _section(part: Part, settings: Settings) -> Section:
    return Section(
        name=part.name,
        taken_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        took_s=0.0,
        machine=describe(),
        commit=_commit(),
        settings=str(settings),
        versions=_versions(),
    )


def _commit() -> str:
    """With a plus sign when files differ from it."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()


def _versions() -> tuple[str, ...]:
    """Of what is compared."""
    ours = [f"{name} {version(name)}" for name in _OURS]
    code = f"from importlib.metadata import version as v; print(*[n+' '+v(n) for n in {_PEERS}], sep=chr(10))"  # noqa: E501
    if not PYTHON.exists():
        return tuple(ours)
    found = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False)
    return (*ours, *(f"peers: {line}" for line in found.stdout.split("\n") if line))


def _write_page() -> int:
    for path in page.write(read()):
        print(f"written: {path.relative_to(ROOT)}")
    print(f"figures: {FILE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
