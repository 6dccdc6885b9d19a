"""What one LLM costs on one kind of GPU: bytes of memory, and seconds of an iteration.

A roofline model, whose parts are added. An iteration of in-flight batching decodes one token of
every running sequence and computes some tokens of prompts. Its time is the sum of multiplying,
reading weights and KV cache, moving activations, exchange between GPUs, and the host's part. The
parameters below are the only ones; none belongs to a model or a SKU. docs/gpu.md says on what they
were calibrated, and how large the error is on other models and SKUs.
"""

from dataclasses import dataclass

from builders.gpu_spec import GIB, PRECISION_NAMES, Gpu, GpuPrecision, KvDtype, kv_dtype
from builders.spec import Architecture, ModelSpec

WEIGHT_BYTES: dict[GpuPrecision, float] = {
    "bf16": 2.0,
    "fp8": 1.0,
    "int8-sq": 1.0,
    "nvfp4": 0.5 + 1 / 16,  # one FP8 scale for 16 values
    "w4a16-awq": 0.5 + 2 / 128,  # one FP16 scale for 128 values
}
"""Bytes of one weight inside the layers; embedding and output head stay BF16."""

KV_BYTES: dict[KvDtype, int] = {"bf16": 2, "fp8": 1}

COMPUTE_EFFICIENCY = 0.62
"""Share of the peak matrix rate that is reached. Calibrated."""

BANDWIDTH_EFFICIENCY = 0.92
"""Share of the memory bandwidth that is reached. Calibrated, with 0.92 as its upper bound."""

SEQUENCE_US = 2.1
"""The host's time for one sequence in one iteration: scheduling, sampling, output. Calibrated."""

ITERATION_US = 400.0
"""The host's time for one iteration: assumed, too small beside the rest to be calibrated."""

ACTIVATION_PASSES = 8
"""How often a layer reads or writes a token's hidden state between its matrices: counted from a
Llama layer (two norms, two residual sums, inputs and outputs of attention and MLP)."""

MLP_PASSES = 4
"""The same for the wide state inside the MLP."""

LINK_EFFICIENCY = 0.7
"""Share of the links' bandwidth that an all-reduce reaches. Calibrated."""

ALL_REDUCE_US = 25.0
"""Latency of one all-reduce; a layer has two. Calibrated, with 25 as its upper bound."""

RUNTIME_GIB = 2.0
"""CUDA context, TensorRT-LLM's code and workspaces, fragmentation. Assumed. The others were
calibrated with it: another value would change the KV cache of that calibration."""

ENCODER_OVERHEAD_GIB = 1.0
"""An encoder's own CUDA context, workspace and batch, beside its FP16 weights. Assumed."""

MAX_KV_FRACTION = 0.9
"""Share of the memory that the loaded engine leaves free; TensorRT-LLM's default."""


@dataclass(frozen=True)
class Deployment:
    """How one LLM is split and stored: each layer in `tp` parts, the layers in `pp` groups."""

    architecture: Architecture
    gpu: Gpu
    precision: GpuPrecision
    tp: int = 1
    pp: int = 1

    @property
    def gpus(self) -> int:
        return self.tp * self.pp

    @property
    def name(self) -> str:
        pipeline = f" PP{self.pp}" if self.pp > 1 else ""
        return f"{PRECISION_NAMES[self.precision]} TP{self.tp}{pipeline}"

    @property
    def gpu_weight_bytes(self) -> float:
        """Weights of the GPU that holds most: the first group also holds the embedding, the last
        one the output head."""
        model = self.architecture
        layers = model.layers * model.layer_parameters * WEIGHT_BYTES[self.precision]
        tables = 1 if self.pp > 1 or model.tied_embeddings else 2
        return (layers / self.pp + 2 * tables * model.embedding_parameters) / self.tp

    @property
    def kv_bytes_per_token(self) -> float:
        """Sum over all GPUs; a KV head is not split: if there are more GPUs, several hold it."""
        model = self.architecture
        heads = max(model.kv_heads, self.tp)
        return 2 * model.layers * heads * model.head_dim * KV_BYTES[kv_dtype(self.precision)]

    @property
    def gpu_kv_bytes_per_token(self) -> float:
        return self.kv_bytes_per_token / self.gpus

    def kv_tokens(self, gib: float) -> int:
        """How many tokens fit into `gib` GiB of each GPU."""
        return int(gib * GIB / self.gpu_kv_bytes_per_token)


@dataclass(frozen=True)
class Load:
    """What one iteration of one pipeline stage handles.

    `sequences` are decoded, each with a context of `context_tokens` on average. In the same
    iteration `prompt_tokens` are computed, each with `prompt_context_tokens` before it.
    """

    sequences: float
    context_tokens: float
    prompt_tokens: float
    prompt_context_tokens: float


def iteration_s(on: Deployment, load: Load) -> float:
    """Seconds of an iteration of the slowest stage."""
    return sum(iteration_parts_s(on, load).values())


