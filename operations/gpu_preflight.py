"""What keeps a GPU machine from serving, a sentence for each fault, before tritonserver is started.

If NVIDIA's software has its own error for a fault, it is quoted, so that a search for it finds the
reason. Sources: TensorRT-LLM issues 222, 1992, 10450; tensorrtllm_backend issues 303, 424, 562,
568; server issue 2674 and docs/getting_started/llm.md.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from builders.errors import BuildError
from builders.gpu_machine import (
    Devices,
    NoGpuError,
    device_faults,
    no_gpu,
    seen_by_cuda,
    this_machine,
)
from builders.gpu_spec import GIB, GpuPrecision
from builders.planner.llm_cost import (
    ENCODER_OVERHEAD_GIB,
    RUNTIME_GIB,
    Deployment,
    activation_bytes,
)
from builders.repository import REPOSITORY, engine_links
from builders.spec import Sku, load_model, model_names
from ensembles.manifest import Manifest, ManifestError, read_manifest
from operations.gpu_commands import PYTHON, SERVER
from operations.ports import Ports, port_faults
from operations.preflight import VERSION, repository_faults

CONTAINER_PYTHON, CONTAINER_SERVER = Path(PYTHON), Path(SERVER)
REGISTRY = "nvcr.io/nvidia/tritonserver"

SHARED_MEMORY_MIB = {1: 256, 2: 1024}
"""Shared memory needed with one GPU and with several: Docker gives 64 MiB by default, NVIDIA's
containers ask for 1 GiB."""

_BROKEN_OPENAI = (1, 107, 3)
"""Version of the package openai in the 26.07 container, whose LLM API imports names it lacks."""

_PROBE = f"""{VERSION}
print(json.dumps({{name: version(name) for name in ("tensorrt_llm", "tensorrt", "openai")}}))
"""

_WEIGHTS = {
    "onnx": ("*.onnx", "*.onnx_data", "*.onnx.data"),
    "tensorrt-llm": ("**/*.safetensors",),
    "tensorrtllm-backend": ("*.engine",),
}
"""Files that are loaded into the GPUs' memory, by the manifest's `engine`."""


@dataclass(frozen=True)
class GpuServing:
    """What a GPU machine serves with: its tritonserver, and versions of the packages beside it."""

    tritonserver: Path | None
    versions: Mapping[str, str]


def serving_environment() -> GpuServing:
    """The serving environment of NVIDIA's container, or else the one on PATH."""
    server = CONTAINER_SERVER if CONTAINER_SERVER.is_file() else shutil.which("tritonserver")
    python = CONTAINER_PYTHON if CONTAINER_PYTHON.is_file() else shutil.which("python3")
    versions = json.loads(subprocess.check_output([str(python), "-c", _PROBE], text=True))
    return GpuServing(Path(server) if server else None, versions)


def gpu_faults(
    sku: Sku,
    ports: Ports,
    serving: GpuServing,
    repository: Path = REPOSITORY,
    ask: Callable[[], Devices] = this_machine,
) -> Iterator[str]:
    """All faults that would keep a server with this SKU's engines from serving here."""
    engines = _engines(sku, repository)
    gpus = max([1, *(_gpus(manifest) for _, manifest in engines.values())])
    yield from _device_faults(sku, engines, gpus, ask)
    yield from _server_faults(serving, engines)
    yield from port_faults(ports.by_name(), ports.address)
    yield from _shared_memory_faults(gpus)
    yield from repository_faults(sku, repository)
    for model, (_, manifest) in engines.items():
        yield from _version_faults(model, manifest, serving)


Engines = Mapping[str, tuple[Path, Manifest]]


def _engines(sku: Sku, repository: Path) -> Engines:
    """The engines by their first model; `repository_faults` reports what can't be read."""
    found: dict[Path, tuple[str, Path, Manifest]] = {}
    for link in engine_links(repository):
        try:
            manifest = read_manifest(link)
        except ManifestError:
            continue
        if manifest.sku == sku.name:
            found.setdefault(link.resolve(), (link.parents[1].name, link, manifest))
    return {model: (folder, manifest) for model, folder, manifest in found.values()}


def _gpus(manifest: Manifest) -> int:
    """GPUs that the plan splits the model over."""
    return int(manifest.plan.get("tp", 1)) * int(manifest.plan.get("pp", 1))


def _device_faults(
    sku: Sku, engines: Engines, gpus: int, ask: Callable[[], Devices]
) -> Iterator[str]:
    try:
        devices = seen_by_cuda(sku, ask(), gpus)
    except NoGpuError as error:
        yield no_gpu(sku, str(error))
    except BuildError as error:
        yield str(error)
    else:
        yield from device_faults(sku, devices)
        for model, (_, manifest) in engines.items():
            yield from _engine_device_faults(model, manifest, sku, devices)
        yield from _memory_faults(engines, sku, devices)


def _server_faults(serving: GpuServing, engines: Engines) -> Iterator[str]:
    if serving.tritonserver is None:
        tags = {manifest.container for _, manifest in engines.values()} - {""}
        image = f"{REGISTRY}:{min(tags)}" if tags else f"{REGISTRY}'s container"
        yield (
            f"no tritonserver in {CONTAINER_SERVER.parent} nor on PATH; GPU SKUs are served "
            f"inside {image} (the wheel in .venv-serve has no GPU backend)"
        )


