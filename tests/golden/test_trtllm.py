"""What goes to TensorRT-LLM for one plan per precision, as text to read and to compare.

`python -m tests.golden.test_trtllm` writes the files anew.
"""

import json
import tempfile
from pathlib import Path

import pytest

from builders.engine_plan import RuntimePlan
from builders.tensorrt_llm.backend_config import engine_config_text
from builders.tensorrt_llm.build_commands import EXAMPLES
from builders.tensorrt_llm.llm_api import model_yaml
from tests.fakes.plans import build_commands, engine_plan, llm_spec

FOLDER = Path(__file__).parent / "trtllm"

RUNTIME = RuntimePlan(kv_memory_fraction=0.85, guided_decoding=True)

PLANS = {
    "bf16-a100": engine_plan("bf16", "8.0", tp=2),
    "fp8-h100": engine_plan("fp8", "9.0", tp=4),
    "fp8-l40s": engine_plan("fp8", "8.9", tp=2),
    "int8-sq-a100": engine_plan("int8-sq", "8.0"),
    "nvfp4-b200": engine_plan("nvfp4", "10.0", tp=2),
    "w4a16-awq-a10g": engine_plan("w4a16-awq", "8.6"),
}


def commands(name: str, checkpoint: Path) -> str:
    made = build_commands(
        *(
            PLANS[name],
            llm_spec(guided_decoding=True),
            checkpoint,
            Path("/work"),
            Path("/engine"),
            EXAMPLES,
        )
    )
    text = "\n\n".join(f"# {command.what}\n{command}" for command in made)
    return text.replace(str(checkpoint), "/checkpoint").replace(" --", " \\\n  --") + "\n"


def texts() -> dict[str, str]:
    full = PLANS["fp8-h100"]
    api = engine_plan("fp8", flavour="llm-api", tp=4)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder)
        (checkpoint / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
        made = {f"{name}.txt": commands(name, checkpoint) for name in PLANS}
    made["tensorrt_llm.pbtxt"] = engine_config_text(full, RUNTIME, Path("/engine"))
    made["model.yaml"] = model_yaml(api, RUNTIME)
    return made


TEXTS = texts()


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_the_file_is_what_is_made(name):
    found = (FOLDER / name).read_text()
    assert found == TEXTS[name], "run 'python -m tests.golden.test_trtllm' and read the difference"


def test_no_file_is_left_over():
    assert {file.name for file in FOLDER.iterdir()} == TEXTS.keys()


if __name__ == "__main__":
    for name, text in TEXTS.items():
        (FOLDER / name).write_text(text)
