"""What a rule is: a check with its explanation and two examples that tests execute."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from triton_lint.findings import Problem, Severity
from triton_lint.models import Model
from triton_lint.options import Options

if TYPE_CHECKING:
    from triton_lint.ensembles import Step

ERROR, WARNING = Severity.ERROR, Severity.WARNING

DOCS = "tools/triton_lint/docs"
"""Where the pages are: a folder of this project, which has no address on the web yet."""


@dataclass(frozen=True)
class Repository:
    """Every model, by name, and what the server is."""

    models: Mapping[str, Model]
    options: Options
    steps: "dict[str, list[Step]]" = field(default_factory=dict, compare=False)
    """Of ensembles that were looked at before, by name."""
    decoupled: dict[str, bool] = field(default_factory=dict, compare=False)
    """Of models that were looked at before, by name."""
    only_sound: bool = False
    """Whether steps that call a model with a fault in its text are taken to call nothing known."""

    def of_step(self, step_model: str) -> Model | None:
        """The model that an ensemble's step names, if its configuration could be read."""
        model = self.models.get(step_model)
        if model is None or not model.is_readable or (self.only_sound and not model.is_sound):
            return None
        return model

    @cached_property
    def sound(self) -> "Repository":
        """The same, of which models with a fault in their text are left out as steps."""
        return Repository(self.models, self.options, only_sound=True)

    @cached_property
    def as_read(self) -> "Repository":
        """The same, in which what could be read of a configuration is taken for the whole."""
        models = {
            name: model if model.is_sound else replace(model, config=model.config.as_read())
            for name, model in self.models.items()
        }
        return Repository(models, self.options)

    @cached_property
    def ensembles(self) -> tuple[Model, ...]:
        """The models that are ensembles."""
        return tuple(each for each in self.models.values() if each.is_ensemble)


@dataclass(frozen=True)
class Example:
    """A repository that shows a rule, as text: `config` of a model named `model`, and more files.

    A version folder with an empty model file is added for each model that `files` gives none.
    """

    config: str | None
    files: Mapping[str, str] = field(default_factory=dict)
    triton: str = ""
    gpus: int | None = None
    auto_complete: bool = True

    def all_files(self) -> dict[str, str]:
        """Path in the repository to content."""
        found = dict(self.files)
        if self.config is not None:
            found["model/config.pbtxt"] = self.config
        for path in [each for each in found if each.endswith("/config.pbtxt")]:
            model = path.partition("/")[0]
            inside = [each for each in found if each.startswith(f"{model}/")]
            if not any("/" in each.removeprefix(f"{model}/") for each in inside):
                name, content = _model_file(found[path])
                found[f"{model}/1/{name}"] = content
        return found


PYTHON_MODEL = """class TritonPythonModel:
    def execute(self, requests):
        return []
"""


def _model_file(config: str) -> tuple[str, str]:
    if '"python"' in config:
        return "model.py", PYTHON_MODEL
    for mark, name in (("tensorrt_plan", "model.plan"), ("pytorch", "model.pt")):
        if mark in config:
            return name, ""
    return ("model.onnx", "") if "onnxruntime" in config else (".keep", "")


Check = Callable[[Model, Repository], Iterable[Problem]]


def no_check(_: Model, __: Repository) -> Iterable[Problem]:
    """Of rules that apply elsewhere, such as while the file is read."""
    return ()


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong."""

    id: str
    title: str
    severity: Severity
    why: str
    bad: Example
    good: Example
    check: Check = no_check
    seen: str = "2.51"
    """The version on which the server was seen to refuse the bad example and to take the good one;
    else where it is known from."""
    each_alone: bool = False
    """Whether each input and output is judged by itself, so that a fault in one hides no other."""

    @property
    def url(self) -> str:
        """Its page."""
        return f"{DOCS}/{self.id}.md"
