"""The stores of collections: LanceDB, and a real PostgreSQL with pgvector, by the same tests."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import psycopg
import pytest

from ensembles.contracts import DOWN
from python_backends.errors import NotFound, RequestError, Unavailable
from python_backends.stages.passage_selector import cosines
from python_backends.stores import filters, lance_index, lance_store, postgres_sql
from python_backends.stores.filters import NO_FILTER
from python_backends.stores.load import load_store
from python_backends.stores.locking import locked
from python_backends.stores.move import INCOMPLETE, Progress, main, move
from python_backends.stores.published import Published, read_published, write_published
from python_backends.stores.store import Change, Document, Passage, Store
from tests.postgres import Postgres, running_postgres
from tests.server.conftest import eventually

WIDTH = 8
RANDOM = np.random.default_rng(0)
FACES = np.eye(WIDTH, dtype=np.float32)

Open = Callable[[], Store]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["lancedb", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "lancedb":
        return str(tmp_path / "collections")
    return str(request.getfixturevalue("postgres").url)


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    """A store with the collection `books`, which is all that it has."""
    store = load_store(place)
    store.create("books", "tiny@1", WIDTH)
    yield store
    for collection in store.collections():
        store.delete(collection.name)
    store.close()


def document(name: str, *texts: str, face: int = 0, **metadata: filters.Value) -> Document:
    passages = [Passage(text, page + 1, '{"start": 0}') for page, text in enumerate(texts)]
    rows = np.repeat(FACES[face : face + 1], len(texts), axis=0)
    return Document(name, passages, rows, f"Title of {name}", f"hash of {name}", metadata)


def found(store: Store, query: str = "", wanted: str = "{}", face: int = 0, count: int = 99):
    collection = store.collection("books")
    parsed = filters.parse(wanted, collection.fields)
    return store.search(collection, query, FACES[face], parsed, count)


def ids(store: Store, wanted: str = "{}") -> list[str]:
    return sorted(passage.id for passage in found(store, wanted=wanted).passages)


def test_collections_are_made_listed_and_deleted(store: Store) -> None:
    with pytest.raises(RequestError, match="'books' exists already, with 0 documents"):
        store.create("books", "tiny@1", WIDTH)
    store.create("Another.one", "tiny@2", 3)
    assert [c.name for c in store.collections()] == ["Another.one", "books"]
    assert store.delete("Another.one").embedder == "tiny@2"
    with pytest.raises(NotFound, match=r"there is no 'Another.one'; there are books"):
        store.collection("Another.one")
    with pytest.raises(RequestError, match=r"'\.\./x' given; a name has"):
        store.create("../x", "tiny@1", 3)


def test_documents_are_replaced_whole(store: Store) -> None:
    old = [document("a", "one", "two", "three"), document("b", "four")]
    assert store.replace("books", old) == Change(2, 4)
    assert store.replace("books", [document("a", "new")]) == Change(1, 1, replaced=1)
    assert ids(store) == ["a#0", "b#0"]
    assert {p.text for p in found(store).passages} == {"new", "four"}
    books = store.collection("books")
    assert (books.documents, books.passages, books.embedder) == (2, 2, "tiny@1")
    assert books.updated_s > books.created_s and books.size_bytes > 0
    assert store.remove("books", ["a", "nobody"]) == Change(1, 1)
    assert ids(store) == ["b#0"]


def test_documents_are_listed_in_pages(store: Store) -> None:
    names = ["B", "a", "ä", "b%", "b'"]
    store.replace("books", [document(name, "x", "y", year=1) for name in names])
    first = store.documents("books", "", 3)
    rest = store.documents("books", first[-1].id, 3)
    assert [entry.id for entry in (*first, *rest)] == sorted(names)
    assert (first[0].title, first[0].content_hash) == ("Title of B", "hash of B")
    assert (first[0].passages, first[0].metadata) == (2, {"year": 1})


def test_a_search_finds_by_vector_and_by_words(store: Store) -> None:
    texts = ["a fan", "the door", "Fehler E-1042 in foo_bar", "naïve", "東京は日本の首都です"]
    store.replace("books", [document(f"d{n}", text, face=n) for n, text in enumerate(texts)])
    both = found(store, "What does E-1042 mean?", face=3, count=1)
    assert {p.document for p in both.passages} == {"d3", "d2"}
    near = cosines(both.embeddings, FACES[3])
    assert near[[p.document for p in both.passages].index("d3")] == pytest.approx(1)
    (passage,) = [p for p in both.passages if p.document == "d2"]
    assert (passage.title, passage.page, passage.text) == ("Title of d2", 1, texts[2])
    assert passage.passage_metadata == '{"start": 0}'
    for query in ("???", "' OR 1=1 --", "a & b | !c", "$1 %s {}"):
        assert found(store, query).passages


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ('{"lang": "en"}', "ac"),
        ('{"lang": "it\'s"}', "e"),
        ('{"lang": ["de", "it\'s"]}', "be"),
        ('{"lang": {"$ne": "en"}}', "be"),
        ('{"lang": {"$nin": ["en", "de"]}}', "e"),
        ('{"lang": {"$gt": "de", "$lt": "f"}}', "ac"),
        ('{"year": 2020}', "a"),
        ('{"year": {"$gte": 2020, "$lt": 2021.5}}', "ab"),
        ('{"year": {"$in": [2020, 2021.5]}}', "ac"),
        ('{"draft": true}', "a"),
        ('{"draft": {"$ne": true}}', "d"),
        ('{"lang": "en", "year": {"$gt": 2020}}', "c"),
        ('{"$or": [{"lang": "de"}, {"year": 2020}, {"$and": [{"draft": false}]}]}', "abd"),
        ('{"$or": [{"lang": "de"}, {}]}', "abcde"),
        ('{"document": ["a", "zz"]}', "a"),
        ('{"title": "Title of b"}', "b"),
        ('{"document": {"$gt": "c"}}', "de"),
    ],
)
def test_filters(store: Store, wanted: str, names: str) -> None:
    documents = [
        document("a", "x", lang="en", year=2020, draft=True),
        document("b", "x", lang="de", year=2021),
        document("c", "x", lang="en", year=2021.5),
        document("d", "x", draft=False),
        document("e", "x", lang="it's"),
    ]
    store.replace("books", documents)
    assert ids(store, wanted) == [f"{name}#0" for name in names]


def test_a_field_has_one_type(store: Store) -> None:
    store.replace("books", [document("a", "x", year=2020)])
    with pytest.raises(RequestError, match="'year' of 'b' is text; in collection 'books' it is n"):
        store.replace("books", [document("b", "x", year="2020")])
    with pytest.raises(RequestError, match="a metadata field can't be named 'title'"):
        store.replace("books", [document("b", "x", title="2020")])
    assert ids(store) == ["a#0"]


def test_a_reader_sees_a_change_whole(place: str, store: Store) -> None:
    """While one writer replaces two documents again and again."""
    reader, stop, looks = load_store(place), threading.Event(), []

    def put(number: int) -> None:
        words = [f"edition {number}"] * (1 + number % 3)
        store.replace("books", [document("a", *words), document("b", *words)])

    def look() -> None:
        while not stop.is_set():
            seen = found(reader, "edition").passages
            looks.append(({p.text for p in seen}, sorted(p.id for p in seen)))

    put(0)
    thread = threading.Thread(target=look)
    thread.start()
    for number in range(1, 500):
        put(number)
        if len(looks) > 9:
            break
    stop.set()
    thread.join()
    reader.close()
    assert len(looks) > 9
    for texts, seen in looks:
        (text,) = texts
        each = 1 + int(text.split()[1]) % 3
        assert seen == sorted(f"{name}#{i}" for name in "ab" for i in range(each))


def test_many_passages_are_found_as_by_comparing_each(
    place: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance_index, "TRAIN_FROM", 500)
    monkeypatch.setattr(lance_index, "PENDING", 200)
    monkeypatch.setattr(lance_index, "PARTITION_ROWS", 50)
    monkeypatch.setattr(lance_store, "SETTLE_S", 0.5)
    rows = RANDOM.normal(size=(1500, WIDTH)).astype(np.float32)
    for start in range(0, 1500, 250):
        part = [
            Document(str(n), [Passage("x")], rows[n : n + 1], metadata={"n": n % 4})
            for n in range(start, start + 250)
        ]
        store.replace("books", part)
    if isinstance(store, lance_store.LanceStore):
        folder = Path(place) / "books"
        assert eventually(lambda: read_published(folder).partitions > 0)
        assert eventually(lambda: read_published(folder).pending == 0)
        assert eventually(lambda: read_published(folder).deltas == 0)  # whole, as nothing comes
    books = store.collection("books")
    recall = []
    for query in RANDOM.normal(size=(20, WIDTH)).astype(np.float32):
        for wanted in (NO_FILTER, filters.parse('{"n": 1}', books.fields)):
            possible = np.arange(1500) if wanted is NO_FILTER else np.arange(1, 1500, 4)
            best = possible[np.argsort(-cosines(rows[possible], query))[:10]]
            got = store.search(books, "", query, wanted, 20)
            near = np.argsort(-cosines(got.embeddings, query))[:10]
            names = {int(got.passages[i].document) for i in near}
            recall.append(len(names & set(best.tolist())) / 10)
    assert np.mean(recall) >= 0.95


def test_what_waits_for_the_index_is_found_as_by_comparing_each(
    lance: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of it is replaced and removed again before the index has it."""
    monkeypatch.setattr(lance_index, "TRAIN_FROM", 500)
    monkeypatch.setattr(lance_index, "PARTITION_ROWS", 50)
    monkeypatch.setattr(lance_store, "SETTLE_S", 0.3)
    there = {"a": FACES[0]}

    def put(*numbers: int) -> None:
        rows = RANDOM.normal(size=(len(numbers), WIDTH)).astype(np.float32)
        there.update(zip(map(str, numbers), rows, strict=True))
        lance.replace(
            "books", [Document(n, [Passage("x")], there[n][None]) for n in map(str, numbers)]
        )

    put(*range(1000))
    assert eventually(lambda: read_published(tmp_path / "collections" / "books").pending == 0)
    monkeypatch.setattr(lance_store, "SETTLE_S", 600)
    for start in (0, 20, 990):
        put(*range(start, start + 40))
    lance.remove("books", ["5", "30", "500", "1010"])
    for name in ("5", "30", "500", "1010"):
        del there[name]
    names, rows = list(there), np.array(list(there.values()))
    books, recall = lance.collection("books"), []
    for query in RANDOM.normal(size=(40, WIDTH)).astype(np.float32):
        got = lance.search(books, "", query, NO_FILTER, 10)
        best = np.argsort(-cosines(rows, query))[:10]
        recall.append(len({p.document for p in got.passages} & {names[i] for i in best}) / 10)
    assert np.mean(recall) >= 0.95
    for name in map(str, (0, 25, 59, 995, 1029)):
        (first,) = lance.search(books, "", there[name], NO_FILTER, 1).passages
        assert first.document == name
    (waiting,) = [known for _, known in lance._memory.waiting._known.values()]  # type: ignore[attr-defined]
    assert len(waiting.by_id) == len(waiting.directions) == 97


