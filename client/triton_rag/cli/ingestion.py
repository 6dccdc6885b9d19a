"""`ingest`: a folder of files into a collection."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from triton_rag.cli.commands import triton_rag
from triton_rag.cli.options import calls_server, collection_option, count
from triton_rag.cli.output import note, one_line, print_json
from triton_rag.client import Client
from triton_rag.ingestion.folder import MAX_FILE_BYTES, Skipped
from triton_rag.ingestion.report import IngestReport
from triton_rag.ingestion.run import IngestOptions
from triton_rag.ingestion.run import ingest as ingest_folder

MOST_NAMED = 3
"""Most files that are named for one reason; more are only counted."""
_UNKNOWN = "unknown type "
_TYPES = 8
"""Most unknown types that are named; more are only counted."""


@triton_rag.command()
@click.argument("folder", type=click.Path(path_type=Path))
@collection_option(required=True)
@click.option(
    "--under",
    default="",
    show_default=False,
    metavar="NAME",
    help="Put documents at NAME/path and leave the others: for several folders.",
)
@count("--passage-tokens", "Longest passage, in the embedder's tokens; default: the server's.")
@click.option(
    "--max-file-mib",
    type=click.IntRange(min=1),
    default=MAX_FILE_BYTES // 2**20,
    metavar="N",
    help="Skip larger files.",
)
@click.option(
    "--ocr",
    "by_ocr",
    is_flag=True,
    help="Read scanned pages and pictures (.png, .jpg, .tiff, .webp) by OCR: seconds for each.",
)
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Say what would be done.")
@click.option(
    "--replace",
    "replaces_others",
    is_flag=True,
    help="Remove the documents of another folder that the collection has.",
)
@calls_server
def ingest(
    client: Client,
    folder: Path,
    collection: str,
    under: str,
    passage_tokens: int | None,
    max_file_mib: int,
    by_ocr: bool,
    is_dry_run: bool,
    replaces_others: bool,
    as_json: bool,
) -> None:
    """Make a collection mirror a folder of files.

    It reads PDF, Office, HTML, Markdown, mail, code and other files that have changed, and removes
    documents whose files are gone. After a stop, the same command goes on.
    """
    options = IngestOptions(
        under=under,
        passage_tokens=passage_tokens,
        max_file_bytes=max_file_mib * 2**20,
        by_ocr=by_ocr,
        is_dry_run=is_dry_run,
        replaces_others=replaces_others,
    )
    with IngestProgress() as shown:
        report = ingest_folder(client, folder, collection, options, shown.update)
    if as_json:
        print_json(asdict(report))
    else:
        click.echo("\n".join(report_lines(report)))


class IngestProgress:
    """A progress bar, by bytes of processed files; only on a terminal. After an error it says how
    much was done."""

    def __init__(self) -> None:
        self._report: IngestReport | None = None
        self._bar = Progress(
            TextColumn("{task.fields[words]}", markup=False),
            BarColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("", total=None, words="listing files")

    def update(self, report: IngestReport) -> None:
        self._report = report
        elapsed_s = self._bar.tasks[0].elapsed or 0.0
        rate = report.passages / elapsed_s if elapsed_s else 0.0
        words = (
            f"{report.documents + len(report.skipped):,}/{report.files:,} files, "
            f"{report.passages:,} passages, {rate:.0f} a second{_by_ocr(report)}"
        )
        self._bar.update(
            self._task, completed=report.read_bytes, total=report.size_bytes, words=words
        )

    def __enter__(self) -> IngestProgress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bar.stop()
        if kind is not None and self._report is not None:
            note(
                f"ended early: at least {self._report.documents:,} of {self._report.files:,} "
                f"documents are in collection '{self._report.collection}'; the same command goes on"
            )


def report_lines(report: IngestReport) -> Iterator[str]:
    """What was done, what was skipped and why, and what is missing."""
    would = "would be " if report.is_dry_run else ""
    counts = (
        f"{report.added:,} added, {report.replaced:,} replaced, {report.removed:,} removed, "
        f"{report.unchanged:,} unchanged"
    )
    rate = report.passages / report.seconds if report.seconds else 0.0
    passages = f"{report.passages:,} passage{'s' * (report.passages != 1)}"
    made = f"; {passages} in {report.seconds:.1f} s ({rate:.0f} a second)"
    yield (
        f"{report.collection}: {would}{counts}"
        + (made if report.passages else "")
        + _by_ocr(report)
    )
    yield from _grouped("skipped", report.skipped)
    yield from _grouped("not read of", report.remarks)


def _by_ocr(report: IngestReport) -> str:
    return f"; {report.ocr_pages:,} pages by OCR" if report.ocr_pages else ""


def _grouped(what: str, about: Sequence[Skipped]) -> Iterator[str]:
    """A line for each reason, with the files that it is about."""
    names: dict[str, list[str]] = defaultdict(list)
    for each in about:
        names[each.reason].append(one_line(each.name))
    unknown = [reason for reason in names if reason.startswith(_UNKNOWN)]
    if len(unknown) > MOST_NAMED:
        counts = Counter({reason: len(names.pop(reason)) for reason in unknown})
        shown = ", ".join(f"{n:,} {reason.split()[-1]}" for reason, n in counts.most_common(_TYPES))
        more = f" and {len(counts) - _TYPES:,} more types" if len(counts) > _TYPES else ""
        yield f"  {what} {counts.total():,} files of unknown types: {shown}{more}"
    for reason, of in names.items():
        rest = f" and {len(of) - MOST_NAMED:,} more" if len(of) > MOST_NAMED else ""
        yield f"  {what} {', '.join(of[:MOST_NAMED])}{rest}: {reason}"
