"""An ensemble against the models that it calls."""

from collections.abc import Iterator

from triton_lint.ensembles import Source, Step, declared, is_decoupled, names, sources, steps
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.rule import ERROR, WARNING, Repository, Rule
from triton_lint.rules.ensemble import FIRST, GOOD, HEAD, PART, SECOND, ensemble
from triton_lint.shapes import fits
from triton_lint.spelling import did_you_mean
from triton_lint.versions import Version

BRANCHES_CHECKED = Version(2, 21)


def _unknown_tensor(model: Model, repository: Repository) -> Iterator[Problem]:
    for each in steps(model, repository):
        if each.model is None or not each.model.tensors_are_final:
            continue
        for side, entries in (("input", each.reads), ("output", each.writes)):
            known = names(each.model, side)
            for entry in entries:
                if entry.key not in known:
                    hint = did_you_mean(str(entry.key), known) or f": {', '.join(known)}"
                    yield Problem(entry.node.at, f"{each.label} has no {side} '{entry.key}'{hint}")


def _unmapped(model: Model, repository: Repository) -> Iterator[Problem]:
    for each in steps(model, repository):
        mapped = {entry.key for entry in each.reads}
        for tensor in each.model.tensors("input") if each.model else ():
            name = tensor.text("name")
            if name not in mapped and not tensor.flag("optional") and mapped:
                yield Problem(
                    each.message.at, f"{each.label}: its input '{name}' is required and not mapped"
                )


def _pairs(model: Model, repository: Repository) -> Iterator[tuple[str, Source, Source]]:
    """Each tensor's first source with every other."""
    first: dict[str, Source] = {}
    if model.is_ensemble:
        for tensor, source in sources(model, steps(model, repository)):
            if tensor in first:
                yield tensor, first[tensor], source
            first.setdefault(tensor, source)


def _output_twice(model: Model, repository: Repository) -> Iterator[Problem]:
    for each in steps(model, repository):
        known = names(each.model, "output") if each.model else []
        for entry in each.writes:
            if known.count(str(entry.key)) > 1:
                yield Problem(
                    entry.node.at, f"{each.label} declares its output '{entry.key}' more than once"
                )


def _type(model: Model, repository: Repository) -> Iterator[Problem]:
    for tensor, left, right in _pairs(model, repository):
        if left.data_type and right.data_type and left.data_type != right.data_type:
            yield Problem(
                right.at,
                f"tensor '{tensor}': {left.owner} is {left.data_type}, {right.owner} is "
                f"{right.data_type}",
            )


def _shape(model: Model, repository: Repository) -> Iterator[Problem]:
    for tensor, left, right in _pairs(model, repository):
        if not fits(left.dims, right.dims) and not fits(left.full_dims, right.full_dims):
            yield Problem(
                right.at,
                f"tensor '{tensor}': {left.owner} has shape {list(left.full_dims)}, {right.owner} "
                f"has {list(right.full_dims)}",
            )


def _batch(model: Model, repository: Repository) -> Iterator[Problem]:
    for each in steps(model, repository):
        most = each.model.max_batch_size if each.model else 0
        if most and most < model.max_batch_size:
            yield Problem(
                model.at(model.config, "max_batch_size"),
                f"max_batch_size is {model.max_batch_size}, and {each.label} takes {most} at most",
            )


def _version(model: Model, repository: Repository) -> Iterator[Problem]:
    for each in steps(model, repository):
        wanted = int(each.message.number("model_version"))
        if wanted == -1 or each.model is None or not model.checks_files:
            continue
        if each.model.versions and wanted not in each.model.versions:
            loaded = ", ".join(map(str, each.model.versions))
            unset = "" if "model_version" in each.message else " (unset; -1 is the newest)"
            yield Problem(
                model.at(each.message, "model_version"),
                f"{each.label}: version {wanted}{unset} is not loaded, but {loaded}",
            )


def _branches(model: Model, repository: Repository) -> Iterator[Problem]:
    """Follows the labels that Triton gives to what descends from one decoupled step."""
    if model.options.triton < BRANCHES_CHECKED or not model.is_ensemble:
        return
    labels = dict.fromkeys(names(model, "input"), 0)
    waiting, fresh = steps(model, repository), 0
    while runnable := [one for one in waiting if all(e.value in labels for e in one.reads)]:
        for one in runnable:
            read = {labels[str(entry.value)] for entry in one.reads}
            if len(read) > 1:
                yield _mixed(one)
            decoupled = one.model is not None and is_decoupled(one.model, repository)
            fresh += decoupled
            label = fresh if decoupled else min(read, default=0)
            labels |= {str(entry.value): label for entry in one.writes}
        waiting = [one for one in waiting if one not in runnable]
    outputs = [
        tensor for tensor in model.config.children("output") if tensor.text("name") in labels
    ]
    if len({labels[tensor.text("name")] for tensor in outputs}) > 1:
        yield Problem(
            outputs[0].at, "the outputs come from different decoupled steps, or only some from one"
        )


