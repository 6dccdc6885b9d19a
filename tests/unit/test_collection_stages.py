"""What `collections` and `vector_search` refuse, over a real store."""

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from ensembles.collections import NOTHING_FITS, STORE_VARIABLE
from ensembles.manifest import read_manifest
from python_backends.errors import NotFound, RequestError
from python_backends.stages.collections import CollectionsStage
from python_backends.stages.vector_search import VectorSearchStage
from python_backends.stores.lance_store import LanceStore
from python_backends.stores.store import Document, Passage
from tests.fakes import folders
from tests.fakes.serving import WAIT_S, context, tensors


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path / "collections"))
    return folders.make_folder(tmp_path / "cpu", folders.word_level(["a"]), max_tokens=32)


@pytest.fixture
def collections(folder: Path) -> Iterator[CollectionsStage]:
    """With the collection `books`, of two values an embedding."""
    store = LanceStore(folder.parent / "collections")
    store.create("books", read_manifest(folder).embedding_space, 2)
    store.close()
    stage = CollectionsStage(context(folder, collections_folder="unused"))
    yield stage
    stage.close()


@pytest.fixture
def search(folder: Path, collections: CollectionsStage) -> Iterator[VectorSearchStage]:
    limits = {"num_candidates": 2, "searched_candidates": 4, "max_sentences": 8}
    stage = VectorSearchStage(context(folder, collections_folder="unused", **limits))
    yield stage
    stage.close()


def upsert(**changes: Any) -> Any:
    """A right request, some of its tensors changed; None leaves one out."""
    given: dict[str, Any] = {
        "operation": "upsert",
        "collection": "books",
        "documents": ['{"id": "a", "metadata": {"year": 2020}}', '{"id": "b"}'],
        "passages": ["one", "two", "three"],
        "passage_document": np.array([0, 1, 0], np.int32),
        "passage_embedding": np.eye(3, 2, dtype=np.float32),
    }
    return tensors(**{name: v for name, v in (given | changes).items() if v is not None})


def asked(stage: VectorSearchStage, **changes: Any) -> Any:
    given = {
        "query": "one",
        "query_embedding": np.array([[1, 0]], np.float32),
        "collection": "books",
    }
    return stage.answer(tensors(**given | changes))


def test_passages_go_to_their_documents_in_order(
    collections: CollectionsStage, search: VectorSearchStage
) -> None:
    (result,) = collections.answer(upsert())["result"]
    assert json.loads(result) == {"documents": 2, "passages": 3, "replaced": 0}
    found = asked(search)
    assert (found["candidates"][0], found["candidate_id"][0]) == ("one", "a#0")
    assert len(found["candidates"]) == 2
    about = json.loads(found["candidate_metadata"][0])
    assert about == {"document": "a", "number": 0, "passage": {}, "metadata": {"year": 2020}}


@pytest.mark.parametrize(
    ("passages", "asks", "number"),
    [
        (3, {}, 3),
        (9, {}, 9),  # 4 are compared by similarity, and 4 by words
        (9, {"filter": '{"document": "b"}'}, 1),
        (9, {"filter": '{"document": "a"}'}, 9),  # no more is known than that all were found
    ],
)
def test_a_search_tells_among_how_many_passages_it_found(
    collections: CollectionsStage,
    search: VectorSearchStage,
    passages: int,
    asks: dict[str, Any],
    number: int,
) -> None:
    changes = {
        "passages": ["one"] * passages,
        "passage_document": np.array([1] + [0] * (passages - 1), np.int32),
        "passage_embedding": np.ones((passages, 2), np.float32),
    }
    collections.answer(upsert(**changes))
    assert asked(search, **asks)["num_searched"].tolist() == [number]


def test_a_text_about_escapes_is_stored(
    collections: CollectionsStage, search: VectorSearchStage
) -> None:
    """One page of PostgreSQL's manual ended an ingest: a NUL is refused, its name is not."""
    told = "JSON writes a NUL as \\u0000"
    about = [json.dumps({"headings": [told]}), "{}", "{}"]
    collections.answer(upsert(passages=[told, "two", "three"], passage_metadata=about))
    assert told in asked(search)["candidates"]


def test_words_of_title_and_headings_count(
    collections: CollectionsStage, search: VectorSearchStage
) -> None:
    documents = ['{"id": "a"}', '{"id": "b", "title": "Heat pump"}', '{"id": "c"}']
    about = ["{}", '{"headings": ["Heat pump", "Winter"]}', '{"headings": "odd"}']
    texts = ["switch off the pump", "switch it off", "switch on"]
    places = np.array([0, 1, 2], np.int32)
    alike = np.ones((3, 2), np.float32)
    changes = {"passages": texts, "passage_document": places, "passage_embedding": alike}
    collections.answer(upsert(documents=documents, passage_metadata=about, **changes))
    found = asked(search, query="heat pump in winter")
    assert found["candidates"][0] == "switch it off"
    assert found["candidates_in_context"][0] == "Heat pump > Winter\nswitch it off"


