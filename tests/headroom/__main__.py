"""`python -m tests.headroom "rag:p99<5s"`: the largest load that keeps the SLO, and what to set."""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from builders.spec import ROOT, load_sku
from operations.cpu_server import CpuServer
from operations.ports import free_ports
from tests.headroom import page
from tests.headroom.measure import Meter, step_s
from tests.headroom.search import Kind, Step, largest_kept, search
from tests.headroom.slo import ENTRIES, Slo, duration, parse
from tests.load.records import Record

FOLDER = ROOT / "build" / "headroom"
FEWEST_STEPS = 6
"""Open-loop steps that a search takes at least: two doublings, two halvings, two repetitions."""
SHARE_FOR_CLIENTS = 0.4
"""Share of the time; the rest is for the arrival rate."""
WARM_UP_CLIENTS, MOST_CLIENTS, MOST_PER_S = 4, 512, 5000.0


@click.command()
@click.argument("slo", default="rag:p99<5s")
@click.option("--minutes", type=float, default=10, show_default=True, help="time for all steps")
@click.option("--url", help="gRPC address of a running server  [default: start one of SKU cpu]")
@click.pass_context
def main(context: click.Context, slo: str, minutes: float, url: str | None) -> None:
    """Find the largest number of clients and the largest arrival rate with which SLO is kept.

    SLO is ENTRY:[ttft_]pNN<LIMIT, as in rag:p99<5s, embed:p95<200ms or llm:ttft_p99<1s. Entries are
    embed, rerank, llm and rag. The plot goes to build/headroom/.

    Exit status: 0 found, 1 no arrival rate keeps the SLO, 2 it can't be measured in this time.
    """
    try:
        asked = parse(slo)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    FOLDER.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        steps = _measure(Meter(url or stack.enter_context(_server()), asked), minutes)
    Console().print(page.table(asked, steps))
    placed = load_sku("cpu").place(ENTRIES[asked.entry]).parameters
    for line in page.advice(asked, steps, placed.get("max_running_requests")):
        click.echo(line)
    target = FOLDER / f"{asked.entry}-{asked.percentile}.svg"
    page.plot(asked, steps, target)
    click.echo(f"plot: {target.relative_to(ROOT)}")
    context.exit(0 if largest_kept(steps, "requests/s") else 1)


@contextlib.contextmanager
def _server() -> Iterator[str]:
    """Our server on free ports; its gRPC address."""
    with CpuServer(load_sku("cpu"), free_ports(), FOLDER / "tritonserver.log") as server:
        yield f"127.0.0.1:{server.ports.grpc}"


def _measure(meter: Meter, minutes: float) -> list[Step]:
    """Clients first: what they reach is where the search for the arrival rate starts."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        begun_s, most_s = time.monotonic(), 60 * minutes

        def until(share: float) -> Callable[[], bool]:
            return lambda: time.monotonic() < begun_s + share * most_s

        warm = meter.step("clients", WARM_UP_CLIENTS, lambda record: None)
        _refuse_too_short_a_time(meter.slo, warm, minutes)
        progress.add_task("", total=most_s, completed=time.monotonic() - begun_s)
        measure = partial(partial, _step, meter, progress)
        has_time = until(SHARE_FOR_CLIENTS)
        clients = list(search(measure("clients"), 8, MOST_CLIENTS, has_time, is_whole=True))
        start = 0.7 * max(step.answered_per_s for step in [warm, *clients])
        return [*clients, *search(measure("requests/s"), start, MOST_PER_S, until(1.0))]


def _step(meter: Meter, progress: Progress, kind: Kind, load: float) -> Step:
    """One step, shown while it runs and when it has ended."""
    records: list[Record] = []
    task = progress.tasks[0]

    def said(measured_s: float, count: int) -> str:
        found = f"{meter.slo.percentile} {duration(measured_s)} of {count} requests"
        return f"{load:.3g} {kind}: {found}"

    def on_record(record: Record) -> None:
        records.append(record)
        if len(records) % 10 == 0:
            so_far = said(meter.slo.measured_s(records), len(records))
            progress.update(task.id, description=so_far, completed=task.elapsed)

    step = meter.step(kind, load, on_record)
    progress.console.print(f"{said(step.measured_s, step.requests)}: {page.verdict(step)}")
    return step


def _refuse_too_short_a_time(slo: Slo, warm: Step, minutes: float) -> None:
    if not warm.answered:
        raise click.ClickException(f"the server answered no request for '{slo.entry}' in warm-up")
    one_s = step_s(slo, warm.answered_per_s)
    if FEWEST_STEPS * one_s > minutes * 60:
        raise click.UsageError(
            f"{slo} needs steps of {slo.requests_needed} requests, here {one_s:.0f} s, and "
            f"{FEWEST_STEPS} of them take {FEWEST_STEPS * one_s / 60:.1f} minutes; --minutes "
            f"{minutes:g} is given: give more, or ask for a lower percentile"
        )


if __name__ == "__main__":
    main(prog_name="python -m tests.headroom")
