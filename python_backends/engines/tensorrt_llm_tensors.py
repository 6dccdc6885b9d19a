"""The tensors of NVIDIA's C++ `tensorrtllm` backend, in the model `tensorrt_llm`.

Names, dtypes and shapes are taken from NVIDIA/TensorRT-LLM, triton_backend: the template
all_models/inflight_batcher_llm/tensorrt_llm/config.pbtxt, and model_instance_state.cc (c8c6df08)
and utils.cc (19290813) in inflight_batcher_llm/src.
"""

from collections.abc import Sequence

import numpy as np

from ensembles.contracts import ModelContract
from ensembles.tensors import DType, optional, tensor
from python_backends.engines.llm_engine import GenerationParams, Guide
from python_backends.tensors import NUMPY_TYPES, Array

TENSORRT_LLM = ModelContract(
    name="tensorrt_llm",
    inputs=(
        tensor("input_ids", DType.INT32, "tokens", ragged=True),
        tensor("input_lengths", DType.INT32, 1),
        tensor("request_output_len", DType.INT32, 1),
        optional("beam_width", DType.INT32, 1),
        optional("end_id", DType.INT32, 1),
        optional("pad_id", DType.INT32, 1),
        optional("stop_words_list", DType.INT32, 2, "ids"),
        optional("min_tokens", DType.INT32, 1),
        optional("runtime_top_k", DType.INT32, 1),
        optional("runtime_top_p", DType.FP32, 1),
        optional("temperature", DType.FP32, 1),
        optional("repetition_penalty", DType.FP32, 1),
        optional("presence_penalty", DType.FP32, 1),
        optional("frequency_penalty", DType.FP32, 1),
        optional("seed", DType.UINT64, 1),
        optional("guided_decoding_guide_type", DType.STRING, 1),
        optional("guided_decoding_guide", DType.STRING, 1),
        optional("streaming", DType.BOOL, 1),
        optional("exclude_input_in_output", DType.BOOL, 1),
        optional("stop", DType.BOOL, 1),
    ),
    outputs=(  # the backend requires that a request asks for both
        tensor("output_ids", DType.INT32, "beams", "tokens"),
        tensor("sequence_length", DType.INT32, "beams"),
    ),
    batched=True,
    decoupled=True,
)
"""The tensors that this engine uses, of the backend's 62 inputs and 21 outputs."""


def request_inputs(
    prompt_ids: Sequence[int], params: GenerationParams, eos: Sequence[int]
) -> dict[str, Array]:
    """The tensors of one request, each with a batch dimension of 1.

    Stop words are left out: the stage finds them in the text. `end_id` takes one end token;
    `stop_words_list` holds the others, ids in its first row and the end of each in the second.
    """
    values: dict[str, object] = {
        "input_ids": prompt_ids,
        "input_lengths": [len(prompt_ids)],
        "request_output_len": [params.max_tokens],
        "beam_width": [1],
        "streaming": [True],
        "exclude_input_in_output": [True],
    }
    if eos:
        values |= {"end_id": [eos[0]], "pad_id": [eos[0]]}
    if others := eos[1:]:
        values["stop_words_list"] = [others, range(1, len(others) + 1)]
    return _tensors(values | _sampling(params) | _guide(params.guide))


def stop_inputs() -> dict[str, Array]:
    """A stop request: ends the generation of the same id. The required inputs are needed too."""
    required: dict[str, object] = {"input_lengths": [0], "request_output_len": [0]}
    return _tensors({"input_ids": [0], "stop": [True]} | required)


def _sampling(params: GenerationParams) -> dict[str, object]:
    """Greedy is `runtime_top_k` 1. `min_tokens` must be given: the backend's default is 1."""
    values: dict[str, object] = {
        "min_tokens": [params.min_tokens],
        "repetition_penalty": [params.repetition_penalty],
        "presence_penalty": [params.presence_penalty],
        "frequency_penalty": [params.frequency_penalty],
        "seed": [params.seed],
    }
    if params.greedy:
        return values | {"runtime_top_k": [1]}
    return values | {
        "runtime_top_k": [params.top_k],
        "runtime_top_p": [params.top_p],
        "temperature": [params.temperature],
    }


def _guide(guide: Guide | None) -> dict[str, object]:
    """The types of guides have the backend's names; `json` has no text."""
    if guide is None:
        return {}
    values: dict[str, object] = {"guided_decoding_guide_type": [guide.type.encode()]}
    return values | ({"guided_decoding_guide": [guide.text.encode()]} if guide.text else {})


def _tensors(values: dict[str, object]) -> dict[str, Array]:
    types = {spec.name: NUMPY_TYPES[spec.dtype] for spec in TENSORRT_LLM.inputs}
    return {name: np.array([value], dtype=types[name]) for name, value in values.items()}