def test_what_is_published_can_be_read_while_an_index_is_made(
    lance: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that takes: here every version is old at once."""
    monkeypatch.setattr(lance_index, "KEPT", timedelta(0))
    monkeypatch.setattr(lance_index, "TRAIN_FROM", 500)
    monkeypatch.setattr(lance_store, "SETTLE_S", 0.3)
    seen: list[int | str] = []

    def write(folder: Path, published: Published) -> None:
        reader = load_store(str(folder.parent))
        try:
            seen.append(len(found(reader, count=9).passages))
        except Unavailable as error:
            seen.append(str(error))
        reader.close()
        write_published(folder, published)

    monkeypatch.setattr(lance_store, "write_published", write)
    lance.replace("books", [document(f"d{n}", "x", face=n % WIDTH) for n in range(600)])
    folder = tmp_path / "collections" / "books"
    assert eventually(lambda: read_published(folder).partitions > 0 and len(seen) >= 3)
    assert seen[1:] == [9] * len(seen[1:])  # the first look was at one document


def test_an_index_is_not_trained_again_for_parts_that_are_gone(
    lance: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, train = [], lance_index._train
    monkeypatch.setattr(lance_index, "TRAIN_FROM", 500)
    monkeypatch.setattr(lance_index, "PENDING", 1)
    monkeypatch.setattr(lance_index, "PENDING_SHARE", 0)
    monkeypatch.setattr(lance_store, "SETTLE_S", 600)
    monkeypatch.setattr(lance_index, "_train", lambda *a: trained.append(a) or train(*a))
    folder = tmp_path / "collections" / "books"
    lance.replace("books", [document(f"d{n}", "x", face=n % WIDTH) for n in range(600)])
    for _ in range(lance_index.MAX_DELTAS + 3):
        assert eventually(lambda: read_published(folder).pending == 0)
        lance.replace("books", [document("d0", "x")])
    assert len(trained) == 1


def test_common_words_give_way_to_rare_ones_in_a_large_collection(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_sql, "COMMON_FROM", 100)
    store = load_store(postgres.url)
    store.create("books", "tiny@1", WIDTH)
    long = document("long", " ".join(["zebra's", "\\back", *map(str, range(50))]), face=1)
    store.replace("books", [*(document(str(n), "the ferry") for n in range(200)), long])
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("ANALYZE")
    try:
        names = {p.document for p in found(store, "the zebra's \\back", count=1).passages}
        assert "long" in names
        assert len(found(store, "the ferry", face=1, count=1).passages) == 2  # the rarest stays
        assert len(found(store, "", count=1).passages) == 1
    finally:
        store.delete("books")
        store.close()


def test_postgresql_that_is_down_is_said_and_comes_back() -> None:
    with running_postgres() as server:
        store = load_store(server.url)
        store.create("books", "tiny@1", WIDTH)
        server.stop()
        with pytest.raises(Unavailable, match="can't be reached, or has stopped") as caught:
            found(store)
        assert "secret" not in str(caught.value) and str(caught.value).endswith(DOWN)
        server.start()
        assert [c.name for c in store.collections()] == ["books"]
        store.close()


@pytest.fixture
def lance(tmp_path: Path) -> Iterator[Store]:
    store = load_store(str(tmp_path / "collections"))
    store.create("books", "tiny@1", WIDTH)
    store.replace("books", [document("a", "old")])
    yield store
    store.close()


def test_what_a_killed_writer_left_is_taken_back(lance: Store, tmp_path: Path) -> None:
    """It is killed when its commits are done and not yet published."""
    program = (
        "import os, signal, sys\n"
        "from python_backends.stores import lance_store\n"
        "from tests.server.test_stores import document\n"
        "lance_store.write_published = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "store = lance_store.LanceStore(lance_store.Path(sys.argv[1]))\n"
        "store.replace('books', [document('a', 'new', 'newer'), document('b', 'new')])\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "collections")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert [p.text for p in found(lance).passages] == ["old"]
    lance.replace("books", [document("c", "more")])
    assert ids(lance) == ["a#0", "c#0"]


def test_two_servers_write_in_turns(lance: Store, tmp_path: Path) -> None:
    other = load_store(str(tmp_path / "collections"))
    for number in range(4):
        store = (lance, other)[number % 2]
        store.replace("books", [document(f"n{number}", "x"), document("a", f"{number}")])
    assert ids(lance) == ids(other) == ["a#0", "n0#0", "n1#0", "n2#0", "n3#0"]
    other.close()


def test_a_lock_that_is_held_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(Unavailable, match=f"by another server .process {os.getpid()}."),
        locked(tmp_path, wait_s=0.05),
    ):
        pass


def damage_state(folder: Path) -> None:
    (folder / "collection.json").write_text("{", encoding="utf-8")


def damage_data(folder: Path) -> None:
    for file in folder.rglob("*.lance"):
        if file.is_file():
            file.write_bytes(b"garbage")


def remove_table(folder: Path) -> None:
    for manifest in folder.rglob("*.manifest"):
        manifest.unlink()


@pytest.mark.parametrize("damage", [damage_state, damage_data, remove_table])
def test_a_damaged_collection_is_said_and_the_others_go_on(
    lance: Store, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = tmp_path / "collections"
    lance.create("sound", "tiny@1", WIDTH)
    lance.replace("sound", [document("a", "x")])
    damage(folder / "books")
    fresh = load_store(str(folder))
    with pytest.raises(Unavailable, match=r"'books'.*; restore .* delete it and ingest again"):
        fresh.search(fresh.collection("books"), "x", FACES[0], NO_FILTER, 9)
    sound = fresh.collection("sound")
    assert len(fresh.search(sound, "x", FACES[0], NO_FILTER, 9).passages) == 1
    assert [c.name for c in fresh.collections() if not c.fault][-1] == "sound"
    fresh.delete("books")
    assert [c.name for c in fresh.collections()] == ["sound"]
    fresh.close()


def test_the_store_is_loaded_when_there_is_something_to_search(
    lance: Store, tmp_path: Path
) -> None:
    program = (
        "import sys\n"
        "from python_backends.stores.load import load_store\n"
        "for folder in sys.argv[1:]:\n"
        "    load_store(folder).warm()\n"
        "    print('lancedb' in sys.modules)\n"
    )
    lance.create("damaged", "tiny@1", WIDTH)
    lance.replace("damaged", [document("a", "newer")])
    damage_data(tmp_path / "collections" / "damaged")
    folders = [str(tmp_path / name) for name in ("nothing", "collections")]
    run = subprocess.run(
        [sys.executable, "-c", program, *folders], check=True, capture_output=True, text=True
    )
    assert run.stdout.split() == ["False", "True"]


def test_a_folder_that_cannot_be_written_to_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    store = lance_store.LanceStore(tmp_path / "file" / "collections")
    assert store.collections() == []
    with pytest.raises(Unavailable, match=r"can't be written to .*--collections"):
        store.create("books", "tiny@1", WIDTH)
    store.close()


def test_documents_are_read_whole(store: Store) -> None:
    given = [document("a", "one", "two", face=1, year=2020), document("b'", "three", face=2)]
    store.replace("books", given)
    read = store.read("books", ["b'", "a", "nobody"])
    assert [(r.id, r.title, r.content_hash, dict(r.metadata)) for r in read] == [
        ("a", "Title of a", "hash of a", {"year": 2020}),
        ("b'", "Title of b'", "hash of b'", {}),
    ]
    for there, wanted in zip(read, given, strict=True):
        assert list(there.passages) == list(wanted.passages)
        assert np.array_equal(there.embeddings, wanted.embeddings)


def test_a_collection_gets_another_name(store: Store) -> None:
    store.replace("books", [document("a", "one")])
    store.create("taken", "tiny@1", WIDTH)
    with pytest.raises(RequestError, match="'taken' exists already"):
        store.rename("books", "taken")
    store.delete("taken")
    renamed = store.rename("books", "novels")
    assert (renamed.name, renamed.documents) == ("novels", 1)
    with pytest.raises(NotFound, match="there is no 'books'; there are novels"):
        store.replace("books", [])
    store.replace("novels", [document("b", "two")])
    assert [entry.id for entry in store.documents("novels", "", 9)] == ["a", "b"]
    assert [c.name for c in store.collections()] == ["novels"]


@pytest.fixture
def other(place: str, postgres: Postgres, tmp_path: Path) -> Iterator[Store]:
    """An empty store of the other kind than `store`."""
    is_lance = place == str(tmp_path / "collections")
    other = load_store(postgres.url if is_lance else str(tmp_path / "other"))
    yield other
    for collection in other.collections():
        other.delete(collection.name)
    other.close()


def test_a_collection_moves_to_the_other_store(store: Store, other: Store) -> None:
    """What was there of an unfinished move is kept, what is wrong is put right."""
    given = [document(f"d{n}", f"text {n}", "more", face=n, year=2020 + n) for n in range(5)]
    store.replace("books", given)
    other.create("books" + INCOMPLETE, "tiny@1", WIDTH)
    other.replace("books" + INCOMPLETE, [given[0], document("d1", "old"), document("gone", "x")])
    shown: list[Progress] = []
    moved = move(store, other, "books", shown.append)
    assert shown == [Progress(2, 2, 10), Progress(10, 2, 10)]
    assert (moved.name, moved.documents, moved.passages) == ("books", 5, 10)
    assert [c.name for c in other.collections()] == ["books"]
    assert other.documents("books", "", 99) == store.documents("books", "", 99)
    old, new = (set(found(one, "text 3", '{"year": 2023}').passages) for one in (store, other))
    assert old == new and {p.document for p in new} == {"d3"}
    with pytest.raises(RequestError, match="'books' exists already, with 5 documents"):
        move(store, other, "books")


def test_what_changes_during_a_move_is_moved_too(store: Store, other: Store) -> None:
    store.replace("books", [document("a", "one"), document("b", "two")])

    def change(progress: Progress) -> None:
        if progress == Progress(2, 0, 2):
            store.replace("books", [document("c", "three")])
            store.remove("books", ["a"])

    move(store, other, "books", change)
    assert [entry.id for entry in other.documents("books", "", 9)] == ["b", "c"]


def test_a_move_of_another_embedder_is_not_gone_on_with(store: Store, other: Store) -> None:
    other.create("books" + INCOMPLETE, "tiny@2", WIDTH)
    with pytest.raises(RequestError, match="of the embedder tiny@2, and 'books' is of tiny@1"):
        move(store, other, "books")


KILLED_MOVE = """
import os, signal, threading
from python_backends.stores import move

def show(progress):  # killed at some place of the commits behind the third one
    if progress.passages == 3:
        threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGKILL)).start()

