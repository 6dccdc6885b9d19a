"""`python -m tests.soak`: load the server for a while, write docs/soak.md and its plot."""

import argparse
import itertools
import os
import sys
import time
from pathlib import Path

from builders.spec import ROOT
from tests.bench.machine import describe
from tests.chaos import namespace, provenance
from tests.chaos.oracle import Oracle
from tests.chaos.requests import of_every_length
from tests.chaos.serving import grpc_address, start, starter
from tests.chaos.traffic import send_all
from tests.soak.mixed_load import RELOADED, Soak, mix, reload
from tests.soak.plot import plot
from tests.soak.record import Record, Sample
from tests.soak.page import Setting, page

WORK = ROOT / "build" / "soak"
SHM_MIB = 1024
QUESTIONS = 24
SAMPLE_S = 5.0
LONGEST_S = 60.0


def main() -> int:
    """0 when memory is flat and every request ended as it must."""
    given = arguments()
    commit = provenance.commit(given.committed)
    namespace.enter("tests.soak", SHM_MIB, given.folder / "snapshot", given.committed)
    os.nice(given.nice)
    setting = Setting(
        given.minutes,
        min(300.0, given.minutes * 60 / 4),
        given.reload_minutes * 60,
        given.workers,
        "tritonserver without the supervisor" if given.bare else "the supervised server",
        describe(),
        commit,
    )
    with start(starter(given.bare), given.folder / "tritonserver.log") as server:
        record, load = soak(server, setting, given.pause_ms / 1000)
    text, has_passed = page(record, load.faults, load.counts, setting)
    target = ROOT / "docs" if given.folder == WORK else given.folder
    (target / "soak.md").write_text(text)
    plot(record, target / "soak.svg")
    print(text)
    return 0 if has_passed else 1


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=4, help="clients (%(default)s)")
    parser.add_argument("--pause-ms", type=float, default=100, help="of each client (%(default)s)")
    parser.add_argument("--reload-minutes", type=float, default=10, help="default: %(default)s")
    parser.add_argument("--nice", type=int, default=0, help="priority to give up (%(default)s)")
    parser.add_argument("--bare", action="store_true", help="tritonserver without the supervisor")
    parser.add_argument("--folder", type=Path, default=WORK, help="other than this: not to docs/")
    parser.add_argument("--committed", action="store_true", help="models as last committed")
    return parser.parse_args()


def soak(server: object, setting: Setting, pause_s: float) -> tuple[Record, Soak]:
    """Learn the answers, then load and look."""
    ports, pid = server.ports, server.pid  # type: ignore[attr-defined]
    oracle = Oracle()
    asks = oracle.learn(grpc_address(ports), mix(range(QUESTIONS)))
    send_all(grpc_address(ports), list(of_every_length()), LONGEST_S, 1)
    print(f"{len(asks)} different requests; {setting.minutes:g} minutes begin", flush=True)
    record = Record(pid, ports)
    with Soak(ports, asks, oracle, setting.workers, pause_s) as load:
        models = itertools.cycle(RELOADED)
        next_reload_s = setting.warm_up_s + setting.reload_s / 2
        while record.time_s < setting.minutes * 60:
            say(record.look(load.counts))
            if record.time_s > next_reload_s:
                reload(ports, next(models))
                load.counts["reload"] += 1
                next_reload_s += setting.reload_s
            time.sleep(SAMPLE_S)
    time.sleep(2)  # until nothing is in flight
    record.look(load.counts)
    return record, load


def say(sample: Sample) -> None:
    """A line of progress each minute."""
    if int(sample.time_s / 60) != int((sample.time_s - SAMPLE_S - 0.5) / 60):
        total = sum(process.rss_mib for process in sample.use.processes)
        print(
            f"[{sample.time_s / 60:5.1f} min] {sample.requests:,} requests, {sample.errors} "
            f"errors, {sample.unexpected} unexpected, {total:.0f} MiB resident, "
            f"{sample.use.shm_mib:.0f} MiB shared, KV {sample.use.kv_used:.0%}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
