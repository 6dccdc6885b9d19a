"""Reads the sampling inputs of a request and refuses unsupported ones by name."""

import math
import secrets
from dataclasses import asdict

import numpy as np

from ensembles.manifest import Sampling
from ensembles.sampling import NVIDIA_SAMPLING
from python_backends.engines.llm_engine import GenerationParams, Guide
from python_backends.errors import RequestError
from python_backends.generation.guide import read_guide
from python_backends.tensors import Array, Tensors

MAX_STOP_WORDS = 16
MAX_STOP_WORD_CHARACTERS = 256

_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 100.0),
    "top_k": (0, 2**31 - 1),
    "top_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 100.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
}

_INERT: dict[str, tuple[object, ...]] = {
    "beam_width": (0, 1),
    "num_return_sequences": (0, 1),
    "length_penalty": (0.0, 1.0),
    "return_log_probs": (False,),
    "return_context_logits": (False,),
    "return_generation_logits": (False,),
    "return_perf_metrics": (False,),
}
"""Inputs of NVIDIA's contract that are accepted with values that change nothing."""

_SUPPORTED = {
    *("end_id", "pad_id", "exclude_input_in_output"),
    *("return_num_input_tokens", "return_num_output_tokens"),
}
_UNSUPPORTED = tuple(
    spec.name for spec in NVIDIA_SAMPLING if spec.name not in _SUPPORTED | _INERT.keys()
)


def read_params(
    tensors: Tensors, defaults: Sampling, prompt_tokens: int, context_tokens: int
) -> GenerationParams:
    """The request's values, and the model's defaults for the rest; raises `RequestError`.

    Prompt and answer share the context. A request's `max_tokens` that is larger than what the
    prompt leaves is refused; a larger default is reduced to that.
    """
    _refuse_unsupported(tensors)
    values = asdict(defaults) | {n: v for n in _RANGES if (v := _number(tensors, n)) is not None}
    if "temperature" not in tensors and _asks_for_sampling(tensors):
        values["temperature"] = values["temperature"] or 1.0
    if values["top_p"] == 0.0:  # NVIDIA's contract: no limit if top_k is set, else greedy
        values["top_p"] = 1.0
        values["temperature"] = values["temperature"] if values["top_k"] else 0.0
    values["max_tokens"] = _max_tokens(tensors, defaults, prompt_tokens, context_tokens)
    guide = read_guide(tensors)
    values["min_tokens"] = _min_tokens(tensors, defaults, values["max_tokens"], guide)
    seed, stop_words = _seed(tensors), _stop_words(tensors)
    return GenerationParams(**values, seed=seed, stop_words=stop_words, guide=guide)


def _number(tensors: Tensors, name: str) -> float | None:
    value = tensors.scalar(name)
    if value is None:
        return None
    low, high = _RANGES[name]
    if not math.isfinite(value) or not low <= value <= high:
        raise RequestError(f"{name}: {value} given; from {low} to {high} is possible")
    return float(value) if isinstance(low, float) else int(value)


def _asks_for_sampling(tensors: Tensors) -> bool:
    """Whether top_k > 1 or top_p < 1 is set, which asks for sampling even without a temperature."""
    top_k, top_p = tensors.scalar("top_k"), tensors.scalar("top_p")
    return top_k != 1 and ((top_k or 0) > 1 or 0.0 < (1.0 if top_p is None else top_p) < 1.0)


def _max_tokens(
    tensors: Tensors, defaults: Sampling, prompt_tokens: int, context_tokens: int
) -> int:
    """Keep "maximum context length is … tokens" in the errors: agents look for these words."""
    room_tokens = context_tokens - prompt_tokens
    if room_tokens < 1:
        raise RequestError(
            f"prompt: {prompt_tokens} tokens given; the maximum context length is "
            f"{context_tokens} tokens, prompt and answer together"
        )
    asked = tensors.scalar("max_tokens")
    if asked is None:
        return min(defaults.max_tokens, room_tokens)
    if not 1 <= asked <= room_tokens:
        raise RequestError(
            f"max_tokens: {asked} given; from 1 to {room_tokens} fit behind this prompt of "
            f"{prompt_tokens} tokens, as the maximum context length is {context_tokens} tokens"
        )
    return int(asked)


def _min_tokens(tensors: Tensors, defaults: Sampling, max_tokens: int, guide: Guide | None) -> int:
    """The input, but 0 with a guide, which may allow nothing but the end of the answer."""
    asked = tensors.scalar("min_tokens")
    if guide and asked:
        raise RequestError(f"min_tokens: {asked} given; with a guide only 0 is possible")
    if asked is None or guide:
        return 0 if guide else min(defaults.min_tokens, max_tokens)
    if not 0 <= asked <= max_tokens:
        raise RequestError(f"min_tokens: {asked} given; from 0 to max_tokens ({max_tokens})")
    return int(asked)


def _seed(tensors: Tensors) -> int:
    seeds = {tensors.scalar(name) for name in ("seed", "random_seed")} - {None}
    if len(seeds) > 1:
        raise RequestError(
            "seed and random_seed are two names of one setting and differ; send one of them"
        )
    return int(seeds.pop()) if seeds else secrets.randbits(63)


def _stop_words(tensors: Tensors) -> tuple[str, ...]:
    if "stop_words" not in tensors:
        return ()
    words = tensors.texts("stop_words")
    if len(words) > MAX_STOP_WORDS:
        raise RequestError(f"stop_words: {len(words)} given; at most {MAX_STOP_WORDS} are possible")
    for index, word in enumerate(words):
        if len(word) > MAX_STOP_WORD_CHARACTERS:
            raise RequestError(
                f"stop_words[{index}]: {len(word)} characters; a plain string of up to "
                f"{MAX_STOP_WORD_CHARACTERS} is possible"
            )
    return tuple(filter(None, words))  # NVIDIA's examples send ""


def _refuse_unsupported(tensors: Tensors) -> None:
    for name, allowed in _INERT.items():
        if (value := tensors.scalar(name)) is not None and value not in allowed:
            raise RequestError(f"{name}: {value} given; this model offers only {allowed[-1]}")
    for name in _UNSUPPORTED:
        if name in tensors and not _asks_for_nothing(tensors.array(name)):
            raise RequestError(f"{name}: not offered by this model; leave it out")


def _asks_for_nothing(array: Array) -> bool:
    """No values, or empty strings only, which NVIDIA's own examples send."""
    return not array.size or (array.dtype == np.object_ and not any(array.reshape(-1)))
