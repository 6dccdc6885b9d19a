"""ONNX files are read for their ends, and never make the linter fail."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from triton_lint.onnx_file import FileTensor, read_onnx


def field(number: int, content: bytes | int) -> bytes:
    """A protobuf field: bytes, or a number."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def tensor(name: str, kind: int, *dims: int | str) -> bytes:
    """A ValueInfoProto; a size given as text is symbolic."""
    sizes = b"".join(
        field(1, field(1, size) if isinstance(size, int) else field(2, size.encode()))
        for size in dims
    )
    return field(1, name.encode()) + field(2, field(1, field(1, kind) + field(2, sizes)))


def graph(*parts: bytes) -> bytes:
    return field(1, 8) + field(7, b"".join(parts))


def test_ends(tmp_path: Path) -> None:
    weights = field(1, 4) + field(8, b"weight") + field(9, bytes(100_000))
    data = graph(
        field(1, b"a node" * 50),
        field(5, weights),
        field(11, tensor("x", 1, "batch", 3, 224)),
        field(11, tensor("weight", 1, 4)),
        field(11, tensor("ids", 7, 0)),
        field(12, tensor("y", 10)),
    )
    (tmp_path / "model.onnx").write_bytes(data)
    found = read_onnx(tmp_path / "model.onnx")
    assert found is not None
    assert found.inputs == (
        FileTensor("x", "TYPE_FP32", (-1, 3, 224)),
        FileTensor("ids", "TYPE_INT64", (-1,)),
    )
    assert found.outputs == (FileTensor("y", "TYPE_FP16", ()),)
    assert found.others == {"weight"}


def test_what_is_no_onnx_is_not_judged(tmp_path: Path) -> None:
    for content in (b"", b"x", b"version https://git-lfs.github.com/spec/v1\n", bytes(1000)):
        (tmp_path / "model.onnx").write_bytes(content)
        assert read_onnx(tmp_path / "model.onnx") is None
    assert read_onnx(tmp_path / "none.onnx") is None
    assert read_onnx(tmp_path) is None


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=120), st.integers(0, 200))
def test_junk_never_fails(tmp_path: Path, junk: bytes, cut: int) -> None:
    whole = graph(field(11, tensor("x", 1, "n", 3)), field(12, tensor("y", 1, 3)))
    for content in (junk, whole[:cut], whole[:cut] + junk, field(7, junk)):
        (tmp_path / "model.onnx").write_bytes(content)
        read_onnx(tmp_path / "model.onnx")
