"""Sampling inputs: accepted values, their meaning, and the messages of refusals."""

import math

import numpy as np
import pytest

from ensembles.manifest import Sampling
from ensembles.sampling import NVIDIA_SAMPLING, SAMPLING
from python_backends.engines.llm_engine import Guide
from python_backends.engines.openvino_llm import _config
from python_backends.errors import RequestError
from python_backends.generation.sampling import MAX_STOP_WORDS, read_params
from tests.fakes.serving import strings, tensors

ROOM = 100
DEFAULTS = Sampling(max_tokens=32, min_tokens=2, temperature=0.5, top_k=7, top_p=0.9)


def read(defaults: Sampling = DEFAULTS, room: int = ROOM, **values: object):
    return read_params(tensors(**values), defaults, prompt_tokens=5, context_tokens=5 + room)


def f32(value: float) -> np.ndarray:
    return np.array([value], dtype=np.float32)


REFUSALS = {
    "temperature": [(math.nan, "0 to 100"), (math.inf, "0 to 100"), (-0.5, "-0.5 given")],
    "top_k": [(-1, "top_k: -1 given; from 0 to")],
    "top_p": [(1.5, "top_p: 1.5 given; from 0.0 to 1.0 is possible"), (math.nan, "nan given")],
    "repetition_penalty": [(0.0, "from 0.01 to 100"), (-math.inf, "-inf given")],
    "presence_penalty": [(2.5, "from -2.0 to 2.0"), (math.nan, "nan given")],
    "frequency_penalty": [(-2.5, "from -2.0 to 2.0")],
    "max_tokens": [(0, "0 given; from 1 to 100 fit"), (-1, "-1 given"), (101, "101 given")],
    "min_tokens": [(-1, "from 0 to max_tokens (32)"), (33, "33 given")],
    "beam_width": [(4, "4 given; this model offers only 1")],
    "num_return_sequences": [(2, "2 given; this model offers only 1")],
    "length_penalty": [(2.0, "offers only 1.0"), (math.nan, "nan given")],
    "return_log_probs": [(True, "offers only False")],
    "return_context_logits": [(True, "offers only False")],
    "return_generation_logits": [(True, "offers only False")],
    "return_perf_metrics": [(True, "offers only False")],
    "bad_words": [(["x"], "not offered by this model; leave it out")],
    "prompt_embedding_table": [(np.ones((1, 2), np.float16), "not offered")],
    "prompt_table_extra_id": [(1, "not offered")],
    "prompt_vocab_size": [(1, "not offered")],
    "embedding_bias_words": [(["x"], "not offered")],
    "embedding_bias_weights": [(1.0, "not offered")],
    "lora_task_id": [(1, "lora_task_id: not offered by this model; leave it out")],
    "lora_weights": [(np.ones((1, 2), np.float16), "not offered")],
    "lora_config": [(np.ones((1, 3), np.int32), "not offered")],
    "decoder_text_input": [("x", "not offered")],
    "stop_words": [
        (["x"] * (MAX_STOP_WORDS + 1), "17 given; at most 16 are possible"),
        (["ok", "x" * 257], "stop_words[1]: 257 characters; a plain string of up to 256"),
        (["x" * 257], "stop_words[0]: 257 characters"),
        ([b"ok", b"\xff"], "stop_words[1]: not valid UTF-8 at byte 0 of 1"),
    ],
}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [(name, value, says) for name, cases in REFUSALS.items() for value, says in cases],
)
def test_a_refusal_names_the_input_the_value_and_what_is_possible(name, value, says):
    with pytest.raises(RequestError) as caught:
        read(**{name: value})
    assert says in str(caught.value)
    assert str(caught.value).startswith(name)


def test_every_input_of_nvidias_contract_is_refused_or_inert():
    harmless = {"end_id", "pad_id", "exclude_input_in_output"} | {
        f"return_num_{side}_tokens" for side in ("input", "output")
    }
    assert {spec.name for spec in NVIDIA_SAMPLING} - REFUSALS.keys() == harmless


def test_two_seeds_that_differ_are_refused_and_equal_ones_are_one():
    with pytest.raises(RequestError, match="seed and random_seed"):
        read(seed=1, random_seed=2)
    assert read(seed=3, random_seed=3).seed == read(random_seed=3).seed == read(seed=3).seed == 3


def test_the_largest_seed_passes():
    largest = np.array([2**64 - 1], dtype=np.uint64)
    assert read(seed=largest).seed == 2**64 - 1


def test_without_a_seed_a_random_one_is_used():
    assert read().seed != read().seed


def test_more_than_one_value_is_refused():
    with pytest.raises(RequestError, match="max_tokens: one value expected, 2 given"):
        read(max_tokens=np.array([1, 2]))


