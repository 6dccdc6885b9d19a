"""Faults of the text together with all others: what is understood is checked."""

from pathlib import Path

import pytest
from triton_lint.engine import lint
from triton_lint.options import Options

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
OUTPUT = 'output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }\n'


def found(root: Path, **configs: str) -> list[str]:
    """`model rule`, in order."""
    for name, text in configs.items():
        (root / name / "1").mkdir(parents=True)
        (root / name / "config.pbtxt").write_text(text)
    findings = lint([str(root)], Options(gpus=0)).findings
    return [f"{finding.model} {finding.rule}" for finding in findings]


def rules(root: Path, text: str) -> list[str]:
    return [each.split()[1] for each in found(root, m=text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            f'backend: "python"\nmax_batchsize: 4\n{TENSOR}{OUTPUT}',
            ["TRN114", "TRN003", "TRN204"],
            id="a misspelt field hides neither dims nor a missing file",
        ),
        pytest.param(
            f'backend: "identity"\nmax_batch_size: "-2"\n{TENSOR}{OUTPUT}',
            ["TRN005", "TRN204"],
            id="a value of the wrong type says nothing of batching",
        ),
        pytest.param(
            'backend: identity\nmax_batch_size: "2"\n'
            "dynamic_batching { preferred_batch_size: 4 }\n",
            ["TRN005", "TRN005"],
            id="what depends on a value of the wrong type is not judged",
        ),
        pytest.param(
            'backend: "identity"\nname: "n"\ninput { name: "x" data_type: FLOAT dims: [ 0 ] }\n',
            ["TRN101", "TRN004", "TRN204"],
            id="an unknown enumerator leaves only the type in doubt",
        ),
        pytest.param(
            'backend: "identity"\nmax_batch_size: 1\nmax_batch_size: 8\n'
            f"dynamic_batching {{ preferred_batch_size: 4 }}\n{TENSOR}",
            ["TRN006", "TRN204"],
            id="of a field that is set twice neither value counts",
        ),
        pytest.param(
            'backend: "identity"\ndynamic_batching { }\nsequence_batching { }\n' + TENSOR,
            ["TRN007", "TRN204"],
            id="of two schedulers neither is judged",
        ),
        pytest.param(
            'backend: "identity"\ninput { name: "x" data_type: TYPE_FP32 shape: [ 3 ] }\n'
            'output { name: "y" dims: [ 0 ] }\n',
            ["TRN003", "TRN202", "TRN204"],
            id="an unknown field may be the one that seems to be missing",
        ),
        pytest.param(
            'framework: "onnxruntime"\n' + TENSOR,
            ["TRN003", "TRN204"],
            id="an unknown field may be the backend",
        ),
        pytest.param(
            f'backend: "python"\ndescription: "mine"\n{TENSOR}{OUTPUT}',
            ["TRN114", "TRN003", "TRN204"],
            id="an unknown field beside the backend hides nothing",
        ),
        pytest.param(
            f'backend: "python"\nmax_batch_size ${{size}}\n{TENSOR}{OUTPUT}',
            ["TRN114", "TRN002", "TRN204"],
            id="a value that can't be read is passed",
        ),
        pytest.param(
            f'name = "n" backend = "python"\n{TENSOR}',
            ["TRN002"],
            id="fields that were passed over are not missed",
        ),
        pytest.param(f"\ufeff{PART}{TENSOR}", ["TRN010", "TRN204", "TRN209"], id="a mark"),
        pytest.param(
            f"dynamic_batching {{\n{TENSOR}", ["TRN003", "TRN009"], id="a bracket is open"
        ),
    ],
)
def test_several_faults(text: str, expected: list[str], tmp_path: Path) -> None:
    assert sorted(rules(tmp_path, text)) == sorted(expected)


def test_an_ensemble_is_checked_against_what_is_known_of_its_models(tmp_path: Path) -> None:
    first = PART.replace("max_batch_size: 8", 'framework: "mine"\nmax_batch_size: 4')
    second = PART.replace("FP32", "FP16", 1)
    assert found(tmp_path, pipeline=ENSEMBLE, first=first, second=second) == [
        "first TRN003",
        "pipeline TRN525",
        "pipeline TRN523",
    ]


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
    second = PART.replace("FP32", "FP16")
    assert found(tmp_path, pipeline=ENSEMBLE, first=first, second=PART) == [f"first {rule}"]
    (tmp_path / "second" / "config.pbtxt").write_text(second)
    assert "pipeline TRN523" in found(tmp_path)


def test_a_damaged_ensemble(tmp_path: Path) -> None:
    text = ENSEMBLE.replace('value: "mid" } }', 'valuee: "midd" } }', 1).replace("IN", "INN", 1)
    assert found(tmp_path, pipeline=text, first=PART, second=PART) == [
        "pipeline TRN508",
        "pipeline TRN003",
    ]
    (tmp_path / "pipeline" / "config.pbtxt").write_text(
        ENSEMBLE.replace('output_map { key: "y" value: "mid" }', "results { }")
    )
    assert found(tmp_path) == ["pipeline TRN003"]
