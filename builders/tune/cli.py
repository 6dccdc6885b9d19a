"""`python -m builders.tune`: finds the placement that serves most within the limits of an SLO."""

import argparse
import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from builders.errors import BuildError
from builders.repository import engine_links
from builders.spec import ROOT, load_sku
from builders.tune import objective, report
from builders.tune.change import Changes
from builders.tune.laboratory import Laboratory
from builders.tune.load import SliceLoad
from builders.tune.machine import check_machine, describe, usable_cores
from builders.tune.objective import Limit
from builders.tune.order import FULL_MINUTES, Order, parse_clients, schedule
from builders.tune.placement_file import edits, placement_text
from builders.tune.plot import plot
from builders.tune.results import Results, Settings
from builders.tune.search import Trial
from builders.tune.space import moves
from builders.tune.trial_server import TrialServers
from builders.tune.tuning import tune
from operations.preflight import PreflightError

FOLDER = ROOT / "build" / "tune"
DOCUMENTS = ROOT / "docs" / "tuning"
INTERRUPTED = 130
"""Exit status after Ctrl-C, as of shells."""


def main(arguments: list[str] | None = None) -> int:
    """Tune; 0 when a decision was reached, 1 with a message when not, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        return _run(_order(options), options.write, options.fresh)
    except (BuildError, PreflightError) as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m builders.tune", description=__doc__)
    parser.add_argument("--sku", default="cpu", help="name of a file in builders/skus")
    parser.add_argument("--slo", default=objective.DEFAULT, help=f"{objective.FORM}; %(default)s")
    parser.add_argument(
        "--clients",
        default="",
        help="requests in flight, as in 'embed=8 rag=4'; see docs/tuning.md",
    )
    parser.add_argument(
        "--minutes", type=float, default=FULL_MINUTES, help="what it may take (%(default)s)"
    )
    parser.add_argument("--write", action="store_true", help="change the placement and docs/tuning")
    parser.add_argument("--fresh", action="store_true", help="forget an interrupted run")
    return parser


def _order(options: argparse.Namespace) -> Order:
    """Raises `BuildError` for what can't be done here."""
    sku = load_sku(options.sku)
    limits = objective.parse(options.slo)
    clients = parse_clients(options.clients)
    check_machine(sku)
    return Order(sku, limits, clients, schedule(options.minutes, _asked(limits)))


def _asked(limits: Sequence[Limit]) -> list[objective.Workload]:
    return list(objective.workloads(limits))


def _run(order: Order, write: bool, fresh: bool) -> int:
    results = Results(FOLDER / f"{order.sku.name}.json", _settings(order))
    if not fresh and (found := results.resume()):
        print(f"going on from an interrupted run: {found} pairs are there")
    begin_s = time.monotonic()

    def say(text: str) -> None:
        passed_s = time.monotonic() - begin_s
        left_s = max(0.0, order.plan.seconds - passed_s)
        print(f"[{_clock(passed_s)}, {_clock(left_s)} left] {text}", flush=True)

    load = SliceLoad(order.limits, order.clients, order.plan.slice_s)
    with TrialServers(order.sku, FOLDER / order.sku.name) as servers:
        lab = Laboratory(
            servers,
            load.measure,
            order.plan,
            results,
            lambda trial: say(report.line(trial, order.limits)),
        )
        try:
            final = tune(order, usable_cores(), lab, say)
        except KeyboardInterrupt:
            return _interrupted(order, lab.trials)
    results.save(finished=True)
    _finish(order, lab.trials, final, write)
    return 0


def _interrupted(order: Order, trials: Sequence[Trial]) -> int:
    print(f"\n{report.table(trials, order.limits)}\n")
    print("interrupted: nothing is decided; what was measured is kept, the same command goes on")
    return INTERRUPTED


def _finish(order: Order, trials: Sequence[Trial], final: Changes, write: bool) -> None:
    changed = edits(order.sku, final)
    to_try = sum(len(moves(w, order.sku, usable_cores())) for w in _asked(order.limits))
    text = report.document(order, describe(), to_try, trials, final)
    picture = plot(trials, order.limits, final)
    for folder in (FOLDER, *([DOCUMENTS] if write else [])):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{order.sku.name}.md").write_text(text)
        (folder / f"{order.sku.name}.svg").write_text(picture)
    print(f"\n{text}")
    for edit in changed:
        print(edit.diff())
        if write:
            edit.write()
            print(f"wrote {edit.path.relative_to(ROOT)}: now 'make render', and read the diff")
    if changed and not write:
        print("nothing was written; WRITE=1 (--write) writes it")


def _settings(order: Order) -> Settings:
    links = engine_links(order.sku)
    return Settings(
        sku=order.sku.name,
        limits=order.limits,
        clients=tuple(f"{w}={order.clients.of(w)}" for w in _asked(order.limits)),
        slice_s=order.plan.slice_s,
        placement=_digest(placement_text(order.sku)),
        engines=tuple(sorted({Path(link).resolve().name for link in links})),
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
