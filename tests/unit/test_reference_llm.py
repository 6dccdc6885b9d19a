"""The reference LLM made larger: what it had learned is there from the first step."""

from dataclasses import replace
from random import Random

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE

from builders.reference.llama import Llama, Shape
from builders.reference.llm_checkpoint import blend_weights, load_weights, save_checkpoint
from builders.reference.llm_data import repetition, stack

SMALL = Shape(width=16, inner=24, heads=2)
LARGE = replace(SMALL, layers=6, inner=40)


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """A small model and the folder that it was saved to."""
    monkeypatch.setattr("builders.reference.llm_checkpoint.save_tokenizer", lambda *_: None)
    torch.manual_seed(1)
    model = Llama(SMALL)
    save_checkpoint(model, Tokenizer(BPE()), tmp_path)
    return model, tmp_path


def answers(model: Llama) -> list[float]:
    """The losses to which no probe belongs."""
    with torch.no_grad():
        losses = model(stack([repetition(Random(n), 12) for n in range(4)]))
    return [float(losses.answer), float(losses.copying), losses.accuracy]


def test_a_larger_model_answers_as_the_small_one_did(saved):
    small, folder = saved
    large = Llama(LARGE)
    assert answers(large) != pytest.approx(answers(small), abs=1e-3)
    load_weights(large, folder)
    assert answers(large) == pytest.approx(answers(small), abs=1e-5)


def test_what_is_new_learns(saved):
    _, folder = saved
    large = Llama(LARGE)
    load_weights(large, folder)
    large(stack([repetition(Random(0), 12)])).answer.backward()
    new = large.layers[1]
    assert new.self_attn.o_proj.weight.grad.abs().sum() > 0
    assert large.layers[0].mlp.down_proj.weight.grad[:, SMALL.inner :].abs().sum() > 0


def test_the_mean_of_two_models(saved):
    small, _ = saved
    before = {name: tensor.clone() for name, tensor in small.state_dict().items()}
    with torch.no_grad():
        small.norm.weight.add_(1.0)
    blend_weights(small, before, 0.8)
    assert torch.allclose(small.norm.weight, before["norm.weight"] + 0.8)
