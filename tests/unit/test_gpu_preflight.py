"""GPU machines as recorded, and what preflight and builds say of each; nothing here ran on a GPU.

Names and sizes of the devices are those that nvidia-smi prints (sources in builders/skus).
"""

import json
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from builders import gpu_machine
from builders.errors import BuildError
from builders.gpu_machine import Device, Devices, NoGpuError
from builders.spec import load_sku
from ensembles.manifest import MANIFEST_FILE
from operations import cli, gpu_preflight
from operations.gpu_preflight import GpuServing, gpu_faults, memory_gib, serving_environment
from operations.ports import Ports
from tests.fakes import folders

H100 = Device(0, "GPU-aa11", "NVIDIA H100 80GB HBM3", "9.0", 79.65, 79.1)
L4 = Device(0, "GPU-cc33", "NVIDIA L4", "8.9", 22.5, 22.3)
SKU = load_sku("h100-sxm-80gb")
CONTAINER = "26.07-trtllm-python-py3"
PLAN = {
    "flavour": "engine", "precision": "fp8", "kv_dtype": "fp8", "tp": 1, "pp": 1,
    "max_batch_size": 64, "max_num_tokens": 8192, "max_seq_len": 32768,
}  # fmt: skip
VERSIONS = {"tensorrt_llm": "1.2.1", "tensorrt": "10.14.1.48", "openai": "2.1.0"}


def of(device: Device, count: int = 1, **changes: object) -> Devices:
    """Equal GPUs."""
    return tuple(replace(device, index=i, uuid=f"GPU-{i}{i}", **changes) for i in range(count))


@pytest.fixture
def place(monkeypatch, tmp_path):
    """A GPU machine where all is well; tests break one thing by setting a field."""
    folder = tmp_path / "llm" / "1" / "engine"
    folders.make_folder(folder, folders.word_level(["a"]), role="llm")
    (folder / "rank0.engine").write_bytes(b"x" * 2**20)
    encoder = tmp_path / "embedder" / "1" / "engine"
    folders.make_folder(encoder, folders.word_level(["a"]))
    state = SimpleNamespace(
        folder=folder, encoder=encoder, machine=of(H100), versions=dict(VERSIONS),
        server=tmp_path / "tritonserver", shared=2 * 2**30, sku=SKU,
    )  # fmt: skip
    rewrite(encoder, sku=SKU.name)
    rewrite(
        folder, sku=SKU.name, model="llama-3.1-8b", engine="tensorrtllm-backend", plan=PLAN,
        compute_capability="9.0", gpu="NVIDIA H100 80GB HBM3", container=CONTAINER,
        versions={"tensorrt_llm": "1.2.1", "tensorrt": "10.14.1.48"},
    )  # fmt: skip
    for module in ("operations.preflight", "operations.gpu_preflight"):
        monkeypatch.setattr(f"{module}.engine_links", lambda repository: [folder, encoder])
    usage = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=state.shared))
    monkeypatch.setattr(gpu_preflight, "shutil", usage)
    monkeypatch.setattr(gpu_preflight, "port_faults", lambda ports, address: [])
    monkeypatch.delenv(gpu_machine.VISIBLE, raising=False)
    return state


def rewrite(folder, **changes: object) -> None:
    fields = json.loads((folder / MANIFEST_FILE).read_text()) | changes
    (folder / MANIFEST_FILE).write_text(json.dumps(fields))


def found(place) -> list[str]:
    def ask() -> Devices:
        if isinstance(place.machine, NoGpuError):
            raise place.machine
        return place.machine

    serving = GpuServing(place.server, place.versions)
    return list(gpu_faults(place.sku, Ports(), serving, place.folder.parents[3], ask))


def test_a_machine_that_can_serve_has_no_faults(place):
    assert found(place) == []


# --- the machine -------------------------------------------------------------------------------


def test_this_machine_says_that_it_has_no_gpu(place, monkeypatch):
    """The real NVML binding: where the tests run there is no driver."""
    try:
        machine = gpu_machine.this_machine()
    except NoGpuError as error:
        place.machine = error
        (line,) = found(place)
        assert "NVIDIA driver" in line
        assert "SKU 'h100-sxm-80gb' needs NVIDIA H100 80GB HBM3" in line
        assert "GPU functionality will not be available" in line
        assert line.endswith("or take SKU=cpu")
    else:  # on a GPU machine the same call must describe it
        assert machine[0].total_gib > 1


class Error(Exception):
    pass


class LibraryNotFound(Error):
    pass


class DriverNotLoaded(Error):
    pass


class NotSupported(Error):
    pass


