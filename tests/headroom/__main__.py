"""`python -m tests.headroom "rag:p99<5s"`: the largest load that keeps the SLO, and what to set."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from builders.spec import ROOT, load_sku
from operations.ports import free_ports
from operations.server import TritonServer
from tests.headroom import slo as slos
from tests.headroom.measure import Meter, step_s
from tests.headroom.page import advice, plot, table
from tests.headroom.search import Found, Kind, Step, found, search
from tests.headroom.slo import Slo
from tests.load.records import Record

FOLDER = ROOT / "build" / "headroom"
FEWEST_STEPS = 6
"""Less cannot bracket a rate: two doublings, two halvings, and a failure measured twice."""
SHARE_FOR_CLIENTS = 0.4
"""Of the time; the rest is for the rate."""
MOST_CLIENTS, MOST_RATE = 512, 5000.0


class SloParameter(click.ParamType):
    name = "slo"

    def convert(
        self, value: str | Slo, param: click.Parameter | None, ctx: click.Context | None
    ) -> Slo:
        try:
            return value if isinstance(value, Slo) else slos.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("slo", type=SloParameter(), default="rag:p99<5s")
@click.option("--minutes", type=float, default=10, show_default=True, help="time for all steps")
@click.option("--url", help="gRPC address of a running server; default: starts one of SKU cpu")
def main(slo: Slo, minutes: float, url: str | None) -> None:
    """Find the largest number of clients and the largest arrival rate with which SLO is kept.

    SLO is ENTRY:[ttft_]pNN<LIMIT, as in rag:p99<5s, embed:p95<200ms or llm:ttft_p99<1s; entries
    are embed, rerank, llm and rag (rag_cancellable). Steps go to stderr, the result to stdout, the
    plot to build/headroom/.

    Exit status: 0 found, 1 no load keeps the SLO, 2 it can't be measured in this time.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        meter = Meter(url or stack.enter_context(_server()), slo)
        rate_per_s = meter.probe()
        _refuse_what_takes_too_long(slo, rate_per_s, minutes)
        with _progress() as progress:
            steps = _measure(meter, rate_per_s, minutes * 60, progress)
    results = {kind: found(s for s in steps if s.kind == kind) for kind in ("clients", "rate")}
    target = FOLDER / f"{slo.entry}-{slo.percentile}.svg"
    plot(slo, steps, target)
    Console().print(table(slo, steps))
    click.echo(advice(slo, results["clients"], results["rate"], _running_now(slo)))
    click.echo(f"plot: {target.relative_to(ROOT)}")
    sys.exit(0 if _is_kept(results) else 1)


def _is_kept(results: dict[str, Found]) -> bool:
    return all(result.kept for result in results.values())


@contextlib.contextmanager
def _server() -> Iterator[str]:
    """Our server on free ports; its gRPC address."""
    with TritonServer(load_sku("cpu"), free_ports(), FOLDER / "tritonserver.log") as server:
        yield f"127.0.0.1:{server.ports.grpc}"


def _running_now(slo: Slo) -> object:
    """`max_running_requests` of the cpu placement; None for models that have none."""
    return load_sku("cpu").place(slos.ENTRIES[slo.entry]).parameters.get("max_running_requests")


def _refuse_what_takes_too_long(slo: Slo, rate_per_s: float, minutes: float) -> None:
    if not rate_per_s:
        raise click.UsageError(f"the server answered no request of '{slo.entry}' in the warm-up")
    one_s = step_s(slo, rate_per_s)
    if FEWEST_STEPS * one_s > minutes * 60:
        raise click.UsageError(
            f"{slo} needs steps of {slo.requests_needed} requests and at least {one_s:.0f} s, and "
            f"{FEWEST_STEPS} of them take {FEWEST_STEPS * one_s / 60:.1f} minutes; found "
            f"--minutes {minutes:g}; give more minutes or ask for a lower percentile"
        )


def _measure(meter: Meter, rate_per_s: float, most_s: float, bar: Progress) -> list[Step]:
    """Clients first: what they reach is where the search for the rate starts."""
    begun_s = time.monotonic()
    task = bar.add_task("", total=most_s)

    def measured(kind: Kind) -> Callable[[float], Step]:
        def measure(load: float) -> Step:
            records: list[Record] = []

            def show(record: Record) -> None:
                records.append(record)
                if len(records) % 10 == 0:
                    bar.update(
                        task, completed=time.monotonic() - begun_s,
                        description=f"{_load(kind, load)}: {len(records)} requests, "
                        f"{meter.slo.percentile} {slos.time(meter.slo.measured_s(records))}",
                    )  # fmt: skip

            step = meter.step(kind, load, show)
            verdict = "kept" if step.is_kept else "missed"
            bar.console.print(
                f"{_load(kind, load)}: {meter.slo.percentile} {slos.time(step.measured_s)} "
                f"of {step.requests} requests: {verdict}"
            )
            return step

        return measure

    def until(share: float) -> Callable[[], bool]:
        return lambda: time.monotonic() < begun_s + share * most_s

    clients = list(
        search(measured("clients"), 8, MOST_CLIENTS, until(SHARE_FOR_CLIENTS), is_whole=True)
    )
    start = max((s.answered_per_s for s in clients if s.is_kept), default=rate_per_s / 2)
    return [*clients, *search(measured("rate"), 0.7 * start, MOST_RATE, until(1.0))]


def _load(kind: Kind, load: float) -> str:
    return f"{load:.0f} clients" if kind == "clients" else f"{load:.3g} requests/s"


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


if __name__ == "__main__":
    main(prog_name="python -m tests.headroom")