def iteration_parts_s(on: Deployment, load: Load) -> dict[str, float]:
    """The seconds of `iteration_s` by purpose: the roofline of this module's docstring."""
    gpu, model = on.gpu, on.architecture
    bandwidth = gpu.memory_bandwidth_gb_s.value * 1e9 * BANDWIDTH_EFFICIENCY
    tokens = load.sequences + load.prompt_tokens
    layers = model.layers / on.pp
    read = on.gpu_weight_bytes - _idle_table_bytes(on)
    cached = load.sequences * load.context_tokens * on.gpu_kv_bytes_per_token
    return {
        "matrices": _matrix_seconds(on, load.sequences, tokens, layers),
        "attention": _attention_seconds(on, load, layers),
        "weights": read / bandwidth,
        "kv cache": cached / bandwidth,
        "activations": tokens * layers * _activation_bytes(on) / bandwidth,
        "links": _link_seconds(on, tokens, layers),
        "host": (ITERATION_US + SEQUENCE_US * load.sequences) / 1e6,
    }


def _idle_table_bytes(on: Deployment) -> float:
    """Bytes of the token embedding where it is a table of its own: an iteration reads few rows."""
    is_apart = on.pp == 1 and not on.architecture.tied_embeddings
    return 2 * on.architecture.embedding_parameters / on.tp if is_apart else 0.0


def _matrix_seconds(on: Deployment, sequences: float, tokens: float, layers: float) -> float:
    """Time of the layers at the precision's rate, and of the head in BF16 for sampled tokens."""
    rate = on.gpu.tflops(on.precision) * 1e12 * COMPUTE_EFFICIENCY
    inside = 2 * on.architecture.layer_parameters * layers * tokens / rate
    head = 2 * on.architecture.embedding_parameters * sequences / _bf16_rate(on)
    return (inside + head) / on.tp


def _attention_seconds(on: Deployment, load: Load, layers: float) -> float:
    """Time of attention over the prompts, in BF16; decoding reads the KV cache instead."""
    model = on.architecture
    each = 4 * layers * model.heads * model.head_dim * load.prompt_context_tokens
    return load.prompt_tokens * each / on.tp / _bf16_rate(on)


def _bf16_rate(on: Deployment) -> float:
    return on.gpu.dense_tflops.bf16.value * 1e12 * COMPUTE_EFFICIENCY


def _activation_bytes(on: Deployment) -> float:
    """Bytes for one token in one layer, in BF16; TP splits query, attention output and MLP."""
    model = on.architecture
    split = MLP_PASSES * model.intermediate + 3 * model.heads * model.head_dim
    return 2 * (ACTIVATION_PASSES * model.hidden + split / on.tp)


def _link_seconds(on: Deployment, tokens: float, layers: float) -> float:
    """Time of two all-reduces per layer among `tp` GPUs, and of one transfer per pipeline stage."""
    state = tokens * on.architecture.hidden * 2
    speed = on.gpu.link_gb_s.value * 1e9 * LINK_EFFICIENCY
    ring = 2 * (on.tp - 1) / on.tp * state / speed + ALL_REDUCE_US / 1e6
    reduces = 2 * layers * ring if on.tp > 1 else 0.0
    return reduces + (state / speed if on.pp > 1 else 0.0)


@dataclass(frozen=True)
class MemoryBudget:
    """Memory of the fullest GPU, in GiB; `kv_cache` is the LLM's KV cache, `spare` is left over."""

    total: float
    weights: float
    activations: float
    runtime: float
    encoders: float
    kv_cache: float

    @property
    def spare(self) -> float:
        """Memory that is neither used nor reserved; negative: so much is missing."""
        return self.total - sum(part for _, part in self.parts())

    @property
    def kv_fraction(self) -> float:
        """`kv_cache` as a share of the memory that the loaded engine leaves free."""
        free = self.total - self.weights - self.activations - self.runtime
        return self.kv_cache / free if free > 0 else 0.0

    def parts(self) -> tuple[tuple[str, float], ...]:
        """What the memory is used for, as (name, GiB)."""
        return (
            ("weights", self.weights),
            ("activations", self.activations),
            ("runtime", self.runtime),
            ("encoders", self.encoders),
            ("KV cache", self.kv_cache),
        )


def budget(
    on: Deployment,
    max_batch_size: int,
    max_num_tokens: int,
    encoders_gib: float,
    kv_fraction: float,
) -> MemoryBudget:
    """The memory budget: fixed parts, and at most `kv_fraction` of the rest for the KV cache."""
    total = on.gpu.memory_gib.value
    weights = on.gpu_weight_bytes / GIB
    activations = activation_bytes(on, max_batch_size, max_num_tokens) / GIB
    free = total - weights - activations - RUNTIME_GIB
    kv_cache = max(0.0, min(kv_fraction * free, free - encoders_gib))
    return MemoryBudget(total, weights, activations, RUNTIME_GIB, encoders_gib, kv_cache)


def activation_bytes(on: Deployment, max_batch_size: int, max_num_tokens: int) -> float:
    """Bytes of an iteration's buffers: a layer's states of all tokens, FP32 logits of the batch."""
    model = on.architecture
    width = ACTIVATION_PASSES * model.hidden + MLP_PASSES * model.intermediate / on.tp
    logits = 4 * max_batch_size * model.vocabulary / on.tp
    return 2 * max_num_tokens * width + logits


def encoder_gib(spec: ModelSpec) -> float:
    """GPU memory of an embedder or reranker in FP16."""
    return 2 * spec.sizes.parameters / GIB + ENCODER_OVERHEAD_GIB
