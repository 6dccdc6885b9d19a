"""Which answers of an engine agree with transformers' logits."""

import re
from contextlib import nullcontext
from unittest import mock

import numpy as np
import pytest

from builders.checkpoint import Checkpoint
from builders.errors import BuildError, refusing
from builders.llm_reference import (
    TOLERANCES,
    check_rows,
    check_weights,
    compare,
    distance,
    load_whole,
)
from builders.spec import ModelSpec, SamplingSpec

LOGITS = np.array([[0, 9, 8.99, -3], [9, 0, 0, -3], [0, 0, 9, -3], [0, 0, 9, -3]], np.float32)
GREEDY = [1, 0, 2, 2]


def test_greedy_tokens_have_no_distance():
    assert distance(LOGITS, GREEDY, ends={3}) == 0.0


def test_what_follows_the_first_other_token_is_not_judged():
    near = distance(LOGITS, [2, 3, 3, 3], ends={3})
    assert near == pytest.approx(0.01 / (9 - LOGITS[0].mean()), rel=0.01)


def test_a_worse_choice_is_farther_than_the_mean():
    assert distance(LOGITS, [1, 3, 2, 2], ends={3}) > 1.0


def test_an_answer_ends_where_an_end_token_is_the_best():
    assert distance(LOGITS, [1, 0], ends={2}) == 0.0, "the engine leaves the end token out"
    assert distance(LOGITS, [1, 0, 2], ends={2}) == 0.0, "or gives it"


@pytest.mark.parametrize("answer", [[], [1], [1, 0, 2]])
def test_an_answer_that_ends_early_is_wrong(answer):
    assert distance(LOGITS, answer, ends={3}) == 1.0


def loaded(**found: object) -> dict[str, object]:
    return {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set()} | found


@pytest.mark.parametrize(
    ("role", "found", "says"),
    [
        ("embedder", {"unexpected_keys": {"h.0.attn.bias"}}, ""),  # a mask, as GPT-Neo has
        ("reranker", {"unexpected_keys": {"h.0.attn.bias"}}, ""),
        ("llm", {"unexpected_keys": {"h.0.attn.bias"}}, "has h.0.attn.bias, which the model of"),
        ("embedder", {"missing_keys": {"pooler.dense.bias"}}, ""),
        ("reranker", {"missing_keys": {"pooler.dense.bias"}}, "lacks pooler.dense.bias"),  # DeBERTa
    ],
)
def test_which_weights_a_role_can_do_without(tmp_path, role, found, says):
    model, asked = mock.Mock(), ModelSpec(name="m", role=role, source="m", max_tokens=512)
    model.config.num_hidden_layers = 2
    kind = mock.Mock(from_pretrained=lambda *_, **__: (model, loaded(**found)))
    refused = pytest.raises(BuildError, match=re.escape(says)) if says else nullcontext()
    with refused:
        load_whole(asked, Checkpoint(tmp_path, ""), kind, None)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"missing_keys": {"lm_head.weight"}}, "lacks lm_head.weight, which the model of its"),
        (
            {"missing_keys": set("abcde"), "unexpected_keys": {"_orig_mod.a"}},
            "lacks a, b, c and 2 more, which the model of its config.json needs; it has unknown "
            "ones: _orig_mod.a",
        ),
        ({"mismatched_keys": {("w", (5, 5), (6, 6))}}, "w of the checkpoint have another shape"),
    ],
)
def test_weights_that_would_be_random_are_named(found, says):
    with pytest.raises(BuildError, match=re.escape(says)):
        check_weights(spec("fp32"), loaded(**found))


@pytest.mark.parametrize(
    "name",
    ["rotary.inv_freq", "score.weight", "model.layers.0.rotary_emb.inv_freq",
     "model.layers.2.mtp.weight"],
)  # fmt: skip
def test_weights_that_the_model_does_not_need_are_no_fault(name):
    check_weights(spec("fp32"), loaded(unexpected_keys={name}), layers=2)


@pytest.mark.parametrize("name", ["model.layers.1.self_attn.q_proj.bias", "h.0.mlp.gate.weight"])
def test_weights_of_the_models_layers_that_it_would_leave_out_are_named(name):
    with pytest.raises(BuildError, match=f"has {name}, which the model of its config"):
        check_weights(spec("fp32"), loaded(unexpected_keys={name}), layers=2)


def spec(precision: str) -> ModelSpec:
    sampling = SamplingSpec(max_tokens=8)
    return ModelSpec(
        name="mine", role="llm", source="x", max_tokens=64, precision=precision, sampling=sampling
    )


@pytest.fixture
def reference(tmp_path):
    np.savez(tmp_path / "logits.npz", LOGITS, LOGITS)
    return tmp_path


@pytest.mark.parametrize("precision", TOLERANCES)
def test_agreement_is_told_with_its_tolerance(precision, reference):
    found = {"alone": [GREEDY, GREEDY], "together": [GREEDY, [2, 0, 0, 0]]}
    assert compare(spec(precision), reference, found, {3}) == (
        "greedy tokens of 2 prompts, alone and together, as the reference implementation's within "
        f"0.0019 (first other token's logit, 0 to 1; {TOLERANCES[precision]} allowed)"
    )


@pytest.mark.parametrize("how", ["alone", "together"])
@pytest.mark.parametrize("precision", TOLERANCES)
def test_another_answer_is_refused_however_it_was_computed(how, precision, reference):
    found = {"alone": [GREEDY, GREEDY], "together": [GREEDY, GREEDY]}
    found[how] = [GREEDY, [1, 3, 2, 2]]
    with pytest.raises(BuildError, match=f"prompts, computed {how}, are not what the reference"):
        compare(spec(precision), reference, found, {3})


def test_a_logit_that_is_no_number_does_not_agree(tmp_path):
    np.savez(tmp_path / "logits.npz", np.full((2, 4), np.nan, np.float32))
    with pytest.raises(BuildError):
        compare(spec("int4"), tmp_path, {"alone": [[1, 1]], "together": [[1, 1]]}, {3})


class _Weights:
    """The part of a torch module that is asked for its weights."""

    def __init__(self, **weights: np.ndarray) -> None:
        self._weights = weights

    def named_parameters(self):
        return [(name, _Tensor(values)) for name, values in self._weights.items()]


class _Tensor:
    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def isfinite(self) -> np.ndarray:
        return np.isfinite(self._values)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_named(value):
    """The engine computes NaN from them too, so the comparison would find no difference."""
    rows = np.array([[1, np.nan], [0, 1]], np.float32)
    with pytest.raises(BuildError, match=r"^model 'mine': up of the checkpoint have values that"):
        check_rows(spec("fp32"), _Weights(down=np.ones(2), up=np.array([1, value])), rows)


def test_overflow_of_finite_weights_is_told_from_damage():
    rows = np.array([[1, np.inf]], np.float32)
    with pytest.raises(BuildError, match="what it computes has values that are no finite numbers"):
        check_rows(spec("fp32"), _Weights(w=np.ones(2)), rows)


def test_weights_of_zeros_are_refused():
    with pytest.raises(BuildError, match="computes the same from every text"):
        check_rows(spec("fp32"), _Weights(w=np.zeros(2)), np.zeros((3, 4), np.float32))
    check_rows(spec("fp32"), _Weights(w=np.ones(2)), LOGITS)


def test_what_a_library_says_of_a_checkpoint_is_one_sentence():
    says = r"^model 'mine': can't load: KeyError: 'magic'$"
    with pytest.raises(BuildError, match=says), refusing(spec("fp32"), "can't load"):
        raise KeyError("magic")
