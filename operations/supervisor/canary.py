"""The smallest request that each model can answer, made from its contract."""

import math
from dataclasses import dataclass

from builders.served_models import PYTHON_MODELS
from ensembles.contracts import LLM, ModelContract
from ensembles.ensemble import ENSEMBLE, ENSEMBLE_UINT32, ENSEMBLE_UNARY
from ensembles.graph import full_dims
from ensembles.rag import RAG_CANCELLABLE
from ensembles.tensors import DType, TensorSpec
from operations.supervisor.journal import SERVER

_SAMPLES = {DType.STRING: "canary", DType.BOOL: False, DType.INT32: 0}
"""INT32 are indexes; others get 1, which is a token id and its mask."""
_CALLS = {
    contract.name: frozenset(step.model.name for step in graph.steps)
    for contract, graph in (
        (ENSEMBLE.contract, ENSEMBLE),
        (ENSEMBLE_UINT32, ENSEMBLE),
        (ENSEMBLE_UNARY, ENSEMBLE),
        (RAG_CANCELLABLE.contract, RAG_CANCELLABLE),
    )
}
"""The graphs that a Python model runs."""


@dataclass(frozen=True)
class Canary:
    """How to ask one model, and which others it calls to answer."""

    model: str
    path: str
    body: dict[str, object]
    """JSON, but for the request's id."""
    decoupled: bool = False
    """Or answered like a decoupled one: from threads, so that its requests hang when it dies."""
    calls: frozenset[str] = frozenset()


SERVER_CANARY = Canary(SERVER, "/v2/health/live", {})


def canaries() -> tuple[Canary, ...]:
    """For every model that has a process."""
    return tuple(_canary(model.contract) for model in PYTHON_MODELS)


def _canary(contract: ModelContract) -> Canary:
    name, path = contract.name, f"/v2/models/{contract.name}/"
    required = [spec for spec in contract.inputs if not spec.optional]
    if not contract.decoupled and name not in _CALLS:
        inputs = [_input(spec, contract.batched) for spec in required]
        return Canary(name, f"{path}infer", {"inputs": inputs})
    if contract is LLM:  # takes a prompt or messages, so it requires neither
        required = [spec for spec in contract.inputs if spec.name == "text_input"]
    body = {spec.name: _SAMPLES.get(spec.dtype, 1) for spec in required} | {"max_tokens": 1}
    return Canary(name, f"{path}generate", body, True, _CALLS.get(name, frozenset()))


def _input(spec: TensorSpec, batched: bool) -> dict[str, object]:
    shape = [1 if size < 0 else size for size in full_dims(spec, batched)]
    values = [_SAMPLES.get(spec.dtype, 1)] * math.prod(shape)
    return {"name": spec.name, "datatype": spec.dtype.value, "shape": shape, "data": values}
