"""TRN608: engine folders against their manifests."""

import hashlib
import json
from pathlib import Path

import pytest
from triton_lint.engine import lint
from triton_lint.options import Options
from triton_lint.rules import engine_folder

from ensembles.manifest import MANIFEST_FILE, Manifest, sha256

PARAMETER = 'parameters { key: "engine_folder" value { string_value: "%s" } }\n'


@pytest.fixture
def version(tmp_path: Path) -> Path:
    folder = tmp_path / "r" / "m" / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text("class TritonPythonModel:\n    def execute(self, r): ...\n")
    return folder


def configure(version: Path, named: str = "engine") -> None:
    text = 'backend: "python"\n' + (PARAMETER % named if named else "")
    (version.parent / "config.pbtxt").write_text(text)


def engine(folder: Path, sku: str = "cpu") -> Path:
    """As the builder writes one."""
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.onnx").write_bytes(b"weights")
    files = {path.name: sha256(path) for path in folder.iterdir()}
    manifest = Manifest("embedder", "m", sku, "k", "fp32", 256, "c", files, {})
    (folder / MANIFEST_FILE).write_text(manifest.to_json())
    return folder


def texts(version: Path, check_files: bool = True) -> list[str]:
    options = Options(check_files=check_files)
    findings = lint([str(version.parent.parent)], options).findings
    assert {each.rule for each in findings} <= {"TRN608"}
    return [each.text for each in findings]


@pytest.mark.parametrize("named", ["engine", ""])
def test_an_engine_folder_of_any_name(version: Path, named: str) -> None:
    configure(version, named)
    folder = engine(version / "engine")
    assert texts(version) == []
    (folder / "model.onnx").unlink()
    assert texts(version) == ["1/engine: manifest.json lists 'model.onnx', which is not there"]


def test_a_version_that_is_an_engine(version: Path) -> None:
    configure(version, "")
    engine(version / "engine")
    for path in (version / "engine").iterdir():
        path.rename(version / path.name)
    assert texts(version) == []
    (version / "tokenizer.json").unlink()
    assert texts(version) == ["1: manifest.json lists 'tokenizer.json', which is not there"]


@pytest.mark.parametrize("named", ["engine", ""])
def test_missing_and_changed_files(version: Path, named: str) -> None:
    configure(version, named)
    folder = engine(version / "engine")
    (folder / "model.onnx").unlink()
    (folder / "tokenizer.json").write_text("{ }")
    found = hashlib.sha256(b"{ }").hexdigest()[:12]
    changed, missing = sorted(texts(version))
    assert missing.startswith("1/engine: manifest.json lists 'model.onnx'")
    assert f"its SHA-256 is {found}…" in changed
    assert texts(version, check_files=False) == []


def test_a_large_file_is_not_hashed(version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(version)
    folder = engine(version / "engine")
    (folder / "model.onnx").write_bytes(b"other weights")
    assert len(texts(version)) == 1
    monkeypatch.setattr(engine_folder, "MAX_HASHED_BYTES", 4)
    assert texts(version) == []


def test_the_parameter_names_another_engine(version: Path) -> None:
    configure(version, "engines/l4-24gb")
    assert texts(version) == []  # nothing is built yet
    engine(version / "engines" / "cpu")
    assert texts(version) == [
        "version 1: engine_folder is 'engines/l4-24gb', which is not there; there is cpu"
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\x00",
        b"[" * 100_000,
        b"[]",
        b'{"files": []}',
        json.dumps({"sku": "l4", "files": {"../model.py": "0" * 64}}).encode(),
        json.dumps({"sku": "l4", "files": {"a": 1}}).encode(),
        json.dumps({"sku": None, "files": {}}).encode(),
    ],
)
def test_manifests_of_others_are_left_alone(version: Path, content: bytes) -> None:
    configure(version)
    folder = version / "engine"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(content)
    assert texts(version) == []
