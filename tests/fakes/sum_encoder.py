"""An engine folder with a tiny encoder."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from ensembles.manifest import MANIFEST_FILE, TOKENIZER_FILE, read_manifest, sha256
from tests.fakes import folders


def tiny_model() -> bytes:
    """Ids under the mask, summed: FP32 [rows, 1]."""
    names = ("input_ids", "attention_mask")
    nodes = [
        helper.make_node("Mul", names, ["shown"]),
        helper.make_node("Cast", ["shown"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["floats", "axis"], ["embedding"], keepdims=1),
    ]
    graph = helper.make_graph(
        nodes,
        "sum",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["rows", "tokens"]) for n in names],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["rows", 1])],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def change_manifest(path: Path, **fields: object) -> None:
    manifest = dataclasses.replace(read_manifest(path), **fields)
    (path / MANIFEST_FILE).write_text(manifest.to_json())


def folder(path: Path) -> Path:
    """An engine folder with that model in it."""
    made = folders.make_folder(path, folders.word_level([]), max_tokens=200)
    (made / "model.onnx").write_bytes(tiny_model())
    files = {name: sha256(made / name) for name in (TOKENIZER_FILE, "model.onnx")}
    change_manifest(made, files=files)
    return made


def batch(rows: int, tokens: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(rows)
    return {
        "input_ids": rng.integers(0, 1000, (rows, tokens)),
        "attention_mask": rng.integers(0, 2, (rows, tokens)),
        "token_type_ids": np.zeros((rows, tokens), dtype=np.int64),  # the graph has none: left out
    }
