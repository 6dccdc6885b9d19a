"""`triton-traces`: where a request spent its time."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import click

from triton_traces.findings import analyse
from triton_traces.selection import find_request
from triton_traces.spans import NoSuchTrace, TraceError
from triton_traces.text import encodable, printable, render
from triton_traces.trace_events import trace_events

_path = click.Path(dir_okay=False, path_type=Path)
_file_option = click.option(
    "--file",
    type=_path,
    default=Path("traces.jsonl"),
    envvar="TRITON_TRACES_FILE",
    show_envvar=True,
    help="The collector's file, one OTLP JSON document a line.",
)


class _CommandError(click.ClickException):
    def __init__(self, message: str, status: int) -> None:
        super().__init__(printable(message))
        self.exit_code: int = status  # type: ignore[misc]  # click reads it of the instance


@click.group(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
def main() -> None:
    """Say where a request spent its time, from its OpenTelemetry trace.

    Exit status: 0 done, 1 no such trace or no free port, 2 wrong usage or an unreadable file.
    """


@main.command()
@click.argument("target")
@_file_option
@click.option("--output", type=_path, help="Also write trace events for Perfetto and speedscope.")
def show(target: str, file: Path, output: Path | None) -> None:
    """Show the steps of one request, its critical path and what failed.

    TARGET is a request or trace id to find in --file, or a file of OTLP JSON with one request.
    """
    try:
        spans, note = find_request(target, file)
        findings = analyse(spans)
    except NoSuchTrace as error:
        raise _CommandError(str(error), 1) from error
    except TraceError as error:
        raise _CommandError(str(error), 2) from error
    text = render(findings, shutil.get_terminal_size((100, 24)).columns)
    click.echo(encodable(text, sys.stdout.encoding or "utf-8"))
    if note:
        click.echo(note, err=True)
    if output:
        _write(output, json.dumps(trace_events(findings)))


@main.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=4318,
    help="Port on 127.0.0.1; 0 takes a free one.",
)
@_file_option
def collect(port: int, file: Path) -> None:
    """Receive OTLP over HTTP and append it to --file, until Ctrl-C.

    It takes JSON and protobuf, uncompressed. The file only grows: delete it after use.
    """
    from triton_traces.collector import Collector

    try:
        collector = Collector(port, file)
    except OSError as error:
        where = error.filename or f"127.0.0.1:{port}"
        raise _CommandError(f"{where}: {error.strerror}", 1) from error
    with collector, suppress(KeyboardInterrupt):
        click.echo(f"OTEL_EXPORTER_OTLP_ENDPOINT={collector.url}")
        click.echo(f"appending to {file}", err=True)
        collector.serve_forever()


def _write(file: Path, content: str) -> None:
    try:
        file.write_text(content, encoding="utf-8")
    except OSError as error:
        raise _CommandError(f"{file}: {error.strerror}", 2) from error
    click.echo(f"written: {file}; open it at ui.perfetto.dev or speedscope.app", err=True)