def _shared_memory_faults(gpus: int) -> Iterator[str]:
    needed = SHARED_MEMORY_MIB[min(gpus, 2)]
    free = shutil.disk_usage("/dev/shm").free / 2**20
    if free < needed:
        yield (
            f"shared memory: {free:.0f} MiB free in /dev/shm, {needed} MiB needed for {gpus} GPU"
            f"{'s' * (gpus > 1)} (upstream says “Unable to initialize shared memory key”): start "
            "the container with '--shm-size=1g'; on Kubernetes mount an emptyDir of medium "
            "Memory on /dev/shm"
        )


def _version_faults(model: str, manifest: Manifest, serving: GpuServing) -> Iterator[str]:
    """Faults of versions: only the version that wrote an engine's plan and config can read them."""
    upstream = {
        "tensorrt_llm": "[json.exception.type_error.302] type must be array, but is number",
        "tensorrt": "The engine plan file is not compatible with this version of TensorRT",
    }
    for package, words in upstream.items():
        built, found = manifest.versions.get(package), serving.versions.get(package, "")
        if built and built != found:
            image = (
                f"serve in {REGISTRY}:{manifest.container}"
                if manifest.container
                else (f"install {package} {built}")
            )
            yield (
                f"model '{model}': its engine was made with {package} {built}, and "
                f"{found or 'none'} is installed here (upstream says “{words}”): {image}, or run "
                f"'make build-engines SKU={manifest.sku}' here"
            )
    yield from _openai_faults(model, manifest, serving)


def _openai_faults(model: str, manifest: Manifest, serving: GpuServing) -> Iterator[str]:
    found = serving.versions.get("openai", "")
    if manifest.plan.get("flavour") == "llm-api" and found and _numbers(found) <= _BROKEN_OPENAI:
        yield (
            f"model '{model}' runs on TensorRT-LLM's LLM API, which fails with openai {found} "
            "(upstream says “ImportError: cannot import name 'PartReasoningText'”): "
            "'pip install -U openai' in the container"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def _engine_device_faults(
    model: str, manifest: Manifest, sku: Sku, devices: Devices
) -> Iterator[str]:
    if manifest.engine != "tensorrtllm-backend":
        return  # ONNX models and the LLM API's checkpoints are compiled for a GPU when they load
    built = manifest.compute_capability
    for found in sorted({device.compute_capability for device in devices} - {built}):
        if built:
            yield (
                f"model '{model}': its engine was made for compute capability {built}"
                f"{f' ({manifest.gpu})' if manifest.gpu else ''}, this machine's GPU has {found} "
                f"(upstream says “The engine plan file is generated on an incompatible device, "
                f"expecting compute {found} got compute {built}, please rebuild.”): run "
                f"'make build-engines SKU={sku.name}' on this machine"
            )


def _memory_faults(engines: Engines, sku: Sku, devices: Devices) -> Iterator[str]:
    """Faults of memory. A model of n GPUs is on the first n; all encoders are on the first."""
    for number, device in enumerate(devices):
        here = {m: engine for m, engine in engines.items() if number < _gpus(engine[1])}
        needs = {m: memory_gib(folder, manifest, sku) for m, (folder, manifest) in here.items()}
        total = sum(sum(parts.values()) for parts in needs.values())
        if device.free_gib < total:
            told = "; ".join(f"{model}: {_told(parts)}" for model, parts in needs.items())
            yield (
                f"GPU {device.index}: {total:.1f} GiB needed ({told}), {device.free_gib:.1f} of "
                f"{device.total_gib:.1f} GiB free (upstream says “CUDA runtime error in "
                "::cudaMallocAsync: out of memory”): 'nvidia-smi' shows who holds the rest"
            )


def _told(parts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {gib:.1f}" for name, gib in parts.items())


def memory_gib(folder: Path, manifest: Manifest, sku: Sku) -> dict[str, float]:
    """GiB of one GPU that an engine needs at least, by purpose, with a KV cache for one longest
    request. TensorRT-LLM takes more if there is more; with less the plan can't be served.
    """
    patterns = _WEIGHTS.get(manifest.engine, ())
    weights = sum(file.stat().st_size for pattern in patterns for file in folder.glob(pattern))
    parts = {"weights": weights / _gpus(manifest) / GIB}
    if manifest.role != "llm":
        return parts | {"runtime": ENCODER_OVERHEAD_GIB}
    return parts | {"runtime": RUNTIME_GIB} | _request_memory(manifest, sku)


def _request_memory(manifest: Manifest, sku: Sku) -> dict[str, float]:
    """Buffers and KV cache, where the model's sizes are known."""
    known, plan = manifest.model in model_names(), manifest.plan
    architecture = load_model(manifest.model).architecture if known else None
    if architecture is None or sku.gpu is None or not _is_complete(plan):
        return {}
    on = Deployment(architecture, sku.gpu, plan["precision"], plan["tp"], plan["pp"])
    buffers = activation_bytes(on, plan["max_batch_size"], plan["max_num_tokens"])
    cache = plan["max_seq_len"] * on.gpu_kv_bytes_per_token
    return {"buffers": buffers / GIB, "KV cache": cache / GIB}


def _is_complete(plan: Mapping[str, Any]) -> bool:
    numbers = ("tp", "pp", "max_batch_size", "max_num_tokens", "max_seq_len")
    is_known = plan.get("precision") in get_args(GpuPrecision)
    return is_known and all(isinstance(plan.get(name), int) for name in numbers)
