"""ONNX Runtime: results with I/O binding, options as documented, no silent fallback.

Code that needs a GPU was never run; the CPU runs the same code otherwise.
"""

import dataclasses

import numpy as np
import onnxruntime
import pytest
from numpy.testing import assert_array_equal

from ensembles.manifest import ManifestError
from python_backends.engines import onnxruntime_encoder as module
from python_backends.engines.onnxruntime_encoder import (
    PROVIDERS,
    OnnxRuntimeEncoder,
    check_available,
    open_session,
    profile_shapes,
)
from python_backends.errors import MachineError
from tests.fakes import sum_encoder
from tests.fakes.serving import context
from tests.fakes.sum_encoder import batch, change_manifest, tiny_model


@pytest.fixture
def path(tmp_path):
    return sum_encoder.folder(tmp_path / "cpu")


def encoder(path, **parameters) -> OnnxRuntimeEncoder:
    loaded = context(path, num_threads=1, **{"provider": "cpu"} | parameters)
    return OnnxRuntimeEncoder(loaded, loaded.engine_folder())


def test_io_binding_gives_what_a_plain_run_gives(path):
    engine = encoder(path)
    plain = onnxruntime.InferenceSession(path / "model.onnx", providers=["CPUExecutionProvider"])
    names = [node.name for node in plain.get_inputs()]
    batches = [batch(1, 8), batch(32, 128), batch(3, 200)]
    found = engine.encode(batches)  # a later run must not change an earlier one's
    for inputs, output in zip(batches, found, strict=True):
        (expected,) = plain.run(None, {name: inputs[name] for name in names})
        assert output.dtype == np.float32
        assert_array_equal(output, expected)


def test_the_cpu_is_the_cpu_whatever_gpu_the_instance_has(path):
    loaded = dataclasses.replace(context(path, num_threads=1, provider="cpu"), device_id=3)
    (found,) = OnnxRuntimeEncoder(loaded, loaded.engine_folder()).encode([batch(2, 8)])
    assert found.shape == (2, 1)


def test_a_changed_model_is_refused(path):
    (path / "model.onnx").write_bytes(tiny_model() + b"\n")
    with pytest.raises(ManifestError, match=r"model\.onnx has changed since the build"):
        encoder(path)


@pytest.mark.parametrize(
    ("provider", "needs"),
    [
        ("cuda", "CUDAExecutionProvider"),
        ("tensorrt", "TensorrtExecutionProvider and CUDAExecutionProvider"),
    ],
)
def test_a_provider_that_is_not_installed_is_refused(path, provider, needs):
    with pytest.raises(MachineError) as caught:
        encoder(path, provider=provider)
    found = ", ".join(onnxruntime.get_available_providers())
    assert str(caught.value) == (
        f"provider '{provider}' asked, which needs {needs}; onnxruntime {onnxruntime.__version__} "
        f"here has {found}; possible: cpu (the package onnxruntime-gpu has the others)"
    )


def test_an_unknown_provider_is_refused():
    with pytest.raises(MachineError, match="'gpu' asked; cpu, cuda, tensorrt are known"):
        check_available("gpu")


def test_a_provider_that_does_not_load_is_refused(path):
    """ONNX Runtime only warns, and would compute on the CPU: here for want of the provider."""
    options = {name: {} for name in PROVIDERS["cuda"]}
    with (
        pytest.warns(UserWarning, match="'CUDAExecutionProvider' is not in available"),
        pytest.raises(MachineError, match="CUDAExecutionProvider did not load and the session has"),
    ):
        open_session(path / "model.onnx", "cuda", options, 1)


def test_a_model_that_onnxruntime_refuses_is_not_tried_on_another_provider(tmp_path, capfd):
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(MachineError, match=r"provider 'cpu' asked; onnxruntime refuses: .*INVALID"):
        open_session(tmp_path / "model.onnx", "cpu", {"CPUExecutionProvider": {}}, 1)
    assert "Falling back" not in capfd.readouterr().out


def test_providers_begin_with_the_one_asked_for_and_end_with_the_cpu():
    assert {name: providers[0] for name, providers in PROVIDERS.items()} == {
        "cpu": "CPUExecutionProvider",
        "cuda": "CUDAExecutionProvider",
        "tensorrt": "TensorrtExecutionProvider",
    }
    assert all(providers[-1] == "CPUExecutionProvider" for providers in PROVIDERS.values())


def test_shapes_as_tensorrt_reads_them():
    assert profile_shapes(["input_ids", "mask"], 32, 128) == "input_ids:32x128,mask:32x128"


def test_tensorrt_gets_one_profile_for_all_batches_and_a_cache_per_sm(path):
    """Names of the options: see the module's sources. They were never handed to TensorRT."""
    change_manifest(path, compute_capability="9.0")
    folder = context(path).engine_folder()
    options = module._options("TensorrtExecutionProvider", 2, folder)
    cache = path / "tensorrt" / "sm90" / f"onnxruntime-{onnxruntime.__version__}"
    assert cache.is_dir()
    assert options == {
        "device_id": 2,
        "trt_fp16_enable": True,
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(cache),
        "trt_profile_min_shapes": "input_ids:1x8,attention_mask:1x8",
        "trt_profile_opt_shapes": "input_ids:32x128,attention_mask:32x128",
        "trt_profile_max_shapes": "input_ids:32x200,attention_mask:32x200",
    }


def test_tensorrt_needs_an_engine_that_was_built_for_a_gpu(path):
    folder = context(path).engine_folder()
    with pytest.raises(MachineError, match=r"was not built for a GPU.*possible: cpu, cuda"):
        module._options("TensorrtExecutionProvider", 0, folder)
    assert not (path / "tensorrt").exists()


def test_cuda_gets_the_gpu_of_the_instance(path):
    folder = context(path).engine_folder()
    assert module._options("CUDAExecutionProvider", 3, folder) == {
        "device_id": 3,
        "arena_extend_strategy": "kSameAsRequested",
    }
    assert module._options("CPUExecutionProvider", 3, folder) == {}
