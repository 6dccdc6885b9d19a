"""Exports to OpenVINO: LLMs of families that optimum-cli refuses by name, and tokenizers.

    python -m builders.openvino_export export openvino …

optimum-intel 2.2 refuses families that it does not name, and families if transformers is newer than
it was tested with. A build may export them, because it compares an engine with transformers before
it publishes it. OpenVINO GenAI needs the tokenizer in OpenVINO's form only for guided decoding.
"""

from pathlib import Path
from typing import Any

from ensembles.manifest import TOKENIZER_FILE

TASK = "text-generation-with-past"

_LIFTED = (
    "Exaone4OpenVINOConfig",
    "GLMOpenVINOConfig",
    "Gemma2OpenVINOConfig",
    "Gemma3TextOpenVINOConfig",
    "GemmaOpenVINOConfig",
)
"""Classes of optimum-intel with a bound of versions that is ignored. A family of each was built and
compared."""

_ADDED = {
    "apertus": "LlamaOpenVINOConfig",
    "ernie4_5": "LlamaOpenVINOConfig",
    "granitemoeshared": "GraniteMoEOpenVINOConfig",
    "jais2": "LlamaOpenVINOConfig",
    "ministral": "MistralOpenVINOConfig",
    "ministral3": "MistralOpenVINOConfig",
    "olmo3": "LlamaOpenVINOConfig",
    "seed_oss": "Qwen2OpenVINOConfig",
    "vaultgemma": "Gemma2OpenVINOConfig",
}
"""By model_type, the class of a family that is exported in the same way. Each was built and
compared."""

_WRONG = ("afmoe", "gemma4_text", "gpt_neo", "mpt")
"""Values of model_type that optimum-intel 2.2 has a class for, but does not export as transformers
5.5 computes them. Each was tried: Gemma 4 can't be traced, the others gave other answers."""

TOKENIZER_TOOLS = ("openvino-tokenizers",)

_MODELS = ("openvino_tokenizer.xml", "openvino_detokenizer.xml")
TOKENIZER_FILES = (*_MODELS, "openvino_tokenizer.bin", "openvino_detokenizer.bin")


def exporter(kind: str) -> Any:
    """The class that exports a model_type as a text generator; None where there is none."""
    from optimum.exporters.tasks import TasksManager

    if kind in _WRONG:
        return None
    _add_families()
    constructor = TasksManager._SUPPORTED_MODEL_TYPE.get(kind, {}).get("openvino", {}).get(TASK)
    return getattr(constructor, "func", constructor)


def _add_families() -> None:
    from optimum.exporters.openvino import model_configs
    from optimum.exporters.tasks import TasksManager

    for name in _LIFTED:
        getattr(model_configs, name).MAX_TRANSFORMERS_VERSION = None
    register = TasksManager.create_register("openvino")
    for kind, name in _ADDED.items():
        register(kind, "text-generation", TASK, library_name="transformers")(
            getattr(model_configs, name)
        )


def convert_tokenizer(folder: Path, vocabulary: int) -> str:
    """Write `TOKENIZER_FILES`, or say why not; `vocabulary` counts ids of the model, 0: unknown."""
    try:
        return _convert_tokenizer(folder, vocabulary)
    except Exception as error:  # from many libraries; whatever it is, the engine can serve
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        return f"its tokenizer can't be converted for OpenVINO ({reason[0][:200]})"
    finally:
        if not all((folder / name).is_file() for name in TOKENIZER_FILES):
            for name in TOKENIZER_FILES:
                (folder / name).unlink(missing_ok=True)


def _convert_tokenizer(folder: Path, vocabulary: int) -> str:
    from tokenizers import Tokenizer

    tokens = Tokenizer.from_file(str(folder / TOKENIZER_FILE)).get_vocab_size()
    if 0 < vocabulary < tokens:
        return f"its tokenizer has {tokens} tokens and the model only {vocabulary}"

    import openvino
    import openvino_genai
    import openvino_tokenizers
    from transformers import PreTrainedTokenizerFast

    # Not AutoTokenizer: it asks at the terminal whether to run a checkpoint's own code.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    models = openvino_tokenizers.convert_tokenizer(tokenizer, with_detokenizer=True)
    for name, model in zip(_MODELS, models, strict=True):
        openvino.save_model(model, folder / name)
    if not openvino_genai.Tokenizer(str(folder)).get_vocab():
        raise ValueError("the converted one has no vocabulary")
    return ""


def main() -> None:
    from optimum.commands import optimum_cli

    _add_families()
    optimum_cli.main()


if __name__ == "__main__":
    main()
