"""A fake of `tensorrt_llm`: the parts of its LLM API that the engine uses.

Written from NVIDIA/TensorRT-LLM: tensorrt_llm/sampling_params.py (a98a9061), llmapi/llm.py
(4c05a748), executor/result.py (a678b91a), and the arguments of `LLM` in 1.2. It was not compared
with the library on a GPU. Answers come from `LLM.answer`, a function of the test.
"""

import asyncio
import itertools
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

_ARGUMENTS = tomllib.loads(
    Path(__file__).with_name("llm_api_arguments.toml").read_text(encoding="utf-8")
)


def unknown_arguments(arguments: Mapping[str, Any]) -> list[str]:
    """Names that 1.2.1 would refuse, nested ones with a dot."""
    found = [name for name in arguments if name not in _ARGUMENTS["top"]]
    for outer, known in _ARGUMENTS["nested"].items():
        found += [f"{outer}.{name}" for name in arguments.get(outer, {}) if name not in known]
    return sorted(found)


@dataclass(slots=True, kw_only=True)
class SamplingParams:
    """All public fields of 1.2, their defaults and refusals."""

    end_id: int | None = None
    pad_id: int | None = None
    max_tokens: int = 32
    bad: Any = None
    bad_token_ids: list[int] | None = None
    stop: Any = None
    stop_token_ids: list[int] | None = None
    include_stop_str_in_output: bool = False
    embedding_bias: Any = None
    logits_processor: Any = None
    apply_batched_logits_processor: bool = False
    n: int = 1
    best_of: int | None = None
    use_beam_search: bool = False
    top_k: int | None = None
    top_p: float | None = None
    top_p_min: float | None = None
    top_p_reset_ids: int | None = None
    top_p_decay: float | None = None
    seed: int | None = None
    temperature: float | None = None
    min_tokens: int | None = None
    beam_search_diversity_rate: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    length_penalty: float | None = None
    early_stopping: int | None = None
    no_repeat_ngram_size: int | None = None
    min_p: float | None = None
    beam_width_array: list[int] | None = None
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    return_context_logits: bool = False
    return_generation_logits: bool = False
    exclude_input_from_output: bool = True
    return_encoder_output: bool = False
    return_perf_metrics: bool = False
    additional_model_outputs: Any = None
    lookahead_config: Any = None
    guided_decoding: Any = None
    ignore_eos: bool = False
    detokenize: bool = True
    add_special_tokens: bool = True
    truncate_prompt_tokens: int | None = None
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True

    def __post_init__(self) -> None:
        if self.pad_id is None:
            self.pad_id = self.end_id
        if self.top_p is not None and not 0 <= self.top_p <= 1:
            raise ValueError(f"require 0 <= top_p <= 1, got top_p={self.top_p}")
        if self.top_k is not None and self.top_k < 0:
            raise ValueError(f"require top_k >= 0, got top_k={self.top_k}")
        if self.temperature is not None and self.temperature < 0:
            raise ValueError(f"require temperature >= 0, got temperature={self.temperature}")


@dataclass(slots=True, kw_only=True)
class GuidedDecodingParams:
    """As in sampling_params.py; only one of the fields may be given."""

    json: Any = None
    regex: str | None = None
    grammar: str | None = None
    json_object: bool = False
    structural_tag: str | None = None


@dataclass(slots=True)
class CompletionOutput:
    """One sequence; `token_ids` holds all ids so far."""

    index: int
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    stop_reason: int | str | None = None

    @property
    def length(self) -> int:
        return len(self.token_ids)


class RequestOutput:
    """A request and its output so far; iterating it waits for more."""

    def __init__(self, llm: "LLM", prompt: list[int], params: SamplingParams) -> None:
        self.request_id = next(llm.ids)
        self.prompt_token_ids = prompt
        self.sampling_params = params
        self.outputs = [CompletionOutput(0)]
        self.finished = False
        self._llm, self._aborted = llm, False
        self._ids = llm.answer(prompt)
        asyncio.get_running_loop()  # without one the library makes no queue to await

    def abort(self) -> None:
        self._aborted = True
        self._llm.aborted.append(self.request_id)

    def aborted(self) -> bool:
        return self._aborted

    def __aiter__(self) -> "RequestOutput":
        return self

    async def __anext__(self) -> "RequestOutput":
        if self.finished:
            raise StopAsyncIteration
        while not self._llm.go_on.is_set() and not self._aborted:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        self._step()
        return self

    def _step(self) -> None:
        output = self.outputs[0]
        if self._aborted:
            self._finish("cancelled")
            return
        output.token_ids.extend(itertools.islice(self._ids, self._llm.ids_per_step))
        del output.token_ids[self.sampling_params.max_tokens :]
        self._look_for_the_end(output)

    def _look_for_the_end(self, output: CompletionOutput) -> None:
        params, last = self.sampling_params, output.token_ids[-1]
        if last == params.end_id:
            self._finish("stop")
        elif last in (params.stop_token_ids or ()):
            self._finish("stop")
            output.stop_reason = last
            if not params.include_stop_str_in_output:
                output.token_ids = output.token_ids[:-1]
        elif output.length >= params.max_tokens:
            self._finish("length")

    def _finish(self, reason: str) -> None:
        self.finished = True
        self.outputs[0].finish_reason = reason


def reversed_for_ever(prompt: list[int]) -> Iterator[int]:
    """An answer that says what the prompt was."""
    return itertools.cycle(reversed(prompt))


class LLM:
    """Refuses arguments that 1.2 doesn't know; generates what `answer` says."""

    made: list["LLM"] = []  # noqa: RUF012 - the test's way to the object that the engine makes

    def __init__(self, model: str, **arguments: Any) -> None:
        for name in unknown_arguments(arguments):
            raise ValueError(f"LLM got invalid argument: {name}")
        self.arguments = {"model": model} | arguments
        self.ids = itertools.count(1)
        self.answer: Callable[[list[int]], Iterator[int]] = reversed_for_ever
        self.ids_per_step = 1
        self.go_on = threading.Event()
        self.go_on.set()
        self.requests: list[RequestOutput] = []
        self.aborted: list[int] = []
        self.is_shut_down = False
        LLM.made.append(self)

    def generate_async(
        self,
        inputs: Any,
        sampling_params: SamplingParams | None = None,
        lora_request: Any = None,
        prompt_adapter_request: Any = None,
        streaming: bool = False,
        kv_cache_retention_config: Any = None,
        disaggregated_params: Any = None,
        _postproc_params: Any = None,
        scheduling_params: Any = None,
        cache_salt: str | None = None,
    ) -> RequestOutput:
        if self.is_shut_down:
            raise RuntimeError("LLM is shutting down")
        assert streaming, "the engine streams"
        params = sampling_params or SamplingParams()
        if params.end_id is None:
            raise ValueError(
                "tokenizer is required to reset end_id if it is None, or you can explicitly "
                "specify the end_id for sampling_params"
            )
        output = RequestOutput(self, inputs["prompt_token_ids"], params)
        self.requests.append(output)
        return output

    def shutdown(self) -> None:
        self.is_shut_down = True


def as_module() -> ModuleType:
    """What `import tensorrt_llm` shall find."""
    module = ModuleType("tensorrt_llm")
    for name, value in globals().items():
        if not name.startswith("_"):
            setattr(module, name, value)
    return module
