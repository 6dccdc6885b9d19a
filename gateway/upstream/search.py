"""Answers `Search` with the model `search`, and reads sources from tensors."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from ensembles.collections import NOTHING_FITS
from ensembles.contracts import PLACES, SOURCES
from ensembles.search import SEARCH
from gateway.call import MODEL_VERSION, Call, Search, SearchedCollection, Source, Sources
from gateway.errors import BadRequest, GatewayError, NotFound, UpstreamFailed
from gateway.upstream.connection import Connection
from gateway.upstream.infer import Tensor, read_texts, texts

MIN_CANDIDATES = 16
"""Least number of passages that are reranked, however few sources are wanted."""

_TEXTS = ("sources", "source_id", "source_title", "source_metadata")
_TYPES = {"source_document": "i", "source_page": "i"}


async def search(triton: Connection, call: Call, request: Search) -> Sources:
    """The sources, best first; none if no passage of the collection fits."""
    inputs = [texts("question", request.query), *collection_tensors(request.collection)]
    outputs = [spec.name for spec in (*SOURCES, *PLACES)]
    try:
        found = await triton.infer(call, SEARCH.contract.name, inputs, outputs)
    except NotFound as error:
        if NOTHING_FITS in str(error):
            return Sources(())
        raise gone() from None
    call.headers[MODEL_VERSION] = found.version
    columns = {
        name: read_texts(data) if name in _TEXTS else array(_TYPES.get(name, "f"), data).tolist()
        for name, data in found.data.items()
    }
    return Sources(tuple(read_sources(columns)))


def collection_tensors(collection: SearchedCollection) -> Iterator[Tensor]:
    yield texts("collection", collection.name)
    if collection.filter:
        yield texts("filter", collection.filter)
    for name, count in counts(collection).items():
        yield Tensor(name, "INT32", [1], [count])


def counts(collection: SearchedCollection) -> dict[str, int]:
    """`num_sources`, and enough candidates for them; empty if the model decides."""
    if collection.num_sources is None:
        return {}
    candidates = max(MIN_CANDIDATES, collection.num_sources)
    return {"num_sources": collection.num_sources, "num_candidates": candidates}


def read_sources(columns: Mapping[str, Sequence[Any]]) -> Iterator[Source]:
    """Sources from the columns of `SOURCES`, and of `PLACES` if these are there."""
    names = [spec.name for spec in SOURCES]
    places: list[Sequence[Any]] = []
    if columns.get("source_id"):
        about = [orjson.loads(text) for text in columns["source_metadata"]]
        places = [[found["document"] for found in about], columns["source_title"]]
        places += [columns["source_page"], [found["metadata"] for found in about]]
    for row in zip(*(columns[name] for name in names), *places, strict=True):
        yield Source(*row)


def in_collection(error: GatewayError) -> GatewayError:
    """The error of an answer from a collection, without the names of other collections."""
    if not isinstance(error, NotFound):
        return error
    if NOTHING_FITS in str(error):
        return BadRequest("nothing in the vector store fits; is a file of it completed?")
    return gone()


def gone() -> UpstreamFailed:
    return UpstreamFailed("the vector store's collection is gone from the models' server")
