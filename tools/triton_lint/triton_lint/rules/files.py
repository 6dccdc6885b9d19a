"""Version folders and the files that a configuration needs."""

import fnmatch
from collections.abc import Iterator
from pathlib import Path

from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.repository import MAX_VERSION, Folder
from triton_lint.rule import ERROR, PYTHON_MODEL, WARNING, Example, Repository, Rule
from triton_lint.versions import Version

NEEDS_FILE = ("onnxruntime", "tensorrt", "pytorch", "openvino", "tensorflow", "python")
LABELS_STAY_INSIDE = Version(2, 66)
_PLACEHOLDERS = (
    ".git*",
    ".keep",
    "*.dvc",
    "*.md",
    "*.txt",
    "README*",
    "*.sh",
    "*.url",
    ".tmp",
    "*.lfs",
)


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
    if model.place.is_tracked:
        text += " (git keeps no empty folder: put a .gitkeep into it)"
    weight = WARNING if model.place.is_tracked and model.backend != "python" else None
    yield Problem(model.at(model.config), text, severity=weight)


def _absent_version(model: Model, _: Repository) -> Iterator[Problem]:
    policy = model.config.child("version_policy")
    specific = policy.child("specific") if policy else None
    if specific is None or not model.versions or not model.checks_files:
        return
    for node in specific.nodes("versions"):
        if node.value not in model.versions:
            yield Problem(
                node.value_at, f"version {node.value} has no folder; only the others are served"
            )


def _ignored_version(model: Model, _: Repository) -> Iterator[Problem]:
    for name in sorted(model.place.folder.folders):
        number = model.place.version_folders.get(name)
        if number is not None and abs(number) > MAX_VERSION:
            yield Problem(
                model.at(model.config),
                f"version folder '{name}' exceeds 64 bits, which ends the server",
                severity=ERROR,
            )
        elif name.isdecimal() and number is None:
            yield Problem(
                model.at(model.config), f"version folder '{name}' begins with 0 and is ignored"
            )
        elif number is not None and str(number) != name:
            yield Problem(
                model.at(model.config),
                f"folder '{name}' is taken for version {number}, whose files are then looked for "
                f"in '{number}'",
            )


def _no_model_file(model: Model, repository: Repository) -> Iterator[Problem]:
    filename = model.identity.filename
    if not model.checks_files or model.backend not in NEEDS_FILE or not filename:
        return
    if model.config.text("runtime") == "model.py" and model.backend != "python":
        return
    if model.config.entries("cc_model_filenames"):
        return
    for folder in model.loaded_folders:
        contents = model.place.contents(folder)
        if filename in contents or (model.place.folder.path / folder / filename).exists():
            continue
        weight = WARNING if _may_come_later(model, contents) else None
        found = ", ".join(sorted(contents.names)[:5]) or "nothing"
        yield Problem(
            model.at(model.config, "default_model_filename"),
            f"version {folder} has no '{filename}', which backend '{model.backend}' loads; it "
            f"holds {found}",
            severity=weight,
        )


def _may_come_later(model: Model, contents: Folder) -> bool:
    """Weights are often kept out of a checkout; a placeholder, a pointer or git tells so."""
    if model.backend == "python":
        return False
    if model.place.is_tracked:
        return True
    return bool(contents.names) and all(
        any(fnmatch.fnmatch(name, pattern) for pattern in _PLACEHOLDERS) for name in contents.names
    )


def _labels(model: Model, _: Repository) -> Iterator[Problem]:
    seen = set()
    root = model.place.folder.path
    for output in model.config.children("output"):
        name = output.text("label_filename")
        if not name:
            continue
        if output.text("name") in seen:
            yield Problem(
                model.at(output, "label_filename"),
                f"output '{output.text('name')}' has a label file already",
            )
        seen.add(output.text("name"))
        if not (root / name).is_file() and model.checks_files:
            yield Problem(
                model.at(output, "label_filename"),
                f"there is no '{name}' in {model.place.shown}",
            )
        elif model.options.triton >= LABELS_STAY_INSIDE and _is_outside(root, name):
            yield Problem(
                model.at(output, "label_filename"), f"'{name}' is outside of the model's folder"
            )


def _is_outside(root: Path, name: str) -> bool:
    path = root / name
    return path.exists() and not path.resolve().is_relative_to(root.resolve())


