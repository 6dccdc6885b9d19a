"""What a machine lacks, a sentence for each fault, before anything is started that could hang.

Triton's messages for the same faults are missing or late: without libpython the server waits for
ever, a taken port is noticed after all models are loaded (measured on Triton 2.51).
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from builders.engine import published
from builders.errors import by_sentence
from builders.repository import REPOSITORY, engine_links
from builders.spec import ROOT, Sku
from ensembles.manifest import TOKENIZER_FILE, ManifestError, check_file
from ensembles.served_models import ENSEMBLES, PYTHON_MODELS
from operations.ports import Ports, port_faults
from operations.shared_memory import FOLDER as SHARED_MEMORY

PYTHON_VERSIONS = ("3.11", "3.12")
WORK_FOLDER = ROOT / "build"
"""The default folder of the log."""
MIN_DISK_MIB = 64
"""Least free disk space, for the log."""
MIN_SHARED_MEMORY_MIB = 256


@dataclass(frozen=True)
class ServingEnvironment:
    """What the serving environment's own Python reports about itself."""

    python: Path
    version: str
    library_folder: str
    numpy: str
    triton: Path
    """The bundled server's folder."""

    @property
    def stub(self) -> Path:
        """The Python backend's stub for this Python version."""
        return self.triton / "python_backend_stubs" / self.version / "triton_python_backend_stub"


VERSION = """
import importlib.metadata as metadata, json
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
"""
"""Source of a function for programs that another Python runs: a package's version, or empty."""

_PROBE = f"""{VERSION}
import importlib.util, sys, sysconfig, pathlib
spec = importlib.util.find_spec("pytriton")
print(json.dumps({{
    "version": "%d.%d" % sys.version_info[:2],
    "library_folder": sysconfig.get_config_var("LIBDIR") or "",
    "numpy": version("numpy"),
    "triton": str(pathlib.Path(spec.origin).parent / "tritonserver") if spec else "",
}}))
"""

_STUB_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
"""The locale of the stub's Python, in which it can't read paths with characters outside ASCII."""


class PreflightError(Exception):
    """Why the server would not start; one sentence per line."""


def require_none(faults: Iterable[str]) -> None:
    """Raises `PreflightError` with all faults, if there are any."""
    if found := "\n".join(faults):
        raise PreflightError(found)


def probe(environment: Path) -> ServingEnvironment:
    """Ask the environment's Python; raises `PreflightError` if it can't serve at all."""
    python = environment / "bin" / "python3"
    if not python.is_file():
        raise PreflightError(f"no serving environment in {environment}: run 'make setup'")
    asked = subprocess.run(
        [python, "-c", _PROBE], check=False, env=os.environ | _STUB_LOCALE, capture_output=True
    )
    if asked.returncode:
        last = asked.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise PreflightError(f"{python} does not run as Triton runs it ({last}): run 'make setup'")
    answer = json.loads(asked.stdout)
    if answer["version"] not in PYTHON_VERSIONS:
        raise PreflightError(
            f"Python {answer['version']} in {environment}; the Triton wheel serves with "
            f"{' or '.join(PYTHON_VERSIONS)}"
        )
    if not answer["triton"]:
        raise PreflightError(f"nvidia-pytriton is not installed in {environment}: run 'make setup'")
    version, libraries, numpy = (answer[key] for key in ("version", "library_folder", "numpy"))
    return ServingEnvironment(python, version, libraries, numpy, _path(answer["triton"]))


def _path(text: str) -> Path:
    """A path as a Python without UTF-8 prints it."""
    return Path(os.fsencode(text).decode(errors="replace"))


def faults(
    environment: ServingEnvironment,
    sku: Sku,
    ports: Ports,
    repository: Path = REPOSITORY,
    folder: Path = WORK_FOLDER,
) -> Iterator[str]:
    """All faults that would keep the server from serving; `folder` is for its log."""
    yield from _folder_faults(folder)
    yield from _library_faults(environment)
    yield from _numpy_faults(environment)
    yield from port_faults(ports.by_name(), ports.address)
    yield from repository_faults(sku, repository)


