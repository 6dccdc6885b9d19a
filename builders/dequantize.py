"""An LLM's quantized weights as plain numbers: the export to OpenVINO takes no others.

The exported model computes with the quantized weights: each is the number that its code and scale
encode. Activations stay floats, also where the checkpoint would quantize them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from builders.build_resources import check_disk
from builders.checkpoint import Checkpoint
from builders.checkpoint_files import weight_files
from builders.checkpoint_kind import QUANTIZATION
from builders.conversion import copy_others
from builders.converted import write_weights
from builders.errors import refusing
from builders.spec import ModelSpec

_GROWS = 4
"""Growth of the weights, at most: a 4-bit weight becomes a 16-bit one."""

_AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
"""Order of 8 neighbouring codes inside 32 bits, as AWQ's kernel needs it."""

_BESIDE = (
    *("qzeros", "g_idx", "scales", "weight_shape", "weight_zero_point", "weight_g_idx"),
    *("weight_scale", "weight_scale_inv"),
    *("input_scale", "activation_scale", "output_scale", "q_scale", "k_scale", "v_scale"),
)
"""Last parts of the names of tensors that describe another weight, or that quantize activations and
the KV cache."""


def write_dequantized(spec: ModelSpec, checkpoint: Checkpoint, to: Path) -> None:
    """Write the checkpoint with plain weights, file by file. Raises `BuildError` or `OSError`."""
    check_disk(to, _GROWS * checkpoint.size_bytes)
    copy_others(checkpoint.path, to, writes_weights=True)
    plain = {name: v for name, v in checkpoint.config().items() if name not in QUANTIZATION}
    (to / "config.json").write_text(json.dumps(plain, indent=2), encoding="utf-8")
    files: list[Any] = [safe_open(file, "pt") for file in weight_files(checkpoint.path)]
    holders = {name: file for file in files for name in file.keys()}  # noqa: SIM118
    weights = _Weights(checkpoint.quantization(), holders)
    with refusing(spec, "its quantized weights can't be turned back"):
        shards = (dict(filter(None, map(weights.plain, file.keys()))) for file in files)
        write_weights(to, shards, save_file)


@dataclass(frozen=True)
class _Weights:
    """`files` are the open files, by the names of the tensors that they hold."""

    notes: Mapping[str, Any]
    files: Mapping[str, Any]

    def plain(self, name: str) -> tuple[str, torch.Tensor] | None:
        """A weight's name and values; None for a tensor that only describes another one."""
        base, _, kind = name.rpartition(".")
        of = name.removesuffix("_inv").removesuffix("_scale")
        if kind in _BESIDE or (of != name and of in self.files):
            return None
        if kind in ("qweight", "weight_packed"):
            packed = {"qweight": self._gptq, "weight_packed": self._packed}[kind]
            return f"{base}.weight", packed(base).contiguous()
        if (
            name.endswith(("_blocks", "_scales"))
            and (scales := f"{name[:-7]}_scales") in self.files
        ):
            if name == scales:
                return None
            values = convert_moe_packed_tensors(self._read(name), self._read(scales))
            return name[:-7], values.contiguous()
        return name, self._scaled(name)

    def _read(self, name: str) -> torch.Tensor:
        values: torch.Tensor = self.files[name].get_tensor(name)
        return values

    def _scaled(self, name: str) -> torch.Tensor:
        """Codes [..., out, in] of 8 bits times their scales: one, one per row, or one per block."""
        values = self._read(name)
        if values.dtype.itemsize > 1:
            return values
        found = [end for end in ("_scale_inv", "_scale") if name + end in self.files]
        if not found:
            raise ValueError(f"{name} is {values.dtype} without a scale")
        scales = self._read(name + found[0]).to(torch.float32)
        groups = (self.notes.get("config_groups") or {}).values()  # of compressed-tensors
        named = [(group.get("weights") or {}).get("block_structure") for group in groups]
        blocks: Any = self.notes.get("weight_block_size") or next(filter(None, named), None)
        for dim in (-2, -1) if blocks and scales.dim() == values.dim() else ():
            scales = scales.repeat_interleave(blocks[dim], dim).narrow(dim, 0, values.shape[dim])
        if scales.dim() == 1 and len(scales) > 1:
            scales = scales[:, None]
        codes = values.to(torch.float32)
        if f"{name}_zero_point" in self.files:
            codes = codes - self._read(f"{name}_zero_point").to(torch.float32)
        return (codes * scales).to(torch.bfloat16)

    def _gptq(self, base: str) -> torch.Tensor:
        """GPTQ packs codes along the inputs [in/8, out], AWQ along the outputs [in, out/8]."""
        packed, zeros = self._read(f"{base}.qweight"), self._read(f"{base}.qzeros")
        scales, bits = self._read(f"{base}.scales").t(), int(self.notes["bits"])
        if self.notes["quant_method"] == "awq":
            codes, zeros = (_codes(part, bits, _AWQ_ORDER) for part in (packed, zeros))
            return _values(codes.t(), zeros.t(), scales)
        zeros = _codes(zeros, bits)
        if self.notes.get("checkpoint_format") != "gptq_v2":  # gptq stores zeros minus 1
            zeros = (zeros + 1) & (2**bits - 1)
        groups = self._read(f"{base}.g_idx") if f"{base}.g_idx" in self.files else None
        return _values(_codes(packed.t(), bits), zeros.t(), scales, groups)

    def _packed(self, base: str) -> torch.Tensor:
        """compressed-tensors packs codes along the inputs [out, in/8], zeros along the outputs."""
        packed, scales = self._read(f"{base}.weight_packed"), self._read(f"{base}.weight_scale")
        height, width = self._read(f"{base}.weight_shape").tolist()
        bits = 32 * packed.shape[1] // width
        zeros = torch.tensor([[2 ** (bits - 1)]])
        if (name := f"{base}.weight_zero_point") in self.files:
            zeros = _codes(self._read(name).t(), bits).t()[:height]
        named = f"{base}.weight_g_idx"
        groups = self._read(named) if named in self.files else None
        return _values(_codes(packed, bits)[:, :width], zeros, scales, groups)


def _codes(packed: torch.Tensor, bits: int, order: tuple[int, ...] = ()) -> torch.Tensor:
    """[rows, columns] of 32 bits to [rows, columns * 32 / bits], the lowest bits first."""
    shifts = torch.arange(0, 32, bits, dtype=torch.int32)
    if order:
        shifts = shifts[list(order)]
    return ((packed[:, :, None] >> shifts) & (2**bits - 1)).flatten(1)


def _values(
    codes: torch.Tensor,
    zeros: torch.Tensor,
    scales: torch.Tensor,
    groups: torch.Tensor | None = None,
) -> torch.Tensor:
    """The weights [out, in]; zeros and scales are [out, groups], `groups` is the group by input."""
    width = codes.shape[1]
    if groups is None or int(groups.min()) < 0:
        groups = torch.arange(width) // -(-width // scales.shape[1])
    zeros = zeros.expand(-1, scales.shape[1])
    return ((codes - zeros[:, groups]) * scales[:, groups].to(torch.float32)).to(scales.dtype)
