"""A folder of texts as the documents of a request."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

from triton_rag.results import Source

SUFFIXES = (".md", ".rst", ".txt")

MAX_DOCUMENTS = 1000
"""The server takes up to 1,024 passages in one request; a document is one or more."""


class DocumentsError(Exception):
    """The folder can't be used for questions; the message says what is possible."""


@dataclass(frozen=True)
class Documents:
    """The documents of a folder: their paths inside it, and their texts.

    `skipped` says for each other file why it was left out.
    """

    names: tuple[str, ...]
    texts: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    def name(self, source: Source) -> str:
        """The path of the document that a source is from."""
        return self.names[source.document]

    def __str__(self) -> str:
        count, characters = len(self.texts), sum(map(len, self.texts))
        return f"{count:,} document{'s' if count != 1 else ''}, {characters:,} characters"


def read_documents(folder: Path) -> Documents:
    """Every text below `folder`, by path; hidden files and folders are left out.

    Raises `DocumentsError` when there are none, or more than fit one request.
    """
    found: dict[str, str] = {}
    skipped: list[str] = []
    for path, name in _files(folder):
        text, fault = _read(path)
        if fault:
            skipped.append(f"{name}: {fault}")
        else:
            found[name] = text
    if not found:
        rest = f" ({len(skipped)} skipped)" if skipped else ""
        raise DocumentsError(f"{folder}: no readable {', '.join(SUFFIXES)} files{rest}")
    if len(found) > MAX_DOCUMENTS:
        raise DocumentsError(
            f"{folder}: {len(found):,} documents; at most {MAX_DOCUMENTS:,} fit one request: "
            "choose a subfolder"
        )
    return Documents(tuple(found), tuple(found.values()), tuple(skipped))


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    if folder.is_file():
        yield folder, folder.name
        return
    if not folder.is_dir():
        raise DocumentsError(f"{folder}: no such folder")
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inner.parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield path, normalize("NFC", str(inner))


def _read(path: Path) -> tuple[str, str]:
    """The text of a file, and why it can't be used ("" if it can)."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return "", f"not UTF-8 (byte {error.start})"
    except OSError as error:
        return "", error.strerror or "can't be read"
    return text, "" if text.strip() else "empty"
