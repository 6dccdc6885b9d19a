"""The context of a stage: parameters, engine folder, metrics, and calls to other models."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ensembles.contracts import ModelContract
from ensembles.manifest import Manifest, check_file, read_manifest
from ensembles.metrics import Metric
from python_backends.tensors import Array


@dataclass(frozen=True)
class EngineFolder:
    """The folder that `builders` made for one model, with its manifest."""

    path: Path
    manifest: Manifest

    def file(self, name: str) -> Path:
        return check_file(self.path, self.manifest, name)


class ModelCaller(Protocol):
    """Calls other models of the same server; raises the `RequestError` that they answer with.

    `traceparent` (W3C Trace Context) is the span that the call belongs to, None without tracing.
    """

    def call(
        self, model: ModelContract, inputs: Mapping[str, Array], traceparent: str | None = None
    ) -> dict[str, Array]:
        """The outputs of a model that sends one response."""

    def stream(
        self,
        model: ModelContract,
        inputs: Mapping[str, Array],
        request_id: str,
        traceparent: str | None = None,
    ) -> Iterator[dict[str, Array]]:
        """The outputs of each response of a decoupled model."""


class Counter(Protocol):
    def increment(self, value: float = 1.0) -> None: ...


class Gauge(Protocol):
    def set(self, value: float) -> None: ...


class Histogram(Protocol):
    def observe(self, value: float) -> None: ...


class Meter(Protocol):
    """The metrics of one model.

    The same metric and labels return the same series. A write takes about a microsecond on
    any thread, never waits for the server and never fails.
    """

    def counter(self, metric: Metric, **labels: str) -> Counter: ...

    def gauge(self, metric: Metric, **labels: str) -> Gauge: ...

    def histogram(self, metric: Metric, **labels: str) -> Histogram: ...


@dataclass(frozen=True)
class StageContext:
    """`parameters` are those of config.pbtxt; `device_id` is the instance's GPU, 0 on a CPU."""

    version_folder: Path
    parameters: Mapping[str, str]
    caller: ModelCaller
    meter: Meter
    device_id: int = 0

    def engine_folder(self) -> EngineFolder:
        """The folder that the parameter `engine_folder` names, relative to the version folder."""
        path = self.version_folder / self.parameters["engine_folder"]
        return EngineFolder(path, read_manifest(path))

    def integer(self, name: str) -> int:
        return int(self.parameters[name])
