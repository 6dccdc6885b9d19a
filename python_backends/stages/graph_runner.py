"""`ensemble…`, `rag_cancellable` and `answer`: graphs that Triton's ensemble scheduler can't serve.

Triton 2.51 passes neither a cancellation nor a deadline on to the steps of an ensemble, and can't
stream to a client that sends a batch dimension. This stage calls the steps of the graph itself,
and ends the generation in `llm` when the client has disconnected or the deadline is over.
"""

import itertools
import logging
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np

from ensembles.contracts import OVERLOADED, ModelContract
from ensembles.ensemble import ENSEMBLE, ENSEMBLE_UNARY
from ensembles.graph import EnsembleGraph, Step
from ensembles.rag import RAG_CANCELLABLE
from ensembles.search import ANSWER
from python_backends.context import StageContext
from python_backends.deadline import Deadline
from python_backends.errors import Cancelled, Overloaded
from python_backends.stage import Stream, StreamingStage
from python_backends.tensors import Array

POLL_S = 0.02
"""Pause between two checks of clients and deadlines."""

logger = logging.getLogger(__name__)


class Run:
    def __init__(self, stream: Stream, inputs: Mapping[str, Array], generation_id: str) -> None:
        self.stream = stream
        self.inputs = inputs
        """The graph's inputs, in its types."""
        self.generation_id = generation_id
        """Request id of the decoupled step, by which it can be stopped."""
        self.is_generating = False
        self._deadline = Deadline(stream.timeout_us)

    def cancellation(self) -> Cancelled | None:
        """The error to end with, when the deadline is over or the client has disconnected."""
        if self._deadline.is_over:
            return self._deadline.error
        return Cancelled("cancelled by the client") if self.stream.is_cancelled() else None


class GraphRunnerStage(StreamingStage):
    """Serves the contract of `graph`; independent steps run concurrently."""

    graph: EnsembleGraph
    entry: ModelContract | None = None
    """The contract that is served, where it is not the graph's own."""

    def __init__(self, context: StageContext) -> None:
        self.contract = self.entry or self.graph.contract
        self._caller = context.caller
        self._levels = tuple(self.graph.levels())
        workers = context.integer("max_running_requests")
        self._max_runs = workers + context.integer("max_waiting_requests")
        self._run_threads = ThreadPoolExecutor(workers, thread_name_prefix="run")
        self._call_threads = ThreadPoolExecutor(workers, thread_name_prefix="call")
        self._numbers = itertools.count()
        self._active: set[Run] = set()
        self._lock = threading.Condition()
        self._closing = False
        self._poll_thread = threading.Thread(target=self._poll, name="poll", daemon=True)
        self._poll_thread.start()

    def start(self, stream: Stream) -> None:
        inputs = stream.tensors.values
        run = Run(stream, inputs, f"{self.contract.name}-{os.getpid()}-{next(self._numbers)}")
        with self._lock:
            if len(self._active) >= self._max_runs:
                raise Overloaded(
                    f"{len(self._active)} requests are running or waiting, which is this model's "
                    f"limit; {OVERLOADED}"
                )
            self._active.add(run)
            self._lock.notify()
        self._run_threads.submit(self._serve, run)

    def close(self) -> None:
        """Let running requests end, refuse waiting ones, then end the threads."""
        self._run_threads.shutdown(wait=True, cancel_futures=True)
        for run in list(self._active):
            run.stream.fail(Cancelled("the server is stopping"))
        self._call_threads.shutdown()
        with self._lock:
            self._closing = True
            self._lock.notify()
        self._poll_thread.join()

    def _serve(self, run: Run) -> None:
        run.stream.record_phase("queue", run.stream.arrival_s, time.perf_counter())
        try:
            self._run_steps(run)
        except Exception as error:
            run.stream.fail(error)
        finally:
            with self._lock:
                self._active.discard(run)

    def _run_steps(self, run: Run) -> None:
        tensors = dict(run.inputs)
        for level in self._levels:
            if cancellation := run.cancellation():
                raise cancellation
            if level[0].model.decoupled:
                self._generate(run, level[0], tensors)
            else:
                calls = self._call_threads.map(lambda s: self._call(run, s, tensors), level)
                for outputs in calls:
                    tensors.update(outputs)

    def _inputs(self, step: Step, tensors: Mapping[str, Array]) -> dict[str, Array]:
        reads = self.graph.reads(step)
        return {spec.name: tensors[name] for spec, name in reads if name in tensors}

    def _call(self, run: Run, step: Step, tensors: Mapping[str, Array]) -> dict[str, Array]:
        with run.stream.model_call(step.model.name) as traceparent:
            outputs = self._caller.call(step.model, self._inputs(step, tensors), traceparent)
        return {name: outputs[spec.name] for spec, name in step.writes()}

    def _generate(self, run: Run, step: Step, tensors: Mapping[str, Array]) -> None:
        run.is_generating, has_ended = True, False
        names = {spec.name: name for spec, name in step.writes()}
        with ExitStack() as call:
            traceparent = call.enter_context(run.stream.model_call(step.model.name))
            for outputs in self._caller.stream(
                step.model, self._inputs(step, tensors), run.generation_id, traceparent
            ):
                reason = outputs.get("finish_reason")
                if reason is not None and reason[0] == b"cancelled":
                    raise run.cancellation() or Cancelled("the request was cancelled")
                has_ended = reason is not None
                if has_ended:
                    call.close()  # a phase must end before its request ends
                own = {names[name]: array for name, array in outputs.items() if name in names}
                run.stream.send(own, final=has_ended)
            if not has_ended:
                raise RuntimeError(f"'{step.model.name}' ended its stream without a last response")

    def _poll(self) -> None:
        """Stop the generations of disconnected clients and of requests past their deadline."""
        while not self._closing:
            with self._lock:
                self._lock.wait_for(lambda: self._active or self._closing)
                generating = [run for run in self._active if run.is_generating]
            for run in generating:
                try:
                    if run.cancellation():
                        self._stop(run)
                except Exception:  # an error of one run must not end the polling for the others
                    logger.exception("a generation could not be stopped; trying again")
            with self._lock:
                self._lock.wait_for(lambda: self._closing, timeout=POLL_S)

    def _stop(self, run: Run) -> None:
        """Repeated at each poll: the first stop request may come before `llm` knows the id."""
        model = self._levels[-1][0].model
        for _ in self._caller.stream(model, {"stop": np.array([True])}, run.generation_id):
            pass


class EnsembleStage(GraphRunnerStage):
    """`ensemble`: NVIDIA's LLM contract."""

    graph = ENSEMBLE


class EnsembleUnaryStage(EnsembleStage):
    """`ensemble_unary`: for clients that want one response, without a batch dimension."""

    entry = ENSEMBLE_UNARY


class RagCancellableStage(GraphRunnerStage):
    """`rag_cancellable`: `rag` with cancellation and deadlines."""

    graph = RAG_CANCELLABLE


class AnswerStage(GraphRunnerStage):
    """`answer`: `search` and an answer from what it finds."""

    graph = ANSWER
