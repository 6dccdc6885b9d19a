"""The tokenizer in OpenVINO's form: GenAI needs it to know what each token adds to a guided answer.

Text still becomes tokens by tokenizer.json alone.
"""

from pathlib import Path

from ensembles.manifest import TOKENIZER_FILE

TOOLS = ("openvino-tokenizers",)

_MODELS = ("openvino_tokenizer.xml", "openvino_detokenizer.xml")
FILES = (*_MODELS, "openvino_tokenizer.bin", "openvino_detokenizer.bin")


def convert(folder: Path, vocabulary: int) -> str:
    """Write `FILES`, or say why not; `vocabulary` counts the model's ids, 0: not known."""
    try:
        return _converted(folder, vocabulary)
    except Exception as error:  # of many libraries: whatever it is, the engine serves without
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        return f"its tokenizer can't be converted for OpenVINO ({reason[0][:200]})"
    finally:
        if not all((folder / name).is_file() for name in FILES):
            for name in FILES:
                (folder / name).unlink(missing_ok=True)


def _converted(folder: Path, vocabulary: int) -> str:
    from tokenizers import Tokenizer

    tokens = Tokenizer.from_file(str(folder / TOKENIZER_FILE)).get_vocab_size()
    if 0 < vocabulary < tokens:
        return f"its tokenizer has {tokens} tokens and the model only {vocabulary}"

    import openvino
    import openvino_genai
    from openvino_tokenizers import convert_tokenizer
    from transformers import PreTrainedTokenizerFast

    # Not AutoTokenizer: it asks at the terminal whether to run a checkpoint's own code.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    models = convert_tokenizer(tokenizer, with_detokenizer=True)
    for name, model in zip(_MODELS, models, strict=True):
        openvino.save_model(model, folder / name)
    if not openvino_genai.Tokenizer(str(folder)).get_vocab():
        raise ValueError("the converted one has no vocabulary")
    return ""
