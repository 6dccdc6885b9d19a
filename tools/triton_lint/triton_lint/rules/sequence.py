"""Sequence batching: controls, states, strategies."""

from collections.abc import Iterator

from triton_lint.config_tree import Message
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, WARNING, check
from triton_lint.rules.common import data_file_problems, repeated
from triton_lint.rules.scheduling import preferred_sizes

_VALUES = ("int32_false_true", "fp32_false_true", "bool_false_true")
_CORRELATION = "CONTROL_SEQUENCE_CORRID"
_CORRELATION_TYPES = ("TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING")


def _controls(model: Model) -> Iterator[tuple[Message, Message, str]]:
    """Each control with its tensor and kind; an unset kind is the first, START."""
    for tensor in model.config.child_or_empty("sequence_batching").children("control_input"):
        for control in tensor.children("control"):
            yield tensor, control, control.text("kind") or "CONTROL_SEQUENCE_START"


@check("TRN311", ERROR)
def _control_names(model: Model, _: Repository) -> Iterator[Problem]:
    tensors = model.config.child_or_empty("sequence_batching").children("control_input")
    for tensor in tensors:
        if not tensor.text("name"):
            yield Problem(tensor.at, "this control_input has no name")
    named = [tensor for tensor in tensors if tensor.text("name")]
    for tensor, name in repeated(named, lambda each: each.text("name")):
        yield Problem(model.at(tensor, "name"), f"control_input '{name}' is there before")


@check("TRN312", ERROR)
def _control_twice(model: Model, _: Repository) -> Iterator[Problem]:
    for (_tensor, control, _kind), kind in repeated(_controls(model), lambda each: each[2]):
        yield Problem(control.at, f"{kind} has a tensor before")


@check("TRN313", ERROR)
def _control_values(model: Model, _: Repository) -> Iterator[Problem]:
    for _tensor, control, kind in _controls(model):
        given = [name for name in _VALUES if name in control]
        if kind == _CORRELATION:
            if given:
                text = f"{kind} takes a data_type, no {given[0]}"
                yield Problem(model.at(control, given[0]), text)
            if control.text("data_type") not in _CORRELATION_TYPES:
                text = f"{kind} is of {', '.join(_CORRELATION_TYPES)}"
                yield Problem(model.at(control, "data_type"), text)
        elif len(given) != 1:
            yield Problem(control.at, f"{kind} takes one of {', '.join(_VALUES)}, not {len(given)}")
        elif len(control.nodes(given[0])) != 2:
            text = f"{given[0]} takes 2 values: for false and for true"
            yield Problem(model.at(control, given[0]), text)


@check("TRN314", ERROR)
def _oldest(model: Model, _: Repository) -> Iterator[Problem]:
    batching = model.config.child_or_empty("sequence_batching")
    yield from preferred_sizes(model, batching.child_or_empty("oldest"))


@check("TRN315", ERROR)
def _utilization(model: Model, _: Repository) -> Iterator[Problem]:
    direct = model.config.child_or_empty("sequence_batching").child_or_empty("direct")
    share = direct.number("minimum_slot_utilization")
    if not 0 <= share <= 1:
        text = f"minimum_slot_utilization is {share:g}; it is from 0 to 1"
        yield Problem(model.at(direct, "minimum_slot_utilization"), text)


def _states(model: Model) -> list[Message]:
    return model.config.child_or_empty("sequence_batching").children("state")


@check("TRN316", ERROR)
def _initial_states(model: Model, _: Repository) -> Iterator[Problem]:
    with_initial = [state for state in _states(model) if state.children("initial_state")]
    for state in with_initial:
        initial = state.children("initial_state")
        if len(initial) > 1:
            yield Problem(initial[1].at, "a state has at most one initial_state")
        yield from _initial_state(model, state, initial[0])
    for state, name in repeated(with_initial, lambda each: each.text("input_name")):
        at = state.children("initial_state")[0].at
        yield Problem(at, f"state '{name}' has an initial_state before")


def _initial_state(model: Model, state: Message, initial: Message) -> Iterator[Problem]:
    types = [each.text("data_type") or "TYPE_INVALID" for each in (initial, state)]
    if types[0] != types[1]:
        yield Problem(model.at(initial, "data_type"), f"{types[0]}, and the state is {types[1]}")
    if not initial.text("name"):
        yield Problem(initial.at, "an initial_state needs a name")
    if "zero_data" not in initial and "data_file" not in initial:
        yield Problem(initial.at, "an initial_state needs zero_data or data_file")
    given, wanted = initial.numbers("dims"), state.numbers("dims")
    if len(given) != len(wanted):
        yield Problem(model.at(initial, "dims"), f"dims {given}, and the state has {wanted}")
        return
    if -1 in given:
        yield Problem(model.at(initial, "dims"), f"dims {given} have a variable size")
    elif any(b not in (-1, a) for a, b in zip(given, wanted, strict=True)):
        yield Problem(model.at(initial, "dims"), f"dims {given}, and the state has {wanted}")
    elif "data_file" in initial and model.checks_files:
        yield from data_file_problems(model, initial, "data_file", "initial_state")


@check("TRN317", WARNING)
def _growable(model: Model, _: Repository) -> Iterator[Problem]:
    for state in _states(model):
        if state.flag("use_growable_memory") and not state.flag("use_same_buffer_for_input_output"):
            yield Problem(
                model.at(state, "use_growable_memory"),
                "use_growable_memory needs use_same_buffer_for_input_output (and KIND_GPU): "
                "requests fail without",
            )


@check("TRN318", ERROR)
def _strategy_path(model: Model, _: Repository) -> Iterator[Problem]:
    for entry in model.config.entries("parameters"):
        if entry.key == "TRITON_BATCH_STRATEGY_PATH" and "sequence_batching" in model.config:
            text = "a custom batching strategy can't be with sequence_batching"
            yield Problem(entry.node.at, text)
