"""The planner's requests and plans."""

from dataclasses import dataclass

from builders.engine_plan import EnginePlan, Flavour, RuntimePlan
from builders.errors import BuildError
from builders.gpu_spec import Gpu, GpuPrecision
from builders.planner.llm_cost import MAX_KV_FRACTION, Deployment, MemoryBudget
from builders.planner.throughput import Performance, Workload
from builders.spec import ModelSpec, Sku

MAX_BATCH_SIZE = 2048
"""TensorRT-LLM's default bound."""

RAG = Workload(input_tokens=1000, output_tokens=250)
"""The input is three passages, the question and the template; the output a few sentences."""


@dataclass(frozen=True)
class LlmOptions:
    """Options of the plan of an LLM; None leaves the choice to the planner.

    `gpus` is the most to use (None: those of one machine). `kv_fraction`: the KV cache's share of
    the memory that the loaded engine leaves free.
    """

    workload: Workload = RAG
    flavour: Flavour = "llm-api"
    precision: GpuPrecision | None = None
    tp: int | None = None
    pp: int | None = None
    gpus: int | None = None
    kv_fraction: float = MAX_KV_FRACTION


@dataclass(frozen=True)
class Request:
    """What to plan: `encoders` share the GPU."""

    sku: Sku
    spec: ModelSpec
    options: LlmOptions = LlmOptions()
    encoders: tuple[ModelSpec, ...] = ()

    @property
    def workload(self) -> Workload:
        return self.options.workload

    @property
    def gpu(self) -> Gpu:
        """The GPU that the SKU names; raises `BuildError` where it has none."""
        if self.sku.gpu is None:
            raise BuildError(f"SKU '{self.sku.name}' has no GPU to plan TensorRT-LLM for")
        return self.sku.gpu

    def has_checkpoint(self, precision: GpuPrecision) -> bool:
        """Whether the spec has the checkpoint that is needed: the LLM API can't quantize one."""
        is_source = self.options.flavour == "engine" or precision == "bf16"
        return is_source or precision in self.spec.gpu.checkpoints

    @property
    def most_gpus(self) -> int:
        return min(self.options.gpus or self.gpu.max_gpus, self.gpu.max_gpus)


@dataclass(frozen=True)
class LlmPlan:
    """A plan: what to build, how to run it, and what performance to expect.

    `expected` is for `workload.concurrency` requests, or for 65 % utilisation if that is None;
    `most` is for a full batch. `rejected`: why preferred precisions are not possible.
    """

    request: Request
    deployment: Deployment
    engine: EnginePlan
    runtime: RuntimePlan
    budget: MemoryBudget
    most: Performance
    expected: Performance
    concurrency_at_65_percent: int
    rejected: tuple[str, ...] = ()

    @property
    def kv_tokens(self) -> int:
        """Tokens that all GPUs hold together."""
        return self.deployment.kv_tokens(self.budget.kv_cache)
