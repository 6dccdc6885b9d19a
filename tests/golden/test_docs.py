"""Pages and docstrings lead somewhere: links, paths, the list of decisions, plain first words."""

import ast
import functools
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.spec import ROOT

SUFFIXES = "py|md|toml|json|pbtxt|yml|yaml|sh|lock|svg|txt|jinja"
_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_PATH = re.compile(rf"`([\w.-]+(?:/[\w.-]+)+\.(?:{SUFFIXES}))`")
_FENCE = re.compile(r"```.*?```", re.DOTALL)
_NOTES = re.compile(
    r"\(facts:? (\d|clients|ecosystem|engines-cpu|reference-llm|server|tensorrt-llm|triton-on-cpu)"
    r"|shared facts|facts/[a-z-]+\.md|(?<![\w/])design\.md"
)

HIDDEN_OR_BUILT = re.compile(r"\.|build$|__pycache__$|.*\.egg-info$")
FOLDERS = [f for f in ROOT.iterdir() if f.is_dir() and not HIDDEN_OR_BUILT.match(f.name)]
SHORT = {"python_backends": ("stages", "generation", "triton"), "builders": ("placements", "skus")}
"""Subfolders that texts name without the folder."""


def _files(suffix: str) -> list[Path]:
    found = [
        *ROOT.glob(f"*{suffix}"),
        *(p for folder in FOLDERS for p in folder.rglob(f"*{suffix}")),
    ]
    return sorted(
        path
        for path in found
        if not any(HIDDEN_OR_BUILT.match(part) for part in path.relative_to(ROOT).parts)
        and path.parent.name != "collection"  # the sample documents
        and "owners" not in path.parts  # documents of the evaluation set
    )


PAGES = _files(".md")
SOURCES = [path for path in _files(".py") if path.name != Path(__file__).name]
TEXTS = [*SOURCES, *PAGES, *_files(".toml")]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
def _docstrings(path: Path) -> tuple[str, ...]:
    """Those below assignments too."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return tuple(
        inspect.cleandoc(node.value.value)
        for node in nodes
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _missing_paths(text: str) -> Iterator[str]:
    """Paths of ours in backticks that lead nowhere; `my-…` is a name that a reader makes up."""
    for path in _PATH.findall(text):
        first, name = path.split("/")[0], path.rsplit("/")[-1]
        folders = [ROOT / folder for folder, short in SHORT.items() if first in short]
        folders += [ROOT for folder in FOLDERS if folder.name == first]
        is_made_up = name.startswith(("my-", "my_"))
        if folders and not is_made_up and not any((folder / path).exists() for folder in folders):
            yield path


def _anchors(page: Path) -> set[str]:
    """The names that GitHub gives a page's headings."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _leads_somewhere(page: Path, link: str, anchor: str) -> bool:
    target = page.parent / link if link else page
    return target.exists() and (not anchor or anchor in _anchors(target))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page):
    links = _LINK.findall(_FENCE.sub("", page.read_text()))
    assert [link for link in links if not _leads_somewhere(page, *link)] == []


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "CHANGELOG.md"], ids=_name)
def test_pages_name_paths_that_exist(page):
    """The changelog tells of files that are gone."""
    assert list(_missing_paths(_FENCE.sub("", page.read_text()))) == []


def test_docstrings_name_paths_that_exist():
    found = {
        _name(path): missing
        for path in SOURCES
        if "trtllm" not in path.parts  # stand-ins name files of TensorRT-LLM
        and (missing := [p for t in _docstrings(path) for p in _missing_paths(t)])
    }
    assert found == {}


def test_nothing_cites_notes_that_are_not_here():
    found = {_name(path) for path in TEXTS if _NOTES.search(path.read_text())}
    assert found == set()


_HALF_SENTENCE = re.compile(
    r"(Of|Those|By|As|From|For|In|At|With|Without|To|On|Behind|Past|Beside|Once|So)\b"
)
_EXPLAINED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _begun_halfway(path: Path) -> list[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    docs = (ast.get_docstring(node) for node in nodes if isinstance(node, _EXPLAINED))
    return [doc[:50] for doc in docs if doc and _HALF_SENTENCE.match(doc)]


def test_docstrings_begin_with_what_they_are_about():
    """Not with a preposition, which needs the name above it to be understood."""
    ours = [path for path in SOURCES if "tests" not in path.relative_to(ROOT).parts]
    assert {_name(path): begun for path in ours if (begun := _begun_halfway(path))} == {}


def test_no_docstring_begins_with_of():
    """Those below assignments too."""
    ours = [path for path in SOURCES if "tests" not in path.relative_to(ROOT).parts]
    assert [d for path in ours for d in _docstrings(path) if d.startswith("Of ")] == []


def test_the_list_of_decisions_is_whole():
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text())
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))
