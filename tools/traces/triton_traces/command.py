"""`triton-traces`: where a request spent its time."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from triton_traces import report, svg, text
from triton_traces.findings import Findings, explain
from triton_traces.source import DEFAULT_URL, FileFault, NoSuchTrace, load
from triton_traces.spans import TraceError

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status: 0, 1 (no such trace), 2 (usage), 130 (Ctrl-C)."""
    options = _parser().parse_args(arguments)
    try:
        return run(options)
    except KeyboardInterrupt:
        return _complain("cancelled", INTERRUPTED)
    except (FileFault, TraceError, ValueError) as error:
        return _complain(str(error), USAGE)
    except NoSuchTrace as error:
        return _complain(str(error), FAILED)


def _complain(message: str, status: int) -> int:
    print(f"triton-traces: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    what = "show where a request spent its time, as a flame graph"
    parser = argparse.ArgumentParser(prog="triton-traces", description=what.capitalize() + ".")
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="request or trace id, or a file with OTLP JSON (one document, or one on each line)",
    )
    parser.add_argument(
        "--url",
        default=os.environ.get("TRITON_RAG_TRACES_URL", DEFAULT_URL),
        help="http://host:port of the trace collector (%(default)s; TRITON_RAG_TRACES_URL sets it)",
    )
    parser.add_argument(
        "--id", default="", metavar="ID", help="request or trace id to pick out of a file"
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also draw the flame graph")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the findings of `options.target`, draw them into `options.svg`; 0, or it raises.

    Raises `FileFault`, `NoSuchTrace`, `TraceError` and ValueError.
    """
    found = load(options.target, options.url, options.id)
    findings = explain(found.spans)
    if options.json:
        print(json.dumps(report.as_object(findings), ensure_ascii=False, indent=2))
    else:
        print(_text(findings))
    for remark in filter(None, (found.note, _draw(findings, options.svg))):
        print(remark, file=sys.stderr)
    return 0


def _text(findings: Findings) -> str:
    width = shutil.get_terminal_size((100, 24)).columns
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    fine = encoding.replace("-", "") == "utf8"
    return text.render(findings, width, text.FINE if fine else text.PLAIN)


def _draw(findings: Findings, file: Path | None) -> str:
    """Write the SVG; what was written, in words."""
    if file is None:
        return ""
    try:
        file.write_text(svg.render(findings), encoding="utf-8")
    except OSError as error:
        raise FileFault(f"{file}: {error.strerror or 'can not be written'}") from error
    return f"drawn: {file}"
