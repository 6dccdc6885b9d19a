"""GPU engines from end to end: planned, made by recording stand-ins, published, or refused."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from builders import build_resources, engine_builds
from builders import engine as engines
from builders.cli import main
from builders.engine import build_engine
from builders.engine_plan import RuntimePlan
from builders.errors import BuildError
from builders.gpu_machine import Device
from builders.gpu_recipes import llm_recipe, planned_source, write_backend_repository
from builders.planner.llm_plan import LlmOptions, LlmPlan, Request
from builders.planner.plan import plan_llm
from builders.spec import GpuOptions, ModelSpec, load_model, load_sku
from ensembles.manifest import read_manifest
from tests.fakes import trtllm
from tests.fakes.checkpoints import build_into, make_checkpoint

SKU = load_sku("h100-sxm-80gb")
STAND_INS = Path(trtllm.__file__).parent
H100 = Device(0, "GPU-1", "NVIDIA H100 80GB HBM3", "9.0", 79.6, 79.0)


@pytest.fixture
def checkpoint(tmp_path):
    path = make_checkpoint(tmp_path / "checkpoint")
    config = {"architectures": ["LlamaForCausalLM"], "eos_token_id": 2}
    (path / "config.json").write_text(json.dumps(config))
    return path


@pytest.fixture(autouse=True)
def build_machine(tmp_path, monkeypatch):
    """Folders of the test's own, and the stand-ins where the container has TensorRT-LLM."""
    build_into(monkeypatch, tmp_path)
    monkeypatch.setattr(build_resources, "_SPARE_BYTES", 0)
    monkeypatch.setenv("TRTLLM_STAND_IN_LOG", str(tmp_path / "calls"))
    monkeypatch.setenv("PATH", f"{STAND_INS / 'bin'}:{os.environ['PATH']}")
    return tmp_path


def spec_of(checkpoint: Path, **gpu: object) -> ModelSpec:
    fields = {"name": "my-llm", "source": str(checkpoint), "gpu": GpuOptions(**gpu)}
    return load_model("llama-3.1-8b").model_copy(update=fields)


def plan_of(spec: ModelSpec, flavour: str, **choices: object) -> LlmPlan:
    return plan_llm(Request(SKU, spec, LlmOptions(flavour=flavour, **choices)))


def build(plan: LlmPlan, said: list[str] | None = None):
    recipe = llm_recipe(plan, H100.name, STAND_INS / "examples")
    say = (said if said is not None else []).append
    return build_engine(planned_source(plan), SKU, say, recipe=recipe)


def programs(folder: Path) -> list[str]:
    lines = (folder / "calls").read_text().splitlines()
    return [json.loads(line)["program"] for line in lines]


def test_a_tensorrt_engine_is_converted_built_and_published(checkpoint, build_machine):
    plan, said = plan_of(spec_of(checkpoint, guided_decoding=True), "engine", tp=2), []
    engine = build(plan, said)
    assert programs(build_machine) == [
        "quantize.py",
        "trtllm-build",
        "generate_xgrammar_tokenizer_info.py",
    ]
    assert {"rank0.engine", "rank1.engine", "config.json", "tokenizer.json"} <= {
        file.name for file in engine.folder.iterdir()
    }
    manifest = read_manifest(engine.folder)
    assert manifest.engine == "tensorrtllm-backend"
    assert manifest.precision == "fp8" and manifest.compute_capability == "9.0"
    assert manifest.gpu == H100.name and manifest.plan["tp"] == 2
    assert manifest.max_tokens == plan.engine.max_seq_len
    assert "quantizing the checkpoint to fp8 …" in said
    assert not list((build_machine / "work").rglob("*.safetensors")), "the work folder is gone"


def test_the_same_plan_is_not_built_twice_and_another_says_why(checkpoint, build_machine):
    spec = spec_of(checkpoint)
    first = build(plan_of(spec, "engine"))
    assert build(plan_of(spec, "engine")).seconds == 0.0
    assert programs(build_machine) == ["quantize.py", "trtllm-build"]
    said: list[str] = []
    assert build(plan_of(spec, "engine", precision="bf16"), said).folder != first.folder
    assert "plan.precision fp8 → bf16" in said[0]


