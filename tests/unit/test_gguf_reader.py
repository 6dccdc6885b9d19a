"""GGUF files: values against reference decoders, and damage of every kind."""

import random
import struct

import numpy as np
import pytest

from builders.errors import GgufError
from builders.gguf.reader import read_gguf
from tests.fakes import gguf_files

FIELDS = {"general.name": "tiny", "a.list": ["x", "yz"], "a.numbers": [3, -1], "a.float": 0.5}


def half(raw: bytes) -> float:
    return struct.unpack("<e", raw)[0]


# Each decodes one block of ggml's block_* structs (ggml-common.h), value by value.


def q8_0(block: bytes) -> list[float]:
    return [half(block[:2]) * struct.unpack("b", block[2 + i : 3 + i])[0] for i in range(32)]


def nibbles(raw: bytes) -> list[int]:
    return [byte & 15 for byte in raw] + [byte >> 4 for byte in raw]


def q4_0(block: bytes) -> list[float]:
    return [half(block[:2]) * (q - 8) for q in nibbles(block[2:])]


def q4_1(block: bytes) -> list[float]:
    return [half(block[:2]) * q + half(block[2:4]) for q in nibbles(block[4:])]


def fifth_bits(raw: bytes) -> list[int]:
    (bits,) = struct.unpack("<I", raw)
    return [(bits >> i & 1) << 4 for i in range(32)]


def q5_0(block: bytes) -> list[float]:
    low, high = nibbles(block[6:]), fifth_bits(block[2:6])
    return [half(block[:2]) * ((a | b) - 16) for a, b in zip(low, high, strict=True)]


def q5_1(block: bytes) -> list[float]:
    low, high = nibbles(block[8:]), fifth_bits(block[4:8])
    return [half(block[:2]) * (a | b) + half(block[2:4]) for a, b in zip(low, high, strict=True)]


def six_bit_pair(j: int, raw: bytes) -> tuple[int, int]:
    """Scale and minimum of sub-block j (get_scale_min_k4)."""
    if j < 4:
        return raw[j] & 63, raw[j + 4] & 63
    return (
        (raw[j + 4] & 15) | (raw[j - 4] >> 6) << 4,
        (raw[j + 4] >> 4) | (raw[j] >> 6) << 4,
    )


def q4_k(block: bytes, high: bytes = bytes(32), at: int = 16) -> list[float]:
    values = []
    for j in range(8):
        scale, low = six_bit_pair(j, block[4:16])
        raw = block[at + 32 * (j // 2) : at + 32 * (j // 2) + 32]
        for i, byte in enumerate(raw):
            quant = (byte >> 4 if j % 2 else byte & 15) + ((high[i] >> j & 1) << 4)
            values.append(half(block[:2]) * scale * quant - half(block[2:4]) * low)
    return values


def q5_k(block: bytes) -> list[float]:
    return q4_k(block, block[16:48], 48)


def q6_k(block: bytes) -> list[float]:
    values = [0.0] * 256
    for n, i in ((n, i) for n in range(2) for i in range(32)):
        low, high = block[64 * n :], block[128 + 32 * n + i]
        for part in range(4):
            byte = low[i + 32 * (part % 2)]
            quant = (byte >> 4 if part > 1 else byte & 15) | (high >> 2 * part & 3) << 4
            scale = struct.unpack("b", block[192 + 8 * n + 2 * part + i // 16 :][:1])[0]
            values[128 * n + 32 * part + i] = half(block[208:]) * scale * (quant - 32)
    return values


BLOCKS = {
    "F32": (4, lambda raw: struct.unpack("<f", raw), ()),
    "F16": (2, lambda raw: [half(raw)], ()),
    "BF16": (2, lambda raw: struct.unpack("<f", b"\0\0" + raw), ()),
    "Q8_0": (34, q8_0, (0,)),
    "Q4_0": (18, q4_0, (0,)),
    "Q4_1": (20, q4_1, (0, 2)),
    "Q5_0": (22, q5_0, (0,)),
    "Q5_1": (24, q5_1, (0, 2)),
    "Q4_K": (144, q4_k, (0, 2)),
    "Q5_K": (176, q5_k, (0, 2)),
    "Q6_K": (210, q6_k, (208,)),
}
"""Bytes of a block, its decoder, and where it holds float16."""


@pytest.mark.parametrize("kind", BLOCKS)
def test_every_kind_decodes_to_the_reference_values(tmp_path, kind):
    size, decode, halves = BLOCKS[kind]
    chance = random.Random(kind)
    blocks = []
    for _ in range(6):
        block = bytearray(chance.randbytes(size))
        for at in halves:
            block[at : at + 2] = struct.pack("<e", chance.uniform(-2, 2))
        if not halves:  # any bytes would also be infinities
            block[-1] &= 0x3F
        blocks.append(bytes(block))
    expected = np.array([decode(block) for block in blocks], np.float32).reshape(3, -1)
    tensors = {
        "first": gguf_files.floats(np.ones(3)),
        "t": (kind, expected.shape, b"".join(blocks)),
    }
    decoded = read_gguf(gguf_files.write(tmp_path / "x.gguf", {}, tensors)).decode("t")
    assert decoded.shape == expected.shape
    np.testing.assert_allclose(decoded, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("version", [2, 3])
def test_fields_are_read_with_their_types(tmp_path, version):
    fields = read_gguf(gguf_files.write(tmp_path / "x.gguf", FIELDS, {}, version))
    assert fields.read("general.name", str) == "tiny"
    assert fields.read_list("a.list", str) == ["x", "yz"]
    assert fields.read_list("a.numbers", int) == [3, -1]
    assert fields.read("a.float", float) == 0.5
    assert fields.read("absent", int, 7) == 7
    with pytest.raises(GgufError, match="field 'absent' is missing"):
        fields.read("absent", int)
    with pytest.raises(GgufError, match=r"field 'a\.list' is a list; possible: one int"):
        fields.read("a.list", int)
    with pytest.raises(GgufError, match=r"field 'general\.name' is not a list of str"):
        fields.read_list("general.name", str)


def refusal(path) -> str:
    with pytest.raises(GgufError) as caught:
        read_gguf(path)
    return str(caught.value)


def sample(tmp_path):
    tensors = {"one": gguf_files.floats(np.ones((2, 4))), "two": gguf_files.floats(np.ones(5))}
    return gguf_files.write(tmp_path / "x.gguf", FIELDS, tensors)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = sample(tmp_path)
    whole = path.read_bytes()
    needed = len(whole) - 12  # the last tensor's padding
    for length in range(needed):
        path.write_bytes(whole[:length])
        message = refusal(path)
        assert message.startswith("it is no GGUF, damaged or cut short (")
        assert "\n" not in message
    path.write_bytes(whole[:needed])
    assert read_gguf(path).decode("two").tolist() == [1] * 5


def test_files_of_other_machines_and_versions_are_refused(tmp_path):
    path = gguf_files.write(tmp_path / "x.gguf", {}, {}, version=1)
    assert "version 1" in refusal(path)
    gguf_files.write(path, {}, {}, version=3 << 24)  # 3 as a big-endian machine writes it
    assert refusal(path) == "it is big-endian; possible: little-endian"


def test_a_tensor_that_can_not_be_decoded_is_named(tmp_path):
    path = gguf_files.write(tmp_path / "x.gguf", {}, {"blk.0.w": ("Q8_K", (256,), bytes(292))})
    with pytest.raises(GgufError, match=r"tensor 'blk\.0\.w' is of kind Q8_K, which the package"):
        read_gguf(path).decode("blk.0.w")