def _no_config(model: Model, _: Repository) -> Iterator[Problem]:
    if not model.place.has_config and not model.options.auto_complete:
        text = f"{model.place.config_path} is missing, and auto-complete is off"
        yield Problem(model.at(model.config), text)


_ONE = {"model/1/model.onnx": ""}
_LABELLED = 'output { name: "y" data_type: TYPE_FP32 dims: [ 3 ] label_filename: "labels.txt" }\n'

RULES = (
    Rule(
        "TRN111",
        "no version to load",
        ERROR,
        "At least one folder named by a number has to be there that the version policy picks; "
        "ensembles need one too, and it may be empty. `latest` without `num_versions` picks none. "
        "Numbers with a leading 0 are ignored. In a git checkout this is a warning, as git keeps "
        "no empty folders; Python models need their code, so for them it stays an error.",
        Example('backend: "onnxruntime"\nversion_policy { specific { versions: [ 2 ] } }\n', _ONE),
        Example('backend: "onnxruntime"\nversion_policy { specific { versions: [ 1 ] } }\n', _ONE),
        _no_version,
    ),
    Rule(
        "TRN112",
        "the policy names a version that is not there",
        WARNING,
        "Triton logs an error and serves the versions that it finds.",
        Example(
            'backend: "onnxruntime"\nversion_policy { specific { versions: [ 1, 2 ] } }\n', _ONE
        ),
        Example('backend: "onnxruntime"\nversion_policy { specific { versions: [ 1 ] } }\n', _ONE),
        _absent_version,
    ),
    Rule(
        "TRN113",
        "a version folder that Triton does not read as it looks",
        WARNING,
        "`01` is ignored, `2nd` counts as version 2, and a number of more than 64 bits ends the "
        "server with an uncaught exception (which makes it an error).",
        Example('backend: "onnxruntime"\n', _ONE | {"model/01/model.onnx": ""}),
        Example('backend: "onnxruntime"\n', _ONE | {"model/2/model.onnx": ""}),
        _ignored_version,
    ),
    Rule(
        "TRN114",
        "the model file is missing",
        ERROR,
        "Each version that is loaded needs the file that its backend looks for: "
        "`default_model_filename`, or model.onnx, model.plan, model.pt, model.xml, "
        "model.savedmodel, model.graphdef, model.py. Weights that git does not hold, or in whose "
        "place stands a pointer or note (.gitkeep, *.dvc, README), are a warning. `--no-files` "
        "leaves this out.",
        Example('backend: "python"\n', {"model/1/main.py": ""}),
        Example('backend: "python"\n'),
        _no_model_file,
    ),
    Rule(
        "TRN115",
        "the label file can't be used",
        ERROR,
        "`label_filename` is read from the model's folder (not the version's) when the model is "
        "loaded; since 26.02 it may not lie outside of it.",
        Example('backend: "identity"\n' + _LABELLED),
        Example('backend: "identity"\n' + _LABELLED, {"model/labels.txt": "a\nb\nc\n"}),
        _labels,
    ),
    Rule(
        "TRN116",
        "no configuration",
        ERROR,
        "With --disable-auto-complete-config each model needs a config.pbtxt. Else its backend "
        "completes what is missing, if it can.",
        Example(None, {"model/1/model.py": PYTHON_MODEL}, auto_complete=False),
        Example(None, {"model/1/model.py": PYTHON_MODEL}),
        _no_config,
    ),
    Rule(
        "TRN117",
        "two repositories have a model of the same name",
        ERROR,
        "A server that is given several repositories refuses a model that is in more than one.",
        Example('backend: "onnxruntime"\n'),
        Example('backend: "onnxruntime"\n'),
        seen="source: ModelRepositoryManager::Poll in triton-inference-server/core",
    ),
    Rule(
        "TRN118",
        "a folder that is no model",
        WARNING,
        "In its default mode Triton takes every folder of a repository for a model, hidden ones "
        "too, and does not start when one can't be loaded. With --model-control-mode=explicit, or "
        "--exit-on-error=false, such a folder does no harm.",
        Example('backend: "onnxruntime"\n', {"notes/readme.md": "", "model/1/model.onnx": ""}),
        Example('backend: "onnxruntime"\n'),
    ),
)
