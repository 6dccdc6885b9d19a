"""Finds one request in a file that may hold many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from triton_traces.spans import NoSuchTrace, Span, TraceError, read_spans

_SUFFIXES = (".json", ".jsonl", ".ndjson")


def find_request(target: str, file: Path) -> tuple[list[Span], str]:
    """The spans of one request, and a note where several have its id.

    `target` is a file with one request, or a request or trace id to find in `file`.
    Raises `NoSuchTrace` and `TraceError`.
    """
    path, wanted = Path(target), ""
    if not (path.exists() or "/" in target or path.suffix in _SUFFIXES):
        path, wanted = file, target
        if not file.exists():
            how = "'triton-traces collect' writes it, --file names another"
            raise NoSuchTrace(f"no trace of '{target}': there is no {file}; {how}")
    try:
        text = path.read_text(encoding="utf-8")
        return select_request(read_spans(text) if text or not wanted else [], wanted)
    except TraceError as error:
        raise type(error)(f"{path}: {error}") from error
    except UnicodeDecodeError as error:
        raise TraceError(f"{path}: no JSON: not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror or 'can not be read'}") from error


def select_request(spans: Sequence[Span], wanted: str = "") -> tuple[list[Span], str]:
    """The spans of one request, and a note where several have its id.

    `wanted` is a trace or request id. A trace may hold several requests, such as an
    application's: only the wanted request's spans are kept. Traces with one request id that
    overlap in time are one request.
    Raises `NoSuchTrace` when nothing fits, `TraceError` when there are several and none is wanted.
    """
    traces: dict[str, list[Span]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span)
    chosen = [trace for trace in traces.values() if not wanted or _has_id(trace, wanted)]
    if not chosen and not wanted:
        raise TraceError("the trace has no spans")
    if not chosen:
        raise NoSuchTrace(f"no request or trace '{wanted}' in it; {_contents(traces)}")
    groups = _overlapping([_of_request(trace, wanted) for trace in chosen])
    if len(groups) > 1 and not wanted:
        raise TraceError(f"several requests, choose one by its id; {_contents(traces)}")
    note = f"{len(groups)} requests have this id: this is the newest" if len(groups) > 1 else ""
    return groups[-1], note


def _has_id(trace: list[Span], wanted: str) -> bool:
    return trace[0].trace_id == wanted.lower() or any(s.request_id == wanted for s in trace)


def _of_request(trace: list[Span], wanted: str) -> list[Span]:
    """The spans that belong to this request alone; all of them where it is a trace's id."""
    by_id = {span.span_id: span for span in trace}
    above_it = _with_ancestors((s for s in trace if s.request_id == wanted), by_id)
    above_others = _with_ancestors((s for s in trace if s.request_id not in ("", wanted)), by_id)
    own = above_it - above_others
    kept = [s for s in trace if own & _with_ancestors([s], by_id)]
    return kept if wanted and kept else trace


def _with_ancestors(spans: Iterable[Span], by_id: Mapping[str, Span]) -> set[str]:
    found: set[str] = set()
    for span in spans:
        above: Span | None = span
        while above is not None and above.span_id not in found:
            found.add(above.span_id)
            above = by_id.get(above.parent_id)
    return found


def _overlapping(traces: list[list[Span]]) -> list[list[Span]]:
    groups: list[list[Span]] = []
    for trace in sorted(traces, key=_start_ns):
        ids = {span.request_id for span in trace} - {""}
        for group in groups:
            same = ids & {span.request_id for span in group}
            if same and _start_ns(trace) <= max(span.end_ns for span in group):
                group.extend(trace)
                break
        else:
            groups.append(list(trace))
    return groups


def _start_ns(trace: list[Span]) -> int:
    return min(span.start_ns for span in trace)


def _contents(traces: dict[str, list[Span]]) -> str:
    named = [
        f"{trace_id} (request {rid})" if (rid := _request_id(trace)) else trace_id
        for trace_id, trace in traces.items()
    ]
    more = f" and {len(named) - 5} more" if len(named) > 5 else ""
    return f"it has {', '.join(named[:5]) or 'no spans'}{more}"


def _request_id(trace: list[Span]) -> str:
    return next((span.request_id for span in trace if span.request_id), "")
