"""An ensemble against the models that it calls."""

from collections.abc import Iterator

from triton_lint.ensembles import Source, declared, fits, names, sources
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.repository import Repository, Step
from triton_lint.rule import ERROR, WARNING, check
from triton_lint.spelling import did_you_mean


@check("TRN521", ERROR)
def _unknown_tensor(model: Model, repository: Repository) -> Iterator[Problem]:
    for each in repository.steps(model):
        if each.model is None or not each.model.tensors_are_final:
            continue
        for side, entries in (("input", each.reads), ("output", each.writes)):
            known = names(each.model, side)
            for entry in entries:
                if entry.key not in known:
                    hint = did_you_mean(str(entry.key), known) or f": {', '.join(known)}"
                    yield Problem(entry.node.at, f"{each.label} has no {side} '{entry.key}'{hint}")


@check("TRN522", ERROR)
def _unmapped(model: Model, repository: Repository) -> Iterator[Problem]:
    for each in repository.steps(model):
        mapped = {entry.key for entry in each.reads}
        for tensor in each.model.tensors("input") if each.model else ():
            name = tensor.text("name")
            if name not in mapped and not tensor.flag("optional") and mapped:
                text = f"{each.label}: its input '{name}' is required and not mapped"
                yield Problem(each.message.at, text)


def _pairs(model: Model, repository: Repository) -> Iterator[tuple[str, Source, Source]]:
    """Each tensor's first source with every other."""
    first: dict[str, Source] = {}
    if model.is_ensemble:
        for tensor, source in sources(model, repository.steps(model)):
            if tensor in first:
                yield tensor, first[tensor], source
            first.setdefault(tensor, source)


@check("TRN529", ERROR)
def _output_twice(model: Model, repository: Repository) -> Iterator[Problem]:
    for each in repository.steps(model):
        known = names(each.model, "output") if each.model else []
        for entry in each.writes:
            if known.count(str(entry.key)) > 1:
                text = f"{each.label} declares its output '{entry.key}' more than once"
                yield Problem(entry.node.at, text)


@check("TRN523", ERROR)
def _type(model: Model, repository: Repository) -> Iterator[Problem]:
    for tensor, left, right in _pairs(model, repository):
        if left.data_type and right.data_type and left.data_type != right.data_type:
            yield Problem(
                right.at,
                f"tensor '{tensor}': {left.owner} is {left.data_type}, {right.owner} is "
                f"{right.data_type}",
            )


@check("TRN524", ERROR)
def _shape(model: Model, repository: Repository) -> Iterator[Problem]:
    for tensor, left, right in _pairs(model, repository):
        if not fits(left.dims, right.dims) and not fits(left.full_dims, right.full_dims):
            yield Problem(
                right.at,
                f"tensor '{tensor}': {left.owner} has shape {list(left.full_dims)}, {right.owner} "
                f"has {list(right.full_dims)}",
            )


@check("TRN525", ERROR)
def _batch(model: Model, repository: Repository) -> Iterator[Problem]:
    for each in repository.steps(model):
        most = each.model.max_batch_size if each.model else 0
        if most and most < model.max_batch_size:
            yield Problem(
                model.at(model.config, "max_batch_size"),
                f"max_batch_size is {model.max_batch_size}, and {each.label} takes {most} at most",
            )


@check("TRN526", ERROR)
def _version(model: Model, repository: Repository) -> Iterator[Problem]:
    for each in repository.steps(model):
        wanted = int(each.message.number("model_version"))
        if wanted == -1 or each.model is None or not model.checks_files:
            continue
        if each.model.versions and wanted not in each.model.versions:
            loaded = ", ".join(map(str, each.model.versions))
            unset = "" if "model_version" in each.message else " (unset; -1 is the newest)"
            text = f"{each.label}: version {wanted}{unset} is not loaded, but {loaded}"
            yield Problem(model.at(each.message, "model_version"), text)


@check("TRN527", ERROR)
def _branches(model: Model, repository: Repository) -> Iterator[Problem]:
    """Follows the labels that Triton gives to what descends from one decoupled step."""
    if not model.is_ensemble:
        return
    labels = dict.fromkeys(names(model, "input"), 0)
    waiting, fresh = repository.steps(model), 0
    while runnable := [one for one in waiting if all(e.value in labels for e in one.reads)]:
        for one in runnable:
            read = {labels[str(entry.value)] for entry in one.reads}
            if len(read) > 1:
                yield _mixed(one)
            decoupled = one.model is not None and repository.is_decoupled(one.model)
            fresh += decoupled
            label = fresh if decoupled else min(read, default=0)
            labels |= {str(entry.value): label for entry in one.writes}
        waiting = [one for one in waiting if one not in runnable]
    outputs = [
        tensor for tensor in model.config.children("output") if tensor.text("name") in labels
    ]
    if len({labels[tensor.text("name")] for tensor in outputs}) > 1:
        text = "the outputs come from different decoupled steps, or only some from one"
        yield Problem(outputs[0].at, text)


def _mixed(one: Step) -> Problem:
    return Problem(
        one.message.at,
        f"{one.label} reads tensors of different decoupled steps, or some before and some after "
        "one: Triton can't tell which responses belong together",
    )


@check("TRN528", WARNING)
def _declared_optional(model: Model, repository: Repository) -> Iterator[Problem]:
    optional = {t.text("name") for t in model.config.children("input") if t.flag("optional")}
    for each in repository.steps(model):
        for entry in each.reads:
            tensor = declared(each.model, "input", str(entry.key)) if each.model else None
            if entry.value in optional and tensor and not tensor.flag("optional"):
                yield Problem(
                    entry.node.at,
                    f"{each.label} requires '{entry.key}', and ensemble input '{entry.value}' is "
                    "optional: requests without it fail",
                )
