"""Where our server spends its time: `python -m tests.bench.time_by_model rag --clients 8`.

By model, of one request of the workload: how often its step ran and in what batches, what it waited
in Triton's queue, what Triton counts as compute, and the CPU time of the model's process.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import tritonclient.grpc as grpcclient

from tests.bench.measure import Job, Load, Recorder
from tests.bench.page import table
from tests.bench.results import Point, Section
from tests.bench.sections import DEFAULT, RAG_DOCUMENTS, Context, workload_of
from tests.bench.services import Services
from tests.load.loops import Window
from tests.load.summary import Summary, summarize


@dataclass(frozen=True)
class Counters:
    """Of a model, since the server's start; seconds."""

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


def main() -> None:
    """Load the server, then print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.time_by_model", description=__doc__)
    parser.add_argument("workload", choices=("embed", "rerank", "rag"))
    parser.add_argument("--clients", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=10.0, help="default: %(default)s")
    parser.add_argument("--variant", type=int, default=0, help="of rag: 1 is rag_cancellable")
    given = parser.parse_args()
    with Services() as services:
        found, before, after = _load(services, given)
    rows = {name: after[name] - before.get(name, Counters()) for name in sorted(after)}
    print(report(found, {name: row for name, row in rows.items() if row.requests or row.cpu_s}))


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
    services: Services, given: argparse.Namespace
) -> tuple[Summary, dict[str, Counters], dict[str, Counters]]:
    recorder = Recorder(Section("where", "", 0.0, "", "", "", ()), 1, services)
    workload = workload_of(Context(services, recorder, DEFAULT), given.workload)
    variant = services.ours(given.workload)[given.variant]
    point = Point(variant.name, workload.name, clients=given.clients, documents=RAG_DOCUMENTS)
    load = Load(Window(given.seconds))
    run = recorder.prepared(Job(point, variant, workload.requests, load, workload.pool))
    run()  # warm
    before = counters(services)
    found = summarize(run())
    return found, before, counters(services)


def counters(services: Services) -> dict[str, Counters]:
    """Of every model, and of the server's own process."""
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
    """Seconds, of the server and of the process of each model."""
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
