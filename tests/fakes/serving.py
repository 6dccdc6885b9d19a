"""Fakes of the protocols of python_backends, controlled by the test."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ensembles.contracts import ModelContract
from ensembles.metrics import Kind, Metric
from python_backends.context import StageContext
from python_backends.engines.llm_engine import SCHEDULED, Delta, EngineStats, GenerationParams, Sink
from python_backends.errors import outcome_of
from python_backends.tensors import Array, Outputs, Tensors

WAIT_S = 120
"""Longest wait for another thread; only a failing test waits that long."""


def strings(*texts: str | bytes) -> Array:
    """A STRING tensor as Triton hands it over."""
    return np.array([t.encode() if isinstance(t, str) else t for t in texts], dtype=np.object_)


def tensors(**values: Any) -> Tensors:
    """Inputs of a request; str and bytes become STRING tensors, the rest arrays."""
    return Tensors({name: _array(value) for name, value in values.items()})


def _array(value: Any) -> Array:
    if isinstance(value, str | bytes):
        return strings(value)
    if isinstance(value, list) and value and isinstance(value[0], str | bytes):
        return strings(*value)
    return np.atleast_1d(value)


def greedy(max_tokens: int = 8, seed: int = 7) -> GenerationParams:
    """Greedy parameters, with a stop word that no engine may be sent."""
    return GenerationParams(max_tokens=max_tokens, seed=seed, stop_words=("never sent",))


class FakeSeries:
    """Counter, gauge and histogram; `values` are all that were written."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def increment(self, value: float = 1.0) -> None:
        assert value >= 0, "counters only grow"
        self.values.append(value)

    def set(self, value: float) -> None:
        self.values.append(value)

    def observe(self, value: float) -> None:
        self.values.append(value)

    @property
    def sum(self) -> float:
        return sum(self.values)


class FakeMeter:
    """A `Meter` whose series can be read: `meter[metric, "label value"]`."""

    def __init__(self) -> None:
        self.series: dict[tuple[str, ...], FakeSeries] = {}

    def __getitem__(self, key: Any) -> FakeSeries:
        metric, *labels = key if isinstance(key, tuple) else (key,)
        return self.series.setdefault((metric.name, *labels), FakeSeries())

    def _get(self, kind: Kind, metric: Metric, labels: dict[str, str]) -> FakeSeries:
        assert metric.kind is kind, f"{metric.name} is a {metric.kind}"
        assert set(labels) == set(metric.labels), f"{metric.name} has the labels {metric.labels}"
        return self[metric, *labels.values()]

    def counter(self, metric: Metric, **labels: str) -> FakeSeries:
        return self._get(Kind.COUNTER, metric, labels)

    def gauge(self, metric: Metric, **labels: str) -> FakeSeries:
        return self._get(Kind.GAUGE, metric, labels)

    def histogram(self, metric: Metric, **labels: str) -> FakeSeries:
        return self._get(Kind.HISTOGRAM, metric, labels)


def context(
    folder: Path, caller: Any = None, meter: FakeMeter | None = None, **parameters: str | int
) -> StageContext:
    """A stage's context whose engine folder is `folder`."""
    values = {name: str(value) for name, value in parameters.items()}
    values = {"engine_folder": folder.name} | values
    return StageContext(folder.parent, values, caller, meter or FakeMeter())


