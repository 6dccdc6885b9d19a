"""Plans as text: what, how fast, and why."""

import sys
from collections.abc import Iterator

from builders.errors import BuildError
from builders.gpu_spec import PRECISION_NAMES
from builders.models_in_use import chosen_models
from builders.planner.llm_cost import COMPUTE_EFFICIENCY, encoder_gib, iteration_parts_s
from builders.planner.llm_plan import MAX_BATCH_SIZE, LlmOptions, LlmPlan, Request
from builders.planner.own_architecture import with_architecture
from builders.planner.plan import plan_llm, preferred
from builders.planner.throughput import longest_gap_ms, steady_load
from builders.spec import ModelSpec, Sku, load_model
from builders.tensorrt_llm.support import LLM_API

PASSAGE_TOKENS = 128
"""Tokens for which an encoder's rate is given: a passage of the splitter and a question."""


def print_plans(sku: Sku, model: str, models: list[str], options: LlmOptions) -> bool:
    """Print plans of the pipeline's specs, or of `model` alone; False if one was refused."""
    specs = [load_model(model)] if model else chosen_models(models, sku)
    encoders = () if model else tuple(spec for spec in specs if spec.role != "llm")
    is_complete = True
    for spec in specs:
        try:
            if spec.role == "llm":
                text = "\n".join(llm_text(plan_llm(Request(sku, spec, options, encoders))))
            else:
                text = encoder_text(with_architecture(spec), sku)
            print(f"{text}\n")
        except BuildError as error:
            is_complete = False
            print(f"{spec.name} on {sku.name}: refused: {error}\n", file=sys.stderr)
    return is_complete


def encoder_text(spec: ModelSpec, sku: Sku) -> str:
    """The plan of an encoder, in FP16 on ONNX Runtime. Its rate is an upper bound (matrices at the
    BF16 rate), not calibrated."""
    if sku.gpu is None:
        raise BuildError(f"SKU '{sku.name}' has no GPU to plan for")
    memory, total = encoder_gib(spec), sku.gpu.memory_gib.value
    if memory > total:
        raise BuildError(f"'{spec.name}' needs {memory:.1f} GiB; one {sku.name} has {total}")
    matrices = 2 * spec.sizes.layers * spec.sizes.layer_parameters * PASSAGE_TOKENS
    rate = sku.gpu.dense_tflops.bf16.value * 1e12 * COMPUTE_EFFICIENCY / matrices
    return (
        f"{spec.name} on {sku.name}: FP16, ONNX Runtime, {memory:.1f} GiB, max_batch_size "
        f"{sku.place(spec.role).max_batch_size}; below {rate:,.0f} passages of {PASSAGE_TOKENS} "
        "tokens a second (matrices alone; not calibrated)"
    )


def llm_text(plan: LlmPlan) -> Iterator[str]:
    request, engine = plan.request, plan.engine
    yield (
        f"{request.spec.name} on {request.sku.name}: {plan.deployment.name}, {engine.flavour} "
        f"(TensorRT-LLM {engine.tensorrt_llm}, container {engine.container})"
    )
    yield ""
    yield f"{'memory of one GPU':24}{plan.budget.total:8.1f} GiB"
    for name, gib in (*plan.budget.parts(), ("spare", plan.budget.spare)):
        yield f"    {name:20}{gib:8.1f}"
    yield ""
    yield from _performance_lines(plan)
    yield ""
    yield f"max_batch_size {engine.max_batch_size}, max_num_tokens {engine.max_num_tokens}, " + (
        f"max_seq_len {engine.max_seq_len}, KV cache {plan.kv_tokens:,} tokens"
    )
    yield from (f"- {reason}" for reason in reasons(plan))


def _performance_lines(plan: LlmPlan) -> Iterator[str]:
    workload = plan.request.workload
    yield (
        f"expected with {workload.input_tokens} input and {workload.output_tokens} output tokens "
        "(median error of the model on published figures: docs/gpu.md)"
    )
    yield f"{'':16}{'requests in flight':>20}{'output tokens/s':>18}{'TTFT ms':>10}{'ITL ms':>9}"
    at_65 = plan.expected.concurrency == plan.concurrency_at_65_percent
    expected = "65 % of that" if at_65 else "as asked"
    for name, at in (("at most", plan.most), (expected, plan.expected)):
        speed = f"{at.output_tokens_per_s:18,.0f}{at.ttft_ms:10.0f}{at.itl_ms:9.1f}"
        yield f"{name:16}{at.concurrency:20}{speed}"
    if not at_65:
        yield f"{'65 % of most':16}{plan.concurrency_at_65_percent:20}"


