"""Inputs and outputs of an OpenVINO file, read without OpenVINO."""

from pathlib import Path
from xml.etree import ElementTree

from triton_lint.onnx_file import FileTensor, ModelFile
from triton_lint.reading import read_file

MAX_BYTES = 64 * 1024 * 1024
"""A larger file is not looked at."""


def read_openvino(path: Path) -> ModelFile | None:
    """The network's ends; None where the file can't be read as OpenVINO's XML.

    Types are left open: the backend converts them.
    """
    try:
        data = read_file(path, MAX_BYTES)
        root = ElementTree.fromstring(data) if len(data) <= MAX_BYTES else None
    except (OSError, ElementTree.ParseError, ValueError):
        return None
    if root is None or root.tag != "net":
        return None
    layers = {layer.get("id"): layer for layer in root.iterfind("./layers/layer")}
    inputs: list[ElementTree.Element] = []
    for layer in layers.values():
        inputs += layer.findall("./output/port") if layer.get("type") == "Parameter" else []
    outputs: list[ElementTree.Element] = []
    for edge in root.iterfind("./edges/edge"):
        source, target = layers.get(edge.get("from-layer")), layers.get(edge.get("to-layer"))
        if source is not None and target is not None and target.get("type") == "Result":
            ports = source.findall("./output/port")
            outputs += [port for port in ports if port.get("id") == edge.get("from-port")]
    others = frozenset(name for port in (*inputs, *outputs) for name in _names(port))
    if not outputs or not all(map(_names, (*inputs, *outputs))):
        return None
    return ModelFile(tuple(map(_tensor, inputs)), tuple(map(_tensor, outputs)), others)


def _names(port: ElementTree.Element) -> list[str]:
    return [name for name in port.get("names", "").split(",") if name]


def _tensor(port: ElementTree.Element) -> FileTensor:
    """By the first of its names in order, which OpenVINO takes when it is asked for any."""
    sizes = [dim.text or "" for dim in port.iterfind("dim")]
    dims = tuple(int(size) if size.isdecimal() else -1 for size in sizes)
    return FileTensor(min(_names(port)), "", dims)
