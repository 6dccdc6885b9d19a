"""`collections`: makes, changes, lists and deletes collections; the only writer of the store."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ensembles.collections import COLLECTIONS, OPERATIONS
from ensembles.embed import EMBED
from python_backends.context import StageContext
from python_backends.errors import RequestError
from python_backends.stage import Stage
from python_backends.stages.collection_documents import read_documents, read_ids
from python_backends.stages.collection_store import open_store, require_embedder
from python_backends.stages.fusion import read_count
from python_backends.stores.store import Collection, check_name
from python_backends.tensors import Outputs, Tensors

MAX_LISTED = 10_000
"""Most documents in one answer to `documents`."""
DEFAULT_LISTED = 1_000

Result = Mapping[str, Any]


class CollectionsStage(Stage):
    """One operation per request; its result is a JSON object."""

    contract = COLLECTIONS

    def __init__(self, context: StageContext) -> None:
        self._embedder = context.engine_folder().manifest.embedding_space
        self._caller = context.caller
        self._store = open_store(context)
        self._operations: dict[str, Callable[[Tensors], Result]] = {
            "create": self._create,
            "upsert": self._upsert,
            "remove": self._remove,
            "delete": self._delete,
            "list": self._list,
            "describe": self._describe,
            "documents": self._documents,
        }

    def answer(self, request: Tensors) -> Outputs:
        operation = request.text("operation")
        if operation not in self._operations:
            possible = ", ".join(OPERATIONS)
            raise RequestError(f"operation: '{operation[:20]}' given; possible are {possible}")
        result = self._operations[operation](request)
        return {"result": [json.dumps(result, ensure_ascii=False)]}

    def close(self) -> None:
        self._store.close()

    def _create(self, request: Tensors) -> Result:
        name = check_name(_name(request))
        sample = {"input_text": np.array([b"width"], object)}
        width = self._caller.call(EMBED.contract, sample)["embedding"].shape[1]
        return self._shown(self._store.create(name, self._embedder, width))

    def _upsert(self, request: Tensors) -> Result:
        collection = self._store.collection(_name(request))
        require_embedder(collection, self._embedder)
        documents = read_documents(request, collection.dimension)
        return asdict(self._store.replace(collection.name, documents))

    def _remove(self, request: Tensors) -> Result:
        return asdict(self._store.remove(_name(request), read_ids(request)))

    def _delete(self, request: Tensors) -> Result:
        return self._shown(self._store.delete(_name(request)))

    def _list(self, _request: Tensors) -> Result:
        return {"collections": [self._shown(one) for one in self._store.collections()]}

    def _describe(self, request: Tensors) -> Result:
        return self._shown(self._store.collection(_name(request)))

    def _documents(self, request: Tensors) -> Result:
        limit = read_count(request, "limit", DEFAULT_LISTED)
        if limit > MAX_LISTED:
            raise RequestError(f"limit: {limit:,} given; at most {MAX_LISTED:,} is possible")
        after = request.text("after", "")
        found = self._store.documents(_name(request), after, limit)
        return {"documents": [asdict(entry) for entry in found]}

    def _shown(self, collection: Collection) -> Result:
        """The collection's fields and `served_embedder`, which upserts and searches need as its
        `embedder`."""
        return asdict(collection) | {"served_embedder": self._embedder}


def _name(request: Tensors) -> str:
    if "collection" not in request:
        raise RequestError("collection: missing; this operation needs the name of a collection")
    return request.text("collection")