def reasons(plan: LlmPlan) -> Iterator[str]:
    """Why a plan is as it is: a sentence for every choice."""
    request, engine = plan.request, plan.engine
    yield from (f"not possible: {text}" for text in plan.rejected)
    yield _precision_reason(plan)
    yield from _api_reasons(plan)
    yield _split_reason(plan)
    yield (
        f"KV cache in {engine.kv_dtype.upper()}, {plan.budget.kv_cache:.1f} GiB per GPU "
        f"({plan.runtime.kv_memory_fraction:.2f} of what the engine leaves): {plan.kv_tokens} "
        "tokens"
    )
    yield _batch_reason(plan)
    gap = longest_gap_ms(
        plan.deployment, request.workload, engine.max_batch_size, engine.max_num_tokens
    )
    yield (
        f"max_num_tokens {engine.max_num_tokens}: a prompt in the batch stretches a gap to at "
        f"most {gap:.0f} ms"
    )
    if engine.max_seq_len < request.spec.max_tokens:
        yield (
            f"max_seq_len {engine.max_seq_len}: the KV cache holds no more of one request; the "
            f"spec allows {request.spec.max_tokens}"
        )
    yield f"bound by {_bound(plan)}"
    yield from (f"rests on an unsourced figure: {text}" for text in request.gpu.unsourced())


def _precision_reason(plan: LlmPlan) -> str:
    request, name = plan.request, PRECISION_NAMES[plan.engine.precision]
    if request.options.precision:
        return f"{name}: asked for"
    order = ", ".join(PRECISION_NAMES[p] for p in preferred(request.gpu, request.options.flavour))
    return (
        f"{name}: the first that fits of {order} (SM {request.gpu.compute_capability.value}, "
        f"{request.options.flavour})"
    )


def _api_reasons(plan: LlmPlan) -> Iterator[str]:
    """Reasons for the LLM API: where its precision comes from, whether it loads the checkpoint."""
    spec, precision = plan.request.spec, plan.engine.precision
    if plan.engine.flavour == "engine":
        return
    if precision != "bf16":
        missing = (
            f"none in {PRECISION_NAMES[precision]} is named in the spec's [gpu.checkpoints], and "
            "the LLM API quantizes nothing itself: name one before building"
        )
        yield f"checkpoint: {spec.gpu.checkpoints.get(precision, missing)}"
    if spec.sizes.hf_class and spec.sizes.hf_class not in LLM_API:
        yield (
            f"{spec.sizes.hf_class} is not among the models that TensorRT-LLM's PyTorch backend is "
            "documented to load: it may refuse the checkpoint"
        )


def _split_reason(plan: LlmPlan) -> str:
    request, engine = plan.request, plan.engine
    if request.options.tp or request.options.pp:
        few = plan.deployment.gpus <= request.gpu.max_gpus
        note = "" if few else f"; machines with this GPU commonly have {request.gpu.max_gpus}"
        return f"TP{engine.tp} PP{engine.pp}: asked for{note}"
    if plan.deployment.gpus == 1:
        return "TP1 PP1: one GPU suffices"
    link = f"{request.gpu.link.value} at {request.gpu.link_gb_s.value:g} GB/s"
    return (
        f"TP{engine.tp} PP{engine.pp}: of the fast splits of {plan.deployment.gpus} GPUs ({link}) "
        f"the one with the shortest gaps; fewer GPUs don't fit, or each would do less"
    )


def _batch_reason(plan: LlmPlan) -> str:
    workload, size = plan.request.workload, plan.engine.max_batch_size
    if size == MAX_BATCH_SIZE:
        return f"max_batch_size {size}: TensorRT-LLM's bound; the KV cache would hold more"
    return f"max_batch_size {size}: requests of {workload.tokens} tokens that the KV cache holds"


def _bound(plan: LlmPlan) -> str:
    load = steady_load(plan.deployment, plan.request.workload, plan.engine.max_batch_size)
    parts = iteration_parts_s(plan.deployment, load)
    largest = sorted(((seconds, name) for name, seconds in parts.items()), reverse=True)[:3]
    return ", ".join(f"{name} {seconds / sum(parts.values()):.0%}" for seconds, name in largest)
