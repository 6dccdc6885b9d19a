"""The register of files: whose they are, pages, and what happens while a file is being read."""

import contextlib
import io
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.errors import BadRequest, NotFound, TooLarge, Unavailable
from gateway.files import indexing
from gateway.files.library import open_library
from gateway.files.records import Page, StoreFile
from gateway.files.register import Register
from gateway.files.search_filter import collection_filter
from gateway.files.uploads import Texts, Uploads, plain_name
from gateway.settings import Files


@pytest.fixture
def register(tmp_path: Path) -> Iterator[Register]:
    opened = Register(tmp_path)
    yield opened
    opened.close()


def add(register: Register, *names: str, tenant: str = "a") -> list[str]:
    return [register.add_file(tenant, f"file-{n}", n, "assistants", 10).id for n in names]


def attach(
    register: Register, store_id: str, file_id: str, attributes: dict[str, Any], batch_id: str = ""
) -> StoreFile:
    register.attach_all(store_id, {file_id: attributes}, batch_id)
    return register.store_file(store_id, file_id)


def test_another_tenants_records_are_as_absent_as_none(register: Register) -> None:
    (mine,) = add(register, "x")
    store = register.add_store("a", "s", {})
    found = []
    for tenant, file_id, store_id in (("b", mine, store.id), ("a", "file-0", "vs_0")):
        for look, wanted in ((register.file, file_id), (register.store, store_id)):
            with pytest.raises(NotFound) as caught:
                look(tenant, wanted)
            found.append(str(caught.value).replace(wanted, "ID"))
    assert found[:2] == found[2:]
    assert register.files("b", Page()) == register.stores("b", Page()) == []


def test_pages_follow_each_other_in_both_directions(register: Register) -> None:
    names = [f"{n}" for n in range(5)]
    add(register, *names)
    add(register, "other", tenant="b")
    first = register.files("a", Page(2))
    assert [file.name for file in first] == ["4", "3", "2"]  # one more: there are more
    second = register.files("a", Page(2, after=first[1].id))
    assert [file.name for file in second] == ["2", "1", "0"]
    upwards = register.files("a", Page(10, is_ascending=True, after="file-1"))
    assert [file.name for file in upwards] == ["2", "3", "4"]
    before = register.files("a", Page(10, before="file-2"))
    assert [file.name for file in before] == ["4", "3"]


def test_who_deletes_what_it_lists_sees_all_of_it(register: Register) -> None:
    add(register, *map(str, range(5)))
    seen, after = list[str](), ""
    while part := register.files("a", Page(2, after=after))[:2]:
        for file in part:
            register.remove_file(file.id)
        seen += [file.name for file in part]
        after = part[-1].id
    assert seen == ["4", "3", "2", "1", "0"]


def test_a_cursor_that_fits_a_filter_no_more_keeps_its_place(register: Register) -> None:
    store = register.add_store("a", "s", {})
    for file in add(register, "x", "y", "z"):
        attach(register, store.id, file, {})
    first = register.store_files(store.id, Page(1), "in_progress")[0]
    register.finish(first, "completed")
    rest = register.store_files(store.id, Page(after=first.file_id), "in_progress")
    assert [file.name for file in rest] == ["y", "x"]


@pytest.mark.parametrize("cursor", ["after", "before"])
def test_a_cursor_that_was_never_there_is_no_end_of_a_list(register: Register, cursor: str) -> None:
    add(register, "x")
    (other,) = add(register, "y", tenant="b")
    for unknown in ("file-0", other):
        with pytest.raises(BadRequest) as caught:
            register.files("a", Page(**{cursor: unknown}))
        assert caught.value.field == cursor


def test_a_batch_that_is_cancelled_waits_no_more(register: Register) -> None:
    one, two, three = add(register, "x", "y", "z")
    store = register.add_store("a", "s", {})
    register.attach_all(store.id, {one: {}, two: {}}, "vsfb_1")
    attach(register, store.id, three, {})
    read = register.waiting()
    assert read is not None
    register.finish(read, "completed")
    assert register.cancel(store.id, "vsfb_1") == [two]
    assert register.counts(store.id, "vsfb_1") == {"completed": (1, 10), "cancelled": (1, 10)}
    assert not register.finish(register.store_file(store.id, two), "completed")
    assert register.waiting() == register.store_file(store.id, three)


