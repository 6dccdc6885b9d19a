"""The command lines that serve a GPU SKU, as data; operations/gpu_server.py runs them.

Nothing here has run on a GPU or in NVIDIA's container. It follows these sources:
NVIDIA/TensorRT-LLM triton_backend/scripts/launch_triton_server.py 0a2e2c1f and
tensorrt_llm/llmapi/trtllm-llmapi-launch 020c89e6, cbe4c0ae; triton-inference-server/
tensorrtllm_backend docs/README-engine-backend-archive.md f1ae08cc (leader mode,
`docker run`) and docs/llama_multi_instance.md 05ceae03; tutorials, Qwen2.5-VL guide (26.07).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.engine_plan import Flavour
from builders.errors import BuildError
from builders.gpu_recipes import BACKEND_REPOSITORY
from builders.spec import ROOT
from builders.tensorrt_llm.backend_config import BACKEND_MODEL
from ensembles.collections import STORE_VARIABLE
from operations.admin_key import KEY_VARIABLE
from operations.ports import EVERY_ADDRESS, HEALTH_PORT, Ports
from operations.triton_process import EXIT_TIMEOUT_S, server_options

SERVER = "/opt/tritonserver/bin/tritonserver"
PYTHON = "/opt/venv-tritonserver/bin/python3"
"""Python in NVIDIA's container."""

SHARED_MEMORY = "2g"
"""Docker's --shm-size, a limit: memory is only taken when it is used. Each Python model needs 1 MiB
at first and more later (python_backend README); Docker's default is 64 MiB. NVIDIA uses 2g for 4
GPUs (archived README) and 1g for one (server docs/getting_started/llm.md)."""

COLLECTIONS = Path("build", "collections")
"""Folder of collections in pipeline.toml."""

STOP_MARGIN_S = 15.0
"""Time beyond its drain after which Docker kills a container."""

ALL_GPUS = "all"
_MIG = "MIG-"


@dataclass(frozen=True)
class ServedLlm:
    """What a command line needs of a SKU's LLM, from its manifest.

    `gpus` is tp × pp; `container` a tag of nvcr.io/nvidia/tritonserver; `folder` the engine folder.
    """

    sku: str
    config_name: str
    flavour: Flavour
    gpus: int
    container: str
    folder: Path


@dataclass(frozen=True)
class Launch:
    """One server: what it serves, and where it listens."""

    llm: ServedLlm
    repository: Path
    ports: Ports
    health_port: int = HEALTH_PORT
    drain_s: float = 30.0
    traces: str = ""
    admin_key: str = ""
    shared_memory_prefix: str = "prefix"
    exit_timeout_s: int = EXIT_TIMEOUT_S
    options: tuple[str, ...] = ()


def tritonserver_command(launch: Launch) -> tuple[str, ...]:
    """The command to run inside the container."""
    if launch.llm.flavour == "llm-api":
        return _llm_api(launch)
    return _server(launch) if launch.llm.gpus == 1 else _leader(launch)


def _llm_api(launch: Launch) -> tuple[str, ...]:
    """An MPI rank for each GPU; the first runs the server, the others wait for its model.

    One GPU needs this too: plain tritonserver fails with MPI_ERR_SPAWN in 26.07 (the tutorial's
    guide, tp 1), although TensorRT-LLM's own test of one GPU uses it. The launcher serves as many
    GPUs as it has ranks (mgmn_leader_node.py), so more need mpirun, as in TensorRT-LLM's test of 4.
    """
    command = ("trtllm-llmapi-launch", *_server(launch))
    if bad := [word for word in command if len(word.split()) != 1]:
        raise BuildError(
            f"{bad[0]!r} has a space, at which trtllm-llmapi-launch would part it; move the "
            "repository to a path without"
        )
    return command if launch.llm.gpus == 1 else (*_mpirun(launch.llm.gpus), *command)


def _leader(launch: Launch) -> tuple[str, ...]:
    """A tritonserver for each GPU. All but the first load only the engine and never listen."""
    words = [*_mpirun(1), *_server(launch)]
    for rank in range(1, launch.llm.gpus):
        words += [":", "-n", "1", *_server(launch, rank)]
    return tuple(words)


def _mpirun(ranks: int) -> tuple[str, ...]:
    return ("mpirun", "--allow-run-as-root", "-n", str(ranks))


