"""All models of one server, and how ensembles call them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from triton_lint.config_tree import Entry, Message
from triton_lint.models import Model, Options


@dataclass(frozen=True)
class Step:
    """One step of an ensemble."""

    number: int
    """From 1."""
    message: Message
    model: Model | None
    """What it calls; None where there is none, or where its configuration has faults."""

    @property
    def model_name(self) -> str:
        return self.message.text("model_name")

    @cached_property
    def reads(self) -> list[Entry]:
        """Input of the model to tensor of the ensemble."""
        return self.message.entries("input_map")

    @cached_property
    def writes(self) -> list[Entry]:
        """Output of the model to tensor of the ensemble."""
        return self.message.entries("output_map")

    @property
    def label(self) -> str:
        """`step 2 (encoder)`."""
        return f"step {self.number} ({self.model_name or 'no model'})"


@dataclass(frozen=True)
class Repository:
    """Every model, by name, and the options of the server."""

    models: Mapping[str, Model]
    options: Options
    _steps: dict[str, list[Step]] = field(default_factory=dict, compare=False)
    _decoupled: dict[str, bool] = field(default_factory=dict, compare=False)

    def called(self, step_model: str) -> Model | None:
        """The model that a step names, if the text of its configuration has no fault."""
        model = self.models.get(step_model)
        return model if model and model.is_readable else None

    def steps(self, ensemble: Model) -> list[Step]:
        """The steps of an ensemble, in order; none for other models."""
        if not ensemble.is_ensemble:
            return []
        if ensemble.name not in self._steps:
            messages = ensemble.config.child_or_empty("ensemble_scheduling").children("step")
            self._steps[ensemble.name] = [
                Step(number, message, self.called(message.text("model_name")))
                for number, message in enumerate(messages, start=1)
            ]
        return self._steps[ensemble.name]

    def is_decoupled(self, model: Model) -> bool:
        """Whether a model may give any number of responses; an ensemble does if a step does."""
        known = self._decoupled
        if model.name not in known:
            reached, waiting, found = {model.name}, [model], False
            while waiting and not found:
                each = waiting.pop()
                found = known.get(each.name, False) or _says_decoupled(each)
                fresh = [step.model for step in self.steps(each) if step.model]
                waiting += [one for one in fresh if one.name not in reached]
                reached |= {one.name for one in fresh}
            known[model.name] = found
        return known[model.name]


def _says_decoupled(model: Model) -> bool:
    policy = model.config.child_or_empty("model_transaction_policy")
    return not model.is_ensemble and policy.flag("decoupled")
