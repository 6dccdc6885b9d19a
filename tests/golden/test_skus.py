"""What Llama 3.1 8B gets on every GPU SKU, in both flavours: commands, parameters, model.yaml.

`python -m tests.golden.test_skus` writes the files anew.
"""

import json
import tempfile
from pathlib import Path

import pytest

from builders.planner.llm_plan import LlmOptions, LlmPlan, Request
from builders.planner.plan import plan_llm
from builders.spec import load_model, load_sku, sku_names
from builders.tensorrt_llm.backend_config import engine_config
from builders.tensorrt_llm.build_commands import EXAMPLES
from builders.tensorrt_llm.llm_api import model_yaml
from tests.fakes.plans import build_commands

FOLDER = Path(__file__).parent / "skus"
ENGINE = Path("/engine")
GPU_SKUS = [name for name in sku_names() if load_sku(name).gpu]


def plan(sku: str, flavour: str) -> LlmPlan:
    encoders = (load_model("bge-m3"), load_model("bge-reranker-v2-m3"))
    spec = load_model("llama-3.1-8b")
    return plan_llm(Request(load_sku(sku), spec, LlmOptions(flavour=flavour), encoders))


def text(sku: str) -> str:
    engine, api = plan(sku, "engine"), plan(sku, "llm-api")
    arguments = model_yaml(api.engine, api.runtime, "checkpoint")
    parameters = engine_config(engine.engine, engine.runtime, ENGINE).parameters
    lines = [f"{key}: {parameters[key].string_value}" for key in sorted(parameters)]
    return "\n".join(
        [
            *("# engine flavour: commands", commands(engine)),
            *("# engine flavour: parameters of tensorrt_llm", *lines, ""),
            *("# llm-api flavour: model.yaml", arguments),
        ]
    )


def commands(engine: LlmPlan) -> str:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        (source / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
        made = build_commands(
            engine.engine, engine.request.spec, source, Path("/work"), ENGINE, EXAMPLES
        )
        shown = "\n".join(str(command).replace(folder, "/checkpoint") for command in made)
    return shown.replace(" --", " \\\n  --") + "\n"


@pytest.mark.parametrize("sku", GPU_SKUS)
def test_the_file_is_what_is_made(sku):
    found = (FOLDER / f"{sku}.txt").read_text()
    assert found == text(sku), "run 'python -m tests.golden.test_skus' and read the difference"


def test_no_file_is_left_over():
    assert {file.stem for file in FOLDER.iterdir()} == set(GPU_SKUS)


@pytest.mark.parametrize("sku", GPU_SKUS)
def test_both_flavours_agree_with_their_plan(sku):
    engine, api = plan(sku, "engine"), plan(sku, "llm-api")
    config = engine_config(engine.engine, engine.runtime, ENGINE)
    assert config.max_batch_size == engine.engine.max_batch_size
    assert config.model_transaction_policy.decoupled
    logits = {tensor.data_type for tensor in config.output if tensor.name.endswith("_logits")}
    assert logits == {11}, "TYPE_FP32, as logits_dtype of the build"
    arguments = json.loads(model_yaml(api.engine, api.runtime))
    for name in ("max_batch_size", "max_num_tokens", "max_seq_len"):
        assert arguments[name] == getattr(api.engine, name)
    assert arguments["tensor_parallel_size"] == api.engine.tp


if __name__ == "__main__":
    for name in GPU_SKUS:
        (FOLDER / f"{name}.txt").write_text(text(name))
