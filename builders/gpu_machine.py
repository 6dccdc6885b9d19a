"""Whether the GPUs of a machine are those of a SKU: asked before a build and before serving."""

import os
from collections.abc import Callable, Iterator

from builders.errors import BuildError, by_sentence
from builders.gpu_spec import Gpu
from builders.nvml import Device, Devices, NoGpuError, this_machine, visible
from builders.spec import Sku, load_sku, sku_names

MEMORY_TOLERANCE = 0.08
"""Driver, ECC and vendor make the same GPU tell a few percent more or less."""

VISIBLE = "CUDA_VISIBLE_DEVICES"


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
    """One sentence for each way in which GPUs are not the SKU's, whatever their number."""
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
    return (
        device.compute_capability == gpu.compute_capability.value
        and device.name in gpu.product_names
    )


def _is_size(device: Device, gpu: Gpu) -> bool:
    return abs(device.total_gib / gpu.memory_gib.value - 1) <= MEMORY_TOLERANCE


def _possible(device: Device) -> str:
    gpus = {name: gpu for name in sku_names() if (gpu := load_sku(name).gpu)}
    if names := [n for n, gpu in gpus.items() if _is_kind(device, gpu) and _is_size(device, gpu)]:
        return f"take SKU={' or '.join(names)}"
    return "no SKU of builders/skus is this GPU; write one, or use another machine"


def check_build_machine(sku: Sku, gpus: int, ask: Callable[[], Devices] = this_machine) -> Devices:
    """The GPUs that an engine for the SKU can be built on here; raises `BuildError`.

    TensorRT engines are made for the GPU that they are built on.
    """
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
