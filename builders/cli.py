"""`python -m builders`: what the Makefile calls."""

import argparse
import sys
from pathlib import Path

from builders import engines_cli
from builders.errors import BuildError
from builders.planner import cli as plan_cli
from builders.spec import ROOT, load_pipeline, load_sku, sku_names


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when all is well, 1 with a message when not."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.handler(options))
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m builders", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, handler: object, help_text: str, of_a_sku: bool = True
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help_text, description=help_text)
        if of_a_sku:
            command.add_argument("--sku", default="cpu", help="name of a file in builders/skus")
        command.set_defaults(handler=handler)
        return command

    engines_cli.add_build_arguments(
        add("build-engines", build_engines, "make the engines of a SKU and link them in")
    )
    engines_cli.add_order_arguments(
        add("explain", engines_cli.explain, "say why an engine would be made again")
    )
    engines_cli.add_gc_arguments(
        add("engines-gc", engines_cli.collect_engines, "remove engines that nothing uses")
    )
    add("render", render_files, "write model.py and configs of all SKUs", of_a_sku=False)
    add("check", check_files, "fail with a diff where generated files are stale", of_a_sku=False)
    plan_cli.add_arguments(add("plan", plan_cli.plan, "say what a SKU would get, and why"))
    return parser


def build_engines(options: argparse.Namespace) -> int:
    """Make and link them, then write what the server reads beside them."""
    engines_cli.build(options)
    return render_files(options)


def _rendered() -> dict[Path, dict[str, str]]:
    """All generated text: folder, path in it, text."""
    from builders.planner.matrix import documents
    from builders.render import render

    repository = render(map(load_sku, sku_names()), load_pipeline())
    return {
        ROOT / "model_repository": repository,
        ROOT / "docs": documents(),
    }


def render_files(options: argparse.Namespace) -> int:
    """Says what changed, if anything."""
    from builders.repository import write

    for folder, files in _rendered().items():
        for name in write(files, folder):
            print(f"wrote {folder.name}/{name}")
    return 0


def check_files(options: argparse.Namespace) -> int:
    """The diff between what is on disk and what would be rendered."""
    from builders.repository import differences

    found = [line for folder, files in _rendered().items() for line in differences(files, folder)]
    if found:
        print("".join(found) + "\ngenerated files are stale: run 'make render'", file=sys.stderr)
    return 1 if found else 0
