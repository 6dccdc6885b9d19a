"""`python -m tests.chaos`: do each fault to the server, write docs/faults.md."""

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from builders.spec import ROOT
from tests.bench.machine import describe
from tests.chaos import (
    clients,
    collections,
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
PARTS = (inputs, clients, processes, collections, stages, exhaustion, lifecycle, endurance)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--list", "only_list", is_flag=True, help="Name the faults and stop.")
@click.option("--bare", is_flag=True, help="tritonserver without the supervisor.")
@click.option("--committed", is_flag=True, help="Models as last committed.")
@click.option("--update", is_flag=True, help="Keep the other rows of the last run.")
@click.option("--page", "target", type=click.Path(path_type=Path), help="File to write.")
def main(
    names: tuple[str, ...],
    only_list: bool,
    bare: bool,
    committed: bool,
    update: bool,
    target: Path | None,
) -> None:
    """Do each fault to the server, or those whose names begin with NAME; write docs/faults.md.

    Exit status 1 when a fault failed. A run of some faults writes build/…/faults.md.
    """
    every = [s for part in PARTS for s in part.scenarios()]
    chosen = [s for s in every if is_chosen(s, names)]
    if only_list:
        click.echo("\n".join(f"{s.name:32}{s.done}" for s in chosen))
        return
    if not chosen:
        raise click.UsageError(f"{' '.join(names)}: no such fault; --list names them")
    commit = provenance.commit(committed)
    namespace.enter("tests.chaos", SHM_MIB, WORK / "snapshot", committed)
    # A run that was cut off leaves its collections behind.
    shutil.rmtree(collections.FOLDER, ignore_errors=True)
    begun = time.monotonic()
    with Site(starter(bare)) as site:
        found = [(scenario, run(scenario, site)) for scenario in chosen]
    minutes = (time.monotonic() - begun) / 60
    what = "tritonserver without the supervisor" if bare else "the supervised server"
    where = Provenance(what, describe(), commit, minutes)
    target = target or (PAGE if update or not names else WORK / "faults.md")
    write(target, found, every, where, update)
    failed = [scenario.name for scenario, finding in found if finding.verdict == "FAILED"]
    click.echo(f"{len(found)} faults in {minutes:.1f} minutes, {len(failed)} failed: {target}")
    sys.exit(1 if failed else 0)


def write(
    target: Path,
    found: results.Found,
    every: Sequence[Scenario],
    where: Provenance,
    update: bool,
) -> None:
    """The page; with --update the last run's rows stay where a fault was not done again."""
    old = results.load(RESULTS) if update else {}
    rows = results.merged(found, old, every)
    if target == PAGE:
        results.save(RESULTS, {scenario.name: finding for scenario, finding in rows})
    done_again = [scenario.name for scenario, _ in found] if old else []
    target.write_text(page(rows, where, done_again), encoding="utf-8")


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
    main()
