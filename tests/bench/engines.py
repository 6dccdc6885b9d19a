"""The bare engines: the same classes that run inside Triton, called in this process."""

from pathlib import Path

from builders.repository import REPOSITORY, engine_link
from builders.spec import ENGINE_LINK, load_pipeline, load_sku
from ensembles.manifest import read_manifest
from python_backends.context import EngineFolder, StageContext


class NoGauge:
    """Metrics belong to the server."""

    def set(self, value: float) -> None:
        """Nothing to show."""


def context(model: str, repository: Path = REPOSITORY) -> StageContext:
    """What the server loads `model` with on the cpu SKU, without a server to call back."""
    parameters = load_sku("cpu").place(model).parameters | load_pipeline().stages.get(model, {})
    values = {key: str(value) for key, value in parameters.items()}
    values["engine_folder"] = ENGINE_LINK
    folder = repository / model / "1"
    return StageContext(folder, values, None, lambda name, description: NoGauge())  # type: ignore[arg-type]


def folder(model: str, repository: Path = REPOSITORY) -> EngineFolder:
    """The engine folder that `model` reads."""
    path = engine_link(model, repository)
    return EngineFolder(path, read_manifest(path))
