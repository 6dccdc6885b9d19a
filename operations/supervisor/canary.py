"""The smallest request that each model can answer, made from its contract."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.samples import Sample

from ensembles.contracts import LLM, TOKENIZER
from ensembles.graph import full_dims
from ensembles.metrics import ITERATIONS, REQUESTS, TOKENS
from ensembles.served_models import PYTHON_MODELS, PythonModel
from ensembles.tensors import DType, TensorSpec
from operations.supervisor.journal import SERVER
from operations.triton_api import Answer, TritonApi

_SAMPLES = {DType.STRING: "canary", DType.BOOL: False, DType.INT32: 0}
"""Sample values by type. INT32 are indexes; other numbers are 1: a token id, and its mask."""
_VALUES = {"operation": "list"}
"""Values, by name, of inputs that only allow certain values."""
_CHOSEN = {LLM.name: "text_input", TOKENIZER.name: "input_text"}
"""Optional inputs to send, by model: these models need one of two inputs."""
_NO_COLLECTION = f"collection: there is no '{_SAMPLES[DType.STRING]}'"
"""The error of a search that works: there is no collection with that name."""
_EXECUTIONS = "nv_inference_exec_count"


@dataclass(frozen=True)
class Canary:
    """How to ask one model, and which others it calls to answer."""

    model: str
    path: str
    body: dict[str, object]
    """The request's JSON without its id; empty for the server, which is asked with GET."""
    decoupled: bool = False
    """Whether it is decoupled or answers from threads like one: its requests hang if it dies."""
    calls: frozenset[str] = frozenset()

    def ask(self, api: TritonApi, timeout_s: float) -> Answer:
        """Raises `NoAnswer`."""
        if not self.body:
            return api.call("GET", self.path, timeout_s=timeout_s)
        body = self.body | {"id": f"canary-{self.model}-{time.monotonic_ns()}"}
        return api.call("POST", self.path, body, timeout_s)

    def fault(self, answer: Answer) -> str:
        """What is wrong with the model; empty also if a queue is full."""
        is_alive = answer.is_busy or _NO_COLLECTION in answer.error
        return "" if is_alive else answer.error

    def progress(self, api: TritonApi) -> tuple[Sample, ...]:
        """Counters of finished work of the model, and of tokens of the model that it streams from.

        Cancelled requests do not count: those of a hanging model would look like progress. They
        change Triton's own counters of decoupled models, so these are left out. Raises `NoAnswer`.
        """
        samples = api.metrics() if self.body else ()
        return tuple(sample for sample in samples if self._is_progress(sample))

    def _is_progress(self, sample: Sample) -> bool:
        name, labels = sample.name, sample.labels
        model = labels.get("model")
        if name == ITERATIONS.name or (name == TOKENS.name and labels.get("type") == "output"):
            return model == self.model or model in self.calls
        if name == REQUESTS.name:
            return model == self.model and labels.get("outcome") in ("ok", "failed")
        return name == _EXECUTIONS and model == self.model and not self.decoupled


SERVER_CANARY = Canary(SERVER, "/v2/health/live", {})


def canaries(repository: Path) -> tuple[Canary, ...]:
    """The canaries of the models of the repository that have a process."""
    served = (model for model in PYTHON_MODELS if (repository / model.contract.name).is_dir())
    return tuple(_canary(model) for model in served)


def _canary(model: PythonModel) -> Canary:
    contract, path = model.contract, f"/v2/models/{model.contract.name}/"
    chosen = _CHOSEN.get(contract.name)
    specs = [spec for spec in contract.inputs if not spec.optional or spec.name == chosen]
    if not contract.decoupled and not model.graph:
        inputs = [_input(spec, contract.batched) for spec in specs]
        return Canary(contract.name, f"{path}infer", {"inputs": inputs})
    body = {spec.name: _value(spec) for spec in specs} | {"max_tokens": 1}
    return Canary(contract.name, f"{path}generate", body, True, model.calls)


def _input(spec: TensorSpec, batched: bool) -> dict[str, object]:
    shape = [1 if size < 0 else size for size in full_dims(spec, batched)]
    values = [_value(spec)] * math.prod(shape)
    return {"name": spec.name, "datatype": spec.dtype.value, "shape": shape, "data": values}


def _value(spec: TensorSpec) -> object:
    return _VALUES.get(spec.name, _SAMPLES.get(spec.dtype, 1))
