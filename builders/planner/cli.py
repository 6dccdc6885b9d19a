"""`python -m builders plan`: what would be built for a SKU, what to expect of it, and why."""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any, get_args

from builders.engine_plan import TENSORRT_LLM, Flavour
from builders.errors import BuildError
from builders.planner.candidates import PRECISION_NAMES
from builders.planner.cpu_plan import CpuPlan, plan_cpu
from builders.planner.encoder_plan import EncoderPlan, plan_encoder
from builders.planner.llm_plan import LlmPlan, Request
from builders.planner.own_architecture import with_architecture
from builders.planner.plan import plan_llm
from builders.planner.report import llm_json, llm_text
from builders.planner.throughput import Workload
from builders.spec import ModelSpec, Sku, chosen_models, load_model, load_sku, sku_names
from builders.tensorrt_llm.migration import migration

DEFAULT_ISL, DEFAULT_OSL = 1000, 250
"""A RAG request: three passages, the question and the template; an answer of a few sentences."""

Plan = LlmPlan | EncoderPlan | CpuPlan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the subcommand; `--sku` is there already."""
    parser.add_argument("--model", help="plan this spec alone")
    parser.add_argument("--models", default="", help="specs that replace the pipeline's, by comma")
    add_llm_arguments(parser)
    parser.add_argument(
        "--max-load", action="store_true", help="as published benchmarks: the LLM alone, full"
    )
    parser.add_argument(
        "--migrate", action="store_true", help="what changes from an engine to the LLM API"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a model")


def add_llm_arguments(parser: argparse.ArgumentParser) -> None:
    """What may be asked of the LLM's plan; of all commands that need one."""
    group = parser.add_argument_group("LLM on a GPU SKU")
    group.add_argument("--flavour", choices=get_args(Flavour), default="llm-api")
    group.add_argument("--tensorrt-llm", default=TENSORRT_LLM, help="release (%(default)s)")
    group.add_argument("--precision", choices=list(PRECISION_NAMES), help="default: by SM")
    group.add_argument("--tp", type=_positive, help="GPUs that share each layer")
    group.add_argument("--pp", type=_positive, help="groups of layers on GPUs of their own")
    group.add_argument("--gpus", type=_positive, help="most GPUs to use; default: one machine's")
    group.add_argument("--isl", type=_positive, default=DEFAULT_ISL, help="input tokens")
    group.add_argument("--osl", type=_positive, default=DEFAULT_OSL, help="output tokens")
    group.add_argument("--concurrency", type=_positive, help="requests in flight to plan for")
    group.add_argument("--ttft-ms", type=float, help="target: time to first token")
    group.add_argument("--itl-ms", type=float, help="target: time between tokens")


def check_llm_options(sku: Sku, options: argparse.Namespace) -> None:
    """Raises `BuildError` for what is asked of a GPU where the SKU has none."""
    names = ("precision", "tp", "pp", "gpus", "concurrency", "ttft_ms", "itl_ms")
    asked = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]
    asked += ["--flavour"] if options.flavour != "llm-api" else []
    asked += ["--migrate"] if getattr(options, "migrate", False) else []
    if asked and sku.gpu is None:
        raise BuildError(
            f"{', '.join(asked)}: for SKUs with a GPU; on '{sku.name}' the precision is the "
            "spec's, and sizes are in builders/placements"
        )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value}; at least 1 is needed")
    return value


def plan(options: argparse.Namespace) -> int:
    """Print a plan or a refusal for every model; 1 when one was refused."""
    if not options.sku:
        raise BuildError(f"plan: --sku is needed: {', '.join(sku_names())}")
    sku, refused = load_sku(options.sku), False
    check_llm_options(sku, options)
    for spec, others in _chosen(options, sku):
        try:
            if options.migrate and spec.role == "llm":
                _show_migration(sku, spec, others, options)
            else:
                _show(_plan(sku, spec, others, options), options.json)
        except BuildError as error:
            refused = True
            _show_refusal(sku, spec, error, options.json)
    return 1 if refused else 0


def _chosen(
    options: argparse.Namespace, sku: Sku
) -> Iterator[tuple[ModelSpec, tuple[ModelSpec, ...]]]:
    """Each spec to plan, with the encoders that share its GPU."""
    if options.model:
        yield load_model(options.model), ()
        return
    specs = chosen_models([name for name in options.models.split(",") if name], sku)
    encoders = tuple(spec for spec in specs if spec.role != "llm")
    for spec in specs:
        yield spec, encoders if spec.role == "llm" else ()


def _plan(
    sku: Sku, spec: ModelSpec, encoders: tuple[ModelSpec, ...], options: argparse.Namespace
) -> Plan:
    spec = with_architecture(spec)
    if sku.gpu is None:
        return plan_cpu(spec, sku)
    if spec.role != "llm":
        return plan_encoder(spec, sku)
    return llm_plan(sku, spec, encoders, options)


def llm_plan(
    sku: Sku, spec: ModelSpec, encoders: tuple[ModelSpec, ...], options: argparse.Namespace
) -> LlmPlan:
    """For what the command line asks; `encoders` share the GPU. Raises `BuildError`."""
    spec, encoders = with_architecture(spec), tuple(map(with_architecture, encoders))
    targets = (options.concurrency, options.ttft_ms, options.itl_ms)
    return plan_llm(
        Request(
            sku,
            spec,
            Workload(options.isl, options.osl, *targets),
            flavour=options.flavour,
            precision=options.precision,
            tp=options.tp,
            pp=options.pp,
            gpus=options.gpus,
            encoders=encoders,
            tensorrt_llm=options.tensorrt_llm,
            max_load=getattr(options, "max_load", False),
        )
    )


def _show_migration(
    sku: Sku, spec: ModelSpec, encoders: tuple[ModelSpec, ...], options: argparse.Namespace
) -> None:
    engine, api = (
        llm_plan(sku, spec, encoders, argparse.Namespace(**vars(options) | {"flavour": flavour}))
        for flavour in ("engine", "llm-api")
    )
    print(f"{spec.name} on {sku.name}: from {engine.candidate.name} to {api.candidate.name}")
    print("\n".join(f"- {line}" for line in migration(engine.engine, api.engine)), end="\n\n")


def _show(made: Plan, as_json: bool) -> None:
    if as_json:
        _print_json(llm_json(made) if isinstance(made, LlmPlan) else made.to_json())
    elif isinstance(made, LlmPlan):
        print("\n".join(llm_text(made)), end="\n\n")
    else:
        print(made.text(), end="\n\n")


def _show_refusal(sku: Sku, spec: ModelSpec, error: BuildError, as_json: bool) -> None:
    if as_json:
        _print_json({"sku": sku.name, "model": spec.name, "refused": str(error)})
    else:
        print(f"{spec.name} on {sku.name}: refused: {error}\n", file=sys.stderr)


def _print_json(values: dict[str, Any]) -> None:
    print(json.dumps(values, indent=2))