def binding(**changes: object) -> SimpleNamespace:
    """Stands for pynvml on a machine with one H200 and one GPU that can't be cut."""
    fields = {
        "NVMLError": Error, "NVMLError_LibraryNotFound": LibraryNotFound,
        "NVMLError_DriverNotLoaded": DriverNotLoaded, "NVMLError_NotSupported": NotSupported,
        "NVML_DEVICE_MIG_ENABLE": 1, "nvmlInit": lambda: None, "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=140 * 2**30, free=2**30),
        "nvmlDeviceGetCudaComputeCapability": lambda _: (9, 0),
        "nvmlDeviceGetUUID": lambda index: f"GPU-{index}", "nvmlDeviceGetMigMode": mig_mode,
        "nvmlDeviceGetName": lambda _: "NVIDIA H200",
    }  # fmt: skip
    return SimpleNamespace(**(fields | changes))


def mig_mode(index: int) -> tuple[int, int]:
    if index:
        raise NotSupported
    return 1, 1


def test_what_nvml_tells_is_read(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", binding())
    first = Device(0, "GPU-0", "NVIDIA H200", "9.0", 140.0, 1.0, mig=True)
    second = replace(first, index=1, uuid="GPU-1", mig=False)
    assert gpu_machine.this_machine() == (first, second)


def failing(error: Error):
    def call(*_: object) -> None:
        raise error

    return call


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"nvmlInit": failing(LibraryNotFound())}, "libnvidia-ml.so.1 is missing"),
        ({"nvmlInit": failing(DriverNotLoaded())}, "installed but not loaded"),
        ({"nvmlInit": failing(Error("version mismatch"))}, "answer: version mismatch"),
        ({"nvmlDeviceGetCount": lambda: 0}, "the NVIDIA driver reports no GPU"),
        ({"nvmlDeviceGetName": failing(Error("lost"))}, "doesn't answer: lost"),
    ],
)
def test_why_there_is_no_gpu(monkeypatch, change, says):
    monkeypatch.setitem(sys.modules, "pynvml", binding(**change))
    with pytest.raises(NoGpuError, match=says):
        gpu_machine.this_machine()


def test_another_gpu_names_its_own_sku(place):
    place.machine = of(L4)
    device, engine = found(place)
    assert device == (
        "GPU 0 is NVIDIA L4 (compute capability 8.9); SKU 'h100-sxm-80gb' is for NVIDIA H100 80GB "
        "HBM3 (9.0): take SKU=l4-24gb"
    )
    assert engine == (
        "model 'llm': its engine was made for compute capability 9.0 (NVIDIA H100 80GB HBM3), this "
        "machine's GPU has 8.9 (upstream says “The engine plan file is generated on an "
        "incompatible device, expecting compute 8.9 got compute 9.0, please rebuild.”): run "
        "'make build-engines SKU=h100-sxm-80gb' on this machine"
    )


def test_an_engine_of_another_sm_is_refused_on_the_right_machine(place):
    rewrite(place.folder, compute_capability="8.9", gpu="NVIDIA L4")
    (line,) = found(place)
    assert "made for compute capability 8.9 (NVIDIA L4), this machine's GPU has 9.0" in line
    assert "expecting compute 9.0 got compute 8.9, please rebuild." in line


def test_what_is_compiled_when_it_loads_fits_every_sm(place):
    rewrite(place.encoder, engine="onnx", compute_capability="8.9")
    rewrite(place.folder, engine="tensorrt-llm", compute_capability="8.9")
    assert found(place) == []


def test_another_product_of_the_same_sm(place):
    place.machine = of(H100, name="NVIDIA H100 NVL", total_gib=93.6, free_gib=93.0)
    (line,) = found(place)
    assert line.startswith("GPU 0 is NVIDIA H100 NVL (compute capability 9.0); SKU 'h100-sxm-80gb'")
    assert line.endswith(": take SKU=h100-nvl-94gb")


def test_equal_faults_of_several_gpus_are_one_sentence(place):
    rewrite(place.folder, plan=PLAN | {"tp": 2})
    place.machine = of(H100, 2, name="NVIDIA X1")
    (line,) = found(place)
    assert line.startswith("GPU 0, 1 is NVIDIA X1")
    assert line.endswith("no SKU of builders/skus is this GPU; write one, or use another machine")


@pytest.mark.parametrize(("gib", "faults"), [(73.4, 0), (85.9, 0), (72.9, 1), (95.0, 1)])
def test_memory_may_differ_by_some_percent(place, gib, faults):
    place.machine = of(H100, total_gib=gib)
    lines = found(place)
    assert len(lines) == faults
    if lines:
        assert lines[0].startswith(f"GPU 0 has {gib:.1f} GiB; the plans of SKU 'h100-sxm-80gb' are")