def _mixed(one: Step) -> Problem:
    return Problem(
        one.message.at,
        f"{one.label} reads tensors of different decoupled steps, or some before and some "
        f"after one: "
        "Triton can't tell which responses belong together",
    )


def _declared_optional(model: Model, repository: Repository) -> Iterator[Problem]:
    optional = {t.text("name") for t in model.config.children("input") if t.flag("optional")}
    for each in steps(model, repository):
        for entry in each.reads:
            tensor = declared(each.model, "input", str(entry.key)) if each.model else None
            if entry.value in optional and tensor and not tensor.flag("optional"):
                yield Problem(
                    entry.node.at,
                    f"{each.label} requires '{entry.key}', and ensemble input '{entry.value}' is "
                    "optional: requests without it fail",
                )


_DECOUPLED = PART + "model_transaction_policy { decoupled: true }\n"
_TWO = PART.replace("output {", 'input { name: "x2" data_type: TYPE_FP32 dims: [ 3 ] }\noutput {')
_JOIN = """  step { model_name: "join" model_version: -1
    input_map { key: "x" value: "mid" }
    input_map { key: "x2" value: "%s" }
    output_map { key: "y" value: "OUT" } }
"""

RULES = (
    Rule("TRN521", "a step maps a tensor that its model does not have", ERROR,
         "Keys of `input_map` and `output_map` are names of the model, values are names of the "
         "ensemble. Not checked where the backend completes the model's tensors.",
         ensemble(FIRST, SECOND.replace('"x"', '"input"')), GOOD, _unknown_tensor),
    Rule("TRN522", "a required input is not mapped", ERROR,
         "Each input of a step's model has to be mapped, unless it is `optional`.",
         ensemble(FIRST, SECOND, second=_TWO), GOOD, _unmapped),
    Rule("TRN529", "an output that its model declares twice is mapped", ERROR,
         "A model may declare a tensor twice (TRN209); an ensemble over it is refused.",
         ensemble(FIRST, SECOND, first=PART + 'output { name: "y" data_type: TYPE_FP32 dims: [ 3 ] '
                  "}\n"), GOOD, _output_twice),
    Rule("TRN523", "types don't agree", ERROR,
         "A tensor has the same type wherever it is declared, written and read.",
         ensemble(FIRST, SECOND, second=PART.replace("FP32", "FP16", 1)), GOOD, _type),
    Rule("TRN524", "shapes don't agree", ERROR,
         "Shapes are compared without and with the batch dimension: a model that batches may be "
         "followed by one that does not and has -1 in front. -1 fits any size.",
         ensemble(FIRST, SECOND, second=PART.replace("[ 3 ]", "[ 4 ]", 1)), GOOD, _shape),
    Rule("TRN525", "the ensemble takes larger batches than a step", ERROR,
         "`max_batch_size` of a step's model is 0, or at least the ensemble's.",
         ensemble(FIRST, SECOND, second=PART.replace("8", "4")), GOOD, _batch),
    Rule("TRN526", "a step pins a version that is not loaded", ERROR,
         "`model_version` -1 is the newest; without the field it is 0, which hardly exists. By "
         "default only the newest version is loaded: an older one needs a `version_policy`.",
         ensemble(FIRST, SECOND.replace("-1", "3")), GOOD, _version),
    Rule("TRN527", "decoupled steps are mixed", ERROR,
         "A decoupled step gives any number of responses. What descends from it can't be joined "
         "with tensors that don't, nor with those of another decoupled step (checked since 22.04).",
         ensemble(FIRST, _JOIN % "IN", first=_DECOUPLED, join=_TWO),
         ensemble(FIRST, _JOIN % "IN", join=_TWO), _branches),
    Rule("TRN528", "an optional input feeds a required one", WARNING,
         "The model loads, each request without that input fails.",
         ensemble(FIRST, SECOND, head=HEAD.replace("[ 3 ] }", "[ 3 ] optional: true }", 1)),
         GOOD, _declared_optional),
)  # fmt: skip
