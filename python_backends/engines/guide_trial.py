"""Tries guides in a process of its own, on a model to which all tokens are equally likely.

    python3 -m python_backends.engines.guide_trial FOLDER VOCABULARY END_ID…

VOCABULARY 0 means the tokenizer's. Reads one guide per line, as JSON, and answers each with a line
of JSON: its error, or the time and memory that it took. The library may need minutes or gigabytes
for a guide, or crash: then only this process is lost.
"""

import json
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from python_backends.engines.json_grammar import json_grammar

MEMORY_BYTES = 8 << 30
"""Limit of address space. Guides that pass use less than 0.3 GiB of memory."""

TRIAL_TOKENS = 32
"""Some are generated because a guide can be fast to compile and slow to follow."""

_PLACE = re.compile(r".*?\.(?:cc|cpp|h|hpp):\d+: ", re.DOTALL)
_ECHO = re.compile(
    r"\.? *(?:The JSON string is:|in \{).*|Check failed: \(.*?\) is false: ", re.DOTALL
)
"""Parts of the library's errors that tell a client nothing, such as the guide itself."""


def main() -> None:
    folder, vocabulary, *ends = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    generate = _generator(Path(folder), int(vocabulary), [int(end) for end in ends])
    generate(guide_option("json", ""))  # the first one prepares the vocabulary
    print(flush=True)
    for line in sys.stdin:
        print(json.dumps(_try(json.loads(line), generate)), flush=True)


def guide_option(kind: str, text: str) -> dict[str, str]:
    """A guide as an option of GenAI's `StructuredOutputConfig`; raises `RuntimeError`."""
    match kind:
        case "json":
            return {"grammar": json_grammar("{}")}
        case "json_schema":
            return {"grammar": json_grammar(text)}
        case "ebnf_grammar":
            return {"grammar": text}
    return {kind: text}


def _try(guide: dict[str, str], generate: Callable[[dict[str, str]], None]) -> dict[str, Any]:
    start_s = time.process_time()
    try:
        generate(guide_option(guide["type"], guide["text"]))
    except Exception as error:
        said = _ECHO.sub("", _PLACE.sub("", str(error))).strip()
        return {"error": said[:300] or type(error).__name__}
    return {"cpu_s": time.process_time() - start_s, "memory_kib": _memory_kib()}


def _memory_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() // 1024


def _generator(folder: Path, vocabulary: int, ends: list[int]) -> Callable[[dict[str, str]], None]:
    import openvino
    import openvino_genai

    tokenizer = openvino_genai.Tokenizer(str(folder))
    pipeline = openvino_genai.LLMPipeline(
        *_indifferent_model(vocabulary or len(tokenizer.get_vocab())),
        tokenizer,
        "CPU",
        ATTENTION_BACKEND="SDPA",
    )
    prompt = openvino.Tensor(np.zeros((1, 1), dtype=np.int64))

    def generate(option: dict[str, str]) -> None:
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens, config.do_sample, config.rng_seed = TRIAL_TOKENS, True, 0
        config.stop_token_ids = set(ends)
        config.structured_output_config = openvino_genai.StructuredOutputConfig(**option)
        pipeline.generate(prompt, config)

    return generate


def _indifferent_model(tokens: int) -> tuple[str, Any]:
    """A model as OpenVINO's XML and weights, in which all `tokens` are equally likely."""
    import openvino
    from openvino import opset13 as op

    inputs = {
        name: op.parameter([-1] * rank, kind, name=name)
        for name, rank, kind in (
            ("input_ids", 2, np.int64),
            ("attention_mask", 2, np.int64),
            ("position_ids", 2, np.int64),
            ("beam_idx", 1, np.int32),
        )
    }
    for name, node in inputs.items():
        node.output(0).set_names({name})
    logits = np.zeros((1, 1, tokens), dtype=np.float32)
    ids = op.unsqueeze(op.convert(inputs["input_ids"], "f32"), op.constant(np.int64(2)))
    same = op.add(op.multiply(ids, op.constant(np.float32(0))), op.constant(logits))
    same.output(0).set_names({"logits"})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.xml")
        openvino.save_model(openvino.Model([op.result(same)], [*inputs.values()]), path)
        weights = np.fromfile(path.with_suffix(".bin"), dtype=np.uint8)
        return path.read_text(encoding="utf-8"), openvino.Tensor(weights)


if __name__ == "__main__":
    main()
