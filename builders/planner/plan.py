"""Choose how an LLM runs on a GPU SKU, with a reason for every choice, or refuse with what fits."""

from collections.abc import Iterator
from dataclasses import replace

from builders.engine_plan import CONTAINER, TENSORRT_LLM, EnginePlan, Flavour, RuntimePlan
from builders.errors import BuildError, by_sentence
from builders.gpu_spec import GIB, PRECISION_NAMES, Gpu, GpuPrecision
from builders.planner.llm_cost import Deployment, MemoryBudget, budget, encoder_gib
from builders.planner.llm_plan import MAX_BATCH_SIZE, LlmPlan, Request
from builders.planner.own_architecture import with_architecture
from builders.planner.throughput import UTILISATION, concurrency_at, performance
from builders.spec import Architecture
from builders.tensorrt_llm.llm_api import API_PRECISIONS
from builders.tensorrt_llm.support import refuse

MAX_NUM_TOKENS = 8192
"""Tokens of one iteration: TensorRT-LLM's default."""

MIN_BATCH_SIZE = 8
"""A plan for fewer requests at a time is not chosen, unless its split or concurrency was asked."""

WORTH_MORE_GPUS = 1.25
"""How many times as fast each GPU must become before a plan uses more GPUs than it needs to fit."""

GOOD_ENOUGH = 0.8
"""Splits with at least this share of the best throughput are compared by gaps between tokens."""

_BY_QUALITY: tuple[GpuPrecision, ...] = ("bf16", "int8-sq", "w4a16-awq")
_BY_SPEED: tuple[GpuPrecision, ...] = ("nvfp4", "fp8", "w4a16-awq", "int8-sq", "bf16")


def preferred(gpu: Gpu, flavour: Flavour) -> list[GpuPrecision]:
    """What GPU and flavour can run: the fastest first if the GPU has FP8, else the most exact."""
    order = _BY_SPEED if gpu.dense_tflops.fp8 else _BY_QUALITY
    able = [name for name in order if name in gpu.precisions.value]
    return [name for name in able if flavour == "engine" or name in API_PRECISIONS]


class _Misfit(Exception):
    """Why a candidate is not possible; the message continues a sentence that begins with it."""


Unfit = dict[GpuPrecision, tuple[str, str]]
"""Why a precision was not chosen: the name of its last candidate, and the reason."""


def plan_llm(request: Request) -> LlmPlan:
    """The plan with the fewest GPUs, or more if each is then faster. Raises `BuildError`."""
    own = tuple(map(with_architecture, request.encoders))
    request = replace(request, spec=with_architecture(request.spec), encoders=own)
    _check(request)
    unfit: Unfit = {}
    fitting = list(_by_gpus(request, unfit))
    if not fitting:
        raise BuildError(f"{_asked(request)}: {'; '.join(_rejections(unfit))}. {_nearest(request)}")
    chosen, *others = fitting
    for plan in others:
        gpus = plan.deployment.gpus / chosen.deployment.gpus
        if plan.most.output_tokens_per_s > WORTH_MORE_GPUS * gpus * chosen.most.output_tokens_per_s:
            chosen = plan
    unfit.pop(chosen.engine.precision, None)
    return replace(chosen, rejected=tuple(_rejections(unfit)))


def _by_gpus(request: Request, unfit: Unfit) -> Iterator[LlmPlan]:
    """The best plan for each number of GPUs, fewest first, in the precision preferred there."""
    options, model = request.options, request.spec.sizes
    names = [options.precision] if options.precision else preferred(request.gpu, options.flavour)
    for splits in _splits(request):
        for name in names:
            candidates = (Deployment(model, request.gpu, name, *split) for split in splits)
            fitting = [plan for plan in (_try(request, one, unfit) for one in candidates) if plan]
            if fitting:
                yield _best(fitting)
                break


def _best(plans: list[LlmPlan]) -> LlmPlan:
    """The split with the shortest gaps between tokens, of those that lose little throughput."""
    enough = GOOD_ENOUGH * max(plan.most.output_tokens_per_s for plan in plans)
    fast = [plan for plan in plans if plan.most.output_tokens_per_s >= enough]
    return min(fast, key=lambda plan: plan.expected.itl_ms)


