"""`python -m tests.chaos`: do each fault to the server, write docs/faults.md."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from builders.spec import ROOT
from tests.bench.machine import describe
from tests.chaos import (
    clients,
    endurance,
    exhaustion,
    inputs,
    lifecycle,
    namespace,
    processes,
    provenance,
    results,
    stages,
)
from tests.chaos.report import Provenance, page, seconds
from tests.chaos.repositories import WORK
from tests.chaos.scenario import Finding, Scenario, brief
from tests.chaos.serving import starter
from tests.chaos.site import Site

PAGE = ROOT / "docs" / "faults.md"
RESULTS = WORK / "results.json"
SHM_MIB = 512
TIMES = 6
"""Memory that is taken each time is a leak; allocators and /dev/shm regions grow once or twice."""
PARTS = (inputs, clients, processes, stages, exhaustion, lifecycle, endurance)


def main() -> int:
    """0 when no scenario failed."""
    given = arguments()
    every = [s for part in PARTS for s in part.scenarios()]
    chosen = [s for s in every if is_chosen(s, given.only)]
    if given.list:
        print("\n".join(f"{s.name:32}{s.done}" for s in chosen))
        return 0
    if not chosen:
        raise SystemExit(f"--only {' '.join(given.only)}: no such fault; --list names them")
    commit = provenance.commit(given.committed)
    namespace.enter("tests.chaos", SHM_MIB, WORK / "snapshot", given.committed)
    begun = time.monotonic()
    with Site(starter(given.bare)) as site:
        found = [(scenario, run(scenario, site)) for scenario in chosen]
    minutes = (time.monotonic() - begun) / 60
    what = "tritonserver without the supervisor" if given.bare else "the supervised server"
    where = Provenance(what, describe(), commit, minutes)
    target = given.page or (PAGE if given.update or not given.only else WORK / "faults.md")
    write(target, found, every, where, given)
    failed = [scenario.name for scenario, finding in found if finding.verdict == "FAILED"]
    print(f"{len(found)} faults in {minutes:.1f} minutes, {len(failed)} failed: {target}")
    return 1 if failed else 0


def write(
    target: Path,
    found: results.Found,
    every: Sequence[Scenario],
    where: Provenance,
    given: argparse.Namespace,
) -> None:
    """The page; with --update the last run's rows stay where a fault was not done again."""
    old = results.load(RESULTS) if given.update else {}
    rows = results.merged(found, old, every)
    if target == PAGE:
        results.save(RESULTS, {scenario.name: finding for scenario, finding in rows})
    done_again = [scenario.name for scenario, _ in found] if old else []
    target.write_text(page(rows, where, done_again))


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the faults")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="name or beginning")
    parser.add_argument("--bare", action="store_true", help="tritonserver without the supervisor")
    parser.add_argument("--committed", action="store_true", help="models as last committed")
    parser.add_argument("--update", action="store_true", help="keep other rows of the last run")
    parser.add_argument("--page", type=Path, help="written there (default: docs/faults.md)")
    return parser.parse_args()


def is_chosen(scenario: Scenario, only: Sequence[str]) -> bool:
    """All are, when none is named."""
    return not only or any(scenario.name.startswith(name) for name in only)


def repeated(scenario: Scenario, site: Site) -> Finding:
    """Up to `TIMES`, while something is left behind: what is kept for the next time is no leak."""
    found, kept = scenario.run(site), list[str]()
    while found.leaks and not found.faults and len(kept) < TIMES - 1:
        kept.append("; ".join(found.leaks))
        found = scenario.run(site)
    before = "".join(f" (time {n} kept: {what})" for n, what in enumerate(kept, 1))
    return replace(found, seen=found.seen + before)


def run(scenario: Scenario, site: Site) -> Finding:
    """One scenario, with a line of progress; what it raises is its failure."""
    begun = time.monotonic()
    print(f"[{time.strftime('%H:%M:%S')}] {scenario.name} …", flush=True)
    try:
        finding = repeated(scenario, site)
    except Exception as error:
        site.end_kept()
        finding = Finding("", faults=(brief(f"{type(error).__name__}: {error}"),))
    print(
        f"    {finding.verdict} in {time.monotonic() - begun:.1f} s: {finding.seen}; to error "
        f"{seconds(finding.error_s)}, recovered {seconds(finding.recovery_s)}",
        *(f"    {line}" for line in (*finding.faults, *finding.leaks, *finding.known)),
        sep="\n",
        flush=True,
    )
    return finding


if __name__ == "__main__":
    sys.exit(main())
