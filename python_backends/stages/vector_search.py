"""`vector_search`: the passages of a collection that the reranker judges."""

import json
from threading import Event, Thread

import numpy as np

from ensembles.collections import NOTHING_FITS, VECTOR_SEARCH
from python_backends.context import StageContext
from python_backends.errors import NotFound, RequestError
from python_backends.headings import in_context
from python_backends.stage import Stage
from python_backends.stages.bm25 import character_kinds
from python_backends.stages.collection_store import open_store, require_embedder
from python_backends.stages.fusion import best_first, read_count, scaled
from python_backends.stages.passage_selector import candidate_sentences, cosines, scaled_words
from python_backends.stores import filters
from python_backends.stores.store import Collection, Found, FoundPassage
from python_backends.tensors import Array, Outputs, Tensors

MAX_CANDIDATES = 1024
"""Most candidates: the rows of one request to the reranker."""

WARM_AGAIN_S = 0.5
"""Pause between two checks whether there is a first collection."""


class VectorSearchStage(Stage):
    """The store finds the nearest passages and the best by words. Whatever the store, they are then
    ranked as `passage_selector` ranks the passages of a request (docs/decisions/0057)."""

    contract = VECTOR_SEARCH

    def __init__(self, context: StageContext) -> None:
        self._embedder = context.engine_folder().manifest.embedding_space
        self._num_candidates = context.integer("num_candidates")
        self._searched = context.integer("searched_candidates")
        self._max_sentences = context.integer("max_sentences")
        self._store = open_store(context)
        character_kinds()  # slow the first time
        self._is_closed = Event()
        self._warming = Thread(target=self._warm, name="warm the store", daemon=True)
        self._warming.start()  # the model is ready meanwhile

    def answer(self, request: Tensors) -> Outputs:
        count = read_count(request, "num_candidates", self._num_candidates)
        if count > MAX_CANDIDATES:
            raise RequestError(
                f"num_candidates: {count:,} given; at most {MAX_CANDIDATES:,} are possible"
            )
        collection = self._store.collection(request.text("collection"))
        require_embedder(collection, self._embedder)
        embedding = _embedding(request, collection)
        wanted = _filter(request, collection)
        searched = max(count, self._searched)
        found = self._store.search(collection, request.text("query"), embedding, wanted, searched)
        if not found.passages:
            raise nothing_fits(collection, wanted)
        # If fewer were found than asked for, these are all that fit the filter.
        are_all = len(found.passages) < searched
        number = len(found.passages) if are_all else collection.passages
        return {
            **_ranked(request.text("query"), found, embedding, count, self._max_sentences),
            "num_searched": np.array([number], np.int32),
        }

    def close(self) -> None:
        self._is_closed.set()
        self._warming.join()
        self._store.close()

    def _warm(self) -> None:
        """Warm the store, until it has a collection: the first may be made after the start."""
        while not self._store.warm() and not self._is_closed.wait(WARM_AGAIN_S):
            pass


def _embedding(request: Tensors, collection: Collection) -> Array:
    given = request.array("query_embedding")
    if given.shape != (1, collection.dimension):
        raise RequestError(
            f"query_embedding: shape {list(given.shape)} given; collection '{collection.name}' "
            f"needs [1, {collection.dimension}]"
        )
    row: Array = given[0]
    return row


def _filter(request: Tensors, collection: Collection) -> filters.Filter:
    if "filter" not in request or not (text := request.text("filter")):
        return filters.NO_FILTER
    return filters.parse(text, collection.fields)


def nothing_fits(collection: Collection, wanted: filters.Filter) -> NotFound:
    """The error of a search without candidates: nothing could be reranked or answered from."""
    if not collection.passages:
        why = f"collection '{collection.name}' is empty; ingest documents first"
    elif filters.fits_all(wanted):
        why = f"collection '{collection.name}' gave none"
    else:
        why = f"the filter leaves none of {collection.passages:,} in '{collection.name}'"
    return NotFound(f"{NOTHING_FITS}: {why}")


def _ranked(query: str, found: Found, embedding: Array, count: int, max_sentences: int) -> Outputs:
    similarity = cosines(found.embeddings, embedding).astype(np.float32)
    contexts = [_in_context(passage) for passage in found.passages]
    words = scaled_words(query, contexts)
    order = best_first(scaled(similarity) + words, count)
    passages = [found.passages[i] for i in order]
    numbers: dict[str, int] = {}
    owners = [numbers.setdefault(passage.document, len(numbers)) for passage in passages]
    candidates = [passage.text for passage in passages]
    return {
        "candidates": candidates,
        "candidates_in_context": [contexts[i] for i in order],
        "candidate_document": np.array(owners, np.int32),
        "candidate_similarity": similarity[order],
        "candidate_words": words[order],
        **candidate_sentences(candidates, max_sentences),
        "candidate_id": [passage.id for passage in passages],
        "candidate_title": [passage.title for passage in passages],
        "candidate_page": np.array([passage.page for passage in passages], np.int32),
        "candidate_metadata": [_metadata(passage) for passage in passages],
    }


def _in_context(passage: FoundPassage) -> str:
    """The passage below its title and headings, whose words count like its own."""
    metadata = passage.passage_metadata
    headings = json.loads(metadata).get("headings", []) if '"headings"' in metadata else []
    path = [passage.title, *headings] if isinstance(headings, list) else [passage.title]
    return in_context(map(str, path), passage.text)


def _metadata(passage: FoundPassage) -> str:
    """JSON; both parts are JSON objects already."""
    document = json.dumps(passage.document, ensure_ascii=False)
    return (
        f'{{"document": {document}, "number": {passage.number}, '
        f'"passage": {passage.passage_metadata}, "metadata": {passage.document_metadata}}}'
    )
