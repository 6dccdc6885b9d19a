"""The LLM on TensorRT-LLM's LLM API (`tensorrt_llm.LLM`, PyTorch backend, 1.2.x), in this process.

Not run on a GPU yet: unit tests drive a fake (tests/fakes/tensorrt_llm.py). Names and behaviour
are those of NVIDIA/TensorRT-LLM as stored at these commits, none of which is the tag v1.2.1:
tensorrt_llm/sampling_params.py a98a9061, llmapi/llm.py 4c05a748, executor/result.py a678b91a.
"""

import asyncio
import itertools
import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ensembles.manifest import ManifestError
from python_backends.engines import (
    CANCELLED,
    JOINED,
    Delta,
    EngineStats,
    Sink,
    overloaded,
    running_requests,
)
from python_backends.generation.sampling import GenerationParams
from python_backends.stage import EngineFolder, RequestError, StageContext

CONFIG_FILE = "model.yaml"
"""Arguments of `tensorrt_llm.LLM`, written as JSON (which is YAML); `model` is relative to it."""

CLOSE_S = 5.0
"""How long requests may take to end when the engine closes."""

_NEUTRAL_PENALTIES = {
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
_FULL_SAMPLER = "TRTLLMSampler"
"""The sampler of 1.2 that knows penalties and seeds of requests; TorchSampler, its default, draws
from one generator and has no penalties before 1.3."""

logger = logging.getLogger("python_backends.tensorrt_llm_api")


@dataclass
class _Job:
    """A request between `submit` and its last delta; `output` once the library has it."""

    number: int
    prompt_ids: Sequence[int]
    params: GenerationParams
    sink: Sink
    output: Any = None
    is_cancelled: bool = False


class TensorRtLlmApi:
    """One thread runs an event loop with a task per request; the library batches and queues.

    The plan's `max_batch_size`, at most the placement's `max_running_requests`, only bounds, with
    `max_waiting_requests`, how many requests are taken.
    """

    def __init__(self, context: StageContext, folder: EngineFolder) -> None:
        config = read_config(folder)
        self.max_request_tokens = int(config["max_seq_len"])
        self._has_full_sampler = config.get("sampler_type") == _FULL_SAMPLER
        self._eos = folder.manifest.eos_token_ids
        self._max_running = running_requests(context, folder)
        self._max_jobs = self._max_running + context.integer("max_waiting_requests")
        self._numbers = itertools.count()
        self._lock = threading.Condition()
        self._jobs: dict[int, _Job] = {}
        self._llm = _load(config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="tensorrt-llm", daemon=True
        )
        self._thread.start()

    def submit(self, prompt_ids: Sequence[int], params: GenerationParams, sink: Sink) -> int:
        """Queue a request; raises `Overloaded`, or `RequestError` for what the sampler lacks."""
        self._check(params)
        with self._lock:
            if len(self._jobs) >= self._max_jobs:
                raise overloaded(len(self._jobs))
            job = _Job(next(self._numbers), prompt_ids, params, sink)
            self._jobs[job.number] = job
        asyncio.run_coroutine_threadsafe(self._serve(job), self._loop)
        return job.number

    def cancel(self, request: int) -> None:
        """Abort the request; its sink gets a last delta."""
        self._loop.call_soon_threadsafe(self._abort, request)

    def stats(self) -> EngineStats:
        """Own counts; the use of the KV cache is not asked for."""
        jobs = len(self._jobs)
        running = min(jobs, self._max_running)
        return EngineStats(running, jobs - running, float("nan"))

    def close(self) -> None:
        """Abort all requests, end the library, then the thread."""
        for number in list(self._jobs):
            self.cancel(number)
        with self._lock:
            self._lock.wait_for(lambda: not self._jobs, timeout=CLOSE_S)
        self._llm.shutdown()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_S)

    def _check(self, params: GenerationParams) -> None:
        for name, neutral in _NEUTRAL_PENALTIES.items():
            value = getattr(params, name)
            if value != neutral and not self._has_full_sampler:
                raise RequestError(f"{name}: {value} given; this engine offers only {neutral}")

    def _abort(self, request: int) -> None:
        """On the loop: so it comes before or behind the start of the request, not between."""
        if job := self._jobs.get(request):
            job.is_cancelled = True
            if job.output is not None:
                job.output.abort()

    async def _serve(self, job: _Job) -> None:
        try:
            last = await self._generate(job)
        except Exception as error:
            last = Delta((), "error", error)
        with self._lock:
            del self._jobs[job.number]
            self._lock.notify_all()
        job.sink(last)

    async def _generate(self, job: _Job) -> Delta:
        """Hand over new ids; the last delta. Outputs carry all ids so far."""
        if job.is_cancelled:
            return CANCELLED
        job.sink(JOINED)
        job.output = self._llm.generate_async(
            {"prompt_token_ids": list(job.prompt_ids)},
            sampling_params=sampling_params(job.params, self._eos),
            streaming=True,
        )
        given = 0
        async for output in job.output:
            (completion,) = output.outputs
            ids = tuple(completion.token_ids[given:])
            cached = getattr(output, "cached_tokens", 0) if given == 0 else 0
            given += len(ids)
            if output.finished:
                return _last(ids, completion.finish_reason)
            if ids and not job.is_cancelled:
                job.sink(Delta(ids, cached_tokens=cached))
        raise RuntimeError("the engine ended a request without its last output")


def read_config(folder: EngineFolder) -> dict[str, Any]:
    """model.yaml with the checkpoint's full path; raises `ManifestError`."""
    path = folder.file(CONFIG_FILE)
    try:
        config: dict[str, Any] = json.loads(path.read_text())
        config["model"] = str(folder.path / config["model"])
        config["max_seq_len"] = int(config["max_seq_len"])
    except (ValueError, TypeError, KeyError) as error:
        raise ManifestError(
            f"{path}: a JSON object with model and max_seq_len is needed ({error!r}); rebuild"
        ) from error
    return config


def sampling_params(params: GenerationParams, eos: Sequence[int]) -> Any:
    """As `tensorrt_llm.SamplingParams`; what asks for nothing is left out.

    Stop words are not among them: the stage looks for them in the text. End tokens stay in the
    output, as in the other engines. Left out, `min_tokens` would be 1 there, not 0.
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
    )


def _choice(params: GenerationParams) -> dict[str, Any]:
    if params.greedy:
        return {"top_k": 1}
    limits = {"top_k": params.top_k} if params.top_k else {}
    return {"temperature": params.temperature, "top_p": params.top_p} | limits


def _last(ids: tuple[int, ...], reason: str | None) -> Delta:
    """Reasons of the library: stop, length, cancelled, timeout."""
    if reason in ("stop", "length"):
        return Delta(ids, reason)
    if reason == "cancelled":
        return CANCELLED
    return Delta(ids, "error", RuntimeError(f"the engine ended a request by '{reason}'"))


def _load(config: dict[str, Any]) -> Any:
    import tensorrt_llm

    return tensorrt_llm.LLM(**config)