def _server(launch: Launch, rank: int = 0) -> tuple[str, ...]:
    """The command of one rank; its prefix separates its Python models in /dev/shm from others'."""
    return (
        SERVER,
        *(f"--model-repository={folder}" for folder in _repositories(launch)),
        *server_options(
            launch.ports,
            launch.llm.config_name,
            admin_key=launch.admin_key,
            exit_timeout_s=launch.exit_timeout_s,
            shared_memory_prefix=f"{launch.shared_memory_prefix}{rank}_",
            models=BACKEND_MODEL if rank else "*",
            options=launch.options,
        ),
    )


def _repositories(launch: Launch) -> Iterator[Path]:
    yield launch.repository
    if launch.llm.flavour == "engine":
        yield launch.llm.folder / BACKEND_REPOSITORY


def image(llm: ServedLlm) -> str:
    """Name of the image with our packages."""
    return f"triton-rag:{llm.flavour}-{llm.container}"


def image_command(llm: ServedLlm) -> tuple[str, ...]:
    """Makes the image; takes seconds if nothing has changed."""
    return (
        *("docker", "build", f"--build-arg=TAG={llm.container}", f"--tag={image(llm)}"),
        f"--file={ROOT / 'builders' / 'docker' / f'{llm.flavour}.Dockerfile'}",
        str(ROOT),
    )


def docker_command(
    launch: Launch, gpus: Sequence[str], engines: Path, root: Path = ROOT
) -> tuple[str, ...]:
    """Runs the image on this machine: `operations serve` in it checks, starts and supervises.

    Folders have the same paths inside, because an engine's configuration names them. `engines` is
    writable, because ONNX Runtime's TensorRT provider keeps its plans there, and so is the folder
    of collections, if the environment names no database. --init passes signals on and reaps
    processes that MPI leaves. The server listens on all addresses inside; outside, its ports are on
    the address asked for. The gateway runs outside.
    """
    address, ports = launch.ports.address, launch.ports.by_name() | {"health": launch.health_port}
    serve = (PYTHON, "-m", "operations", "serve")
    return (
        *("docker", "run", "--rm", "--init", "--gpus", _gpus_option(gpus)),
        f"--shm-size={SHARED_MEMORY}",
        f"--stop-timeout={launch.drain_s + STOP_MARGIN_S:.0f}",
        *("--ulimit", "memlock=-1", "--ulimit", "stack=67108864"),
        *(f"--env={KEY_VARIABLE}", f"--env={STORE_VARIABLE}"),
        *(f"--publish={address}:{port}:{port}" for port in ports.values()),
        *(f"--volume={root}:{root}:ro", f"--volume={engines}:{engines}"),
        f"--volume={root / COLLECTIONS}:{root / COLLECTIONS}",
        *(f"--workdir={root}", image(launch.llm), *serve, "--sku", launch.llm.sku),
        *("--address", EVERY_ADDRESS),
        *("--drain-s", f"{launch.drain_s:g}", "--no-gateway"),
        *(("--traces", launch.traces) if launch.traces else ()),
        *(word for name, port in ports.items() for word in (f"--{name}-port", str(port))),
    )


def _gpus_option(gpus: Sequence[str]) -> str:
    """Docker's option for GPUs; quotes are part of it, because Docker reads it as CSV."""
    return ALL_GPUS if tuple(gpus) == (ALL_GPUS,) else f'"device={",".join(gpus)}"'


def chosen_gpus(llm: ServedLlm, text: str | None) -> tuple[str, ...]:
    """The GPUs in `text`: "all", or indexes or UUIDs, separated by commas; None: the first tp × pp.

    Raises `BuildError`, also for more than one MIG slice: slices have neither CUDA IPC nor NVLink
    (RAPIDS' MIG page), and before driver R570 a process sees only one (MIG user guide).
    """
    if text == ALL_GPUS:
        return (ALL_GPUS,)
    found = tuple(text.split(",")) if text else tuple(map(str, range(llm.gpus)))
    slices = [gpu for gpu in found if gpu.startswith(_MIG)]
    if slices and (llm.gpus > 1 or len(found) > 1):
        raise BuildError(
            f"--gpus {text}: {len(found)} GPUs of which {len(slices)} are MIG slices, for an LLM "
            f"of SKU '{llm.sku}' on {llm.gpus} (tp × pp); slices can't exchange data directly, so "
            "one slice serves a model of tp × pp = 1, nothing else: give whole GPUs or one slice"
        )
    if len(found) < llm.gpus or "" in found or len(set(found)) < len(found):
        raise BuildError(
            f"--gpus {text}: the LLM of SKU '{llm.sku}' is split over {llm.gpus} GPUs (tp × pp); "
            f"give {llm.gpus} different indexes or UUIDs by comma, or '{ALL_GPUS}'"
        )
    return found
