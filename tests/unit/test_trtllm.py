"""Commands that make TensorRT engines, run through stand-ins with TensorRT-LLM's own parsers."""

import json
from pathlib import Path
from typing import Any

import pytest

from builders.errors import BuildError
from builders.tensorrt_llm.build_commands import Command, check_programs
from builders.tensorrt_llm.support import CONVERSIONS, FAMILIES
from tests.fakes import trtllm
from tests.fakes.plans import build_commands, engine_plan, llm_spec
from tests.fakes.trtllm import build, conversion, quantization, tokenizer_info

STAND_INS = Path(trtllm.__file__).parent
EXAMPLES = STAND_INS / "examples"
SPLITS = [(1, 1), (2, 1), (1, 2), (8, 1), (4, 2)]

PROGRAMS = {
    "trtllm-build": build.main,
    "quantize.py": quantization.main,
    "generate_xgrammar_tokenizer_info.py": tokenizer_info.main,
    "llama/convert_checkpoint.py": lambda argv: conversion.main("llama", argv),
    "qwen/convert_checkpoint.py": lambda argv: conversion.main("qwen", argv),
}

EVERYTHING = [
    (architecture, precision, capability)
    for architecture, family in FAMILIES.items()
    for precision in family.precisions
    for capability in CONVERSIONS[precision].capabilities
]


def checkpoint_of(folder: Path, architecture: str = "LlamaForCausalLM") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    return folder


def run_in_process(commands: tuple[Command, ...]) -> None:
    for command in commands:
        program, *argv = command.argv
        if program == "python3":
            script = Path(argv.pop(0))
            assert script.is_file()
            program = script.name
            if program == "convert_checkpoint.py":
                program = f"{script.parent.name}/{program}"
        assert PROGRAMS[program](argv) == 0


def commands_for(folder: Path, plan, architecture="LlamaForCausalLM", **gpu):
    checkpoint = checkpoint_of(folder / "hf", architecture)
    return build_commands(
        plan, llm_spec(**gpu), checkpoint, folder / "work", folder / "engine", EXAMPLES
    )


VARIANTS: list[dict[str, Any]] = [{"tp": tp, "pp": pp} for tp, pp in SPLITS]


@pytest.fixture
def log(tmp_path, monkeypatch):
    """The stand-ins' notes; returns a function that reads them."""
    path = tmp_path / "calls.jsonl"
    monkeypatch.setenv(trtllm.LOG, str(path))
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("architecture", "precision", "capability"), EVERYTHING)
def test_every_engine_builds_as_planned(
    tmp_path, monkeypatch, log, architecture, precision, capability
):
    """Nothing is refused, and nothing is overridden behind the plan's back."""
    monkeypatch.setenv(trtllm.SM, capability.replace(".", ""))
    for number, fields in enumerate(VARIANTS):
        folder = tmp_path / str(number)
        plan = engine_plan(precision, capability, **fields)
        run_in_process(commands_for(folder, plan, architecture, guided_decoding=True))
        engines = sorted(file.name for file in (folder / "engine").glob("rank*.engine"))
        assert engines == sorted(f"rank{rank}.engine" for rank in range(plan.tp * plan.pp))
        config = json.loads((folder / "engine" / "config.json").read_text())
        assert config["pretrained_config"]["mapping"]["tp_size"] == plan.tp
        assert config["build_config"]["max_batch_size"] == plan.max_batch_size
        assert (folder / "engine" / "xgrammar_tokenizer_info.json").is_file()
    assert [call["overridden"] for call in log() if call["program"] == "trtllm-build"] == [[]] * (
        number + 1
    )


