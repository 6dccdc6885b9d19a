"""A compact Llama for training, weight for weight the one of `transformers`.

While training, some heads are shown where to look: in the taught layer one at the place in the
context the next token is copied from and one at the place where the answer's value begins; in the
layer before, one that looks from a fact's value at its entity's name. Two probes, not saved, have
the layers below know in which passage a token stands and of which attribute it is the value. Left
to itself, a model this small spends most of its training before it finds that copying pays at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from builders.reference.llm_data import NONE, Batch

ROPE_THETA = 10000.0
NORM_EPSILON = 1e-5
MOST_PASSAGES = 5


@dataclass(frozen=True)
class Shape:
    """Sizes of the model."""

    vocabulary: int = 1024
    width: int = 128
    layers: int = 4
    heads: int = 4
    inner: int = 384
    taught_layer: int = 2
    attributes: int = 64

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.width // self.heads


def _rotation(positions: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each position, both [batch, 1, tokens, head_dim]."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    angles = positions.float()[:, None, :, None] * ROPE_THETA**-exponents
    both = torch.cat((angles, angles), dim=-1)
    return both.cos(), both.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def visible(segments: Tensor) -> Tensor:
    """Which token sees which, [batch, 1, tokens, tokens]: the context and its own segment."""
    length = segments.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool).tril()
    same = segments[:, :, None] == segments[:, None, :]
    return ((same | (segments[:, None, :] == 0)) & earlier)[:, None]


class Attention(nn.Module):  # type: ignore[misc]
    """Self-attention with rotary positions; returns its queries and keys for the teaching."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.q_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.k_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.v_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.o_proj = nn.Linear(shape.width, shape.width, bias=False)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(
        self, x: Tensor, rotation: tuple[Tensor, Tensor], bias: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """[batch, tokens, width] -> the same, and queries and keys [batch, heads, tokens, dim]."""
        q = _rotate(self._split(self.q_proj(x)), *rotation)
        k = _rotate(self._split(self.k_proj(x)), *rotation)
        v = self._split(self.v_proj(x))
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.o_proj(mixed.transpose(1, 2).flatten(2)), q, k


class Mlp(nn.Module):  # type: ignore[misc]
    """The gated feed-forward part."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.inner, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.inner, bias=False)
        self.down_proj = nn.Linear(shape.inner, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, tokens, width] -> the same."""
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):  # type: ignore[misc]
    """One transformer layer, named as in `transformers`."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.width, eps=NORM_EPSILON)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = nn.RMSNorm(shape.width, eps=NORM_EPSILON)
        self.mlp = Mlp(shape)

    def forward(
        self, x: Tensor, rotation: tuple[Tensor, Tensor], bias: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """[batch, tokens, width] -> the same, and the layer's queries and keys."""
        mixed, q, k = self.self_attn(self.input_layernorm(x), rotation, bias)
        x = x + mixed
        return x + self.mlp(self.post_attention_layernorm(x)), q, k


@dataclass(frozen=True)
class Losses:
    """The parts of the training loss (scalars) and the share of answer tokens foretold right."""

    answer: Tensor
    copying: Tensor
    looking: Tensor
    naming: Tensor
    valuing: Tensor
    passage: Tensor
    attribute: Tensor
    accuracy: float


def _mean_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy over the positions that have a target; 0 where none has."""
    if not bool((targets != NONE).any()):
        return torch.zeros(())
    return functional.cross_entropy(
        scores.flatten(0, -2).float(), targets.flatten(), ignore_index=NONE
    )


class Llama(nn.Module):  # type: ignore[misc]
    """The language model: embedding tied to the output."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=NORM_EPSILON)
        self.passage_probe = nn.Linear(shape.width, MOST_PASSAGES + 1)
        self.attribute_probe = nn.Linear(shape.width, shape.attributes)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.06)
        # The layers' outputs would drown smaller embeddings, and with them what is to be copied.
        nn.init.normal_(self.embed_tokens.weight, std=0.15)

    def forward(self, batch: Batch) -> Losses:
        """The losses of one batch."""
        seen = visible(batch.segments)
        bias = torch.zeros(seen.shape).masked_fill_(~seen, float("-inf"))
        # A padding token sees nothing; without itself its softmax would be undefined.
        bias.diagonal(dim1=-2, dim2=-1).zero_()
        rotation = _rotation(batch.positions, self.shape.head_dim)
        x = self.embed_tokens(batch.tokens)
        states, heads = [x], []
        for layer in self.layers:
            x, q, k = layer(x, rotation, bias)
            states.append(x)
            heads.append((q, k))
        return self._losses(batch, bias, states, heads)

    def _losses(
        self,
        batch: Batch,
        bias: Tensor,
        states: list[Tensor],
        heads: list[tuple[Tensor, Tensor]],
    ) -> Losses:
        """The losses, from every layer's input (and the last one's output), queries and keys."""
        tail, taught = batch.context, self.shape.taught_layer
        targets = batch.targets[:, tail:]
        logits = self.norm(states[-1][:, tail:]) @ self.embed_tokens.weight.T
        q, k = heads[taught]
        sharpness = self.shape.head_dim**-0.5
        scores = q[:, :2, tail:] @ k[:, :2].mT * sharpness + bias[:, :, tail:]
        q, k = heads[taught - 1]
        later = torch.arange(k.shape[2]) > batch.facts[..., None]
        naming, valuing = (
            (_rows(q[:, head], batch.facts) @ k[:, head].mT * sharpness).masked_fill(
                later, float("-inf")
            )
            for head in (0, 1)
        )
        return Losses(
            answer=_mean_loss(logits, targets),
            copying=_mean_loss(scores[:, 0], batch.copied_from[:, tail:]),
            looking=_mean_loss(scores[:, 1], batch.told_at[:, tail:]),
            naming=_mean_loss(naming, batch.fact_name),
            valuing=_mean_loss(valuing, batch.fact_value),
            passage=_mean_loss(self.passage_probe(states[taught]), batch.passage),
            attribute=_mean_loss(
                self.attribute_probe(_rows(states[taught], batch.facts)), batch.fact_attribute
            ),
            accuracy=float((logits.argmax(-1) == targets).sum() / (targets != NONE).sum()),
        )


def _rows(x: Tensor, places: Tensor) -> Tensor:
    """The rows of x [batch, tokens, width] at places [batch, n]: [batch, n, width]."""
    return x.gather(1, places[..., None].expand(-1, -1, x.shape[-1]))
