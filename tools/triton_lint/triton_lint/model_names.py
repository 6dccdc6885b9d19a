"""Platform, backend and file name, completed as Triton's core does before any backend is asked.

Follows AutoCompleteBackendFields in triton-inference-server/core, src/model_config_utils.cc.
"""

from dataclasses import dataclass

from triton_lint.config_tree import Message
from triton_lint.folders import Folder, ModelFolder

ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class Known:
    """A backend that Triton finds out by itself."""

    backend: str
    platform: str
    filename: str
    may_be_folder: bool = True


KNOWN = (
    Known("tensorrt", "tensorrt_plan", "model.plan", may_be_folder=False),
    Known("onnxruntime", "onnxruntime_onnx", "model.onnx"),
    Known("openvino", "", "model.xml"),
    Known("pytorch", "pytorch_libtorch", "model.pt", may_be_folder=False),
    Known("python", "", "model.py"),
)
TENSORFLOW = {"tensorflow_savedmodel": "model.savedmodel", "tensorflow_graphdef": "model.graphdef"}
PLATFORMS = (*TENSORFLOW, *(known.platform for known in KNOWN if known.platform), ENSEMBLE)


@dataclass(frozen=True)
class ModelNames:
    """What Triton works with."""

    name: str
    platform: str
    backend: str
    filename: str


def complete(place: ModelFolder, config: Message) -> ModelNames:
    """Fill in what the configuration leaves out."""
    name = config.text("name") or place.name
    given = ModelNames(
        name, config.text("platform"), config.text("backend"), config.text("default_model_filename")
    )
    first = place.first_version
    if (found := _tensorflow(given, first)) is not None:
        return found
    for known in KNOWN:
        backend = given.backend or _backend(known, given, first)
        if backend == known.backend:
            aoti = given.platform == "torch_aoti"
            return ModelNames(
                name,
                given.platform or known.platform,
                backend,
                given.filename or ("model.pt2" if aoti else known.filename),
            )
    return _custom(given, place.name)


def _tensorflow(given: ModelNames, first: Folder | None) -> ModelNames | None:
    platform = given.platform
    if not platform and given.backend in ("", "tensorflow"):
        for candidate, filename in TENSORFLOW.items():
            if given.filename == filename or (
                not given.filename and first is not None and filename in first.names
            ):
                platform = candidate
    if platform not in TENSORFLOW:
        return None
    filename = given.filename or TENSORFLOW[platform]
    return ModelNames(given.name, platform, given.backend or "tensorflow", filename)


def _backend(known: Known, given: ModelNames, first: Folder | None) -> str:
    """`known`'s, if platform, file name or folder tell so."""
    platforms = [known.platform] if known.platform else []
    filenames = [known.filename]
    if known.backend == "pytorch":
        platforms += ["torch_aoti", "libtorch"]
        filenames.append("model.pt2")
    if given.platform in platforms or given.filename in filenames:
        return known.backend
    if given.platform or given.filename or first is None:
        return ""
    names = first.names if known.may_be_folder else first.files
    return known.backend if any(filename in names for filename in filenames) else ""


def _custom(given: ModelNames, folder: str) -> ModelNames:
    """`model.identity` is a model of backend `identity`."""
    if given.backend or given.platform or given.filename or "." not in folder:
        return given
    backend = folder.partition(".")[2]
    return ModelNames(given.name, "", backend, f"model.{backend}")
