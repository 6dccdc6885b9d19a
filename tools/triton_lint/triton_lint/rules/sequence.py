"""Sequence batching: controls, states, strategies."""

from collections.abc import Iterator

from triton_lint.config_tree import Message
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, WARNING, Rule
from triton_lint.rules.scheduling import preferred_sizes
from triton_lint.shapes import BYTES_OF_TYPE, element_count

_VALUES = ("int32_false_true", "fp32_false_true", "bool_false_true")
_CORRELATION = "CONTROL_SEQUENCE_CORRID"
_CORRELATION_TYPES = ("TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING")


def _controls(model: Model) -> Iterator[tuple[Message, Message, str]]:
    """Each control with its tensor and kind; an unset kind is the first, START."""
    batching = model.config.child("sequence_batching")
    for tensor in batching.children("control_input") if batching else []:
        for control in tensor.children("control"):
            yield tensor, control, control.text("kind") or "CONTROL_SEQUENCE_START"


def _control_names(model: Model, _: Repository) -> Iterator[Problem]:
    batching = model.config.child("sequence_batching")
    seen = set()
    for tensor in batching.children("control_input") if batching else []:
        name = tensor.text("name")
        if not name:
            yield Problem(tensor.at, "this control_input has no name")
        elif name in seen:
            yield Problem(model.at(tensor, "name"), f"control_input '{name}' is there before")
        seen.add(name)


def _control_twice(model: Model, _: Repository) -> Iterator[Problem]:
    seen = set()
    for _tensor, control, kind in _controls(model):
        if kind in seen:
            yield Problem(control.at, f"{kind} has a tensor before")
        seen.add(kind)


def _control_values(model: Model, _: Repository) -> Iterator[Problem]:
    for _tensor, control, kind in _controls(model):
        given = [name for name in _VALUES if name in control]
        if kind == _CORRELATION:
            if given:
                yield Problem(
                    model.at(control, given[0]), f"{kind} takes a data_type, no {given[0]}"
                )
            if control.text("data_type") not in _CORRELATION_TYPES:
                yield Problem(
                    model.at(control, "data_type"),
                    f"{kind} is of {', '.join(_CORRELATION_TYPES)}",
                )
        elif len(given) != 1:
            yield Problem(control.at, f"{kind} takes one of {', '.join(_VALUES)}, not {len(given)}")
        elif len(control.nodes(given[0])) != 2:
            yield Problem(
                model.at(control, given[0]), f"{given[0]} takes 2 values: for false and for true"
            )


def _oldest(model: Model, _: Repository) -> Iterator[Problem]:
    batching = model.config.child("sequence_batching")
    if batching and (oldest := batching.child("oldest")):
        yield from preferred_sizes(model, oldest)


def _utilization(model: Model, _: Repository) -> Iterator[Problem]:
    batching = model.config.child("sequence_batching")
    direct = batching.child("direct") if batching else None
    if direct and not 0 <= direct.number("minimum_slot_utilization") <= 1:
        yield Problem(
            model.at(direct, "minimum_slot_utilization"),
            f"minimum_slot_utilization is {direct.number('minimum_slot_utilization'):g}; it "
            f"is from "
            "0 to 1",
        )


def _states(model: Model) -> list[Message]:
    batching = model.config.child("sequence_batching")
    return batching.children("state") if batching else []


def _initial_states(model: Model, _: Repository) -> Iterator[Problem]:
    seen = set()
    for state in _states(model):
        initial = state.children("initial_state")
        if len(initial) > 1:
            yield Problem(initial[1].at, "a state has at most one initial_state")
        for each in initial[:1]:
            if state.text("input_name") in seen:
                text = f"state '{state.text('input_name')}' has an initial_state before"
                yield Problem(each.at, text)
            seen.add(state.text("input_name"))
            yield from _initial_state(model, state, each)


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
        yield from _data_file(model, initial, given)


def _data_file(model: Model, initial: Message, dims: list[int]) -> Iterator[Problem]:
    name = initial.text("data_file")
    path = model.place.folder.path / "initial_state" / name
    if not path.is_file():
        yield Problem(model.at(initial, "data_file"), f"there is no file initial_state/{name}")
        return
    size = path.stat().st_size
    needed = max(element_count(dims), 0) * BYTES_OF_TYPE.get(initial.text("data_type"), 4)
    if size < needed and initial.text("data_type") != "TYPE_STRING":
        yield Problem(
            model.at(initial, "data_file"), f"initial_state/{name} has {size} bytes of {needed}"
        )


def _growable(model: Model, _: Repository) -> Iterator[Problem]:
    for state in _states(model):
        if state.flag("use_growable_memory") and not state.flag("use_same_buffer_for_input_output"):
            yield Problem(
                model.at(state, "use_growable_memory"),
                "use_growable_memory needs use_same_buffer_for_input_output (and KIND_GPU): "
                "requests "
                "fail without",
            )


def _strategy_path(model: Model, _: Repository) -> Iterator[Problem]:
    for entry in model.config.entries("parameters"):
        if entry.key == "TRITON_BATCH_STRATEGY_PATH" and "sequence_batching" in model.config:
            yield Problem(
                entry.node.at, "a custom batching strategy can't be with sequence_batching"
            )


RULES = (
    Rule("TRN311", ERROR, _control_names),
    Rule("TRN312", ERROR, _control_twice),
    Rule("TRN313", ERROR, _control_values),
    Rule("TRN314", ERROR, _oldest),
    Rule("TRN315", ERROR, _utilization),
    Rule("TRN316", ERROR, _initial_states),
    Rule("TRN317", WARNING, _growable),
    Rule("TRN318", ERROR, _strategy_path),
)