def test_files_are_attached_all_or_none(register: Register) -> None:
    (one,) = add(register, "x")
    store = register.add_store("a", "s", {})
    with pytest.raises(NotFound):
        register.attach_all(store.id, {one: {}, "file-0": {}}, "vsfb_1")
    assert register.store_files(store.id, Page()) == []


def test_a_file_with_other_attributes_is_read_again(register: Register) -> None:
    (one,) = add(register, "x")
    store = register.add_store("a", "s", {})
    before = attach(register, store.id, one, {"year": 2020}, "vsfb_1")
    register.change_attributes(store.id, one, {"year": 2021})
    assert not register.finish(before, "completed")  # it was read with the old ones
    again = register.waiting()
    assert again is not None
    assert (again.attributes, again.batch_id) == ({"year": 2021}, "vsfb_1")
    register.finish(again, "failed", "why")
    register.change_attributes(store.id, one, {})
    retried = register.store_file(store.id, one)
    assert (retried.status, retried.error) == ("in_progress", "")


def test_a_small_file_with_a_large_text_takes_little_room(tmp_path: Path) -> None:
    texts = Texts(tmp_path, ())
    texts.keep("file-a", "é" * 2**20)
    assert (tmp_path / "file-a").stat().st_size < 2**15
    assert texts.read("file-a", 2**21) == "é" * 2**20
    with pytest.raises(TooLarge, match="2097151 bytes"):
        texts.read("file-a", 2**21 - 1)
    with pytest.raises(FileNotFoundError):
        texts.read("file-b", 1)


def test_a_file_that_was_detached_meanwhile_is_not_finished(register: Register) -> None:
    (file,) = add(register, "x")
    store = register.add_store("a", "s", {})
    attached = attach(register, store.id, file, {"year": 2020})
    assert register.waiting() == attached
    register.detach(store.id, file)
    assert not register.finish(attached, "completed")
    again = attach(register, store.id, file, {"year": 2021})
    assert not register.finish(attached, "completed")
    assert register.finish(again, "completed")
    assert register.waiting() is None
    assert register.counts(store.id) == {"completed": (1, 10)}


def test_a_file_leaves_its_stores_with_itself(register: Register) -> None:
    one, two = add(register, "x", "y")
    store = register.add_store("a", "s", {"team": "docs"})
    for file in (one, two):
        attach(register, store.id, file, {})
    register.remove_file(one)
    assert [found.file_id for found in register.store_files(store.id, Page())] == [two]
    register.remove_store(store.id)
    assert register.stores_of(two) == []
    assert register.file_ids() == {two}


def test_a_tenant_keeps_no_more_bytes_than_it_may(register: Register) -> None:
    """However many uploads end at a time."""
    for tenant in ("a", "b"):
        register.add_file(tenant, f"file-{tenant}1", "x", "assistants", 60, most_bytes=100)
        with pytest.raises(TooLarge, match="60 of this tenant's other files"):
            register.add_file(tenant, f"file-{tenant}2", "x", "assistants", 41, most_bytes=100)
        register.add_file(tenant, f"file-{tenant}3", "x", "assistants", 40, most_bytes=100)


def test_a_tenant_with_many_files_holds_up_no_other(register: Register) -> None:
    flood = register.add_store("flood", "s", {})
    for file in add(register, *map(str, range(5)), tenant="flood"):
        attach(register, flood.id, file, {})
    quiet = register.add_store("quiet", "s", {})
    for file in add(register, "x", "y", tenant="quiet"):
        attach(register, quiet.id, file, {})
    order = []
    while wanted := register.waiting():
        order.append(wanted.name)
        register.finish(wanted, "completed")
    assert order == ["x", "y", "0", "1", "2", "3", "4"]


def test_what_was_removed_meanwhile_is_not_found(register: Register) -> None:
    (file,) = add(register, "x")
    with pytest.raises(NotFound, match="removed meanwhile"):
        attach(register, "vs_removed", file, {})
    assert register.files("a", Page())[0].id == file


def test_a_register_that_is_closed_or_broken_is_no_fault_of_the_request(tmp_path: Path) -> None:
    closed = Register(tmp_path)
    closed.close()
    with pytest.raises(Unavailable, match="can't be used"):
        closed.waiting()


def library(folder: Path, **settings: Any) -> Any:
    """One over no server at all."""
    return open_library(Files(folder=folder, **settings), "127.0.0.1:1")


