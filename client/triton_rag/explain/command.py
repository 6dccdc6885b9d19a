"""`triton-rag explain`: a request's flame graph."""

import argparse
import json
import shutil
import sys
from pathlib import Path

from triton_rag.explain import report, svg, text
from triton_rag.explain.findings import Findings, explain
from triton_rag.explain.source import FileFault, load


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
