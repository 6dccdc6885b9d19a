"""Quantized weights become the numbers that their codes and scales stand for.

The packers are written from the formats' descriptions, a code at a time.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.integrations.mxfp4 import FP4_VALUES

from builders.checkpoint import Checkpoint
from builders.cpu_llm import is_quantized
from builders.dequantize import write_dequantized
from builders.errors import BuildError
from builders.spec import ModelSpec, SamplingSpec

OUT, IN, GROUP = 16, 64, 32
NAME = "model.layers.0.mlp.up_proj.weight"
BASE = NAME.removesuffix(".weight")
SPEC = ModelSpec(
    name="mine", role="llm", source="there", max_tokens=64, sampling=SamplingSpec(max_tokens=8)
)
torch.manual_seed(0)
CODES = torch.randint(0, 16, (OUT, IN), dtype=torch.int32)
ZEROS = torch.randint(1, 15, (OUT, IN // GROUP), dtype=torch.int32)
SCALES = torch.rand(OUT, IN // GROUP).to(torch.float16)
GROUP_OF = torch.arange(IN) // GROUP

Tensors = dict[str, torch.Tensor]


def valued(zeros: torch.Tensor, groups: torch.Tensor = GROUP_OF) -> torch.Tensor:
    return (CODES - zeros[:, groups]) * SCALES[:, groups].float()


def packed(
    codes: torch.Tensor, order: tuple[int, ...] = tuple(range(8)), bits: int = 4
) -> torch.Tensor:
    """Neighbours of a row in 32 bits: the one at order[i] in the bits from bits * i."""
    count = 32 // bits
    rows = [[0] * (codes.shape[1] // count) for _ in codes]
    for r, row in enumerate(codes.tolist()):
        for c in range(len(row) // count):
            places = enumerate(order[:count])
            rows[r][c] = sum(row[count * c + column] << (bits * i) for i, column in places)
    return torch.tensor(rows, dtype=torch.int64).to(torch.int32)  # the highest bit is the sign


def gptq(is_v2: bool, bits: int = 4) -> tuple[dict[str, object], Tensors, torch.Tensor]:
    groups = GROUP_OF[torch.randperm(IN)]
    stored = ZEROS if is_v2 else ZEROS - 1
    weights = {
        f"{BASE}.qweight": packed(CODES << (bits - 4), bits=bits).t().contiguous(),
        f"{BASE}.qzeros": packed(stored.t(), bits=bits),
        f"{BASE}.scales": SCALES.t().contiguous(),
        f"{BASE}.g_idx": groups.to(torch.int32),
    }
    form = {"checkpoint_format": "gptq_v2"} if is_v2 else {}
    expected = ((CODES << (bits - 4)) - ZEROS[:, groups]) * SCALES[:, groups].float()
    return {"quant_method": "gptq", "bits": bits} | form, weights, expected


def awq() -> tuple[dict[str, object], Tensors, torch.Tensor]:
    order = (0, 2, 4, 6, 1, 3, 5, 7)
    weights = {
        f"{BASE}.qweight": packed(CODES.t(), order),
        f"{BASE}.qzeros": packed(ZEROS.t(), order),
        f"{BASE}.scales": SCALES.t().contiguous(),
    }
    return {"quant_method": "awq", "bits": 4, "version": "GEMM"}, weights, valued(ZEROS)


def pack_quantized(has_zeros: bool) -> tuple[dict[str, object], Tensors, torch.Tensor]:
    weights = {
        f"{BASE}.weight_packed": packed(CODES),
        f"{BASE}.weight_scale": SCALES,
        f"{BASE}.weight_shape": torch.tensor([OUT, IN]),
    }
    if has_zeros:
        weights[f"{BASE}.weight_zero_point"] = packed(ZEROS.t()).t().contiguous()
    zeros = ZEROS if has_zeros else torch.full_like(ZEROS, 8)
    return (
        {"quant_method": "compressed-tensors", "format": "pack-quantized"},
        weights,
        valued(zeros),
    )


def eight_bits(
    kind: str, dtype: torch.dtype, shape: tuple[int, ...], ending: str, **more: object
) -> tuple[dict[str, object], Tensors, torch.Tensor]:
    codes = (torch.randn(200, 72) * 20).to(dtype)
    scales = torch.rand(shape) + 0.5
    weights = {NAME: codes, f"{NAME}{ending}": scales, f"{BASE}.input_scale": torch.ones(())}
    if shape == (2, 1):
        scales = torch.cat([scales[:1].expand(128, 1), scales[1:].expand(72, 1)])
    return {"quant_method": kind, **more}, weights, codes.float() * scales


def mxfp4() -> tuple[dict[str, object], Tensors, torch.Tensor]:
    codes = torch.randint(0, 16, (2, 8, 1, 32))
    exponents = torch.randint(125, 130, (2, 8, 1))
    values = torch.tensor(FP4_VALUES)[codes] * 2.0 ** (exponents[..., None] - 127)
    name = "model.layers.0.mlp.experts.gate_up_proj"
    weights = {
        f"{name}_blocks": (codes[..., ::2] + 16 * codes[..., 1::2]).to(torch.uint8),
        f"{name}_scales": exponents.to(torch.uint8),
    }
    return {"quant_method": "mxfp4"}, weights, values.flatten(2).transpose(1, 2)


BLOCK = {"weight_block_size": [128, 128]}
GROUPS = {"config_groups": {"group_0": {"weights": {"block_structure": [128, 128]}}}}
FP8, INT8 = torch.float8_e4m3fn, torch.int8
CT = "compressed-tensors"


@pytest.mark.parametrize(
    ("notes", "weights", "expected"),
    [
        pytest.param(*gptq(False), id="GPTQ, groups in any order"),
        pytest.param(*gptq(True), id="GPTQ v2"),
        pytest.param(*gptq(False, bits=8), id="GPTQ, 8 bits"),
        pytest.param(*awq(), id="AWQ"),
        pytest.param(*pack_quantized(False), id="W4A16"),
        pytest.param(*pack_quantized(True), id="W4A16 with zeros"),
        pytest.param(*eight_bits("fp8", FP8, (2, 1), "_scale_inv", **BLOCK), id="FP8 blocks"),
        pytest.param(*eight_bits("fp8", FP8, (), "_scale_inv"), id="FP8 a tensor"),
        pytest.param(*eight_bits("modelopt", FP8, (1,), "_scale", quant_algo="FP8"), id="ModelOpt"),
        pytest.param(
            *eight_bits(CT, FP8, (200, 1), "_scale", format="float-quantized"), id="FP8 a row"
        ),
        pytest.param(
            *eight_bits(CT, FP8, (2, 1), "_scale", format="float-quantized", **GROUPS),
            id="FP8 blocks of compressed-tensors",
        ),
        pytest.param(
            *eight_bits(CT, INT8, (200, 1), "_scale", format="int-quantized"), id="INT8 a row"
        ),
        pytest.param(*mxfp4(), id="MXFP4"),
    ],
)
def test_a_weight_is_the_number_that_its_code_stands_for(tmp_path, notes, weights, expected):
    """Codes and scales may lie in different files, other weights stay what they are.

    Mistral's checkpoints hold the same weights once more, under names of its own.
    """
    source = folder(tmp_path, {"model_type": "llama", "quantization_config": notes})
    norm = {"model.norm.weight": torch.ones(3, dtype=torch.bfloat16)}
    places = {}
    for number, (name, values) in enumerate((weights | norm).items()):
        places[name] = f"model-{number}.safetensors"
        save_file({name: values}, source.path / places[name])
    index = {"metadata": {}, "weight_map": places}
    (source.path / "model.safetensors.index.json").write_text(json.dumps(index))
    save_file({"norm.weight": torch.ones(3)}, source.path / "consolidated.safetensors")
    assert is_quantized(SPEC, source)
    (made := tmp_path / "made").mkdir()
    write_dequantized(SPEC, source, made)
    found = {n: v for file in made.glob("*.safetensors") for n, v in load_file(file).items()}
    assert torch.equal(found.pop("model.norm.weight"), norm["model.norm.weight"])
    ((name, values),) = found.items()
    assert name in (NAME, "model.layers.0.mlp.experts.gate_up_proj")
    assert values.dtype.itemsize == 2
    torch.testing.assert_close(values.float(), expected.to(values.dtype).float(), rtol=0, atol=0)
    assert json.loads((made / "config.json").read_text()) == {"model_type": "llama"}


def folder(path: Path, config: dict[str, object]) -> Checkpoint:
    (path / "source").mkdir()
    (path / "source" / "config.json").write_text(json.dumps(config))
    return Checkpoint(path / "source", "")


def test_plain_weights_are_not_quantized(tmp_path):
    assert not is_quantized(SPEC, folder(tmp_path, {"model_type": "llama"}))


def test_nvidias_older_notes_are_read(tmp_path):
    source = folder(tmp_path, {"model_type": "llama"})
    noted = source.path / "hf_quant_config.json"
    noted.write_text('{"quantization": {"quant_algo": "FP8"}}')
    assert is_quantized(SPEC, source)
    noted.write_text('{"quantization": {"quant_algo": "NVFP4"}}')
    with pytest.raises(BuildError, match=r"are quantized \(modelopt, quant_algo NVFP4\)"):
        is_quantized(SPEC, source)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, r"\(bitsandbytes\)"),
        ({"quantization": {"bits": 4}}, r"\(MLX\)"),
        ({"quantization_config": {"quant_method": "awq", "version": "gemv"}}, "version gemv"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 3}}, "gptq, bits 3"),
        (
            {"quantization_config": {"quant_method": CT, "format": "nvfp4-pack-quantized"}},
            "format nvfp4-pack-quantized",
        ),
    ],
)
def test_other_ways_to_quantize_are_refused_by_name(tmp_path, config, says):
    with pytest.raises(BuildError, match=f"{says}.*possible: one by awq, .*, or the original"):
        is_quantized(SPEC, folder(tmp_path, config))


def test_a_code_without_a_scale_is_named(tmp_path):
    config = {"quantization_config": {"quant_method": "fp8"}}
    source = folder(tmp_path, config)
    save_file({NAME: torch.ones(2, 2).to(FP8)}, source.path / "model.safetensors")
    (made := tmp_path / "made").mkdir()
    with pytest.raises(BuildError, match=r"turned back: ValueError: .*up_proj\.weight is torch"):
        write_dequantized(SPEC, source, made)
