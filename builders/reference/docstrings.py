"""English prose that every machine with Python already has: its standard library's documentation.

Two sources, both read from source text without importing anything: the docstrings of the standard
library's modules, classes and functions, and the chapters of the language reference behind
``help()``. For one Python version the result is always the same list in the same order.
"""

import ast
import re
import sysconfig
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SKIPPED_FOLDERS = frozenset({"site-packages", "test", "tests", "turtledemo", "ensurepip"})
FEWEST_WORDS = 20
PASSAGE_WORDS = 110
HELD_OUT_ONE_IN = 10

_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(*])")


@dataclass(frozen=True)
class Passage:
    """A stretch of documentation: where it is from, what it documents, and its text."""

    module: str
    name: str
    text: str

    @property
    def held_out(self) -> bool:
        """Whether the whole module is kept away from training."""
        return zlib.crc32(self.module.encode()) % HELD_OUT_ONE_IN == 0

    @property
    def sentences(self) -> list[str]:
        """The text's sentences, in order."""
        return [s for s in _SENTENCE_END.split(self.text) if s.strip()]


def read_passages() -> list[Passage]:
    """Every docstring and every chapter of the language reference, each text once."""
    library = Path(sysconfig.get_path("stdlib"))
    first_of_text: dict[str, Passage] = {}
    for passage in (*_docstrings(library), *_language_reference(library)):
        if len(passage.text.split()) >= FEWEST_WORDS:
            first_of_text.setdefault(passage.text, passage)
    return list(first_of_text.values())


def _docstrings(library: Path) -> Iterator[Passage]:
    for path in sorted(library.rglob("*.py")):
        relative = path.relative_to(library)
        if SKIPPED_FOLDERS.isdisjoint(relative.parts):
            module = ".".join(relative.with_suffix("").parts)
            yield from _docstrings_of(path, module)


def _docstrings_of(path: Path, module: str) -> Iterator[Passage]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return  # the library carries a few files that are wrong on purpose (lib2to3's samples)
    for node in ast.walk(tree):
        if isinstance(node, _Documented):
            name = module if isinstance(node, ast.Module) else node.name
            text = one_line(_prose(ast.get_docstring(node) or ""))
            yield Passage(module, name, _first_words(text, PASSAGE_WORDS))


def _language_reference(library: Path) -> Iterator[Passage]:
    """The chapters behind ``help("TOPIC")``, cut at paragraphs into passages."""
    tree = ast.parse((library / "pydoc_data" / "topics.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign):
            chapters: dict[str, str] = ast.literal_eval(node.value)
            for topic, chapter in sorted(chapters.items()):
                for text in _cut(_prose(chapter)):
                    yield Passage(f"help.{topic}", topic, text)


def _cut(chapter: str) -> Iterator[str]:
    """Whole paragraphs gathered until a passage is long enough."""
    words: list[str] = []
    for paragraph in chapter.split("\n\n"):
        words += paragraph.split()
        if len(words) >= PASSAGE_WORDS // 2:
            yield " ".join(words[:PASSAGE_WORDS])
            words = []
    yield " ".join(words)


def _prose(text: str) -> str:
    """``text`` without doctest lines, grammar rules, headings' underlines and indented code."""
    kept = (line for line in text.splitlines() if not _is_code(line))
    return "\n".join(kept)


def _is_code(line: str) -> bool:
    bare = line.strip()
    underline = bool(bare) and not any(c.isalnum() for c in bare)
    return underline or bare.startswith((">>>", "...")) or "::=" in bare


def _first_words(text: str, limit: int) -> str:
    return " ".join(text.split()[:limit])


def one_line(text: str) -> str:
    """``text`` with every run of white space as one space."""
    return " ".join(text.split())
