"""The command `lint`: its options, what it prints, its exit status."""

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from triton_lint.chart import NoEnsemble, chart
from triton_lint.engine import Report, lint
from triton_lint.fix import repairs
from triton_lint.graph import mermaid
from triton_lint.options import Options
from triton_lint.report import FORMATS, explain, printable
from triton_lint.repository import NotARepository
from triton_lint.svg import svg
from triton_lint.versions import NEWEST, UnknownVersion, Version

CLEAN, FOUND, USAGE = 0, 1, 2

_EPILOG = """examples:
  triton-lint model_repository
  triton-lint model_repository --triton 24.10 --gpus 0 --format github
  triton-lint --explain TRN204

exit status: 0 no errors, 1 errors (with --strict: warnings too), 2 wrong usage or no repository"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `lint`."""
    parser.add_argument("paths", nargs="*", metavar="PATH", help="a model repository; several are "
                        "checked together, as one server would serve them")  # fmt: skip
    parser.add_argument("--explain", metavar="RULE", help="say what a rule means and stop")
    parser.add_argument("--fix", action="store_true", help="repair what has one certain repair: "
                        "shows a diff and writes the files")  # fmt: skip
    parser.add_argument("--graph", metavar="ENSEMBLE", help="draw an ensemble with its findings: "
                        "prints a Mermaid chart")  # fmt: skip
    parser.add_argument("--svg", metavar="FILE", help="with --graph: write an SVG drawing instead")
    parser.add_argument("--format", choices=tuple(FORMATS), default="text", help="(%(default)s)")
    parser.add_argument("--strict", action="store_true", help="warnings fail too")
    parser.add_argument(
        "--triton",
        type=_version,
        default=NEWEST,
        metavar="VERSION",
        help=f"server version or container release, such as 2.51 or 24.10 ({NEWEST.describe()})",
    )
    parser.add_argument("--model-config-name", action="append", default=[], metavar="NAME",
                        help="as tritonserver's: configs/NAME.pbtxt where it exists; of several, "
                        "each is checked")  # fmt: skip
    parser.add_argument("--disable-auto-complete-config", action="store_true",
                        help="as tritonserver's")  # fmt: skip
    parser.add_argument("--gpus", type=_count, metavar="N", help="GPUs of the machine (unknown)")
    parser.add_argument("--backend", action="append", default=[], metavar="NAME",
                        help="a backend that the server has beside NVIDIA's")  # fmt: skip
    parser.add_argument("--no-files", action="store_true",
                        help="don't look for model files and version folders")  # fmt: skip
    parser.add_argument("--ignore", action="append", default=[], metavar="RULE",
                        help="leave out a rule")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the linter; the exit status."""
    parser = argparse.ArgumentParser(
        prog="triton-lint",
        description="Check Triton model repositories, without a server.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    return run(parser.parse_args(arguments))


def run(options: argparse.Namespace) -> int:
    """Print the findings; the exit status."""
    if options.explain:
        return _explain(options.explain)
    if not options.paths:
        return _complain("give the path of a model repository")
    if options.svg and not options.graph:
        return _complain("--svg goes with --graph ENSEMBLE")
    try:
        report = _read(options)
    except NotARepository as error:
        return _complain(str(error))
    if options.graph:
        return _draw(report, options.graph, options.svg)
    if options.fix:
        report = _repaired(report, options)
    print(FORMATS[options.format](report))
    summary = report.summary
    return FOUND if summary.errors or (options.strict and summary.warnings) else CLEAN


def _options(given: argparse.Namespace, model_config_name: str) -> Options:
    return Options(
        triton=given.triton,
        model_config_name=model_config_name,
        auto_complete=not given.disable_auto_complete_config,
        gpus=given.gpus,
        backends=tuple(given.backend),
        check_files=not given.no_files,
    )


def _draw(report: Report, name: str, file: str | None) -> int:
    try:
        drawn = chart(report, name)
        if file is None:
            print(mermaid(drawn))
        else:
            Path(file).write_text(svg(drawn), encoding="utf-8")
    except NoEnsemble as error:
        return _complain(str(error))
    except OSError as error:
        return _complain(f"{file} is not written: {error.strerror or error}")
    return CLEAN


def _repaired(report: Report, options: argparse.Namespace) -> Report:
    """Write the repairs, and look again."""
    found = repairs(report.findings)
    for repair in found:
        print(repair.diff, file=sys.stderr)
        try:
            repair.write()
        except OSError as error:
            _complain(f"{printable(repair.path)} is not repaired: {error.strerror or error}")
    return _read(options) if found else report


def _read(options: argparse.Namespace) -> Report:
    names = options.model_config_name or [""]
    was_enabled = gc.isenabled()
    gc.disable()  # a few seconds at most, in which collections cost a fifth of the time
    try:
        reports = [lint(options.paths, _options(options, name)) for name in names]
    finally:
        if was_enabled:
            gc.enable()
    return Report.merged(reports).without(options.ignore)


def _explain(rule: str) -> int:
    try:
        print(explain(rule))
    except KeyError as error:
        return _complain(error.args[0])
    return CLEAN


def _complain(message: str) -> int:
    print(f"triton-lint: {message}", file=sys.stderr)
    return USAGE


def _version(text: str) -> Version:
    try:
        return Version.parse(text)
    except UnknownVersion as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0")
    return int(text)