def test_an_interrupted_build_goes_on_after_the_conversion(checkpoint, build_machine, monkeypatch):
    plan = plan_of(spec_of(checkpoint), "engine")
    broken = build_machine / "broken"
    broken.mkdir()
    (broken / "trtllm-build").write_text("#!/bin/sh\necho out of memory >&2\nexit 3\n")
    (broken / "trtllm-build").chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{broken}:{os.environ['PATH']}")
        with pytest.raises(BuildError) as caught:
            build(plan)
    assert "build failed: trtllm-build ended with status 3" in str(caught.value)
    assert "out of memory" in str(caught.value)
    assert not list(engines.ENGINES.glob("*/my-llm/[!.]*/manifest.json"))
    build(plan)
    assert programs(build_machine) == ["quantize.py", "trtllm-build"], "converted once"


def test_the_backend_repository_lies_beside_the_engine(checkpoint):
    plan = plan_of(spec_of(checkpoint), "engine")
    engine = build(plan)
    repository = write_backend_repository(plan, engine.folder)
    text = (repository / "tensorrt_llm" / "config.pbtxt").read_text()
    assert (repository / "tensorrt_llm" / "1").is_dir()
    assert str(engine.folder.resolve()) in text and "${" not in text
    assert f"max_batch_size: {plan.engine.max_batch_size}" in text
    assert build(plan).seconds == 0.0, "the engine is what it was"


def test_the_llm_api_gets_a_checkpoint_and_its_arguments(checkpoint):
    plan = plan_of(spec_of(checkpoint), "llm-api", precision="bf16")
    engine = build(plan)
    arguments = json.loads((engine.folder / "model.yaml").read_text())
    assert arguments["model"] == "checkpoint"
    assert arguments["max_batch_size"] == plan.engine.max_batch_size
    weights = engine.folder / "checkpoint" / "model.safetensors"
    assert weights.stat().st_ino == (checkpoint / "model.safetensors").stat().st_ino, "no copy"
    manifest = read_manifest(engine.folder)
    assert manifest.engine == "tensorrt-llm" and "model.yaml" in manifest.files


def test_settings_of_the_run_are_part_of_an_api_folder_alone(checkpoint):
    """model.yaml holds them; a TensorRT engine does not."""
    spec, less = spec_of(checkpoint), RuntimePlan(kv_memory_fraction=0.5)
    plans = plan_of(spec, "llm-api", precision="bf16"), plan_of(spec, "engine")
    api, engine = (
        {build(one).folder for one in (plan, replace(plan, runtime=less))} for plan in plans
    )
    assert (len(api), len(engine)) == (2, 1)


def test_the_api_takes_the_checkpoint_that_the_spec_names(checkpoint):
    spec = spec_of(Path("/not/this"), checkpoints={"fp8": str(checkpoint)})
    plan = plan_of(spec, "llm-api")
    assert planned_source(plan).source == str(checkpoint)
    with pytest.raises(BuildError, match="needs a checkpoint quantized to FP8"):
        build(plan)  # it is not quantized at all
    notes = {"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}
    (checkpoint / "hf_quant_config.json").write_text(json.dumps(notes))
    assert build(plan).folder.is_dir()


def test_the_api_without_such_a_checkpoint_says_what_is_possible(checkpoint):
    plan = plan_of(spec_of(checkpoint), "llm-api", precision="fp8")
    with pytest.raises(BuildError) as caught:
        planned_source(plan)
    assert "names none in fp8 under [gpu.checkpoints] (named: none)" in str(caught.value)


def test_building_without_a_gpu_is_refused_before_anything_is_fetched(capsys):
    assert main(["build-engines", "--sku", "h100-sxm-80gb"]) == 1
    said = capsys.readouterr().err
    assert "an engine is built on its own kind of GPU: no NVIDIA driver found" in said


def test_builds_for_a_gpu_sku_plan_the_llm_beside_its_encoders(monkeypatch):
    monkeypatch.setattr(engine_builds, "check_build_machine", lambda sku, gpus: (H100,))
    builds = engine_builds.engine_builds(SKU, [], LlmOptions())
    found = {build.spec.role: build for build in builds}
    assert found["llm"].spec.source.startswith("hf://nvidia/Llama-3.1-8B-Instruct-FP8@")
    assert found["llm"].recipe.gpu == H100.name
    assert found["llm"].plan.budget.encoders > 3
    assert found["embedder"].recipe.precision == "fp16"
