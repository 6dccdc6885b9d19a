"""A tokenizer that can't be converted costs guided decoding, not the engine."""

import builtins
import json
from pathlib import Path

import pytest

from builders import openvino_export
from tests.fakes import folders


def test_a_model_with_fewer_embeddings_than_tokens(tmp_path: Path) -> None:
    folders.byte_level().save(str(tmp_path / "tokenizer.json"))
    said = openvino_export.convert_tokenizer(tmp_path, vocabulary=10)
    assert said.startswith("its tokenizer has ") and said.endswith(" and the model only 10")


def test_a_tokenizer_that_no_library_reads(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    half = tmp_path / openvino_export.TOKENIZER_FILES[0]
    half.touch()
    said = openvino_export.convert_tokenizer(tmp_path, vocabulary=0)
    assert said.startswith("its tokenizer can't be converted for OpenVINO (")
    assert not half.exists()


def test_code_that_a_checkpoint_brings_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtins, "input", pytest.fail)
    folders.byte_level().save(str(tmp_path / "tokenizer.json"))
    settings = {
        "tokenizer_class": "Own",
        "auto_map": {"AutoTokenizer": ["tokenization_own.Own", None]},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    assert openvino_export.convert_tokenizer(tmp_path, vocabulary=0) == ""
    assert all((tmp_path / name).is_file() for name in openvino_export.TOKENIZER_FILES)
