"""Manifests are read as they were written; anything else is refused with what to do."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembles.manifest import (
    MANIFEST_FILE,
    Manifest,
    ManifestError,
    Sampling,
    check_file,
    read_manifest,
    sha256,
)
from tests.fakes import folders

NAMES = st.text(st.sampled_from("abcé./-1"), min_size=1, max_size=8)
MANIFESTS = st.builds(
    Manifest,
    role=NAMES,
    model=NAMES,
    sku=NAMES,
    key=NAMES,
    precision=NAMES,
    max_tokens=st.integers(1, 10**6),
    checkpoint_sha256=NAMES,
    files=st.dictionaries(NAMES, NAMES, max_size=3),
    versions=st.dictionaries(NAMES, NAMES, max_size=3),
    engine=NAMES,
    eos_token_ids=st.lists(st.integers(0, 10**6), max_size=3).map(tuple),
    sampling=st.builds(Sampling, top_k=st.integers(0, 100), temperature=st.floats(0, 10)),
)


@given(manifest=MANIFESTS)
def test_a_manifest_survives_writing_and_reading(manifest):
    assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.fixture
def folder(tmp_path):
    return folders.make_folder(tmp_path / "engine", folders.word_level(["a"]))


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.pop("role"),
        lambda fields: fields.update(colour="red"),
        lambda fields: fields.pop("sampling"),
        lambda fields: fields.update(eos_token_ids=None),
        lambda fields: fields["sampling"].update(heat=1),
    ],
)
def test_another_version_of_the_manifest_asks_for_a_rebuild(folder, change):
    fields = json.loads((folder / MANIFEST_FILE).read_text())
    change(fields)
    with pytest.raises(ManifestError, match=r"not a manifest of this version .*; rebuild"):
        Manifest.from_json(json.dumps(fields))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "3"])
def test_other_json_is_no_manifest(text):
    with pytest.raises(ManifestError, match="not a manifest"):
        Manifest.from_json(text)


def test_a_folder_without_a_manifest(tmp_path):
    with pytest.raises(ManifestError) as caught:
        read_manifest(tmp_path)
    assert str(caught.value) == f"no {MANIFEST_FILE} in {tmp_path}: run 'make build-engines'"


def test_an_unchanged_file_is_accepted(folder):
    manifest = read_manifest(folder)
    assert check_file(folder, manifest, "tokenizer.json") == folder / "tokenizer.json"


def test_a_changed_file_is_refused_with_both_hashes(folder):
    manifest = read_manifest(folder)
    path = folder / "tokenizer.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(ManifestError) as caught:
        check_file(folder, manifest, "tokenizer.json")
    assert sha256(path)[:12] in str(caught.value)
    assert manifest.files["tokenizer.json"][:12] in str(caught.value)


def test_missing_and_unpinned_files_are_refused(folder):
    manifest = read_manifest(folder)
    (folder / "extra.bin").write_text("x")
    (folder / "tokenizer.json").unlink()
    for name in ("extra.bin", "tokenizer.json", "model.onnx"):
        with pytest.raises(ManifestError, match=f"no {name} in"):
            check_file(folder, manifest, name)


def test_a_manifest_with_a_damaged_byte_is_refused(folder):
    """Wherever it is: within a name it would still be JSON."""
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"embedder", b"emb\xffdder", 1))
    with pytest.raises(ManifestError, match=r"manifest\.json: not a manifest of this .*0xff"):
        read_manifest(folder)