@dataclass
class FakeStream:
    """Records responses; `closed` is set with the final one."""

    tensors: Tensors
    id: str = ""
    timeout_us: int = 0
    cancelled: bool = False
    sent: list[Outputs] = field(default_factory=list)
    error: Exception | None = None
    finals: int = 0
    closed: threading.Event = field(default_factory=threading.Event)
    arrival_s: float = field(default_factory=time.perf_counter)
    outcome: str | None = ""
    phases: list[tuple[str, float, float]] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Models that were called, with the outcome."""
    attributes_set: dict[str, Any] = field(default_factory=dict)

    def send(self, outputs: Outputs, final: bool = False, outcome: str | None = "ok") -> None:
        assert not self.finals, "sent after the final response"
        self.sent.append(outputs)
        if final:
            self.outcome = outcome
        self._end(final)

    def fail(self, error: Exception) -> None:
        assert not self.finals, "failed after the final response"
        self.error = error
        self.outcome = outcome_of(error)
        self._end(True)

    def is_cancelled(self) -> bool:
        return self.cancelled

    def record_phase(self, name: str, start_s: float, end_s: float) -> None:
        assert not self.finals, "a phase after the final response"
        self.phases.append((name, start_s, end_s))

    @contextmanager
    def model_call(self, model: str) -> Iterator[str | None]:
        outcome = "ok"
        try:
            yield f"parent-of-{model}"
        except Exception as error:
            outcome = outcome_of(error)
            raise
        finally:
            assert not self.finals, "a call that ends after the final response"
            self.calls.append((model, outcome))

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        assert not self.finals, "attributes after the final response"
        self.attributes_set |= attributes

    def _end(self, final: bool) -> None:
        if final:
            self.finals += 1
            self.closed.set()

    @property
    def text(self) -> str:
        """The text of all responses."""
        return "".join(outputs["text_output"][0] for outputs in self.sent)

    def last(self, name: str) -> Any:
        """A tensor of the last response as a list."""
        return list(self.sent[-1][name])


class FakeLlm:
    """An `LlmEngine` whose deltas come from the test."""

    def __init__(self, max_request_tokens: int = 64) -> None:
        self.max_request_tokens = max_request_tokens
        self.prompts: list[Sequence[int]] = []
        self.params: list[GenerationParams] = []
        self.sinks: list[Sink] = []
        self.cancelled: list[int] = []
        self.was_cancelled = threading.Event()
        self.refuses: Exception | None = None
        self.is_closed = False

    def submit(self, prompt_ids: Sequence[int], params: GenerationParams, sink: Sink) -> int:
        if self.refuses:
            raise self.refuses
        self.prompts.append(prompt_ids)
        self.params.append(params)
        self.sinks.append(sink)
        return len(self.sinks) - 1

    def schedule(self, request: int) -> None:
        """Put the request into the batch."""
        self.sinks[request](SCHEDULED)

    def give(self, request: int, ids: Sequence[int] = (), reason: str | None = None) -> None:
        """Let the engine deliver ids."""
        self.sinks[request](Delta(tuple(ids), reason))

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)
        self.was_cancelled.set()

    def stats(self) -> EngineStats:
        return EngineStats(running=len(self.sinks), waiting=0, kv_cache_used=0.0)

    def close(self) -> None:
        self.is_closed = True


@dataclass
class FakeSink:
    """Takes the deltas of one request; `ended` is set with the last one."""

    deltas: list[Delta] = field(default_factory=list)
    scheduled: int = 0
    started: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def __call__(self, delta: Delta) -> None:
        assert not self.ended.is_set(), "a delta after the last one"
        if delta is SCHEDULED:
            assert not self.deltas, "scheduled late"
            self.scheduled += 1
            return
        self.deltas.append(delta)
        self.started.set()
        if delta.finish_reason:
            self.ended.set()

    @property
    def ids(self) -> list[int]:
        return [i for delta in self.deltas for i in delta.token_ids]

    def wait(self) -> Delta:
        """The last delta."""
        assert self.ended.wait(WAIT_S), "the request did not end"
        return self.deltas[-1]


class SumEncoder:
    """An `EncoderEngine` that gives (sum of ids under the mask, tokens); records its batches.

    `width` 1 leaves out the tokens.
    """

    def __init__(self, width: int = 2) -> None:
        self.width = width
        self.shapes: list[tuple[int, ...]] = []

    def encode(self, batches: Sequence[Mapping[str, Array]]) -> list[Array]:
        return [self._encode(inputs) for inputs in batches]

    def _encode(self, inputs: Mapping[str, Array]) -> Array:
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        self.shapes.append(ids.shape)
        columns = np.stack([(ids * mask).sum(1), mask.sum(1)], axis=1)
        return columns[:, : self.width].astype(np.float32)


Answer = Callable[[Mapping[str, Array]], dict[str, Array]]
Answers = Callable[[Mapping[str, Array], str], Iterator[dict[str, Array]]]


@dataclass
class FakeCaller:
    """Other models as functions: `answers` by model name, and `streaming` for the decoupled one."""

    answers: Mapping[str, Answer]
    streaming: Answers
    called: list[str] = field(default_factory=list)
    traceparents: dict[str, str | None] = field(default_factory=dict)
    """By model, from its first call."""

    def call(
        self, model: ModelContract, inputs: Mapping[str, Array], traceparent: str | None = None
    ) -> dict[str, Array]:
        self.called.append(model.name)
        self.traceparents[model.name] = traceparent
        return self.answers[model.name](inputs)

    def stream(
        self,
        model: ModelContract,
        inputs: Mapping[str, Array],
        request_id: str,
        traceparent: str | None = None,
    ) -> Iterator[dict[str, Array]]:
        self.called.append(model.name)
        self.traceparents.setdefault(model.name, traceparent)
        return self.streaming(inputs, request_id)
