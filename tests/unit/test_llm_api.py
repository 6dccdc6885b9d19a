"""model.yaml of TensorRT-LLM's LLM API: known arguments only."""

import json
from pathlib import Path

import pytest

from builders.checkpoint import Checkpoint
from builders.engine_plan import RuntimePlan
from builders.errors import BuildError
from builders.tensorrt_llm.llm_api import check_checkpoint, model_yaml
from tests.fakes.plans import RUNTIME, engine_plan
from tests.fakes.tensorrt_llm import unknown_arguments


def api_plan(precision="fp8", capability="9.0", **fields):
    return engine_plan(precision, capability, **{"flavour": "llm-api"} | fields)


def arguments(plan, runtime=RUNTIME):
    return json.loads(model_yaml(plan, runtime))


@pytest.mark.parametrize("precision", ["bf16", "fp8", "nvfp4", "w4a16-awq"])
@pytest.mark.parametrize("guided", [False, True])
def test_every_argument_is_known(precision, guided):
    runtime = RuntimePlan(0.85, guided_decoding=guided)
    found = arguments(api_plan(precision, "10.0", tp=2, pp=2), runtime)
    assert unknown_arguments(found) == []
    assert found["skip_tokenizer_init"] is not guided
    assert found.get("guided_decoding_backend") == ("xgrammar" if guided else None)


def test_unknown_arguments_are_found_at_any_depth():
    wrong = {"model": ".", "waiting_queue_policy": 1, "kv_cache_config": {"disk_cache_size": 1}}
    assert unknown_arguments(wrong) == ["kv_cache_config.disk_cache_size", "waiting_queue_policy"]


def test_arguments_follow_the_plan():
    runtime = RuntimePlan(0.83)
    plan = api_plan(tp=2, pp=2, max_batch_size=512)
    assert arguments(plan, runtime) == {
        "model": ".",
        "backend": "pytorch",
        "tensor_parallel_size": 2,
        "pipeline_parallel_size": 2,
        "max_batch_size": 512,
        "max_num_tokens": 8192,
        "max_seq_len": 4096,
        "max_beam_width": 1,
        "skip_tokenizer_init": True,
        "enable_chunked_prefill": True,
        "sampler_type": "TRTLLMSampler",
        "kv_cache_config": {
            "dtype": "fp8",
            "enable_block_reuse": True,
            "free_gpu_memory_fraction": 0.83,
        },
        "scheduler_config": {"capacity_scheduler_policy": "GUARANTEED_NO_EVICT"},
        "cuda_graph_config": {"max_batch_size": 128, "enable_padding": True},
    }


def test_the_checkpoints_folder_can_be_another():
    assert json.loads(model_yaml(api_plan(), RUNTIME, "/hf/llm"))["model"] == "/hf/llm"


def checkpoint_with(folder: Path, name: str, notes: dict[str, object]) -> Checkpoint:
    (folder / name).write_text(json.dumps(notes))
    return Checkpoint(folder, "")


def test_the_checkpoint_must_have_the_plans_precision(tmp_path):
    """It would load in its own, with other memory than planned."""
    with pytest.raises(BuildError) as caught:
        check_checkpoint(api_plan("fp8"), checkpoint_with(tmp_path, "config.json", {}))
    assert "needs a checkpoint quantized to FP8" in str(caught.value)
    assert "is quantized to nothing" in str(caught.value)
    check_checkpoint(api_plan("bf16"), Checkpoint(tmp_path, ""))
    notes = {"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}
    check_checkpoint(api_plan("fp8"), checkpoint_with(tmp_path, "hf_quant_config.json", notes))
    with pytest.raises(BuildError, match="needs a checkpoint quantized to nothing"):
        check_checkpoint(api_plan("bf16"), Checkpoint(tmp_path, ""))
