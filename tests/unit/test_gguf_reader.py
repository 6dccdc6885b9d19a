"""GGUF files: values against reference decoders, and damage of every kind."""

import random
import struct

import numpy as np
import pytest

from builders.gguf.reader import GgufError, read_gguf
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
    decoded = read_gguf(gguf_files.write(tmp_path / "x.gguf", {}, tensors)).tensors["t"].decode()
    assert decoded.shape == expected.shape
    np.testing.assert_allclose(decoded, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("version", [2, 3])
def test_fields_are_read_with_their_types(tmp_path, version):
    fields = read_gguf(gguf_files.write(tmp_path / "x.gguf", FIELDS, {}, version)).fields
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
        assert "\n" not in refusal(path)
    path.write_bytes(whole[:needed])
    assert read_gguf(path).tensors["two"].decode().tolist() == [1] * 5
    path.write_bytes(whole[: needed - 1])
    assert refusal(path) == (
        f"it is cut short: tensor 'two' ends at byte {needed}, the file at {needed - 1}"
    )


def test_damaged_bytes_are_refused_in_a_sentence_or_harmless(tmp_path):
    path = sample(tmp_path)
    whole, chance = path.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(whole))] = chance.choice((0, 1, 9, 255))
        path.write_bytes(damaged)
        try:
            for tensor in read_gguf(path).tensors.values():
                tensor.decode()
        except GgufError:
            refused += 1
    assert refused > 100


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"")
    assert refusal(path) == "it is empty"
    path.write_bytes(b"PK\3\4" * 20)
    assert refusal(path) == "it begins with b'PK\\x03\\x04'; a GGUF begins with b'GGUF'"
    gguf_files.write(path, {}, {}, version=1)
    assert refusal(path) == "GGUF version 1; possible: 2 and 3, little-endian"
    gguf_files.write(path, {}, {}, version=3 << 24)  # 3 as a big-endian machine writes it
    assert "little-endian" in refusal(path)


@pytest.mark.parametrize("name", ["a\nb", "x" * 201])
def test_what_is_no_name_is_not_repeated(tmp_path, name):
    path = gguf_files.write(tmp_path / "x.gguf", {"first": 1, name: 2}, {})
    assert refusal(path) == "it is damaged: after 'first' comes no name"


def test_a_tensor_of_an_unknown_kind_is_named(tmp_path):
    path = gguf_files.write(tmp_path / "x.gguf", {}, {"blk.0.w": ("Q8_K", (256,), bytes(292))})
    message = refusal(path)
    assert message.startswith("tensor 'blk.0.w' is of kind Q8_K; possible: F32, F16, Q4_0")
    raw = path.read_bytes().replace(struct.pack("<I", 15), struct.pack("<I", 250))
    path.write_bytes(raw)
    assert refusal(path) == "tensor 'blk.0.w' is of the unknown kind 250"


def test_rows_that_no_blocks_fill_are_refused(tmp_path):
    path = gguf_files.write(tmp_path / "x.gguf", {}, {"w": ("Q8_0", (2, 33), bytes(100))})
    assert refusal(path) == (
        "it is damaged: tensor 'w' of kind Q8_0 has the shape [2, 33], not rows of 32 values"
    )
