"""The LLM on TensorRT-LLM's LLM API (`tensorrt_llm.LLM`, PyTorch backend, 1.2.x), in this process.

It was not run on a GPU yet: tests use a fake (tests/fakes/tensorrt_llm.py). Names and behaviour are
taken from NVIDIA/TensorRT-LLM at these commits, none of which is the tag v1.2.1:
tensorrt_llm/sampling_params.py a98a9061, llmapi/llm.py 4c05a748, executor/result.py a678b91a.
"""

import asyncio
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ensembles.manifest import ManifestError
from python_backends.context import EngineFolder, StageContext
from python_backends.engines.llm_engine import (
    CANCELLED,
    SCHEDULED,
    Delta,
    EngineRequest,
    EngineStats,
    GenerationParams,
    Guide,
    LimitedEngine,
    Sink,
)
from python_backends.errors import RequestError

CONFIG_FILE = "model.yaml"
"""Arguments of `tensorrt_llm.LLM` as JSON, which is YAML; `model` is relative to the file."""

_GUIDE_FIELDS = {"json_schema": "json", "regex": "regex", "ebnf_grammar": "grammar"}

CLOSE_S = 5.0
"""How long requests may take to end when the engine closes."""

_NEUTRAL_PENALTIES = {"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
_FULL_SAMPLER = "TRTLLMSampler"
"""Only this sampler of 1.2 supports penalties and seeds per request. The default, TorchSampler, has
one random generator for all requests, and penalties since 1.3."""


@dataclass(eq=False)
class _Request(EngineRequest):
    """`output` is set once the library has the request."""

    output: Any = None
    is_cancelled: bool = False


class TensorRtLlmApi(LimitedEngine[_Request]):
    """One thread runs an event loop with a task per request; the library queues and batches.

    `max_running_requests` and `max_waiting_requests` only limit how many requests are accepted.
    """

    def __init__(self, context: StageContext, folder: EngineFolder) -> None:
        super().__init__(_Request, context, folder)
        config = read_config(folder)
        self.max_request_tokens = int(config["max_seq_len"])
        self._has_full_sampler = config.get("sampler_type") == _FULL_SAMPLER
        self._eos = folder.manifest.eos_token_ids
        self._llm = _load(config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="tensorrt-llm", daemon=True
        )
        self._thread.start()

    def submit(self, prompt_ids: Sequence[int], params: GenerationParams, sink: Sink) -> int:
        self._check(params)
        with self._lock:
            request = self._accept(prompt_ids, params, sink)
        asyncio.run_coroutine_threadsafe(self._serve(request), self._loop)
        return request.number

    def cancel(self, number: int) -> None:
        self._loop.call_soon_threadsafe(self._abort, number)

    def stats(self) -> EngineStats:
        """The library is not asked for the use of its KV cache."""
        requests = len(self._requests)
        running = min(requests, self._max_running)
        return EngineStats(running, requests - running, float("nan"))

    def close(self) -> None:
        for number in list(self._requests):
            self.cancel(number)
        with self._lock:
            self._lock.wait_for(lambda: not self._requests, timeout=CLOSE_S)
        self._llm.shutdown()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_S)

    def _check(self, params: GenerationParams) -> None:
        for name, neutral in _NEUTRAL_PENALTIES.items():
            value = getattr(params, name)
            if value != neutral and not self._has_full_sampler:
                raise RequestError(f"{name}: {value} given; this engine offers only {neutral}")

    def _abort(self, number: int) -> None:
        """Runs on the event loop, so not while the request is being started."""
        if request := self._requests.get(number):
            request.is_cancelled = True
            if request.output is not None:
                request.output.abort()

    async def _serve(self, request: _Request) -> None:
        try:
            last = await self._generate(request)
        except Exception as error:
            last = Delta((), "error", error)
        with self._lock:
            del self._requests[request.number]
            self._lock.notify_all()
        request.sink(last)

    async def _generate(self, request: _Request) -> Delta:
        """Deliver new ids; returns the last delta. The library's outputs have all ids so far."""
        if request.is_cancelled:
            return CANCELLED
        request.sink(SCHEDULED)
        request.output = self._llm.generate_async(
            {"prompt_token_ids": list(request.prompt_ids)},
            sampling_params=sampling_params(request.params, self._eos),
            streaming=True,
        )
        delivered = 0
        async for output in request.output:
            (completion,) = output.outputs
            ids = tuple(completion.token_ids[delivered:])
            cached = getattr(output, "cached_tokens", 0) if delivered == 0 else 0
            delivered += len(ids)
            if output.finished:
                return _last(ids, completion.finish_reason)
            if ids and not request.is_cancelled:
                request.sink(Delta(ids, cached_tokens=cached))
        raise RuntimeError("the engine ended a request without its last output")


def read_config(folder: EngineFolder) -> dict[str, Any]:
    path = folder.file(CONFIG_FILE)
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        config["model"] = str(folder.path / config["model"])
        config["max_seq_len"] = int(config["max_seq_len"])
    except (ValueError, TypeError, KeyError) as error:
        raise ManifestError(
            f"{path}: a JSON object with model and max_seq_len is needed ({error!r}); rebuild"
        ) from error
    return config


def sampling_params(params: GenerationParams, eos: Sequence[int]) -> Any:
    """`params` as `tensorrt_llm.SamplingParams`, without penalties that change nothing.

    Stop words are left out: the stage finds them in the text. End tokens stay in the output, as in
    the other engines. `min_tokens` must be given: the library's default is 1.
    """
    import tensorrt_llm

    values: dict[str, Any] = {
        name: value
        for name, neutral in _NEUTRAL_PENALTIES.items()
        if (value := getattr(params, name)) != neutral
    }
    if eos:
        values |= {"end_id": eos[0], "pad_id": eos[0], "stop_token_ids": list(eos[1:]) or None}
    return tensorrt_llm.SamplingParams(
        max_tokens=params.max_tokens,
        min_tokens=params.min_tokens,
        seed=params.seed,
        include_stop_str_in_output=True,
        detokenize=False,
        **values,
        **_choice(params),
        **_guide(params.guide),
    )


def _guide(guide: Guide | None) -> dict[str, Any]:
    """Arguments of `GuidedDecodingParams`, which has a field for each type."""
    if guide is None:
        return {}
    from tensorrt_llm.llmapi import GuidedDecodingParams

    values: dict[str, Any] = (
        {"json_object": True} if guide.type == "json" else {_GUIDE_FIELDS[guide.type]: guide.text}
    )
    return {"guided_decoding": GuidedDecodingParams(**values)}


def _choice(params: GenerationParams) -> dict[str, Any]:
    if params.greedy:
        return {"top_k": 1}
    limits = {"top_k": params.top_k} if params.top_k else {}
    return {"temperature": params.temperature, "top_p": params.top_p} | limits


def _last(ids: tuple[int, ...], reason: str | None) -> Delta:
    """The last delta for a finish reason of the library: stop, length, cancelled or timeout."""
    if reason in ("stop", "length"):
        return Delta(ids, reason)
    if reason == "cancelled":
        return CANCELLED
    return Delta(ids, "error", RuntimeError(f"the engine ended a request by '{reason}'"))


def _load(config: dict[str, Any]) -> Any:
    import tensorrt_llm

    return tensorrt_llm.LLM(**config)