def _rejections(unfit: Unfit) -> list[str]:
    return [f"{', '.join(names)} {why}" for why, names in by_sentence(unfit.values()).items()]


def _asked(request: Request) -> str:
    options = request.options
    split = f" with TP{options.tp or 1} PP{options.pp or 1}" if options.tp or options.pp else ""
    precision = f" at {PRECISION_NAMES[options.precision]}" if options.precision else ""
    return f"'{request.spec.name}'{precision}{split} on {request.sku.name}"


def _nearest(request: Request) -> str:
    """A sentence on what fits with another precision or split: for each the fewest GPUs."""
    free = replace(request.options, tp=None, pp=None)
    names = preferred(request.gpu, request.options.flavour)
    asked = (replace(request, options=replace(free, precision=name)) for name in names)
    plans = (next(_by_gpus(each, {}), None) for each in asked)
    found = ", ".join(plan.deployment.name for plan in plans if plan)
    return f"Fits: {found}" if found else f"Nothing is possible on {request.most_gpus} GPUs"


def _check(request: Request) -> None:
    model, workload, options = request.spec.sizes, request.workload, request.options
    if workload.tokens > model.max_positions:
        raise BuildError(
            f"'{request.spec.name}' has {model.max_positions} positions; {workload.input_tokens} "
            f"input and {workload.output_tokens} output tokens are {workload.tokens}"
        )
    if options.precision:
        _check_precision(options.precision, request.sku.name, request.gpu, options.flavour)
    _check_parallel(request.spec.name, model, options.tp or 1, options.pp or 1)


def _check_precision(precision: GpuPrecision, sku: str, gpu: Gpu, flavour: Flavour) -> None:
    """Raises `BuildError` where the GPU, or the flavour on it, lacks the precision."""
    possible = preferred(gpu, flavour)
    if precision in possible:
        return
    names = ", ".join(PRECISION_NAMES[name] for name in possible)
    what = f"{PRECISION_NAMES[precision]} on {sku} (SM {gpu.compute_capability.value})"
    if precision in gpu.precisions.value:
        raise BuildError(f"{what}: the {flavour} flavour can't run it; possible: {names}")
    raise BuildError(f"{what}: TensorRT-LLM does not support it there; possible: {names}")


def _check_parallel(model: str, architecture: Architecture, tp: int, pp: int) -> None:
    """Raises `BuildError` where a split leaves a GPU with part of a head or no layer."""
    if tp not in _possible_tp(architecture):
        possible = ", ".join(map(str, _possible_tp(architecture)))
        raise BuildError(
            f"tp {tp}: does not divide the {architecture.heads} attention heads, "
            f"{architecture.kv_heads} KV heads and MLP width {architecture.intermediate} of "
            f"'{model}'; possible: {possible}"
        )
    if not 1 <= pp <= architecture.layers:
        raise BuildError(f"pp {pp}: '{model}' has {architecture.layers} layers")


def _possible_tp(architecture: Architecture, most: int = 64) -> list[int]:
    """Numbers of GPUs that divide heads and MLP evenly; KV heads may be held by several GPUs."""
    return [
        tp
        for tp in range(1, most + 1)
        if architecture.heads % tp == 0
        and architecture.intermediate % tp == 0
        and (architecture.kv_heads % tp == 0 or tp % architecture.kv_heads == 0)
    ]


def _layouts(architecture: Architecture, gpus: int) -> Iterator[tuple[int, int]]:
    """Every possible (tp, pp) that uses exactly `gpus` GPUs."""
    for tp in _possible_tp(architecture, gpus):
        if gpus % tp == 0 and gpus // tp <= architecture.layers:
            yield tp, gpus // tp


def _splits(request: Request) -> list[list[tuple[int, int]]]:
    """Every possible (tp, pp), grouped by number of GPUs, the fewest first."""
    if request.options.tp or request.options.pp:
        return [[(request.options.tp or 1, request.options.pp or 1)]]
    counts = [2**n for n in range(request.most_gpus.bit_length())]
    return [list(_layouts(request.spec.sizes, gpus)) for gpus in counts]


