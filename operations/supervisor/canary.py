"""The smallest request that each model can answer, made from its contract."""

import itertools
from dataclasses import dataclass

from builders.served_models import PYTHON_MODELS
from ensembles.contracts import LLM, ModelContract
from ensembles.ensemble import ENSEMBLE
from ensembles.graph import EnsembleGraph, full_dims
from ensembles.rag import RAG_CANCELLABLE
from ensembles.tensors import DType, TensorSpec

GRAPH_RUNNERS: tuple[EnsembleGraph, ...] = (ENSEMBLE, RAG_CANCELLABLE)
"""Models that call other models."""

_SAMPLES: dict[DType, object] = {
    DType.STRING: "canary",
    DType.BOOL: False,
    DType.FP32: 0.5,
    DType.FP16: 0.5,
    DType.INT32: 0,  # an index
    DType.INT64: 1,  # a token id and its mask
    DType.UINT64: 1,
}


@dataclass(frozen=True)
class Canary:
    """How to ask one model, and which others it calls to answer."""

    model: str
    path: str
    body: dict[str, object]
    """JSON, but for the request's id."""
    decoupled: bool = False
    calls: frozenset[str] = frozenset()


def canaries() -> tuple[Canary, ...]:
    """Canaries of all models with a process, called ones before their callers."""
    graphs = {graph.name: graph for graph in GRAPH_RUNNERS}
    found = [_canary(model.contract, graphs) for model in PYTHON_MODELS]
    return tuple(sorted(found, key=lambda canary: bool(canary.calls)))


def _canary(contract: ModelContract, graphs: dict[str, EnsembleGraph]) -> Canary:
    graph = graphs.get(contract.name)
    calls = frozenset(step.model.name for step in graph.steps) if graph else frozenset[str]()
    path = f"/v2/models/{contract.name}/" + ("generate" if contract.decoupled else "infer")
    body = _generate_body(contract) if contract.decoupled else _infer_body(contract)
    return Canary(contract.name, path, body, contract.decoupled, calls)


def _generate_body(contract: ModelContract) -> dict[str, object]:
    """One token of text; `llm` has no required input, as it takes a prompt or messages."""
    required = [spec for spec in contract.inputs if not spec.optional]
    if contract is LLM:
        required = [spec for spec in contract.inputs if spec.name == "text_input"]
    return {spec.name: _SAMPLES[spec.dtype] for spec in required} | {"max_tokens": 1}


def _infer_body(contract: ModelContract) -> dict[str, object]:
    inputs = [_input(spec, contract.batched) for spec in contract.inputs if not spec.optional]
    return {"inputs": inputs}


def _input(spec: TensorSpec, batched: bool) -> dict[str, object]:
    shape = [1 if size < 0 else size for size in full_dims(spec, batched)]
    count = 1
    for size in shape:
        count *= size
    values = list(itertools.repeat(_SAMPLES[spec.dtype], count))
    return {"name": spec.name, "datatype": spec.dtype.value, "shape": shape, "data": values}
