"""Why a plan is as it is: a sentence for every choice."""

from collections.abc import Iterable, Iterator

from builders.gpu_spec import PRECISION_NAMES
from builders.planner.candidates import preferred
from builders.planner.llm_plan import MAX_BATCH_SIZE, LlmPlan
from builders.planner.throughput import longest_gap_ms, steady_time
from builders.tensorrt_llm.support import LLM_API


def reasons(plan: LlmPlan, rejected: Iterable[str]) -> Iterator[str]:
    request, engine = plan.request, plan.engine
    yield from (f"not possible: {text}" for text in rejected)
    yield _precision_reason(plan)
    yield from _checkpoint_reason(plan)
    yield from _family_reason(plan)
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


def _checkpoint_reason(plan: LlmPlan) -> Iterator[str]:
    """The LLM API takes the precision from the checkpoint."""
    precision, checkpoints = plan.engine.precision, plan.request.spec.gpu.checkpoints
    if plan.engine.flavour == "engine" or precision == "bf16":
        return
    missing = (
        f"none in {PRECISION_NAMES[precision]} is named in the spec's [gpu.checkpoints], and the "
        "LLM API quantizes nothing itself: name one before building"
    )
    yield f"checkpoint: {checkpoints.get(precision, missing)}"


def _family_reason(plan: LlmPlan) -> Iterator[str]:
    name = plan.request.spec.sizes.hf_class
    if plan.engine.flavour == "llm-api" and name and name not in LLM_API:
        yield (
            f"{name} is not among the models that TensorRT-LLM's PyTorch backend is documented to "
            "load: it may refuse the checkpoint"
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
    parts = vars(steady_time(plan.deployment, plan.request.workload, plan.engine.max_batch_size))
    total = sum(parts.values())
    shares = sorted(((value / total, name) for name, value in parts.items()), reverse=True)
    return ", ".join(f"{name.replace('_', ' ')} {share:.0%}" for share, name in shares[:3])