def test_a_guide_says_when_the_answer_ends():
    guide = {"guided_decoding_guide_type": ["json"]}
    assert read().guide is None
    assert read(**guide).guide == Guide("json")
    assert read().min_tokens == 2 and read(**guide).min_tokens == 0
    with pytest.raises(RequestError, match="min_tokens: 3 given; with a guide only 0 is possible"):
        read(min_tokens=3, **guide)


def test_without_inputs_the_defaults_hold():
    found = read()
    assert (found.max_tokens, found.min_tokens, found.top_k) == (32, 2, 7)
    assert (found.temperature, found.top_p) == (0.5, 0.9)
    assert found.stop_words == ()


def test_default_lengths_shrink_to_the_room_and_requested_ones_are_refused():
    assert (read(room=1).max_tokens, read(room=1).min_tokens) == (1, 1)
    with pytest.raises(RequestError, match="from 1 to 10 fit behind this prompt"):
        read(room=10, max_tokens=11)


def test_values_of_the_request_win():
    found = read(
        max_tokens=5,
        min_tokens=5,
        temperature=f32(0.25),
        top_k=3,
        top_p=f32(0.75),
        stop_words=["a", "b"],
    )
    assert (found.max_tokens, found.min_tokens, found.top_k) == (5, 5, 3)
    assert (found.temperature, found.top_p, found.stop_words) == (0.25, 0.75, ("a", "b"))


def test_inert_values_of_nvidias_inputs_are_accepted():
    neutral = {"beam_width": 1, "length_penalty": 1.0, "return_log_probs": False}
    empty = {"bad_words": strings(), "lora_config": np.empty((0, 3), np.int32)}
    assert read(seed=1, **neutral, **empty) == read(seed=1)


def test_top_p_zero_means_no_limit():
    assert read(top_p=f32(0.0)).top_p == 1.0


@pytest.mark.parametrize(
    ("values", "greedy"),
    [
        ({}, True),
        ({"temperature": 0.0}, True),
        ({"temperature": 0.7}, False),
        ({"temperature": 0.7, "top_k": 1}, True),
        ({"temperature": 0.0, "top_k": 50}, True),
        ({"top_k": 50}, False),
        ({"top_k": 1}, True),
        ({"top_k": 0}, True),
        ({"top_p": 0.9}, False),
        ({"top_p": 1.0}, True),
        ({"top_p": 0.0}, True),
        ({"top_k": 1, "top_p": 0.9}, True),
    ],
)
def test_greedy_unless_the_request_asks_to_sample(values, greedy):
    assert read(defaults=Sampling(), **values).greedy is greedy


def test_every_sampling_input_is_either_read_or_not_about_sampling():
    """A new input of the contract must be given a meaning here."""
    known = {*REFUSALS, "seed", "random_seed", "stream"}
    assert {spec.name for spec in SAMPLING} <= known


@pytest.mark.parametrize("value", [[], [""], [["", ""]], [[""]]])
def test_empty_words_ask_for_nothing(value):
    """NVIDIA's own README sends them in every request."""
    array = np.array(
        [[w.encode() for w in row] if isinstance(row, list) else row.encode() for row in value],
        dtype=object,
    )
    for name in ("bad_words", "stop_words", "embedding_bias_words"):
        params = read_params(tensors(**{name: array}), Sampling(), 0, 10)
        assert params.stop_words == ()


@pytest.mark.parametrize(
    ("inputs", "temperature", "top_k", "top_p"),
    [
        ({"top_p": 0.0}, 0.0, 0, 1.0),
        ({"top_k": 0, "top_p": 0.0, "temperature": 1.0}, 0.0, 0, 1.0),
        ({"top_k": 5, "top_p": 0.0, "temperature": 0.7}, 0.7, 5, 1.0),
        ({"top_k": 1, "top_p": 0.0, "temperature": 1.0}, 1.0, 1, 1.0),
    ],
)
def test_no_share_of_probability_is_greedy_unless_a_number_of_tokens_is_given(
    inputs, temperature, top_k, top_p
):
    given = {n: np.array([v], np.int32 if n == "top_k" else np.float32) for n, v in inputs.items()}
    params = read_params(tensors(**given), Sampling(), 0, 10)
    assert params.temperature == pytest.approx(temperature)
    assert (params.top_k, params.top_p) == (top_k, top_p)


def test_openvino_gets_an_end_of_its_own_for_engine_folders_that_name_none():
    """It would add -1 to the tokens that end an answer, and refuse the request."""
    config = _config(read(), (7, 3))
    assert config.stop_token_ids == {3, 7}
    assert config.eos_token_id == 3
