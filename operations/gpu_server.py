"""`serve` for a GPU SKU: runs the supervised server in NVIDIA's container, elsewhere the container.

Nothing here has run on a GPU or in NVIDIA's container.
"""

import contextlib
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from builders.engine import ENGINES
from builders.engine_plan import CONTAINER, Flavour
from builders.errors import BuildError
from builders.gpu_machine import VISIBLE
from builders.gpu_recipes import BACKEND_REPOSITORY
from builders.repository import REPOSITORY, engine_link
from builders.spec import Sku
from builders.tensorrt_llm.backend_config import BACKEND_MODEL
from ensembles.contracts import LLM
from ensembles.manifest import Manifest, ManifestError, read_manifest
from operations import gpu_commands
from operations.gateway_process import GatewayProcess
from operations.gpu_commands import ALL_GPUS, Launch, ServedLlm
from operations.gpu_preflight import CONTAINER_PYTHON, gpu_faults, serving_environment
from operations.ports import Ports
from operations.preflight import require_none
from operations.serve import ended_by_sigterm, serve_supervised
from operations.supervisor.settings import SupervisorSettings
from operations.triton_process import StartCommand, TritonProcess, trace_options

_FLAVOURS: dict[str, Flavour] = {"tensorrt-llm": "llm-api", "tensorrtllm-backend": "engine"}
"""Flavours by the manifest's `engine`."""

PACKAGES = (
    "jinja2",
    "numpy",
    "onnxruntime",
    "psutil",
    "python_backends",
    "tensorrt_llm",
    "tokenizers",
)
"""Packages that the models and the supervisor import in the container."""

_PROBE = """
import importlib.util, sys
print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name) is None])
"""


def serve(
    sku: Sku,
    ports: Ports,
    gateway: GatewayProcess | None = None,
    *,
    health_port: int,
    drain_s: float,
    gpus: str | None = None,
    traces: str = "",
    print_only: bool = False,
) -> int:
    """Prints and runs the commands in the foreground. Raises `BuildError`, `PreflightError`."""
    llm = read_llm(sku, REPOSITORY)
    chosen = gpu_commands.chosen_gpus(llm, gpus)
    launch = Launch(llm, REPOSITORY, ports, health_port, drain_s, traces)
    if not in_container():
        run = gpu_commands.docker_command(launch, chosen, ENGINES.resolve())
        return _serve_outside(launch, run, gateway, print_only)
    server = GpuServer(
        sku, launch, {} if gpus is None or chosen == (ALL_GPUS,) else {VISIBLE: ",".join(chosen)}
    )
    print(shlex.join(server.command(shown=True)), flush=True)
    if print_only:
        return 0
    return serve_supervised(
        server, SupervisorSettings(drain_s=drain_s), health_port, gateway=gateway
    )


class GpuServer(TritonProcess):
    """tritonserver for a GPU SKU's LLM, maybe started by mpirun; it logs to this process's output.

    Its start raises `PreflightError`.
    """

    def __init__(self, sku: Sku, launch: Launch, variables: Mapping[str, str]) -> None:
        super().__init__(launch.ports, launch.repository, None, self._checked_command)
        self._sku, self._launch, self._variables = sku, launch, dict(variables)

    def command(self, shown: bool = False) -> tuple[str, ...]:
        """The command that is run; without the admin key if it is to be `shown`."""
        options, _ = trace_options(self._launch.traces)
        launch = replace(
            self._launch,
            admin_key="KEY" if shown else self.admin_key,
            shared_memory_prefix=self.shared_memory.prefix,
            exit_timeout_s=self.exit_timeout_s,
            options=(*self._launch.options, *options),
        )
        return gpu_commands.tritonserver_command(launch)

    def _checked_command(self) -> StartCommand:
        command = self.command()
        launch, serving = self._launch, serving_environment()
        found = [*gpu_faults(self._sku, self.ports, serving, launch.repository)]
        require_none([*found, *_image_faults(launch)])
        return StartCommand(command, trace_options(launch.traces)[1] | self._variables)


