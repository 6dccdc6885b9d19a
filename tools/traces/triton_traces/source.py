"""Where a trace comes from: a file, or the collector that the server's traces go to."""

import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from triton_traces.choice import one_request
from triton_traces.spans import Span, TraceError, read_spans

DEFAULT_URL = "http://127.0.0.1:8003"
"""Where `make serve` answers for its traces."""

TIMEOUT_S = 10.0
_SUFFIXES = (".json", ".jsonl", ".ndjson")


class FileFault(Exception):
    """A file is not there, or can't be read or written."""


class NoSuchTrace(Exception):
    """The collector has no such trace, or can't be asked."""


@dataclass(frozen=True)
class Found:
    """The spans of one request, and a note where there was a choice."""

    spans: list[Span]
    note: str


def load(target: str, url: str, wanted: str = "") -> Found:
    """The spans of a file, or of a request or trace id that the collector at `url` knows.

    `wanted`: which of the file's requests. Raises `FileFault`, `NoSuchTrace` and `TraceError`.
    """
    path = Path(target)
    if path.exists() or "/" in target or path.suffix in _SUFFIXES:
        return _choose(_read(path), wanted, target)
    return _choose(_fetch(target, url), target, url)


def _choose(text: str, wanted: str, where: str) -> Found:
    try:
        return Found(*one_request(read_spans(text), wanted))
    except TraceError as error:
        raise TraceError(f"{where}: {error}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TraceError(f"{path}: no JSON: not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise FileFault(f"{path}: {error.strerror or 'can not be read'}") from error


def _fetch(wanted: str, url: str) -> str:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"--url: {url!r} given; http://host:port of the trace collector is needed")
    address = f"{url.rstrip('/')}/traces/{urllib.parse.quote(wanted, safe='')}"
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
            return str(answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        raise NoSuchTrace(_refusal(error.code, wanted, url)) from error
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise NoSuchTrace(
            f"no trace collector at {url} ({reason}); 'make serve' starts one, --url or "
            "TRITON_RAG_TRACES_URL names another, and a file with OTLP JSON needs none"
        ) from error


def _refusal(status: int, wanted: str, url: str) -> str:
    if status != HTTPStatus.NOT_FOUND:
        return (
            f"{url} answered {status} for '{wanted}': is it a trace collector of this repository?"
        )
    return (
        f"no trace of '{wanted}' at {url}: a trace comes some seconds after its request, the "
        f"newest are kept, and models send them only where tracing is on; {url}/traces lists them"
    )
