"""`examples/generate_xgrammar_tokenizer_info.py` 7ed07f06."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from tests.fakes.trtllm import record


def main(argv: Sequence[str]) -> int:
    made = argparse.ArgumentParser("generate_xgrammar_tokenizer_info.py", allow_abbrev=False)
    made.add_argument("--model_dir", type=Path, required=True)
    made.add_argument("--output_dir", type=Path, required=True)
    args = made.parse_args(argv)
    record("generate_xgrammar_tokenizer_info.py", argv)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    info = {"stand_in": True, "encoded_vocab": [], "tokenizer_str": "", "stop_token_ids": []}
    (args.output_dir / "xgrammar_tokenizer_info.json").write_text(json.dumps(info))
    return 0
