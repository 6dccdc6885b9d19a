"""Walks an `EnsembleGraph` inside one Python model, where Triton's own scheduler can't serve it.

Triton 2.51 does not pass a client's cancellation or deadline on to the steps of an ensemble, and
can't serve a stream to a client that sends a batch dimension. This runner calls the same steps of
the same graph, and ends the generation in `llm` when its client has gone or its time is up.
"""

import itertools
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np

from ensembles.ensemble import ENSEMBLE
from ensembles.graph import EnsembleGraph, Step
from ensembles.rag import RAG_CANCELLABLE
from python_backends.stage import Array, Cancelled, Overloaded, StageContext, Stream, StreamingStage

POLL_S = 0.02
"""How often clients and deadlines are looked at."""

logger = logging.getLogger("python_backends.stages.graph_runner")


class Run:
    """One request on its way through the graph."""

    def __init__(self, stream: Stream, request_id: str) -> None:
        self.stream = stream
        self.request_id = request_id
        """Id of the request that the decoupled step gets, so that it can be stopped."""
        self.is_generating = False
        self._deadline_s = time.monotonic() + stream.timeout_us / 1e6 if stream.timeout_us else None

    def fault(self) -> Cancelled | None:
        """Why the run must end now, if it must."""
        if self._deadline_s is not None and time.monotonic() > self._deadline_s:
            return Cancelled(f"timeout: {self.stream.timeout_us} us asked for, and they are over")
        return Cancelled("cancelled by the client") if self.stream.is_cancelled() else None


class GraphRunnerStage(StreamingStage):
    """Serves the contract of `graph`; steps that are ready at the same time run side by side."""

    graph: EnsembleGraph

    def __init__(self, context: StageContext) -> None:
        self.contract = self.graph.contract
        self._caller = context.caller
        self._waves = tuple(waves(self.graph))
        workers = context.integer("max_running_requests")
        self._max_runs = workers + context.integer("max_waiting_requests")
        self._runs = ThreadPoolExecutor(workers, thread_name_prefix="run")
        self._calls = ThreadPoolExecutor(workers, thread_name_prefix="call")
        self._ids = itertools.count()
        self._active: set[Run] = set()
        self._lock = threading.Condition()
        self._closing = False
        self._watch_thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._watch_thread.start()

    def start(self, stream: Stream) -> None:
        """Queue the request for a thread of its own."""
        run = Run(stream, f"{self.contract.name}-{os.getpid()}-{next(self._ids)}")
        with self._lock:
            if len(self._active) >= self._max_runs:
                raise Overloaded(
                    f"{len(self._active)} requests are running or waiting, which is this model's "
                    "limit; try again later"
                )
            self._active.add(run)
            self._lock.notify()
        self._runs.submit(self._serve, run)

    def close(self) -> None:
        """Let the runs end, refuse those that had not begun, then end the threads."""
        self._runs.shutdown(wait=True, cancel_futures=True)
        for run in list(self._active):
            run.stream.fail(Cancelled("the server is stopping"))
        self._calls.shutdown()
        with self._lock:
            self._closing = True
            self._lock.notify()
        self._watch_thread.join()

    def _serve(self, run: Run) -> None:
        run.stream.part("queue", run.stream.arrival_s, time.perf_counter())
        try:
            self._walk(run)
        except Exception as error:
            run.stream.fail(error)
        finally:
            with self._lock:
                self._active.discard(run)

    def _walk(self, run: Run) -> None:
        tensors = dict(run.stream.tensors.values)
        for wave in self._waves:
            if fault := run.fault():
                raise fault
            if wave[0].model.decoupled:
                self._generate(run, wave[0], tensors)
            else:
                for outputs in self._calls.map(lambda s: self._call(run, s, tensors), wave):
                    tensors.update(outputs)

    def _inputs(self, step: Step, tensors: Mapping[str, Array]) -> dict[str, Array]:
        reads = self.graph.reads(step)
        return {spec.name: tensors[name] for spec, name in reads if name in tensors}

    def _call(self, run: Run, step: Step, tensors: Mapping[str, Array]) -> dict[str, Array]:
        with run.stream.calling(step.model.name) as traceparent:
            outputs = self._caller.call(step.model, self._inputs(step, tensors), traceparent)
        return {name: outputs[spec.name] for spec, name in step.writes()}

    def _generate(self, run: Run, step: Step, tensors: Mapping[str, Array]) -> None:
        """Pass on each response of the decoupled step; its last one is ours too."""
        run.is_generating, has_ended = True, False
        names = {spec.name: name for spec, name in step.writes()}
        with ExitStack() as calling:
            traceparent = calling.enter_context(run.stream.calling(step.model.name))
            for outputs in self._caller.stream(
                step.model, self._inputs(step, tensors), run.request_id, traceparent
            ):
                reason = outputs.get("finish_reason")
                if reason is not None and reason[0] == b"cancelled":
                    raise run.fault() or Cancelled("the request was cancelled")
                has_ended = reason is not None
                if has_ended:
                    calling.close()  # a part of the request is over before the request is
                own = {names[name]: array for name, array in outputs.items() if name in names}
                run.stream.send(own, final=has_ended)
            if not has_ended:
                raise RuntimeError(f"'{step.model.name}' ended its stream without a last response")

    def _watch(self) -> None:
        """Stop generations whose client has gone or whose time is up."""
        while not self._closing:
            with self._lock:
                self._lock.wait_for(lambda: self._active or self._closing)
                active = [run for run in self._active if run.is_generating]
            for run in active:
                try:
                    if run.fault():
                        self._stop(run)
                except Exception:  # one client's fault must not end the watch over the others
                    logger.exception("a generation could not be stopped; trying again")
            with self._lock:
                self._lock.wait_for(lambda: self._closing, timeout=POLL_S)

    def _stop(self, run: Run) -> None:
        """Asked again until the run is over: the first time may come before `llm` knows the id."""
        model = self._waves[-1][0].model
        for _ in self._caller.stream(model, {"stop": np.array([True])}, run.request_id):
            pass


class EnsembleStage(GraphRunnerStage):
    """`ensemble`: NVIDIA's LLM contract."""

    graph = ENSEMBLE


class RagCancellableStage(GraphRunnerStage):
    """`rag_cancellable`: `rag` that stops with its client and keeps its deadline."""

    graph = RAG_CANCELLABLE


def waves(graph: EnsembleGraph) -> Iterator[list[Step]]:
    """Groups of steps that can run side by side, in an order that data allows."""
    ready = {spec.name for spec in graph.contract.inputs}
    waiting = list(graph.steps)
    while waiting:
        wave = [s for s in waiting if all(name in ready for _, name in graph.reads(s))]
        ready |= {name for step in wave for _, name in step.writes()}
        waiting = [step for step in waiting if step not in wave]
        yield wave