def test_an_end_does_not_wait_for_a_server_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "CLOSE_S", 0.1)
    with library(tmp_path) as opened:
        file = opened.upload("a", "x.txt", "assistants", io.BytesIO(b"The ferry sails."))
        store = opened.register.add_store("a", "s", {})
        opened.attach(store, file.id, {})
        while opened._indexing._reader.pid is None:  # it has begun
            time.sleep(0.01)
        begun_s = time.monotonic()
    assert time.monotonic() - begun_s < 30  # a call waits a minute for a server
    after = Register(tmp_path)
    assert after.store_file(store.id, file.id).status == "in_progress"
    after.close()


def test_a_shared_collection_is_named_without_asking_the_server(tmp_path: Path) -> None:
    """Searches do so in the event loop, which must not wait."""
    with library(tmp_path, shared_collections=("handbook",)) as opened:
        assert opened.store("a", "handbook").is_shared
        with pytest.raises(Unavailable):
            opened.described("a", "handbook")


def test_what_is_written_is_there_after_a_restart(tmp_path: Path) -> None:
    before = Register(tmp_path)
    store = before.add_store("a", "s", {"team": "docs"})
    attach(before, store.id, add(before, "x")[0], {"is_new": True})
    before.close()
    after = Register(tmp_path)
    assert after.store("a", store.id) == store
    waiting = after.waiting()
    assert waiting is not None
    assert waiting.attributes == {"is_new": True}
    after.close()


@contextlib.contextmanager
def small_disk() -> Iterator[None]:
    """No file gets larger than 64 KiB, as on a disk without room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_without_room_leaves_nothing_and_is_taken_later(tmp_path: Path) -> None:
    uploads, content = Uploads(tmp_path / "up", ()), bytes(2**20)
    with small_disk(), pytest.raises(OSError, match="File too large"):
        uploads.keep("file-a", io.BytesIO(content))
    assert list((tmp_path / "up").iterdir()) == []
    assert uploads.keep("file-a", io.BytesIO(content)) == 2**20


def test_what_a_killed_gateway_left_of_uploads_is_removed(tmp_path: Path) -> None:
    for name in ("file-a", "file-b.part", "file-c"):
        (tmp_path / name).write_bytes(b"x")
    Uploads(tmp_path, {"file-a"})
    assert [path.name for path in tmp_path.iterdir()] == ["file-a"]


def test_a_register_without_room_says_so_and_keeps_what_it_had(register: Register) -> None:
    store = register.add_store("a", "s", {})
    (mine,) = add(register, "x")
    large = {"text": "x" * 2**18}
    with small_disk(), pytest.raises(Unavailable, match="register can't be used"):
        attach(register, store.id, mine, large)
    assert register.waiting() is None
    assert attach(register, store.id, mine, large).status == "in_progress"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ""),
        ({"type": "eq", "key": "year", "value": 2020}, {"year": {"$eq": 2020}}),
        (
            {"type": "or", "filters": [{"type": "in", "key": "a", "value": ["x"]}] * 2},
            {"$or": [{"a": {"$in": ["x"]}}] * 2},
        ),
    ],
)
def test_openais_filters_are_those_of_collections(given: Any, expected: Any) -> None:
    found = collection_filter(given)
    assert (orjson.loads(found) if found else "") == expected


@pytest.mark.parametrize(
    "given",
    [
        "year",
        {"type": "like", "key": "a", "value": "b"},
        {"type": "eq", "key": "$or", "value": []},
        {"type": "and", "filters": []},
        {"type": "and", "filters": [{"type": "eq"}]},
    ],
)
def test_other_filters_are_refused_with_their_field(given: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        collection_filter(given)
    assert caught.value.field.startswith("filters")
    nested = {"type": "eq", "key": "a", "value": 1}
    for _ in range(20):
        nested = {"type": "and", "filters": [nested]}
    with pytest.raises(BadRequest, match="deeper"):
        collection_filter(nested)


def test_a_name_is_the_last_part_of_its_path() -> None:
    assert plain_name("../../etc/passwd") == "passwd"
    assert plain_name("C:\\notes\\räg.md") == "räg.md"
    for bad in (None, "", "a/", "a\nb", "x" * 256):
        with pytest.raises(BadRequest):
            plain_name(bad)
