"""The GPUs of this machine, as the driver's library NVML reports them."""

from dataclasses import dataclass
from types import ModuleType

from builders.gpu_spec import GIB


@dataclass(frozen=True)
class Device:
    """One GPU. `compute_capability` as in "9.0"; `mig`: it is cut into slices."""

    index: int
    uuid: str
    name: str
    compute_capability: str
    total_gib: float
    free_gib: float
    mig: bool = False


Devices = tuple[Device, ...]


def visible(devices: Devices, chosen: str | None) -> Devices:
    """What CUDA sees for a CUDA_VISIBLE_DEVICES of `chosen`; None: not set.

    CUDA ends its list at the first entry that names no device.
    """
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
    """Whether `entry` is the device's index, or a beginning of its UUID."""
    return entry == str(device.index) or (
        entry.startswith("GPU-") and device.uuid.startswith(entry)
    )


class NoGpuError(Exception):
    """Why no GPU was found."""


def this_machine() -> Devices:
    """The GPUs that NVML reports; raises `NoGpuError` where there is no driver or no GPU."""
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
    return Device(
        index=index,
        uuid=pynvml.nvmlDeviceGetUUID(handle),
        name=pynvml.nvmlDeviceGetName(handle),
        compute_capability=f"{major}.{minor}",
        total_gib=memory.total / GIB,
        free_gib=memory.free / GIB,
        mig=_is_cut(pynvml, handle),
    )


def _is_cut(pynvml: ModuleType, handle: object) -> bool:
    try:
        now, _ = pynvml.nvmlDeviceGetMigMode(handle)
    except pynvml.NVMLError_NotSupported:  # most kinds of GPU
        return False
    return bool(now == pynvml.NVML_DEVICE_MIG_ENABLE)
