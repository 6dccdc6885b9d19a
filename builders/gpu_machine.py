"""The GPUs of a machine, and whether they are those of a SKU: checked before builds and serving."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

from builders.errors import BuildError, by_sentence
from builders.gpu_spec import GIB, Gpu
from builders.spec import Sku, load_sku, sku_names

MEMORY_TOLERANCE = 0.08
"""Allowed share of difference: the same GPU reports a few percent more or less memory, depending on
driver, ECC and vendor."""

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Device:
    """One GPU. `compute_capability` is a text such as "9.0"; `mig`: it is divided into slices."""

    index: int
    uuid: str
    name: str
    compute_capability: str
    total_gib: float
    free_gib: float
    mig: bool = False


Devices = tuple[Device, ...]


def visible(devices: Devices, chosen: str | None) -> Devices:
    """The GPUs that CUDA sees with CUDA_VISIBLE_DEVICES `chosen`, up to its first unknown entry."""
    if chosen is None:
        return devices
    seen: list[Device] = []
    for entry in chosen.split(","):
        found = [device for device in devices if _names(entry.strip(), device)]
        if len(found) != 1 or found[0] in seen:
            break
        seen += found
    return tuple(seen)


def _names(entry: str, device: Device) -> bool:
    """Whether `entry` is the device's index, or the beginning of its UUID."""
    is_uuid = entry.startswith("GPU-") and device.uuid.startswith(entry)
    return is_uuid or entry == str(device.index)


class NoGpuError(Exception):
    """Why no GPU was found."""


def this_machine() -> Devices:
    """The GPUs that NVML, the driver's library, reports; raises `NoGpuError` if there are none."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NoGpuError(_why_not(pynvml, error)) from error
    try:
        count = pynvml.nvmlDeviceGetCount()
        if not count:
            raise NoGpuError("the NVIDIA driver reports no GPU in this machine")
        return tuple(_device(pynvml, index) for index in range(count))
    except pynvml.NVMLError as error:
        raise NoGpuError(f"the NVIDIA driver doesn't answer: {error}") from error
    finally:
        pynvml.nvmlShutdown()


def _why_not(pynvml: ModuleType, error: Exception) -> str:
    if isinstance(error, pynvml.NVMLError_LibraryNotFound):
        return "no NVIDIA driver found (libnvidia-ml.so.1 is missing)"
    if isinstance(error, pynvml.NVMLError_DriverNotLoaded):
        return "the NVIDIA driver is installed but not loaded (try 'modprobe nvidia')"
    return f"the NVIDIA driver doesn't answer: {error}"


def _device(pynvml: ModuleType, index: int) -> Device:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    is_cut = False
    with contextlib.suppress(pynvml.NVMLError_NotSupported):  # as most kinds of GPU say
        is_cut = pynvml.nvmlDeviceGetMigMode(handle)[0] == pynvml.NVML_DEVICE_MIG_ENABLE
    return Device(
        index=index,
        uuid=pynvml.nvmlDeviceGetUUID(handle),
        name=pynvml.nvmlDeviceGetName(handle),
        compute_capability=f"{major}.{minor}",
        total_gib=memory.total / GIB,
        free_gib=memory.free / GIB,
        mig=is_cut,
    )


def no_gpu(sku: Sku, why: str) -> str:
    """The sentence for a machine without a GPU; `why` begins it."""
    assert sku.gpu is not None
    return (
        f"{why}; SKU '{sku.name}' needs {' or '.join(sku.gpu.product_names)} (upstream says “The "
        "NVIDIA Driver was not detected. GPU functionality will not be available.”): start the "
        "container with '--gpus all' where there is one, or take SKU=cpu"
    )


def seen_by_cuda(sku: Sku, devices: Devices, count: int) -> Devices:
    """The first `count` GPUs that CUDA will use; raises `BuildError` where it sees fewer."""
    chosen = os.environ.get(VISIBLE)
    seen = visible(devices, chosen)
    if len(seen) >= count:
        return seen[:count]
    limit = "" if chosen is None else f"; {VISIBLE}='{chosen}' shows {len(seen)} of them"
    raise BuildError(
        f"{count} GPU{'s' * (count > 1)} needed on SKU '{sku.name}' (tp × pp), "
        f"{len(devices)} in this machine{limit}: TensorRT-LLM would stop with “MPI size … "
        "!= TP size … * PP size …”; show it more GPUs, or plan again with --gpus "
        f"{max(1, len(seen))}"
    )


def device_faults(sku: Sku, devices: Devices) -> Iterator[str]:
    """A sentence for each way in which GPUs differ from the SKU's, whatever their number."""
    assert sku.gpu is not None
    said = ((str(each.index), text) for each in devices for text in _faults(sku, sku.gpu, each))
    for text, indexes in by_sentence(said).items():
        yield f"GPU {', '.join(indexes)} {text}"


def _faults(sku: Sku, gpu: Gpu, device: Device) -> Iterator[str]:
    if not _is_kind(device, gpu):
        yield (
            f"is {device.name} (compute capability {device.compute_capability}); SKU '{sku.name}' "
            f"is for {' or '.join(gpu.product_names)} ({gpu.compute_capability.value}): "
            f"{_possible(device)}"
        )
    elif not _is_size(device, gpu):
        yield (
            f"has {device.total_gib:.1f} GiB; the plans of SKU '{sku.name}' are for "
            f"{gpu.memory_gib.value:.1f} GiB: {_possible(device)}"
        )
    if device.mig:
        yield (
            f"is cut into MIG slices, and SKU '{sku.name}' is a whole GPU: "
            f"'nvidia-smi -i {device.index} -mig 0' joins them"
        )


def _is_kind(device: Device, gpu: Gpu) -> bool:
    is_capable = device.compute_capability == gpu.compute_capability.value
    return is_capable and device.name in gpu.product_names


def _is_size(device: Device, gpu: Gpu) -> bool:
    return abs(device.total_gib / gpu.memory_gib.value - 1) <= MEMORY_TOLERANCE


def _possible(device: Device) -> str:
    gpus = {name: gpu for name in sku_names() if (gpu := load_sku(name).gpu)}
    if names := [n for n, gpu in gpus.items() if _is_kind(device, gpu) and _is_size(device, gpu)]:
        return f"take SKU={' or '.join(names)}"
    return "no SKU of builders/skus is this GPU; write one, or use another machine"


def check_build_machine(sku: Sku, gpus: int, ask: Callable[[], Devices] = this_machine) -> Devices:
    """This machine's GPUs; raises `BuildError` unless they are the SKU's, on which its engines must
    be built."""
    try:
        devices = ask()
    except NoGpuError as error:
        raise BuildError(
            f"an engine is built on its own kind of GPU: {no_gpu(sku, str(error))}"
        ) from error
    seen = seen_by_cuda(sku, devices, gpus)
    if found := list(device_faults(sku, seen)):
        raise BuildError("an engine is built on its own kind of GPU:\n" + "\n".join(found))
    return seen
