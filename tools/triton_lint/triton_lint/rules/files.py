"""Version folders and the files that a configuration needs."""

from collections.abc import Iterator

from triton_lint.findings import Problem
from triton_lint.folders import MAX_VERSION, exists
from triton_lint.models import Model
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, WARNING, Rule, check

NEEDS_FILE = ("onnxruntime", "tensorrt", "pytorch", "openvino", "tensorflow", "python")


@check("TRN111", ERROR)
def _no_version(model: Model, _: Repository) -> Iterator[Problem]:
    if model.versions or not model.checks_files or model.has_crashing_version:
        return
    present = sorted(set(model.place.version_folders.values()))
    policy = model.config.child("version_policy")
    if present and policy:
        text = (
            "the version policy picks none of the versions that are there "
            f"({', '.join(map(str, present))})"
        )
        yield Problem(model.at(model.config, "version_policy"), text)
        return
    others = sorted(model.place.folder.folders - {"configs", "warmup", "initial_state"})
    look = f"; {', '.join(others[:5])} is no version number" if others else ""
    empty = ", which may be empty," if model.is_ensemble else ""
    text = f"no version folder: add one such as '1'{empty} to {model.place.shown}{look}"
    yield Problem(model.at(model.config), text)


@check("TRN112", WARNING)
def _absent_version(model: Model, _: Repository) -> Iterator[Problem]:
    policy = model.config.child("version_policy")
    specific = policy.child("specific") if policy else None
    if specific is None or not model.versions or not model.checks_files:
        return
    for node in specific.nodes("versions"):
        if node.value not in model.versions:
            text = f"version {node.value} has no folder; only the others are served"
            yield Problem(node.value_at, text)


@check("TRN113", WARNING)
def _ignored_version(model: Model, _: Repository) -> Iterator[Problem]:
    for name in sorted(model.place.folder.folders):
        number = model.place.version_folders.get(name)
        is_lost = number in model.versions and str(number) not in model.loaded_folders
        if number is not None and abs(number) > MAX_VERSION:
            text = f"version folder '{name}' exceeds 64 bits, which ends the server"
            yield Problem(model.at(model.config), text, severity=ERROR)
        elif name.isdecimal() and number is None:
            text = f"version folder '{name}' begins with 0 and is ignored"
            yield Problem(model.at(model.config), text)
        elif number is not None and str(number) != name:
            yield Problem(
                model.at(model.config),
                f"folder '{name}' is taken for version {number}, whose files are then looked for "
                f"in '{number}'",
                severity=ERROR if is_lost and model.backend in NEEDS_FILE else None,
            )
        elif is_lost and model.backend in NEEDS_FILE:
            text = f"folder '{name}' is taken for a version, whose files Triton then doesn't find"
            yield Problem(model.at(model.config), text, severity=ERROR)


@check("TRN114", ERROR)
def _no_model_file(model: Model, repository: Repository) -> Iterator[Problem]:
    filename = model.names.filename
    if not model.checks_files or model.backend not in NEEDS_FILE or not filename:
        return
    if model.config.text("runtime") == "model.py" and model.backend != "python":
        return
    if model.config.entries("cc_model_filenames"):
        return
    for folder in model.loaded_folders:
        contents = model.place.contents(folder)
        if filename in contents or exists(model.place.folder.path / folder / filename):
            continue
        found = contents.fault or ", ".join(sorted(contents.names)[:5]) or "nothing"
        yield Problem(
            model.at(model.config, "default_model_filename"),
            f"version {folder} has no '{filename}', which backend '{model.backend}' loads; it "
            f"holds {found}",
        )


@check("TRN116", ERROR)
def _no_config(model: Model, _: Repository) -> Iterator[Problem]:
    if not model.place.has_config and not model.options.auto_complete:
        text = f"{model.place.config_path} is missing, and auto-complete is off"
        yield Problem(model.at(model.config), text)


FOLDER_RULES = (Rule("TRN117", ERROR), Rule("TRN118", ERROR))