def test_a_missing_program_is_found_before_hours_are_spent(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    first = Command(("/bin/true",), "quantizing")
    later = Command(("trtllm-build",), "building")
    with pytest.raises(BuildError, match=r"no program 'trtllm-build' on .* for building;"):
        check_programs([first, later])


@pytest.mark.parametrize(
    "wrong",
    [
        ["--gemm_plugin", "bf16"],
        ["--use_paged_context_fmha", "true"],
        ["--kv_cache_type", "pages"],
        ["--logits_dtype", "bfloat16"],
        ["--max_batch", "8"],  # the real parser would take the abbreviation
        ["--auto_parallel", "2"],  # removed in 1.1
        ["--lora_target_modules", "q_proj"],
    ],
)
def test_the_stand_in_of_trtllm_build_refuses(wrong):
    with pytest.raises(SystemExit) as caught:
        build.main(["--checkpoint_dir", "x", *wrong])
    assert caught.value.code == 2


def test_the_other_stand_ins_refuse_too():
    for main, argv in (
        (quantization.main, ["--qformat", "int8-sq"]),
        (quantization.main, ["--kv_cache_dtype", "bf16"]),
        (lambda argv: conversion.main("qwen", argv), ["--model_dir", "x", "--fp8_kv_cache"]),
        (lambda argv: conversion.main("llama", argv), ["--dtype", "bf16"]),
    ):
        with pytest.raises(SystemExit) as caught:
            main(argv)
        assert caught.value.code == 2


@pytest.mark.parametrize(
    ("precision", "capability", "says"),
    [
        ("int8-sq", "10.0", "SmoothQuant is not supported on SM>=100"),
        ("w4a16-awq", "10.0", "INT8/INT4 quantization is not supported on SM>=100"),
    ],
)
def test_the_stand_in_refuses_what_the_gpu_lacks(
    tmp_path, monkeypatch, precision, capability, says
):
    """So a plan that went through was checked; commands for SM 90 stand in for a faulty planner."""
    monkeypatch.setenv(trtllm.SM, capability.replace(".", ""))
    with pytest.raises(SystemExit, match=says):
        run_in_process(commands_for(tmp_path, engine_plan(precision, "9.0")))


def test_overrides_are_noticed(tmp_path, log):
    first, engine = commands_for(tmp_path, engine_plan("bf16"))
    argv = tuple(word.replace("disable", "enable") for word in engine.argv)
    lookahead = ("--speculative_decoding_mode", "lookahead_decoding", "--max_draft_len", "500")
    extra = ("--reduce_fusion", "enable", "--user_buffer", "enable", *lookahead)
    run_in_process((first, Command(argv + extra, "building")))
    assert log()[-1]["overridden"] == [
        "reduce_fusion",
        "user_buffer",
        "use_fp8_context_fmha",
        "max_num_tokens",
    ]


@pytest.mark.parametrize(
    ("fields", "architecture", "says"),
    [
        (
            {"compute_capability": "8.0"},
            "LlamaForCausalLM",
            "fp8 engine of a LlamaForCausalLM on compute capability 8.0: TensorRT-LLM 1.2 does "
            "not make it; possible there: bf16, int8-sq, w4a16-awq",
        ),
        (
            {"precision": "int8-sq", "compute_capability": "10.0"},
            "LlamaForCausalLM",
            "possible there: bf16, fp8, nvfp4",
        ),
        ({"compute_capability": "7.5"}, "LlamaForCausalLM", "possible there: none"),
        (
            {"precision": "nvfp4", "compute_capability": "10.0"},
            "Qwen2ForCausalLM",
            "possible there: bf16, fp8",
        ),
        ({}, "Qwen3ForCausalLM", "no converter is documented for it; possible: LlamaForCausalLM"),
    ],
)
def test_what_cannot_be_built_is_refused_with_what_can(tmp_path, fields, architecture, says):
    with pytest.raises(BuildError) as caught:
        commands_for(tmp_path, engine_plan(**fields), architecture)
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["{}", '{"architectures": []}', '{"architectures": null}'])
def test_a_checkpoint_without_architecture_is_refused(tmp_path, text):
    folder = checkpoint_of(tmp_path)
    (folder / "config.json").write_text(text)
    with pytest.raises(BuildError, match="does not say its architecture"):
        build_commands(engine_plan(), llm_spec(), folder, tmp_path / "w", tmp_path / "e", EXAMPLES)