def test_the_first_collection_is_warm_before_it_is_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made by another process after the start, as an ingest does."""
    searched = Event()
    search = LanceStore.search

    def told(self: LanceStore, *given: Any) -> Any:
        found = search(self, *given)
        searched.set()
        return found

    monkeypatch.setattr(LanceStore, "search", told)
    limits = {"num_candidates": 2, "searched_candidates": 4, "max_sentences": 8}
    stage = VectorSearchStage(context(folder, collections_folder="unused", **limits))
    store = LanceStore(folder.parent / "collections")
    store.create("books", read_manifest(folder).embedding_space, 2)
    store.replace("books", [Document("a", [Passage("one")], np.ones((1, 2), np.float32))])
    assert searched.wait(WAIT_S)
    for each in (stage, store):
        each.close()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"operation": "drop"}, "operation: 'drop' given; possible are create, upsert"),
        ({"collection": None}, "collection: missing"),
        ({"passages": None}, "passages: missing; this operation needs them"),
        ({"documents": ["{"]}, "documents[0]: not JSON"),
        ({"documents": ['{"id": "a", "url": "x"}', "{}"]}, "documents[0]: no field 'url'"),
        ({"documents": ['{"id": "a"}', "{}"]}, "documents[1]: no id"),
        ({"documents": ['{"id": "a"}', '{"id": "a"}']}, "documents[1]: the id 'a' is there twice"),
        ({"documents": ['{"id": "a"}', '{"id": 5}']}, "documents[1].id: text is needed"),
        (
            {"documents": ['{"id": "a", "metadata": {"tags": ["x"]}}', '{"id": "b"}']},
            "documents[0].metadata.tags: text, a number, true or false is needed",
        ),
        ({"documents": ['{"id": "\\ud800"}', '{"id": "b"}']}, "documents[0]: not JSON"),
        (
            {"documents": ['{"id": "a", "metadata": {"x": 1e999}}', '{"id": "b"}']},
            "documents[0]: not JSON",
        ),
        (
            {"documents": ['{"id": "a", "metadata": {"x": 1%s}}' % ("0" * 400), '{"id": "b"}']},
            "documents[0].metadata.x: text, a number, true or false is needed",
        ),
        ({"documents": ['{"id": "a\\u0000"}', '{"id": "b"}']}, "documents[0]: has a NUL"),
        ({"passages": ["one", " ", "three"]}, "passages[1]: empty"),
        ({"passages": ["one", "two"]}, "passage_embedding: shape [3, 2] given; [2, 2] is needed"),
        (
            {"passage_embedding": np.ones((3, 4), np.float32)},
            "passage_embedding: shape [3, 4] given; [3, 2] is needed",
        ),
        (
            {"passage_embedding": np.full((3, 2), np.nan, np.float32)},
            "passage_embedding: a value is not a finite number",
        ),
        ({"passage_document": np.array([0, 1, 2], np.int32)}, "passage_document: 2 given; docu"),
        ({"passage_document": np.array([0, 0, 0], np.int32)}, "documents[1]: no passage"),
        ({"passage_page": np.array([1], np.int32)}, "passage_page: 1 given for 3 passages"),
        ({"passage_metadata": ["{}", '{"x": NaN}', "{}"]}, "passage_metadata[1]: not JSON"),
        ({"passage_metadata": ["{}", "{}", "[]"]}, "passage_metadata[2]: an object of JSON"),
    ],
)
def test_a_wrong_change_is_refused_and_changes_nothing(
    collections: CollectionsStage, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(RequestError) as caught:
        collections.answer(upsert(**changes))
    assert str(caught.value).startswith(says)
    (result,) = collections.answer(tensors(operation="describe", collection="books"))["result"]
    assert json.loads(result)["documents"] == 0


def test_a_search_says_what_it_needs(
    collections: CollectionsStage, search: VectorSearchStage
) -> None:
    with pytest.raises(NotFound, match=f"{NOTHING_FITS}: collection 'books' is empty"):
        asked(search)
    collections.answer(upsert())
    with pytest.raises(NotFound, match=f"{NOTHING_FITS}: the filter leaves none of 3 in 'books'"):
        asked(search, filter='{"year": 1999}')
    for changes, says in (
        ({"collection": "films"}, "there is no 'films'; there are books"),
        ({"query_embedding": np.ones((1, 3), np.float32)}, r"\[1, 3\] given; .* needs \[1, 2\]"),
        ({"num_candidates": np.array([5000], np.int32)}, "5,000 given; at most 1,024"),
    ):
        with pytest.raises(RequestError, match=says):
            asked(search, **changes)


def test_another_embedder_is_refused_with_both_names(
    folder: Path, collections: CollectionsStage, tmp_path: Path
) -> None:
    other = folders.make_folder(tmp_path / "b", folders.word_level(["b"]), max_tokens=32)
    own, served = (read_manifest(path).embedding_space for path in (folder, other))
    assert own != served
    stage = CollectionsStage(context(other, collections_folder="unused"))
    with pytest.raises(RequestError, match=f"the embedder {own}, and this server has {served}"):
        stage.answer(upsert())
    stage.close()
