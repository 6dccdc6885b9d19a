"""Turns requests in Triton's own protocol into calls, with bounds of tokens by their bodies."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ensembles.contracts import LLM
from ensembles.ensemble import ENSEMBLE, ENSEMBLE_UNARY
from ensembles.rag import RAG, RAG_CANCELLABLE
from ensembles.search import ANSWER
from gateway.call import Document, Generate, Other, Sampling, SearchedCollection
from gateway.upstream.infer import BINARY_SIZE, first_number

_PROMPT_MODELS = {LLM.name, ENSEMBLE.contract.name, ENSEMBLE_UNARY.name}
_DOCUMENT_MODELS = {RAG.contract.name, RAG_CANCELLABLE.contract.name}
_GENERATIONS = {*_PROMPT_MODELS, *_DOCUMENT_MODELS, ANSWER.contract.name}


def generate_call(model: str, body: Mapping[str, Any]) -> Generate | Other:
    """The call in a checked body of `generate`; other models' tokens are not counted."""
    if model not in _GENERATIONS:
        return Other(model)
    given = body.get("max_tokens", body.get("parameters", {}).get("max_tokens"))
    return _generation(model, "".join(_strings(body)), _number(given))


def infer_call(model: str, body: Mapping[str, Any], tensors: bytes) -> Generate | Other:
    """The call in a checked body of `infer`; `tensors` are the bytes after its JSON."""
    if model not in _GENERATIONS:
        return Other(model)
    texts = "".join(_strings(body)) + tensors.decode("latin-1")
    return _generation(model, texts, _number(_max_tokens(body["inputs"], tensors)))


def _generation(model: str, texts: str, max_tokens: int | None) -> Generate:
    asked = Generate(model, sampling=Sampling(max_tokens=max_tokens))
    if model in _PROMPT_MODELS:
        return replace(asked, prompt=texts)
    if model in _DOCUMENT_MODELS:
        return replace(asked, documents=(Document(texts),))
    return replace(asked, collection=SearchedCollection(""))


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for each in value.values():
                yield from _strings(each)
        case list():
            for each in value:
                yield from _strings(each)


def _max_tokens(inputs: list[Any], tensors: bytes) -> Any:
    start = 0
    for given in inputs:
        size = given.get("parameters", {}).get(BINARY_SIZE, 0)
        if given["name"] == "max_tokens":
            return given.get("data") or int.from_bytes(tensors[start : start + size], "little")
        start += size
    return None


def _number(given: Any) -> int | None:
    """A number of tokens; None for a value that the model refuses, such as 0."""
    number = first_number(given)
    return number if number and number > 0 else None
