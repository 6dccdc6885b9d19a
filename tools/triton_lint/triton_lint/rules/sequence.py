"""Sequence batching: controls, states, strategies."""

from collections.abc import Iterator

from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.nodes import Message
from triton_lint.rule import ERROR, WARNING, Example, Repository, Rule
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


def _config(inside: str) -> Example:
    return Example(
        f'backend: "onnxruntime"\nmax_batch_size: 8\nsequence_batching {{\n  {inside}\n}}\n'
    )


_START = 'control_input { name: "START" control { kind: CONTROL_SEQUENCE_START %s } }'
_GOOD = _config(_START % "int32_false_true: [ 0, 1 ]")
_STATE = (
    'state { input_name: "s" output_name: "t" data_type: TYPE_FP32 dims: [ 4 ] '
    'initial_state { data_type: %s dims: [ 4 ] zero_data: true name: "zero" } }'
)

RULES = (
    Rule("TRN311", "control tensors need distinct names", ERROR,
         "Each `control_input` names the tensor it fills.",
         _config('control_input { control { fp32_false_true: [ 0, 1 ] } }'), _GOOD, _control_names),
    Rule("TRN312", "a control has two tensors", ERROR,
         "START, END, READY and CORRID are each given to one tensor at most.",
         _config(_START % "int32_false_true: [ 0, 1 ]" + " " +
                 (_START % "int32_false_true: [ 0, 1 ]").replace('"START"', '"ALSO"')),
         _GOOD, _control_twice),
    Rule("TRN313", "a control has the wrong values", ERROR,
         "START, END and READY take exactly one of int32_false_true, fp32_false_true and "
         "bool_false_true, with two values. CORRID takes a `data_type`: 32 or 64 bit integers or a "
         "string.",
         _config(_START % ""), _GOOD, _control_values),
    Rule("TRN314", "a preferred batch size that can't be", ERROR,
         "As TRN301, for the strategy `oldest`.",
         _config("oldest { preferred_batch_size: [ 16 ] }"),
         _config("oldest { preferred_batch_size: [ 8 ] }"), _oldest),
    Rule("TRN315", "slot utilization out of range", ERROR,
         "`minimum_slot_utilization` is a share, from 0 to 1.",
         _config("direct { minimum_slot_utilization: 1.5 }"),
         _config("direct { minimum_slot_utilization: 0.5 }"), _utilization),
    Rule("TRN316", "an initial state that does not fit its state", ERROR,
         "Same type and dims as the state, no variable sizes, a name, and data: `zero_data` or a "
         "file in `initial_state/`.",
         _config(_STATE % "TYPE_INT32"), _config(_STATE % "TYPE_FP32"), _initial_states),
    Rule("TRN317", "growable memory without one buffer", WARNING,
         "The model loads, each request then fails.",
         _config('state { input_name: "s" output_name: "t" data_type: TYPE_FP32 dims: [ -1 ] '
                 "use_growable_memory: true }"),
         _config('state { input_name: "s" output_name: "t" data_type: TYPE_FP32 dims: [ -1 ] '
                 "use_growable_memory: true use_same_buffer_for_input_output: true }"), _growable),
    Rule("TRN318", "a custom batching strategy with sequences", ERROR,
         "`TRITON_BATCH_STRATEGY_PATH` works with dynamic batching only.",
         Example('backend: "onnxruntime"\nmax_batch_size: 8\nsequence_batching { }\nparameters { '
                 'key: "TRITON_BATCH_STRATEGY_PATH" value { string_value: "/b.so" } }\n'),
         Example('backend: "onnxruntime"\nmax_batch_size: 8\nsequence_batching { }\n'),
         _strategy_path),
)  # fmt: skip
