"""Makes `examples/documents` from pages of SQLite's documentation, which is in the public domain.

python -m tests.example_documents /usr/share/doc/sqlite3     (Debian: apt-get install sqlite3-doc)

One page stays HTML, one is set as a PDF, and one becomes a Word document.
"""

import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from triton_rag.ingestion.file_text import FileText
from triton_rag.ingestion.readers.html import read

from builders.spec import ROOT
from tests.fakes.files import docx, pdf

TARGET = ROOT / "examples" / "documents"
PAGES = "wal.html", "lang_transaction.html"
LINES_OF_A_PAGE, CHARACTERS_OF_A_LINE = 46, 88
_PLAIN = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "—": "-", "–": "-", "\xa0": " "})
_BESIDE_THE_TITLE = ("Small. Fast. Reliable.", "►")
"""Lines of every page's head."""


def main(source: Path) -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "faq.html", TARGET / "frequently-asked-questions.html")
    wal, transactions = (
        read((source / name).read_bytes()) for name in ("wal.html", "lang_transaction.html")
    )
    (TARGET / "write-ahead-logging.pdf").write_bytes(as_pdf(wal))
    (TARGET / "transactions.docx").write_bytes(as_docx(transactions))


def as_pdf(text: FileText) -> bytes:
    """Pages of lines, with the headings as bookmarks."""
    lines = [line for block, _ in blocks(text) for line in (*wrapped(block), "")]
    starts = range(0, len(lines), LINES_OF_A_PAGE)
    pages = ["\n".join(lines[start : start + LINES_OF_A_PAGE]) for start in starts]
    headings = (" ".join(block.split()) for block, level in blocks(text) if level)
    marks = {heading: _page_of(heading, pages) for heading in headings}
    return pdf(pages, marks, title=text.title)


def as_docx(text: FileText) -> bytes:
    (title, _), *rest = blocks(text)
    styled = [("Heading1", title)]
    styled += [(f"Heading{level + 1}" if level else "", block) for block, level in rest]
    escaped = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
    return docx([(style, block.translate(escaped)) for style, block in styled])


def blocks(text: FileText) -> Iterator[tuple[str, int]]:
    """Each block of the text, and its level if it is a heading, else 0."""
    for section, end in text.spans():
        for number, block in enumerate(text.text[section.start : end].strip().split("\n\n")):
            plain = block.translate(_PLAIN).encode("latin-1", "replace").decode("latin-1")
            if plain.strip() and not block.startswith(_BESIDE_THE_TITLE):
                yield plain, len(section.headings) if number == 0 else 0


def wrapped(block: str) -> list[str]:
    return [
        part for line in block.split("\n") for part in textwrap.wrap(line, CHARACTERS_OF_A_LINE)
    ]


def _page_of(heading: str, pages: list[str]) -> int:
    return max((n for n, page in enumerate(pages) if heading in page.split("\n")), default=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
