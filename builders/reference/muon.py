"""Muon: steps of even strength in every direction of a weight matrix.

The momentum of a matrix is replaced by the nearest orthogonal matrix, found with five
Newton-Schulz rounds. With AdamW alone this model needs several times the steps to learn copying.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def orthogonal(matrix: Tensor, rounds: int = 5) -> Tensor:
    """About the nearest matrix with singular values near 1; same shape [rows, columns]."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(rounds):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):  # type: ignore[misc]
    """Momentum, made orthogonal, with weight decay; for matrices only."""

    def __init__(
        self,
        matrices: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: None = None) -> None:
        """Apply one update."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._update(matrix, group)

    def _update(self, matrix: Tensor, group: dict[str, float]) -> None:
        state = self.state[matrix]
        velocity = state.setdefault("velocity", torch.zeros_like(matrix))
        velocity.lerp_(matrix.grad, 1 - group["momentum"])
        direction = orthogonal(matrix.grad.lerp(velocity, group["momentum"]))
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        # Steps of the same size per entry whatever the shape: what AdamW's rates are tuned for.
        scale = 0.2 * max(matrix.shape) ** 0.5
        matrix.add_(direction, alpha=-group["lr"] * scale)
