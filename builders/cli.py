"""`python -m builders`: build engines, render the model repository, plan GPU SKUs."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from builders.engine import ENGINES
from builders.engine_builds import build_all, engine_builds
from builders.engine_plan import Flavour
from builders.engines_gc import collect
from builders.errors import BuildError
from builders.gpu_spec import PRECISION_NAMES
from builders.models_in_use import described, use_default
from builders.models_in_use import use as use_models
from builders.planner import matrix
from builders.planner.llm_plan import RAG, LlmOptions
from builders.planner.report import print_plans
from builders.planner.throughput import Workload
from builders.render import render as render_repository
from builders.repository import REPOSITORY, check_writable, differences, link_engines, write
from builders.spec import ROOT, Sku, load_pipeline, load_sku, sku_names

MIB = 2**20
Decorated = Callable[..., Any]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 (refused or failed, with a message), 2 (usage)."""
    try:
        return int(cli.main(arguments, "python -m builders", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BuildError as error:
        click.echo(error, err=True)
        return 1
    except click.Abort:
        return 130


@click.group(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Build engines, render the model repository, plan GPU SKUs."""


def sku_option(command: Decorated) -> Decorated:
    text = "Name of a file in builders/skus."
    return click.option("--sku", default="cpu", help=text)(command)


def engine_options(command: Decorated) -> Decorated:
    """Adds --sku, --models, and what `_llm_options` takes."""
    count = click.IntRange(min=1)
    options = [
        click.option(
            "--models",
            default="",
            show_default="those of pipeline.toml",
            help="Names in builders/models or .toml files, by comma.",
        ),
        click.option(
            "--flavour",
            type=click.Choice(get_args(Flavour)),
            default="llm-api",
            help="GPU SKUs: TensorRT engine, or TensorRT-LLM's LLM API.",
        ),
        click.option(
            "--precision",
            type=click.Choice(list(PRECISION_NAMES)),
            help="Of the LLM on GPU SKUs; default: the first that the GPU has and that fits.",
        ),
        click.option("--tp", type=count, help="Tensor parallelism: GPUs that share a layer."),
        click.option("--pp", type=count, help="Pipeline parallelism: groups of layers."),
        click.option("--gpus", type=count, help="Most GPUs to use; default: one machine's."),
        click.option("--isl", type=count, default=RAG.input_tokens, help="Input tokens."),
        click.option("--osl", type=count, default=RAG.output_tokens, help="Output tokens."),
        click.option("--concurrency", type=count, help="Requests in flight to plan for."),
    ]
    for option in reversed(options):
        command = option(command)
    return sku_option(command)


def _llm_options(sku: Sku, isl: int, osl: int, concurrency: int | None, **asked: Any) -> LlmOptions:
    """The options of an LLM's plan; raises `BuildError` for GPU options on a SKU without a GPU."""
    default = LlmOptions()
    found = [f"--{name}" for name, value in asked.items() if value != getattr(default, name)]
    if found and sku.gpu is None:
        raise BuildError(
            f"{', '.join(found)}: for SKUs with a GPU; on '{sku.name}' the precision is the "
            "spec's, and sizes are in builders/placements"
        )
    return LlmOptions(Workload(isl, osl, concurrency), **asked)


def _names(models: str) -> list[str]:
    return [name.strip() for name in models.split(",") if name.strip()]


@cli.command("build-engines")
@engine_options
def build_engines(sku: str, models: str, **llm: Any) -> int:
    """Make a SKU's engines and render the model repository."""
    chosen = load_sku(sku)
    return _build(chosen, models, _llm_options(chosen, **llm))


def _build(sku: Sku, models: str, options: LlmOptions) -> int:
    check_writable(REPOSITORY, ENGINES)
    builds = engine_builds(sku, _names(models), options)
    link_engines(build_all(builds, sku))
    return write_rendered()


@cli.command()
@sku_option
@click.argument("models", default="")
def use(sku: str, models: str) -> int:
    """Build and use MODELS from now on, or list those in use.

    MODELS are names in builders/models or .toml files, by comma; `default` goes back to those of
    pipeline.toml.
    """
    chosen = load_sku(sku)
    if models == "default":
        use_default()
        _build(chosen, "", LlmOptions())
    elif models:
        _build(chosen, models, LlmOptions())
        use_models(_names(models), chosen)
    for line in described(chosen):
        click.echo(line)
    return 0


@cli.command("engines-gc")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def engines_gc(dry_run: bool) -> int:
    """Remove engines of all SKUs that nothing uses."""
    freed_bytes = 0
    for folder, size_bytes in collect([*map(load_sku, sku_names())], click.echo, dry_run):
        freed_bytes += size_bytes
        verb = "would remove" if dry_run else "removed"
        click.echo(f"{verb} {folder.relative_to(ROOT)} ({size_bytes / MIB:.1f} MiB)")
    click.echo(f"{'would free' if dry_run else 'freed'} {freed_bytes / MIB:.1f} MiB")
    return 0


@cli.command()
@engine_options
@click.option("--model", default="", show_default=False, help="Plan this spec alone.")
def plan(sku: str, models: str, model: str, **llm: Any) -> int:
    """Print a GPU SKU's plan and reasons (exit status 1: refused)."""
    chosen = load_sku(sku)
    return int(not print_plans(chosen, model, _names(models), _llm_options(chosen, **llm)))


def rendered() -> dict[Path, dict[str, str]]:
    """All generated text, by folder and by path in it."""
    repository = render_repository(map(load_sku, sku_names()), load_pipeline())
    return {REPOSITORY: repository, ROOT / "docs": {"plan-matrix.md": matrix.page()}}


def write_rendered() -> int:
    """Write what differs from the files on disk, and say what changed."""
    for folder, files in rendered().items():
        for name in write(files, folder):
            did = "wrote" if (folder / name).exists() else "removed"
            click.echo(f"{did} {folder.name}/{name}")
    return 0


@cli.command()
def render() -> int:
    """Write model_repository/ and docs/plan-matrix.md."""
    return write_rendered()


@cli.command()
def check() -> int:
    """Fail with a diff where generated files are stale."""
    found = [line for folder, files in rendered().items() for line in differences(files, folder)]
    if found:
        print("".join(found) + "\ngenerated files are stale: run 'make render'", file=sys.stderr)
    return 1 if found else 0