def test_a_gpu_in_slices(place):
    place.machine = of(H100, mig=True)
    (line,) = found(place)
    assert line.startswith("GPU 0 is cut into MIG slices")
    assert line.endswith("'nvidia-smi -i 0 -mig 0' joins them")


def test_fewer_gpus_than_the_plan_splits_over(place):
    rewrite(place.folder, plan=PLAN | {"tp": 2, "pp": 2})
    place.machine = of(H100, 2)
    (line,) = found(place)
    assert line.startswith("4 GPUs needed on SKU 'h100-sxm-80gb' (tp × pp), 2 in this machine:")
    assert "“MPI size … != TP size … * PP size …”" in line
    assert line.endswith("plan again with --gpus 2")


@pytest.mark.parametrize(
    ("chosen", "seen"),
    [(None, "0123"), ("1,0", "10"), ("", ""), ("-1", ""), ("0,9,1", "0"), ("GPU-22, 3", "23"),
     ("0,0", "0"), ("MIG-1", ""), ("GPU-", "")],
)  # fmt: skip
def test_what_cuda_sees(chosen, seen):
    assert "".join(str(device.index) for device in gpu_machine.visible(of(H100, 4), chosen)) == seen


def test_gpus_that_the_environment_hides(place, monkeypatch):
    monkeypatch.setenv(gpu_machine.VISIBLE, "")
    (line,) = found(place)
    assert "1 GPU needed" in line
    assert "1 in this machine; CUDA_VISIBLE_DEVICES='' shows 0 of them" in line


def test_memory_that_others_hold(place):
    place.machine = of(H100, free_gib=6.0)
    (line,) = found(place)
    parts = memory_gib(place.folder, gpu_preflight.read_manifest(place.folder), SKU)
    assert parts.keys() == {"weights", "runtime", "buffers", "KV cache"}
    assert parts["weights"] == pytest.approx(2**-10)
    assert parts["KV cache"] == pytest.approx(2.0)  # 32768 tokens × 64 KiB
    assert line.startswith("GPU 0: 6.")
    assert "llm: weights 0.0, runtime 2.0, buffers " in line
    assert "embedder: weights 0.0, runtime 1.0" in line
    assert "6.0 of 79.7 GiB free (upstream says “CUDA runtime error in ::cudaMalloc" in line


@pytest.mark.parametrize("plan", [{}, {"tp": 1, "pp": 1, "max_batch_size": "x"}])
def test_without_a_whole_plan_the_weights_are_counted(place, plan):
    rewrite(place.folder, plan=plan)
    parts = memory_gib(place.folder, gpu_preflight.read_manifest(place.folder), SKU)
    assert parts.keys() == {"weights", "runtime"}


def test_weights_are_what_the_engine_loads(place, tmp_path):
    for name in ("checkpoint/model-1.safetensors", "model.onnx", "tensorrt/sm90/cache.engine"):
        file = place.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 2**20)
    manifest = gpu_preflight.read_manifest(place.folder)
    for engine in ("tensorrtllm-backend", "tensorrt-llm", "onnx"):
        of_it = memory_gib(place.folder, replace(manifest, engine=engine), SKU)
        assert of_it["weights"] == pytest.approx(2**-10), engine


# --- what serves -------------------------------------------------------------------------------


def test_without_the_server_the_container_is_named(place):
    place.server = None
    (line,) = found(place)
    assert line.startswith("no tritonserver in /opt/tritonserver/bin nor on PATH")
    assert f"served inside nvcr.io/nvidia/tritonserver:{CONTAINER} " in line


def test_another_tensorrt_llm_than_the_engines(place):
    place.versions["tensorrt_llm"] = "1.1.0"
    assert found(place) == [
        "model 'llm': its engine was made with tensorrt_llm 1.2.1, and 1.1.0 is installed here "
        "(upstream says “[json.exception.type_error.302] type must be array, but is number”): "
        f"serve in nvcr.io/nvidia/tritonserver:{CONTAINER}, or run "
        "'make build-engines SKU=h100-sxm-80gb' here"
    ]


def test_another_tensorrt_and_none_at_all(place):
    place.versions["tensorrt"] = "10.13.3.9"
    (line,) = found(place)
    assert "made with tensorrt 10.14.1.48, and 10.13.3.9 is installed here" in line
    assert "not compatible with this version of TensorRT" in line
    place.versions = dict.fromkeys(VERSIONS, "")
    assert all("and none is installed here" in line for line in found(place))