move.PASSAGES, move._show = 1, show
move.main()
"""


def test_a_killed_move_goes_on_by_its_command(
    lance: Store, postgres: Postgres, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lance.replace("books", [document(f"d{n:03}", f"text {n}", face=n % WIDTH) for n in range(200)])
    arguments = ["books", "--from", str(tmp_path / "collections"), "--to", postgres.url]
    target = load_store(postgres.url)
    killed = subprocess.run([sys.executable, "-c", KILLED_MOVE, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    (partial,) = target.collections()
    assert partial.name == "books" + INCOMPLETE and 0 < partial.documents < 201
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert "201 documents, 201 passages are in the new store, all of them" in shown.out
    assert "were there" in shown.err
    assert [c.name for c in target.collections()] == ["books"]
    assert main(arguments) == 1
    refusal = "move: collection: 'books' exists already, with 201 documents\n"
    assert capsys.readouterr().err == refusal
    target.delete("books")
    target.close()


def test_a_source_that_never_rests_is_not_copied_forever(lance: Store, tmp_path: Path) -> None:
    other = load_store(str(tmp_path / "other"))
    with pytest.raises(RequestError, match="'books' changes all the time"):
        move(lance, other, "books", lambda _: lance.replace("books", [document("b", "x")]))
    assert [c.name for c in other.collections()] == ["books" + INCOMPLETE]
    other.close()
