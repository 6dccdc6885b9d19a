"""Several folders in one collection: none takes the documents of another."""

from pathlib import Path
from typing import cast

import pytest
from triton_rag import Client, IngestError, IngestOptions, ingest
from triton_rag.collections import Collection, DocumentEntry


class FakeServer:
    """A collection with documents; `under` by id. Says of which words a passage may be."""

    def __init__(self, under: dict[str, str]) -> None:
        self._entries = [
            DocumentEntry(one, "", "", 1, {"under": name}) for one, name in under.items()
        ]

    def collections(self) -> list[Collection]:
        return [Collection("manuals", "e", "e", 2, {}, len(self._entries), 1, 0, 0, 0)]

    def documents(self, collection: str, after: str, limit: int) -> list[DocumentEntry]:
        return self._entries

    def setting(self, model: str, name: str) -> str:
        return "128"


def plan(folder: Path, under: str, there: dict[str, str], replaces: bool = False) -> int:
    """How many documents an ingest would add."""
    (folder / "a.txt").write_text("text")
    options = IngestOptions(under=under, is_dry_run=True, replaces_others=replaces)
    return ingest(cast("Client", FakeServer(there)), folder, "manuals", options).added


@pytest.mark.parametrize(
    ("under", "there"), [("b", {"b/a.txt": ""}), ("", {"a.txt": "b"}), ("b/c", {"b/c/a.txt": "b"})]
)
def test_documents_of_another_folder_are_not_taken(
    tmp_path: Path, under: str, there: dict[str, str]
) -> None:
    taken = next(iter(there))
    with pytest.raises(IngestError, match=f"has 1 of these .* such as '{taken}': give"):
        plan(tmp_path, under, there)
    assert plan(tmp_path, under, there, replaces=True) == 1


def test_a_folder_goes_beside_others(tmp_path: Path) -> None:
    assert plan(tmp_path, "b", {"a.txt": "", "b/b.txt": "", "c/a.txt": "c"}) == 1


@pytest.mark.parametrize("under", ["../x", "a//b", "a/./b", "/"])
def test_a_name_is_a_path_downwards(tmp_path: Path, under: str) -> None:
    with pytest.raises(IngestError, match=f"--under '{under}': a name such as manuals or"):
        plan(tmp_path, under, {})
