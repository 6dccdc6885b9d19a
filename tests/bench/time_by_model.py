"""Where our server spends its time: `python -m tests.bench.time_by_model rag --clients 8`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import psutil
import tritonclient.grpc as grpcclient

from tests.bench.bench_workloads import RAG_DOCUMENTS, workload_of
from tests.bench.cells import table
from tests.bench.context import DEFAULT, Context
from tests.bench.measure import Job, Load, Recorder
from tests.bench.results import Point, SectionResult
from tests.bench.services import Services
from tests.load.loops import Window
from tests.load.summary import Summary, summarize


@dataclass(frozen=True)
class Counters:
    """What a model has done since the server started."""

    requests: int = 0
    executions: int = 0
    queue_s: float = 0.0
    input_s: float = 0.0
    infer_s: float = 0.0
    output_s: float = 0.0
    cpu_s: float = 0.0

    def __sub__(self, before: "Counters") -> "Counters":
        names = self.__dataclass_fields__
        return Counters(*(getattr(self, name) - getattr(before, name) for name in names))


@click.command()
@click.argument("model", type=click.Choice(["embed", "rerank", "rag", "rag_cancellable"]))
@click.option("--clients", type=int, default=8, show_default=True, help="requests in flight")
@click.option("--seconds", type=float, default=10.0, show_default=True, help="how long to load it")
def main(model: str, clients: int, seconds: float) -> None:
    """Load MODEL, then print the milliseconds that each model behind it takes of one request.

    The columns: how often the model's step runs and in what batches, its time in Triton's queue,
    what Triton counts as compute, and the CPU time of the model's process.
    """
    with Services() as services:
        found, before, after = _load(services, model, clients, seconds)
    rows = {name: after[name] - before.get(name, Counters()) for name in sorted(after)}
    click.echo(report(found, {n: row for n, row in rows.items() if row.requests or row.cpu_s}))


def report(found: Summary, rows: Mapping[str, Counters]) -> str:
    """Milliseconds of one answered request."""
    per_request = 1000 / found.answered
    lines = [
        [
            name, f"{each.requests / found.answered:.2f}",
            f"{each.requests / each.executions:.1f}" if each.executions else "",
            *(f"{seconds * per_request:.2f}" for seconds in
              (each.queue_s, each.input_s, each.infer_s, each.output_s, each.cpu_s)),
        ]
        for name, each in rows.items()
    ]  # fmt: skip
    head = ["model", "requests", "in a batch", "queue", "input", "infer", "output", "CPU"]
    latency = found.latency_s
    total = f"{found.answered} requests in {found.seconds:.1f} s: {found.requests_per_s:.2f}/s"
    middle = f"latency p50 {1000 * latency.p50:.1f} ms" if latency else ""
    return f"{total}, {middle}; ms of one request, except the first two:\n{table(head, lines)}"


def _load(
    services: Services, model: str, clients: int, seconds: float
) -> tuple[Summary, dict[str, Counters], dict[str, Counters]]:
    recorder = Recorder(SectionResult("time by model", "", 0.0, "", "", "", (), ""), 1, services)
    name = "rag" if model == "rag_cancellable" else model
    workload = workload_of(Context(services, recorder, DEFAULT), name)
    variant = services.ours(name)[-1 if model == "rag_cancellable" else 0]
    point = Point(variant.name, workload.name, clients=clients, documents=RAG_DOCUMENTS)
    load = Load(Window(seconds))
    run = recorder.prepared(Job(point, variant, workload.requests, load, workload.pool))
    run()  # warm
    before = counters(services)
    found = summarize(run())
    return found, before, counters(services)


def counters(services: Services) -> dict[str, Counters]:
    """Counters of every model, and of the server's own process."""
    cpu_s = _cpu_by_process(services.server.pid)
    client = grpcclient.InferenceServerClient(services.url)
    statistics = client.get_inference_statistics().model_stats
    client.close()
    found = {"tritonserver": Counters(cpu_s=cpu_s.pop("tritonserver"))}
    for model in statistics:
        stats = model.inference_stats
        times = (stats.queue, stats.compute_input, stats.compute_infer, stats.compute_output)
        queue_s, input_s, infer_s, output_s = (each.ns / 1e9 for each in times)
        found[model.name] = Counters(
            stats.success.count, model.execution_count, queue_s, input_s, infer_s, output_s,
            cpu_s.get(model.name, 0.0),
        )  # fmt: skip
    return found


def _cpu_by_process(server_pid: int) -> dict[str, float]:
    """CPU seconds of the server and of each model's process."""
    server = psutil.Process(server_pid)
    found = {"tritonserver": _cpu_s(server)}
    for child in server.children(recursive=True):
        words = child.cmdline()
        model = next((Path(w).parent.parent.name for w in words if w.endswith("model.py")), None)
        if model:
            found[model] = _cpu_s(child)
    return found


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