@pytest.mark.parametrize(
    ("openai", "flavour", "faults"),
    [("1.107.3", "llm-api", 1), ("1.99.1", "llm-api", 1), ("1.108.0", "llm-api", 0),
     ("", "llm-api", 0), ("1.107.3", "engine", 0)],
)  # fmt: skip
def test_the_containers_openai_package_breaks_the_llm_api(place, openai, flavour, faults):
    place.versions["openai"] = openai
    rewrite(place.folder, plan=PLAN | {"flavour": flavour})
    lines = found(place)
    assert len(lines) == faults
    assert all("'PartReasoningText'" in line for line in lines)
    assert all(line.endswith("'pip install -U openai' in the container") for line in lines)


def test_shared_memory_of_a_container_with_docker_defaults(place):
    place.shared = 64 * 2**20
    (line,) = found(place)
    assert line.startswith("shared memory: 64 MiB free in /dev/shm, 256 MiB needed for 1 GPU (")
    assert "“Unable to initialize shared memory key”" in line
    assert "--shm-size=1g" in line
    place.shared = 512 * 2**20
    assert found(place) == []
    rewrite(place.folder, plan=PLAN | {"tp": 2})
    place.machine = of(H100, 2)
    (line,) = found(place)
    assert "1024 MiB needed for 2 GPUs" in line


def test_the_environment_that_serves_is_asked(monkeypatch, tmp_path):
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\necho '{json.dumps(VERSIONS)}'\n")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert serving_environment() == GpuServing(None, VERSIONS)
    server = tmp_path / "tritonserver"
    server.touch(0o755)
    assert serving_environment().tritonserver == server
    monkeypatch.setattr(gpu_preflight, "CONTAINER_PYTHON", python)
    monkeypatch.setattr(gpu_preflight, "CONTAINER_SERVER", python)
    monkeypatch.setenv("PATH", "")
    assert serving_environment() == GpuServing(python, VERSIONS)


def test_the_probe_runs_in_a_real_python():
    versions = serving_environment().versions
    assert versions.keys() == VERSIONS.keys()


# --- engines -----------------------------------------------------------------------------------


def test_damaged_missing_and_changed_engines_are_named_as_on_cpu(place):
    (place.folder / MANIFEST_FILE).write_bytes(b"\xff{")
    (line,) = found(place)
    assert line.startswith(f"model 'llm': {place.folder}/{MANIFEST_FILE}: not a manifest")
    (place.encoder / "tokenizer.json").write_text("{}")
    assert "has changed since the build" in found(place)[1]
    shutil.rmtree(place.folder)
    shutil.rmtree(place.encoder)
    (line,) = found(place)
    assert line.startswith("no engines for SKU 'h100-sxm-80gb' in ")
    assert line.endswith("run 'make build-engines SKU=h100-sxm-80gb'")


def test_an_engine_of_another_sku(place):
    place.sku = load_sku("h200-sxm-141gb")
    place.machine = of(H100, name="NVIDIA H200", total_gib=140.4, free_gib=139.0)
    (line,) = found(place)
    assert line.startswith(
        "models 'llm', 'embedder': the engine was built for 'h100-sxm-80gb', not"
    )


# --- builds ------------------------------------------------------------------------------------


def test_a_build_needs_the_gpu_that_it_is_for(monkeypatch):
    monkeypatch.delenv(gpu_machine.VISIBLE, raising=False)
    good = of(H100, 2)
    assert gpu_machine.check_build_machine(SKU, 2, lambda: good) == good
    with pytest.raises(BuildError, match="GPU 0 is NVIDIA L4"):
        gpu_machine.check_build_machine(SKU, 1, lambda: of(L4))
    with pytest.raises(BuildError, match="4 GPUs needed"):
        gpu_machine.check_build_machine(SKU, 4, lambda: good)


def test_a_build_without_any_gpu():
    def ask() -> Devices:
        raise NoGpuError("no NVIDIA driver found")

    with pytest.raises(BuildError, match="is built on its own kind of GPU: no NVIDIA"):
        gpu_machine.check_build_machine(SKU, 1, ask)


def test_the_command_checks_gpu_skus_without_the_cpu_environment(monkeypatch, capsys):
    monkeypatch.setattr(cli, "probe", lambda _: pytest.fail("the wheel has no GPU backend"))
    monkeypatch.setattr(cli, "gpu_faults", lambda sku, ports, serving: [f"no {sku.name}"])
    monkeypatch.setattr(cli, "serving_environment", lambda: None)
    assert cli.main(["preflight", "--sku", SKU.name]) == 1
    assert capsys.readouterr().out == "no h100-sxm-80gb\n"
