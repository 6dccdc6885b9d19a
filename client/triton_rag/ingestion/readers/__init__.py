"""Reads files of several types. A reader is a function from a file's bytes to a `FileText`.

Each raises `Unreadable` for a file without text that it can read. A reader's package is imported
when its first file is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import PurePath

from triton_rag.ingestion.file_text import FileText, OnPage, Unreadable

Reader = Callable[..., FileText]

DOCUMENTS = {
    ".pdf": "pdf",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".mhtml": "web_archive",
    ".mht": "web_archive",
    ".docx": "docx",
    ".odt": "opendocument",
    ".pptx": "slides",
    ".odp": "opendocument",
    ".xlsx": "workbook",
    ".xlsm": "workbook",
    ".xls": "workbook",
    ".ods": "workbook",
    ".csv": "delimited",
    ".tsv": "delimited",
    ".epub": "ebook",
    ".eml": "mail",
    ".mbox": "mailbox",
    ".ipynb": "notebook",
    ".json": "json_tree",
    ".yaml": "yaml_tree",
    ".yml": "yaml_tree",
    ".jsonl": "json_lines",
    ".ndjson": "json_lines",
    ".ics": "content_lines",
    ".vcf": "content_lines",
    ".srt": "subtitles",
    ".vtt": "subtitles",
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdx": "markdown",
    ".qmd": "markdown",
    ".rmd": "markdown",
    ".rst": "restructured",
    ".txt": "text",
    ".text": "text",
    ".log": "plain",
    ".adoc": "asciidoc",
    ".asciidoc": "asciidoc",
    ".org": "org",
    ".tex": "latex",
}
"""The module of `readers` that reads a file of this suffix with its function `read`."""

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
"""Suffixes of files that only OCR reads."""

SCANS = (".pdf", *PICTURES)
"""Suffixes of files some of which OCR reads."""

_CODE = (
    ".bash .bats .c .cc .clj .cpp .cs .css .cxx .dart .erl .ex .f90 .go .gql .gradle .graphql "
    ".groovy .h .hpp .hs .java .jl .js .jsx .kt .kts .less .lua .mjs .ml .nim .php .pl .prisma "
    ".proto .ps1 .py .pyi .pyx .r .rb .rs .scala .scss .sh .sol .sql .svelte .swift .thrift "
    ".ts .tsx .vb .vue .zig .zsh"
)
_SETTINGS = (
    ".cfg .conf .defs .desktop .hcl .ini .properties .service .socket .tf .tfvars .timer .toml"
)
_PLAIN = ".bat .cmake .diff .dockerfile .feature .j2 .mk .mmd .nix .patch .puml .textile .wiki"

_MANUALS = ".1 .2 .3 .4 .5 .6 .7 .8"

MODULES = {
    **DOCUMENTS,
    **dict.fromkeys(_CODE.split(), "code"),
    **dict.fromkeys(_SETTINGS.split(), "configuration"),
    **dict.fromkeys(_PLAIN.split(), "plain"),
    **dict.fromkeys(_MANUALS.split(), "manual"),
    **dict.fromkeys(PICTURES, "picture"),
}

READABLE = f"{', '.join(DOCUMENTS)}; source code and settings, such as .py, .ts, .yaml"

_BUILDS = {"containerfile", "dockerfile", "jenkinsfile", "makefile"}
"""Names of build files, which may have a suffix to distinguish several: `Dockerfile.dev`."""
_TEXTS = _BUILDS | {
    *("authors", "brewfile", "changelog", "changes", "codeowners", "contributing", "contributors"),
    *("copying", "copyright", "credits", "faq", "gemfile", "governance", "hacking", "history"),
    *("install", "justfile", "licence", "license", "maintainers", "news", "notice", "pipfile"),
    *("podfile", "procfile", "rakefile", "readme", "security", "thanks", "todo", "upgrade"),
    *("upgrading", "vagrantfile"),
}
"""Names of texts without a suffix, which may have an ending after `-`: `LICENSE-MIT`."""
_NAME_END = re.compile("[-.]")
_SAMPLES = {".dist", ".example", ".sample", ".template"}
"""Second suffixes of samples of other files: `nginx.conf.sample`, `.env.example`."""
_MAILDIR = re.compile(r"(?:^|/)(?:cur|new)/\d+\.[^/]+$")
"""A message in a Maildir folder: its name ends with the machine's name and flags."""

INSTALL = "pip install 'triton_rag[ingest]'"
INSTALL_OCR = "pip install 'triton_rag[ingest,ocr]'"


def kind(name: str, by_ocr: bool = False) -> str:
    """The suffix whose reader reads a file of this name; empty where none does."""
    path = PurePath(name)
    if path.suffix.lower() in _SAMPLES:
        name = path.name.removesuffix(path.suffix)
        return ".conf" if name == ".env" else kind(name, by_ocr)
    if path.suffix.lower() in PICTURES and not by_ocr:
        return ""
    if path.suffix.lower() in MODULES:
        return path.suffix.lower()
    if _MAILDIR.search(name):
        return ".eml"
    text = _NAME_END.split(path.name.lower(), maxsplit=1)[0]
    return ".txt" if text in (_BUILDS if path.suffix else _TEXTS) else ""


def reader_of(suffix: str) -> Reader:
    """The reader of files of a known suffix; raises `Unreadable` where its package is missing."""
    try:
        module = import_module(f"{__name__}.{MODULES[suffix.lower()]}")
    except ModuleNotFoundError as error:
        raise Unreadable(
            f"the package {error.name} that reads {suffix} files is not installed: {INSTALL}"
        ) from error
    reader: Reader = module.read
    return reader


def read(name: str, data: bytes, on_page: OnPage | None = None) -> FileText:
    """The text of a file's bytes; without a title of its own it gets one from its `name`, whose
    `kind` must be known. With `on_page` OCR reads pages without text, and pictures.

    Raises `Unreadable`.
    """
    if not data.strip():
        raise Unreadable("empty")
    path = PurePath(name)
    suffix = kind(name, by_ocr=on_page is not None)
    reader = reader_of(suffix)
    found = reader(data, on_page) if suffix in SCANS else reader(data)
    if not found.text.strip():
        raise Unreadable("no text in it")
    return replace(found, title=" ".join(found.title.split()) or path.stem)
