"""Folders: what is taken, what is skipped and why, and links that lead back."""

import os
from pathlib import Path

import pytest
from triton_rag.ingestion.folder import IngestError, list_folder


def is_known(name: str) -> bool:
    return name.lower().endswith((".txt", ".md"))


def test_files_by_name_and_why_others_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "sub" / ".git").mkdir(parents=True)
    others = (".d.txt", "old.ZIP", "photo.png", "Makefile")
    for name in ("b.md", "sub/A.TXT", "sub/.git/c.txt", *others):
        (tmp_path / name).write_text(name)
    (tmp_path / "big.txt").write_bytes(bytes(3 * 2**20))
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "circle.txt").symlink_to("circle.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    found = list_folder(tmp_path, is_known, max_file_bytes=2**20)
    assert [(file.name, file.size_bytes) for file in found.files] == [("b.md", 4), ("sub/A.TXT", 9)]
    assert {skipped.name: skipped.reason for skipped in found.skipped} == {
        "Makefile": "no suffix",
        "big.txt": "3 MiB; files of at most 1 MiB are read",
        "circle.txt": "can't be read: Too many levels of symbolic links",
        "gone.txt": "can't be read: No such file or directory",
        "old.ZIP": "'.zip' is an archive: unpack it into the folder",
        "photo.png": "'.png' is a picture; triton-rag ingest --ocr reads its words",
        "pipe.txt": "not a regular file",
    }


def test_a_link_that_leads_back_is_followed_once(tmp_path: Path) -> None:
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "docs" / "a.txt").write_text("text")
    (tmp_path / "docs" / "deep" / "up").symlink_to(tmp_path / "docs")
    (tmp_path / "docs" / "again").symlink_to(tmp_path / "docs" / "deep")
    (tmp_path / "docs" / "around").symlink_to(tmp_path.parent)
    found = list_folder(tmp_path / "docs", is_known)
    assert [file.name for file in found.files] == ["a.txt"]
    assert {skipped.reason for skipped in found.skipped} == {
        "a link to a folder that is read already, or around this one"
    }


def test_names_that_are_not_text_are_skipped(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("text")
    (skipped,) = list_folder(tmp_path, is_known).skipped
    assert (skipped.name, skipped.reason) == ("caf?.txt", "its name is not UTF-8")


def test_nothing_is_known_of_what_cannot_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "a.txt").write_text("text")
    scan, stat = os.scandir, os.stat

    def refusing_scan(path: Path) -> object:
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    def refusing_stat(path: Path, **options: bool) -> os.stat_result:
        if "secret/" in str(path):
            raise PermissionError(13, "Permission denied")
        return stat(path, **options)

    with monkeypatch.context() as patched:  # pytest removes the folder before it ends the fixture
        patched.setattr(os, "scandir", refusing_scan)
        patched.setattr(os, "stat", refusing_stat)
        found = list_folder(tmp_path, is_known)
        assert [(s.name, s.reason) for s in found.skipped] == [
            ("secret", "can't be listed: Permission denied")
        ]
        assert found.knows("b.txt")
        assert not found.knows("secret/b.txt")


def test_what_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(IngestError, match="a folder is needed, a file is there"):
        list_folder(tmp_path / "a.txt", is_known)
    with pytest.raises(IngestError, match="a folder is needed, nothing is there"):
        list_folder(tmp_path / "b", is_known)


def test_names_are_composed_wherever_they_were_made(tmp_path: Path) -> None:
    """A folder from a Mac has decomposed names; both are one document."""
    composed, decomposed = "Fähre.md", "Fa\u0308hre.md"
    (tmp_path / decomposed).write_text("mac")
    (found,) = list_folder(tmp_path, is_known).files
    assert (found.name, found.path.read_text()) == (composed, "mac")
    (tmp_path / composed).write_text("linux")
    both = list_folder(tmp_path, is_known)
    assert [file.name for file in both.files] == [composed]
    assert [skipped.name for skipped in both.skipped] == [composed]


def test_what_programs_fill_is_not_looked_into(tmp_path: Path) -> None:
    for name in ("node_modules/a/README.md", "target/CACHEDIR.TAG", "env/pyvenv.cfg", "env/a.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = list_folder(tmp_path, is_known)
    assert not found.files
    assert [skipped.name for skipped in found.skipped] == ["env", "node_modules", "target"]


def test_what_windows_hides_and_browsers_add_is_not_taken(tmp_path: Path) -> None:
    for name in ("rules.htm", "rules_files/ad.md", "Regeln.HTML", "Regeln-Dateien/ad.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    for name in ("my_files/a.md", "Desktop.ini", "Thumbs.db", "~$notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    found = list_folder(tmp_path, lambda name: True)
    assert [file.name for file in found.files] == ["Regeln.HTML", "my_files/a.md", "rules.htm"]
    reasons = {"what a browser saved beside its page"}
    assert {skipped.name for skipped in found.skipped} == {"Regeln-Dateien", "rules_files"}
    assert {skipped.reason for skipped in found.skipped} == reasons
