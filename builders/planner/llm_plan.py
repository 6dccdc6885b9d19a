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
"""Three passages, the question and the template; an answer of a few sentences."""


@dataclass(frozen=True)
class LlmOptions:
    """What may be asked of the plan of an LLM; None leaves the choice to the planner.

    `gpus` is the most to use (None: one machine's). `kv_fraction`: the KV cache's share of the
    memory that is free once the engine is loaded.
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
        """Whether it can be built from what the spec names: the LLM API quantizes nothing."""
        is_source = self.options.flavour == "engine" or precision == "bf16"
        return is_source or precision in self.spec.gpu.checkpoints

    @property
    def most_gpus(self) -> int:
        return min(self.options.gpus or self.gpu.max_gpus, self.gpu.max_gpus)


@dataclass(frozen=True)
class LlmPlan:
    """The outcome: what to build, how to run it, and what to expect of it.

    `expected` is at `workload.concurrency`, or at 65 % utilisation where none was asked; `most` is
    with every place taken. `rejected`: why precisions that are preferred are not possible.
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
