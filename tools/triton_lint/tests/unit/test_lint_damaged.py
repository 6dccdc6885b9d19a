"""Faults of a text keep the model's other rules out, and harm no ensemble."""

from pathlib import Path

import pytest
from triton_lint.engine import lint

PART = """backend: "identity"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ 3 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 3 ] }
"""
ENSEMBLE = """platform: "ensemble"
max_batch_size: 8
input { name: "IN" data_type: TYPE_FP32 dims: [ 3 ] }
output { name: "OUT" data_type: TYPE_FP32 dims: [ 3 ] }
ensemble_scheduling {
  step { model_name: "first" model_version: -1
    input_map { key: "x" value: "IN" } output_map { key: "y" value: "mid" } }
  step { model_name: "second" model_version: -1
    input_map { key: "x" value: "mid" } output_map { key: "y" value: "OUT" } }
}
"""
TENSOR = 'input { name: "x" data_type: TYPE_FP32 dims: [ 0 ] }\n'


def found(root: Path, **configs: str) -> list[str]:
    """`model rule`, in order."""
    for name, text in configs.items():
        (root / name / "1").mkdir(parents=True)
        (root / name / "config.pbtxt").write_text(text)
    findings = lint([str(root)]).findings
    return [f"{finding.model} {finding.rule}" for finding in findings]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'backend: "identity"\nmax_batchsize: 4\n{TENSOR}', ["TRN003"]),
        ('backend: identity\nmax_batch_size: "2"\n', ["TRN005"]),
        (f"\ufeff{PART}{TENSOR}", ["TRN010"]),
        (f"dynamic_batching {{\n{TENSOR}", ["TRN003"]),
        (f'backend: "identity"\n{TENSOR}', ["TRN204"]),
    ],
)
def test_a_fault_of_the_text_comes_first(text: str, expected: list[str], tmp_path: Path) -> None:
    assert sorted(each.split()[1] for each in found(tmp_path, m=text)) == sorted(expected)


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("dims: [ 3 ]", "dims: [ x ]", "TRN005"),
        ("dims: [ 3 ]", "sizes: [ 3 ]", "TRN003"),
        ("input {", "inlet {", "TRN003"),
        ('name: "x"', "name: 7", "TRN005"),
        ("data_type: TYPE_FP32", "data_type: TYPE_FLOAT", "TRN004"),
        ("max_batch_size: 8", "max_batch_size: 1 max_batch_size: 8", "TRN006"),
    ],
)
def test_a_damaged_model_harms_no_ensemble(old: str, new: str, rule: str, tmp_path: Path) -> None:
    first = PART.replace(old, new, 1)
    assert found(tmp_path, pipeline=ENSEMBLE, first=first, second=PART) == [f"first {rule}"]
    (tmp_path / "second" / "config.pbtxt").write_text(PART.replace("FP32", "FP16"))
    assert "pipeline TRN523" in found(tmp_path)  # the sound one is still compared