def in_container() -> bool:
    """Whether this is NVIDIA's container, or an image made from it."""
    return Path(gpu_commands.SERVER).is_file()


def read_llm(sku: Sku, repository: Path) -> ServedLlm:
    """Reads the manifest of the engine that is linked for the SKU; raises `BuildError`."""
    link = engine_link(LLM.name, repository)
    try:
        manifest = read_manifest(link)
        flavour = _FLAVOURS[manifest.engine]
        gpus = int(manifest.plan["tp"]) * int(manifest.plan["pp"])
    except ManifestError as error:
        raise BuildError(
            f"no LLM to serve for SKU '{sku.name}' ({error}): 'make build-engines "
            f"SKU={sku.name}' makes it, in the container (docs/gpu.md)"
        ) from error
    except KeyError as error:
        raise BuildError(_not_for_gpus(sku, manifest)) from error
    llm = ServedLlm(
        sku.name, sku.config_name, flavour, gpus, manifest.container or CONTAINER, link.resolve()
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
    """Raises `BuildError` for a wrong path of the engine, which the backend reports as another
    error."""
    repository = llm.folder / BACKEND_REPOSITORY
    config = repository / BACKEND_MODEL / "config.pbtxt"
    if not config.is_file():
        raise BuildError(f"no {config}: run 'make build-engines SKU={llm.sku}'")
    if str(llm.folder) not in config.read_text(encoding="utf-8"):
        raise BuildError(
            f"{config} does not name {llm.folder}, where the engine is: it was built under another "
            "path; mount the repository under that path, or run "
            f"'make build-engines SKU={llm.sku}' where it is now"
        )


def _serve_outside(
    launch: Launch, run: tuple[str, ...], gateway: GatewayProcess | None, print_only: bool
) -> int:
    """Run the container, and the gateway beside it on this machine."""
    build = gpu_commands.image_command(launch.llm)
    commands = [build, run, *([gateway.command()] if gateway else [])]
    lines = "\n".join(map(shlex.join, commands))
    if print_only:
        print(lines)
        return 0
    if shutil.which("docker") is None:
        raise BuildError(
            f"no 'docker' on this machine, and SKU '{launch.llm.sku}' is served in NVIDIA's "
            f"container: run these where Docker and the NVIDIA Container Toolkit are:\n{lines}"
        )
    print(shlex.join(build), flush=True)
    if status := subprocess.run(build, check=False).returncode:
        return status
    print(shlex.join(run), flush=True)
    return _run_container(run, gateway)


def _run_container(run: tuple[str, ...], gateway: GatewayProcess | None) -> int:
    """Run the container; returns its exit status. The gateway ends first, after its requests."""
    with ended_by_sigterm():
        container = subprocess.Popen(run, start_new_session=True)  # only this process gets Ctrl-C
        try:
            with gateway or contextlib.nullcontext():
                if gateway:
                    print(f"OpenAI's API and others: {gateway.url}/v1", flush=True)
                return container.wait()
        except KeyboardInterrupt:
            return _ended(container)
        except BaseException:
            _ended(container)
            raise


def _ended(container: "subprocess.Popen[bytes]") -> int:
    """End the container: `docker run` passes the signal on, and the server inside drains."""
    container.terminate()
    return container.wait()


def _image_faults(launch: Launch) -> Iterator[str]:
    """Faults of packages in the image; checked in another folder than the repository, whose folders
    would be found as packages."""
    python = CONTAINER_PYTHON if CONTAINER_PYTHON.is_file() else "python3"
    answer = subprocess.check_output([python, "-c", _PROBE, *PACKAGES], text=True, cwd="/")
    if answer.strip():
        image = gpu_commands.image(launch.llm)
        yield (
            f"{python} has no {', '.join(answer.split())}, which the models import: serve in the "
            f"image of builders/docker/{launch.llm.flavour}.Dockerfile ({image})"
        )
