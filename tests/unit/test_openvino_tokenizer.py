"""A tokenizer that can't be converted costs guided decoding, not the engine."""

from pathlib import Path

from builders import openvino_tokenizer
from tests.fakes import folders


def test_a_model_with_fewer_embeddings_than_tokens(tmp_path: Path) -> None:
    folders.byte_level().save(str(tmp_path / "tokenizer.json"))
    said = openvino_tokenizer.convert(tmp_path, vocabulary=10)
    assert said.startswith("its tokenizer has ") and said.endswith(" and the model only 10")


def test_a_tokenizer_that_no_library_reads(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    half = tmp_path / openvino_tokenizer.FILES[0]
    half.touch()
    said = openvino_tokenizer.convert(tmp_path, vocabulary=0)
    assert said.startswith("its tokenizer can't be converted for OpenVINO (")
    assert not half.exists()
