"""Plans as text for people (table, reasons) and as JSON for programs: what, how fast, and why."""

import json
import sys
from collections.abc import Iterator
from typing import Any

from builders.errors import BuildError
from builders.gpu_spec import GIB
from builders.models_in_use import chosen_models
from builders.planner.fixed_plan import FixedPlan, plan_cpu, plan_encoder
from builders.planner.llm_plan import LlmOptions, LlmPlan, Request
from builders.planner.memory import MemoryBudget
from builders.planner.own_architecture import with_architecture
from builders.planner.plan import plan_llm
from builders.planner.throughput import Performance
from builders.spec import ModelSpec, Sku, load_model


def print_plans(
    sku: Sku, model: str, models: list[str], options: LlmOptions, as_json: bool
) -> bool:
    """Print a plan or a refusal for every model; whether none was refused.

    `model` is planned alone; otherwise the pipeline's specs are, with `models` in place of those
    of their roles.
    """
    specs = [load_model(model)] if model else chosen_models(models, sku)
    encoders = () if model else tuple(spec for spec in specs if spec.role != "llm")
    is_complete = True
    for spec in specs:
        try:
            made = _plan(sku, spec, encoders, options)
            print(_shown(made, as_json))
        except BuildError as error:
            is_complete = False
            refused = {"sku": sku.name, "model": spec.name, "refused": str(error)}
            if as_json:
                print(json.dumps(refused, indent=2))
            else:
                print(f"{spec.name} on {sku.name}: refused: {error}\n", file=sys.stderr)
    return is_complete


def _plan(
    sku: Sku, spec: ModelSpec, encoders: tuple[ModelSpec, ...], options: LlmOptions
) -> LlmPlan | FixedPlan:
    if sku.gpu and spec.role == "llm":
        return plan_llm(Request(sku, spec, options, encoders))
    return (plan_encoder if sku.gpu else plan_cpu)(with_architecture(spec), sku)


def _shown(plan: LlmPlan | FixedPlan, as_json: bool) -> str:
    if as_json:
        return json.dumps(plan.values if isinstance(plan, FixedPlan) else llm_json(plan), indent=2)
    return (plan.text if isinstance(plan, FixedPlan) else "\n".join(llm_text(plan))) + "\n"


def llm_json(plan: LlmPlan) -> dict[str, Any]:
    """One flat object; times in milliseconds, memory in GiB."""
    return {
        "sku": plan.request.sku.name,
        "model": plan.request.spec.name,
        "gpus": plan.deployment.gpus,
        **plan.engine.to_json(),
        "isl": plan.request.workload.input_tokens,
        "osl": plan.request.workload.output_tokens,
        "max_output_tokens_per_s": round(plan.most.output_tokens_per_s, 1),
        "kv_tokens": plan.kv_tokens,
        "kv_memory_fraction": plan.runtime.kv_memory_fraction,
        "weights_gib": round(plan.deployment.weight_bytes / GIB, 2),
        "budget_gib_per_gpu": {name: round(gib, 2) for name, gib in plan.budget.parts()},
        "memory_gib_per_gpu": plan.budget.total,
        "expected_concurrency": plan.expected.concurrency,
        "expected_output_tokens_per_s": round(plan.expected.output_tokens_per_s, 1),
        "expected_ttft_ms": round(plan.expected.ttft_ms, 1),
        "expected_itl_ms": round(plan.expected.itl_ms, 2),
        "concurrency_at_65_percent": plan.concurrency_at_65_percent,
        "reasons": list(plan.reasons),
    }


def llm_text(plan: LlmPlan) -> Iterator[str]:
    request, engine = plan.request, plan.engine
    yield (
        f"{request.spec.name} on {request.sku.name}: {plan.deployment.name}, {engine.flavour} "
        f"(TensorRT-LLM {engine.tensorrt_llm}, container {engine.container})"
    )
    yield ""
    yield from _budget_lines(plan.budget)
    yield ""
    yield from _performance_lines(plan)
    yield ""
    yield f"max_batch_size {engine.max_batch_size}, max_num_tokens {engine.max_num_tokens}, " + (
        f"max_seq_len {engine.max_seq_len}, KV cache {plan.kv_tokens:,} tokens"
    )
    yield from (f"- {reason}" for reason in plan.reasons)


def _budget_lines(budget: MemoryBudget) -> Iterator[str]:
    yield f"{'memory of one GPU':24}{budget.total:8.1f} GiB"
    for name, gib in (*budget.parts(), ("spare", budget.spare)):
        yield f"    {name:20}{gib:8.1f}"


def _performance_lines(plan: LlmPlan) -> Iterator[str]:
    workload = plan.request.workload
    yield (
        f"expected with {workload.input_tokens} input and {workload.output_tokens} output tokens "
        "(median error of the model on published figures: docs/planner.md)"
    )
    yield f"{'':16}{'requests in flight':>20}{'output tokens/s':>18}{'TTFT ms':>10}{'ITL ms':>9}"
    yield _performance_line("at most", plan.most)
    at_65 = plan.expected.concurrency == plan.concurrency_at_65_percent
    yield _performance_line("65 % of that" if at_65 else "as asked", plan.expected)
    if not at_65:
        yield f"{'65 % of most':16}{plan.concurrency_at_65_percent:20}"


def _performance_line(name: str, at: Performance) -> str:
    return (
        f"{name:16}{at.concurrency:20}{at.output_tokens_per_s:18,.0f}{at.ttft_ms:10.0f}"
        f"{at.itl_ms:9.1f}"
    )
