"""The small protocols of python_backends, in memory and under the test's control."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ensembles.contracts import ModelContract
from python_backends.engines import Delta, EngineStats, Sink
from python_backends.sampling import GenerationParams
from python_backends.stage import Array, Outputs, StageContext, Tensors

WAIT_S = 10
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
    """A request that asks for nothing special, with a stop word that no engine may be sent."""
    return GenerationParams(
        max_tokens=max_tokens,
        min_tokens=0,
        temperature=0.0,
        top_k=0,
        top_p=1.0,
        repetition_penalty=1.0,
        presence_penalty=0.0,
        frequency_penalty=0.0,
        seed=seed,
        stop_words=("never sent",),
    )


class FakeGauge:
    def __init__(self) -> None:
        self.value = 0.0

    def set(self, value: float) -> None:
        self.value = value


def context(folder: Path, caller: Any = None, **parameters: str | int) -> StageContext:
    """A stage's context whose engine folder is `folder`."""
    values = {name: str(value) for name, value in parameters.items()}
    return StageContext(
        folder.parent, {"engine_folder": folder.name} | values, caller, lambda *_: FakeGauge()
    )


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

    def send(self, outputs: Outputs, final: bool = False) -> None:
        assert not self.finals, "sent behind the final response"
        self.sent.append(outputs)
        self._end(final)

    def fail(self, error: Exception) -> None:
        assert not self.finals, "failed behind the final response"
        self.error = error
        self._end(True)

    def is_cancelled(self) -> bool:
        return self.cancelled

    def _end(self, final: bool) -> None:
        if final:
            self.finals += 1
            self.closed.set()

    @property
    def text(self) -> str:
        """Of all responses."""
        return "".join(outputs["text_output"][0] for outputs in self.sent)

    def last(self, name: str) -> Any:
        """A tensor of the last response as a list."""
        return list(self.sent[-1][name])


class FakeLlm:
    """An `LlmEngine` that says what the test tells it to, when it tells it to."""

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

    def give(self, request: int, ids: Sequence[int] = (), reason: str | None = None) -> None:
        """Let the engine deliver ids."""
        self.sinks[request](Delta(tuple(ids), reason))

    def cancel(self, request: int) -> None:
        self.cancelled.append(request)
        self.was_cancelled.set()

    def stats(self) -> EngineStats:
        return EngineStats(running=len(self.sinks), waiting=0, kv_cache_used=0.0)

    def close(self) -> None:
        self.is_closed = True


@dataclass
class FakeSink:
    """Takes the deltas of one request; `ended` is set with the last one."""

    deltas: list[Delta] = field(default_factory=list)
    started: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def __call__(self, delta: Delta) -> None:
        assert not self.ended.is_set(), "a delta behind the last one"
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

    def encode(self, inputs: Mapping[str, Array]) -> Array:
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        self.shapes.append(ids.shape)
        columns = np.stack([(ids * mask).sum(1), mask.sum(1)], axis=1)
        return columns[:, : self.width].astype(np.float32)


Answer = Callable[[Mapping[str, Array]], dict[str, Array]]
Answers = Callable[[Mapping[str, Array], str], Iterator[dict[str, Array]]]


@dataclass
class FakeCaller:
    """Other models as functions: `answers` by model name, and the one that streams."""

    answers: Mapping[str, Answer]
    streaming: Answers
    called: list[str] = field(default_factory=list)

    def call(self, model: ModelContract, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.called.append(model.name)
        return self.answers[model.name](inputs)

    def stream(
        self, model: ModelContract, inputs: Mapping[str, Array], request_id: str
    ) -> Iterator[dict[str, Array]]:
        self.called.append(model.name)
        return self.streaming(inputs, request_id)
