"""`serve` of a GPU SKU: in NVIDIA's container the server itself, elsewhere the container.

Nothing here has run on a GPU or in NVIDIA's container.
"""

import argparse
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from builders.engine import ENGINES
from builders.engine_plan import CONTAINER, Flavour
from builders.errors import BuildError
from builders.gpu_machine import VISIBLE
from builders.repository import REPOSITORY, engine_link
from builders.spec import Sku
from ensembles.contracts import LLM
from ensembles.manifest import Manifest, ManifestError, read_manifest
from operations import gpu_commands as launch
from operations.gpu_commands import ALL_GPUS, Launch, ServedLlm
from operations.gpu_preflight import CONTAINER_PYTHON, gpu_faults, serving_environment
from operations.ports import Ports
from operations.preflight import PreflightError

_FLAVOURS: dict[str, Flavour] = {"tensorrt-llm": "llm-api", "tensorrtllm-backend": "engine"}
"""By what the manifest says can run the engine."""

PACKAGES = ("jinja2", "numpy", "onnxruntime", "python_backends", "tensorrt_llm", "tokenizers")
"""That the models import in the container."""

_PROBE = """
import importlib.util, sys
print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name) is None])
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `serve`, for GPU SKUs."""
    group = parser.add_argument_group("GPU SKUs")
    group.add_argument("--print", action="store_true", help="print command lines, run nothing")
    group.add_argument("--gpus", help="'all', or indexes or UUIDs by comma; default: the first")
    group.add_argument("--mode", choices=get_args(launch.Mode), default="leader")


def serve(sku: Sku, options: argparse.Namespace, ports: Ports) -> int:
    """In the foreground; what runs is printed before. Raises `BuildError`, `PreflightError`."""
    if options.run:
        raise BuildError("--run is for the cpu SKU; start the server, then what shall use it")
    llm = read_llm(sku, REPOSITORY)
    gpus = launch.chosen_gpus(llm, options.gpus)
    what = Launch(llm, REPOSITORY, ports, options.mode)
    if in_container():
        if gpus != (ALL_GPUS,) and options.gpus:
            os.environ[VISIBLE] = ",".join(gpus)
        return _serve_inside(sku, what, options.print)
    run = launch.docker_command(what, gpus, ENGINES.resolve())
    return _serve_outside(what, run, options.print)


def in_container() -> bool:
    """Whether this is NVIDIA's container, or an image made from it."""
    return Path(launch.SERVER).is_file()


def read_llm(sku: Sku, repository: Path) -> ServedLlm:
    """From the manifest of the engine that is linked for the SKU; raises `BuildError`."""
    link = engine_link(LLM.name, repository)
    try:
        manifest = read_manifest(link)
        flavour = _FLAVOURS[manifest.engine]
        gpus = int(manifest.plan["tp"]) * int(manifest.plan["pp"])
    except ManifestError as error:
        raise BuildError(
            f"no LLM to serve for SKU '{sku.name}' ({error}): 'make build-engines "
            f"SKU={sku.name}' makes it, in the container (docs/run-gpu.md)"
        ) from error
    except KeyError as error:
        raise BuildError(_not_for_gpus(sku, manifest)) from error
    llm = ServedLlm(
        sku.name,
        sku.config_name,
        flavour,
        gpus,
        manifest.container or CONTAINER,
        link.resolve(),
    )
    if flavour == "engine":
        _check_engine_model(llm)
    return llm


def _not_for_gpus(sku: Sku, manifest: Manifest) -> str:
    return (
        f"the LLM linked for SKU '{sku.name}' is '{manifest.model}' for '{manifest.engine}' with "
        f"{'a' if manifest.plan else 'no'} plan; needed: {' or '.join(_FLAVOURS)} with tp and pp; "
        f"run 'make build-engines SKU={sku.name}'"
    )


def _check_engine_model(llm: ServedLlm) -> None:
    """The backend swallows a wrong path and fails with another message (facts 2.1, rule 5)."""
    config = llm.folder / launch.ENGINE_REPOSITORY / launch.ENGINE_MODEL / "config.pbtxt"
    if not config.is_file():
        raise BuildError(f"no {config}: run 'make build-engines SKU={llm.sku}'")
    if str(llm.folder) not in config.read_text():
        raise BuildError(
            f"{config} does not name {llm.folder}, where the engine is: it was built under another "
            "path; mount the repository under that path, or run "
            f"'make build-engines SKU={llm.sku}' where it is now"
        )


def _serve_outside(what: Launch, run: tuple[str, ...], print_only: bool) -> int:
    build = launch.image_command(what.llm)
    lines = f"{shlex.join(build)}\n{shlex.join(run)}"
    if print_only:
        print(lines)
        return 0
    if shutil.which("docker") is None:
        raise BuildError(
            f"no 'docker' on this machine, and SKU '{what.llm.sku}' is served in NVIDIA's "
            f"container: run these where Docker and the NVIDIA Container Toolkit are:\n{lines}"
        )
    for command in (build, run):
        print(shlex.join(command), flush=True)
        if status := subprocess.run(command, check=False).returncode:
            return status
    return 0


def _serve_inside(sku: Sku, what: Launch, print_only: bool) -> int:
    """Ends only by an error: the server takes this process's place, so signals reach it."""
    command = launch.tritonserver_command(what)
    print(shlex.join(command), flush=True)
    if not print_only:
        _check(sku, what)
        os.execvp(command[0], command)
    return 0


def _check(sku: Sku, what: Launch) -> None:
    serving = serving_environment()
    found = [*gpu_faults(sku, what.ports, serving, what.repository), *_image_faults(what)]
    if found:
        raise PreflightError("\n".join(found))


def _image_faults(what: Launch) -> Iterator[str]:
    """Asked outside the repository, whose folders would be found as packages."""
    python = CONTAINER_PYTHON if CONTAINER_PYTHON.is_file() else "python3"
    answer = subprocess.check_output([python, "-c", _PROBE, *PACKAGES], text=True, cwd="/")
    if answer.strip():
        yield (
            f"{python} has no {', '.join(answer.split())}, which the models import: serve in the "
            f"image of builders/docker/{what.llm.flavour}.Dockerfile ({launch.image(what.llm)})"
        )
