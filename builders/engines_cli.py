"""`python -m builders build-engines`, `explain`, `engines-gc`: what they do and print."""

import argparse
import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

from builders import resources
from builders.errors import BuildError
from builders.planner.cli import add_llm_arguments
from builders.spec import ROOT, ModelSpec, Sku, load_sku, sku_names

if TYPE_CHECKING:
    from builders.engine import Engine
    from builders.orders import EngineOrder

MIB = 2**20


def add_build_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `build-engines`; `--sku` is there already."""
    add_order_arguments(parser)
    parser.add_argument(
        "--jobs",
        type=int,
        default=0,
        help="most builds at once; default: as cores and memory allow",
    )


def add_order_arguments(parser: argparse.ArgumentParser) -> None:
    """Which engines a command is about."""
    parser.add_argument("--models", default="", help="specs that replace the pipeline's, by comma")
    add_llm_arguments(parser)


def add_gc_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `engines-gc`, which is about all SKUs unless one is named."""
    parser.set_defaults(sku="")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")


def build(options: argparse.Namespace) -> int:
    """One line a model, with the time that it took; linked in once all are there."""
    from builders.orders import orders
    from builders.repository import link_engines

    sku = load_sku(options.sku)
    ordered = orders(sku, options, on_this_machine=True)
    labels = [f"[{n}/{len(ordered)}] {o.spec.role} {o.spec.name}" for n, o in enumerate(ordered, 1)]
    try:
        engines = _all_built(ordered, sku, labels, options.jobs)
    except KeyboardInterrupt as error:
        raise BuildError(
            "interrupted: what was finished is kept; the same command goes on from there"
        ) from error
    for order, engine in zip(ordered, engines, strict=True):
        order.finish(engine)
    link_engines(engines)
    return 0


def _all_built(
    ordered: "list[EngineOrder]", sku: Sku, labels: list[str], jobs: int
) -> "list[Engine]":
    at_once = _builds_at_once([order.spec for order in ordered], jobs)
    if at_once > 1:
        return _built_side_by_side(ordered, sku, labels, at_once)
    live = sys.stdout.isatty()
    return [_built(order, sku, label, live) for order, label in zip(ordered, labels, strict=True)]


def _builds_at_once(specs: list[ModelSpec], jobs: int) -> int:
    most = resources.builds_for_cores(len(specs), jobs)
    if most == 1:
        return 1
    from builders.checkpoint import checkpoint_bytes

    with tempfile.TemporaryDirectory() as scratch:
        sizes = [checkpoint_bytes(spec, Path(scratch)) for spec in specs]
    return resources.builds_for_memory([resources.memory_need(size) for size in sizes], most)


def _built_side_by_side(
    ordered: "list[EngineOrder]", sku: Sku, labels: list[str], at_once: int
) -> "list[Engine]":
    """Processes, not threads: torch's ONNX exporter has global state."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_once, context) as pool:
        running = [
            pool.submit(_built, order, sku, label, False)
            for order, label in zip(ordered, labels, strict=True)
        ]
        try:
            return [build.result() for build in running]
        except BrokenProcessPool as error:
            raise BuildError(
                "a build was killed, as the kernel does when memory runs out: build one after "
                "the other with --jobs 1; what was finished is kept"
            ) from error
        finally:
            for build in running:
                build.cancel()


def _built(order: "EngineOrder", sku: Sku, label: str, live: bool) -> "Engine":
    from builders.engine import build_engine

    def say(text: str) -> None:
        print(f"{_CLEAR if live else ''}{label}: {text}", flush=True)

    def tick(text: str) -> None:
        print(f"{_CLEAR}{label}: {text}", end="", flush=True)

    engine = build_engine(order.spec, sku, say, tick if live else None, order.recipe)
    how = f"made in {engine.seconds:.1f} s" if engine.seconds else "up to date"
    say(f"{how} ({engine.folder.relative_to(ROOT)})")
    return engine


_CLEAR = "\r\033[K"
"""Back to the line's beginning, and what stood there is gone."""


def explain(options: argparse.Namespace) -> int:
    """For each model "up to date", or a line for each thing that makes a build due."""
    from builders.explain import explain as reasons
    from builders.orders import orders

    sku = load_sku(options.sku)
    for order in orders(sku, options, on_this_machine=False):
        why = reasons(order.spec, sku, order.recipe)
        print(f"{order.spec.role} {order.spec.name}: {'a build is due' if why else 'up to date'}")
        for line in why:
            print(f"  {line}")
    return 0


def collect_engines(options: argparse.Namespace) -> int:
    """A line a folder, then what was freed."""
    from builders.engines_gc import collect

    skus = [load_sku(name) for name in ([options.sku] if options.sku else sku_names())]
    freed = 0
    for removal in collect(skus, print, options.dry_run):
        freed += removal.size_bytes
        verb = "would remove" if options.dry_run else "removed"
        size = f"{removal.size_bytes / MIB:.1f} MiB"
        print(f"{verb} {removal.folder.relative_to(ROOT)} ({size})", flush=True)
    print(f"{'would free' if options.dry_run else 'freed'} {freed / MIB:.1f} MiB")
    return 0