def _library_faults(environment: ServingEnvironment) -> Iterator[str]:
    if not environment.stub.is_file():
        yield f"no stub for Python {environment.version} in {environment.triton}: run 'make setup'"
        return
    if not os.access(environment.stub, os.R_OK):  # a Triton that started it has removed the right
        yield f"{environment.stub}: user id {os.geteuid()} can't read it; its owner: chmod 755 it"
        return
    search = f"{environment.library_folder}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    variables = {"LD_LIBRARY_PATH": search, "PATH": with_system_folders()}
    listing = subprocess.run(
        ["ldd", environment.stub],
        check=False,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    ).stdout
    missing = [line.split()[0] for line in listing.splitlines() if "not found" in line]
    if missing:
        yield (
            f"{', '.join(missing)} not found (the server would hang while loading): on Debian "
            f"'apt-get install libpython{environment.version}', with pyenv build Python shared"
        )


def _numpy_faults(environment: ServingEnvironment) -> Iterator[str]:
    if environment.numpy.split(".")[0] != "1":
        yield (
            f"numpy {environment.numpy or 'missing'} in the serving environment; this Triton "
            "version silently corrupts tensors with numpy 2, numpy 1.26 is needed"
        )


def with_system_folders() -> str:
    """PATH, with the folders of bash and ldd, which a service manager may leave out."""
    return f"{os.environ.get('PATH', '')}:/usr/local/bin:/usr/bin:/bin"


def _folder_faults(work_folder: Path) -> Iterator[str]:
    """Faults of the two folders that are written to."""
    for folder, need_mib, unit, hint in (
        (work_folder, MIN_DISK_MIB, "disk", "name another with --work-folder"),
        (SHARED_MEMORY, MIN_SHARED_MEMORY_MIB, "shared memory", "models share tensors there"),
    ):
        if reason := _unusable(folder):
            yield f"{folder}: user id {os.geteuid()} can't use it ({reason}); {hint}"
        elif (free_mib := shutil.disk_usage(folder).free / 2**20) < need_mib:
            yield f"{unit}: {free_mib:.0f} MiB free in {folder}, {need_mib} MiB needed; {hint}"


def _unusable(folder: Path) -> str:
    """Why a folder can't be used, found by writing to it; empty if it can. Makes the folder."""
    is_work = folder != SHARED_MEMORY
    try:
        if is_work:
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            os.fchmod(file.fileno(), 0o700)
            runs = os.access(file.name, os.X_OK)
    except OSError as error:
        return error.strerror or str(error)
    return "mounted noexec, and Triton's stub is run there" if is_work and not runs else ""


def repository_faults(sku: Sku, repository: Path) -> Iterator[str]:
    """Faults of graphs that call what is not there, and of engines: missing, damaged, of another
    SKU, or with a changed tokenizer."""
    yield from _graph_faults(repository)
    links = list(engine_links(repository))
    if len(links) > 1 and not any(link.exists() for link in links):
        yield (
            f"no engines for SKU '{sku.name}' in {repository}, and {len(links)} models read one: "
            f"run 'make build-engines SKU={sku.name}'"
        )
        return
    said = ((link.parents[1].name, text) for link in links for text in _faults_of_engine(sku, link))
    for text, models in by_sentence(said).items():
        names = ", ".join(f"'{name}'" for name in models)
        yield f"model{'s' * (len(models) > 1)} {names}: {text}"


def _graph_faults(repository: Path) -> Iterator[str]:
    """A repository may have a part of the models, with all that its graphs call."""
    calls = {model.contract.name: model.calls for model in PYTHON_MODELS}
    calls |= {graph.name: graph.calls for graph in ENSEMBLES}
    for model in calls:
        away = sorted(name for name in calls[model] if not (repository / name).is_dir())
        if away and (repository / model).is_dir():
            yield (
                f"model '{model}' calls {', '.join(away)}, not found in {repository}: "
                f"add what it calls, or remove '{model}'"
            )


def _faults_of_engine(sku: Sku, link: Path) -> Iterator[str]:
    try:
        manifest = published(link)
        check_file(link, manifest, TOKENIZER_FILE)
    except ManifestError as error:
        yield str(error)
        return
    if manifest.sku != sku.name:
        yield (
            f"the engine was built for '{manifest.sku}', not '{sku.name}'; "
            f"run 'make build-engines SKU={sku.name}'"
        )
