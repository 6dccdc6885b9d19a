"""What may be asked of the plan of an LLM on a GPU SKU."""

from dataclasses import dataclass, fields

from builders.engine_plan import TENSORRT_LLM, Flavour
from builders.errors import BuildError
from builders.gpu import GpuPrecision
from builders.planner.llm_plan import LlmPlan, Request
from builders.planner.own_architecture import with_architecture
from builders.planner.plan import plan_llm
from builders.planner.throughput import Workload
from builders.spec import ModelSpec, Sku


@dataclass(frozen=True)
class LlmOptions:
    """Options of the command line; None leaves the choice to the planner.

    `isl` and `osl` are input and output tokens of one request: by default a RAG request of three
    passages, the question and the template, and an answer of a few sentences. `gpus` is the most to
    use (None: one machine's). `max_load` plans as published benchmarks do: the LLM alone, full.
    """

    flavour: Flavour = "llm-api"
    tensorrt_llm: str = TENSORRT_LLM
    precision: GpuPrecision | None = None
    tp: int | None = None
    pp: int | None = None
    gpus: int | None = None
    isl: int = 1000
    osl: int = 250
    concurrency: int | None = None
    ttft_ms: float | None = None
    itl_ms: float | None = None
    max_load: bool = False

    def check(self, sku: Sku) -> None:
        """Raises `BuildError` for what is asked of a GPU where the SKU has none."""
        lengths = ("isl", "osl", "tensorrt_llm", "max_load")
        asked = [
            f"--{field.name.replace('_', '-')}"
            for field in fields(self)
            if field.name not in lengths and getattr(self, field.name) != field.default
        ]
        if asked and sku.gpu is None:
            raise BuildError(
                f"{', '.join(asked)}: for SKUs with a GPU; on '{sku.name}' the precision is the "
                "spec's, and sizes are in builders/placements"
            )


def llm_plan(
    sku: Sku, spec: ModelSpec, encoders: tuple[ModelSpec, ...], options: LlmOptions
) -> LlmPlan:
    """The plan for what `options` ask; `encoders` share the GPU. Raises `BuildError`."""
    workload = Workload(
        options.isl, options.osl, options.concurrency, options.ttft_ms, options.itl_ms
    )
    same = {field.name for field in fields(Request)} & {field.name for field in fields(options)}
    choices = {name: getattr(options, name) for name in same}
    own = tuple(map(with_architecture, encoders))
    return plan_llm(Request(sku, with_architecture(spec), workload, encoders=own, **choices))