def _try(request: Request, on: Deployment, unfit: Unfit) -> LlmPlan | None:
    """The plan of a candidate; None if it does not fit: `unfit` then gets the reason."""
    if not request.options.precision and not request.has_checkpoint(on.precision):
        why = "has no checkpoint under [gpu.checkpoints] in the spec"
        unfit[on.precision] = (PRECISION_NAMES[on.precision], why)
        return None
    try:
        return _plan(request, on)
    except _Misfit as error:
        unfit[on.precision] = (on.name, str(error))
        return None


def _plan(request: Request, on: Deployment) -> LlmPlan:
    """The plan of a candidate; raises `_Misfit`."""
    memory, engine = _sized(request, on)
    if engine.flavour == "engine":
        _check_makeable(engine, request.spec.sizes)
    workload, batch, num_tokens = request.workload, engine.max_batch_size, engine.max_num_tokens
    light = concurrency_at(UTILISATION, on, workload, batch, num_tokens)
    expected = performance(on, workload, workload.concurrency or light, num_tokens)
    return LlmPlan(
        request=request,
        deployment=on,
        engine=engine,
        runtime=RuntimePlan(round(memory.kv_fraction - 0.005, 2), request.spec.gpu.guided_decoding),
        budget=memory,
        most=performance(on, workload, batch, num_tokens),
        expected=expected,
        concurrency_at_65_percent=light,
    )


def _check_makeable(engine: EnginePlan, sizes: Architecture) -> None:
    """Raises `_Misfit` for what TensorRT-LLM can't build, as far as the spec tells."""
    if sizes.layers % engine.pp:
        raise _Misfit(f"does not split {sizes.layers} layers evenly")
    try:
        if sizes.hf_class:
            refuse(engine, sizes.hf_class)
    except BuildError as error:
        raise _Misfit(f"can't be made: {error}") from error


def _sized(request: Request, on: Deployment) -> tuple[MemoryBudget, EnginePlan]:
    """Chooses batch, tokens of an iteration and longest sequence. Raises `_Misfit`."""
    workload = request.workload
    encoders = sum(map(encoder_gib, request.encoders))
    # Buffers depend on the batch, and the batch on the memory that they leave: two rounds suffice.
    batch = MAX_BATCH_SIZE
    for _ in range(2):
        memory = budget(on, batch, MAX_NUM_TOKENS, encoders, request.options.kv_fraction)
        kv_tokens = on.kv_tokens(memory.kv_cache)
        batch = min(kv_tokens // workload.tokens, MAX_BATCH_SIZE)
        if batch < 1:
            raise _Misfit(_shortage(request, on, memory))
    _check_batch(request, batch)
    longest = max(request.spec.max_tokens, workload.tokens)
    return memory, EnginePlan(
        flavour=request.options.flavour,
        tensorrt_llm=TENSORRT_LLM,
        container=CONTAINER,
        compute_capability=request.gpu.compute_capability.value,
        precision=on.precision,
        tp=on.tp,
        pp=on.pp,
        max_batch_size=batch,
        max_num_tokens=MAX_NUM_TOKENS,
        max_seq_len=min(longest, kv_tokens // 32 * 32),
    )


def _check_batch(request: Request, batch: int) -> None:
    """Raises `_Misfit` if the KV cache holds fewer requests than asked, or than the least."""
    workload = request.workload
    is_free = not (request.options.tp or request.options.pp)
    needed = workload.concurrency or (MIN_BATCH_SIZE if is_free else 1)
    if batch < needed:
        raise _Misfit(
            f"holds {batch} requests of {workload.tokens} tokens, {needed} "
            f"{'asked' if workload.concurrency else 'are the least'}"
        )


def _shortage(request: Request, on: Deployment, memory: MemoryBudget) -> str:
    used = sum(gib for name, gib in memory.parts() if name != "KV cache")
    one = request.workload.tokens * on.gpu_kv_bytes_per_token / GIB
    return (
        f"needs {used + one:.1f} GiB per GPU for weights, buffers and one request; it has "
        f"{memory.total:.1f}"
    )
