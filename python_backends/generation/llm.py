"""`llm`: prompt to text in one process: tokenize, generate, detokenize, stream, cancel.

One decoupled model instead of three steps: measured on Triton 2.51, a stream through an ensemble
costs twice as much, several post-processing instances reorder chunks, and a cancellation does not
reach an inner step.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial

from ensembles.contracts import LLM
from ensembles.manifest import ManifestError
from python_backends.engines import Delta, LlmEngine, load_llm_engine
from python_backends.generation.chat_template import ChatTemplate, read_messages
from python_backends.generation.detokenizer import IncrementalDetokenizer, StopWords
from python_backends.generation.generation import ChunkPacer, Generation
from python_backends.generation.sampling import GenerationParams, read_params
from python_backends.generation.timeline import EngineMetrics, LlmMetrics, Timeline
from python_backends.stage import RequestError, StageContext, Stream, StreamingStage
from python_backends.tokenization import load_tokenizer

POLL_S = 0.02
"""How often clients are asked for while nothing is sent to them (waiting, or not streamed)."""
POLL_STREAM_S = 0.005
"""The pause is at least this long for each of them: being asked takes 0.04 ms from the engine."""

logger = logging.getLogger("python_backends.generation.llm")


class LlmStage(StreamingStage):
    """Serves the contract `llm` over any `LlmEngine`."""

    contract = LLM

    def __init__(self, context: StageContext) -> None:
        folder = context.engine_folder()
        self._tokenizer = load_tokenizer(folder)
        self._vocabulary = 1 + max(self._tokenizer.get_vocab().values())
        self._chat_template = ChatTemplate.load(folder)
        self._defaults = folder.manifest.sampling
        self._engine: LlmEngine = load_llm_engine(context, folder)
        self._max_tokens = folder.manifest.max_tokens
        self._eos = folder.manifest.eos_token_ids
        self._check_engine()
        self._metrics = LlmMetrics(context.meter)
        self._engine_metrics = EngineMetrics(context.meter)
        self._pacer = ChunkPacer()
        self._active: dict[int, Generation] = {}
        self._lock = threading.Condition()
        self._is_busy = False
        """Whether the engine was at work when last asked: it may outlive the last stream."""
        self._closing = False
        self._watch_thread = threading.Thread(target=self._watch, name="llm-watch", daemon=True)
        self._watch_thread.start()

    def _check_engine(self) -> None:
        """Every request that the model takes must fit the KV memory; raises `ManifestError`."""
        if self._engine.max_request_tokens < self._max_tokens:
            self._engine.close()
            raise ManifestError(
                f"the KV cache holds a request of {self._engine.max_request_tokens} tokens, the "
                f"model's spec allows {self._max_tokens}: raise kv_cache_tokens in "
                "builders/skus, or lower max_tokens in builders/models"
            )

    def start(self, stream: Stream) -> None:
        """Check the request and queue it; raises `RequestError`."""
        if stream.tensors.scalar("stop"):
            self._stop(stream)
            return
        prompt_ids = self._prompt_ids(stream)
        params = read_params(stream.tensors, self._defaults, self._room(prompt_ids))
        self._check_end_id(stream)
        self._describe(stream, params)
        generation = Generation(
            stream,
            prompt_tokens=len(prompt_ids),
            detokenizer=IncrementalDetokenizer(self._tokenizer.decode, self._vocabulary),
            stop_words=StopWords(params.stop_words),
            pacer=self._pacer,
            timeline=Timeline(stream, len(prompt_ids), self._metrics),
        )
        with self._lock:  # held until the generation is known: its first delta may come at once
            generation.request = self._engine.submit(
                prompt_ids, params, lambda delta: self._on_delta(generation, delta)
            )
            self._active[generation.request] = generation
            self._pacer.active = len(self._active)
            self._lock.notify()

    def close(self) -> None:
        """End the watching thread, then the engine, which ends every stream."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        self._watch_thread.join()
        self._look(self._show_stats)
        self._engine.close()

    def _prompt_ids(self, stream: Stream) -> list[int]:
        tensors = stream.tensors
        if ("text_input" in tensors) == ("messages" in tensors):
            raise RequestError("text_input, messages: exactly one of them is needed")
        if "messages" in tensors:
            prompt = self._chat_template.render(read_messages(tensors.text("messages")))
        else:
            prompt = tensors.text("text_input")
        # A template writes its own special tokens; a bare prompt gets the tokenizer's.
        ids: list[int] = self._tokenizer.encode(
            prompt, add_special_tokens="text_input" in tensors
        ).ids
        if not ids:
            raise RequestError("text_input: empty; a text is needed")
        return ids

    def _describe(self, stream: Stream, params: GenerationParams) -> None:
        """What was asked for, in the words of OpenTelemetry's conventions for generative AI."""
        stream.describe(
            {
                "gen_ai.operation.name": "chat"
                if "messages" in stream.tensors
                else "text_completion",
                "gen_ai.request.model": self.contract.name,
                "gen_ai.request.max_tokens": params.max_tokens,
                "gen_ai.request.temperature": params.temperature,
                "gen_ai.request.top_k": params.top_k,
                "gen_ai.request.top_p": params.top_p,
                "gen_ai.request.presence_penalty": params.presence_penalty,
                "gen_ai.request.frequency_penalty": params.frequency_penalty,
                "gen_ai.request.stream": bool(stream.tensors.scalar("stream")),
            }
        )

    def _check_end_id(self, stream: Stream) -> None:
        """NVIDIA's contract lets a client name the end token; only the model's own is possible."""
        end_id = stream.tensors.scalar("end_id")
        if end_id is not None and end_id not in self._eos:
            raise RequestError(f"end_id: {end_id} given; this model ends with {list(self._eos)}")

    def _room(self, prompt_ids: Sequence[int]) -> int:
        """Tokens that fit behind the prompt; raises `RequestError` when there are none."""
        room = self._max_tokens - len(prompt_ids)
        if room < 1:
            raise RequestError(
                f"prompt: {len(prompt_ids)} tokens; at most {self._max_tokens - 1} are possible, "
                f"prompt and answer share {self._max_tokens}"
            )
        return room

    def _on_delta(self, generation: Generation, delta: Delta) -> None:
        """On the engine's thread: a fault of one stream must not end the others."""
        try:
            over = generation.on_delta(delta) is not None
        except Exception as error:
            logger.exception("a response could not be sent; its request is ended")
            over = True
            with contextlib.suppress(Exception):  # the way to the client may be the broken part
                generation.fail(error)
        if over:
            self._forget(generation, engine_goes_on=delta.finish_reason is None)

    def _forget(self, generation: Generation, engine_goes_on: bool) -> None:
        with self._lock:
            self._active.pop(generation.request, None)
            self._pacer.active = len(self._active)
        if engine_goes_on:
            self._engine.cancel(generation.request)

    def _stop(self, stream: Stream) -> None:
        """NVIDIA's stop request: ends the requests that have its id."""
        with self._lock:
            found = [g for g in self._active.values() if g.stream.id == stream.id != ""]
        for generation in found:
            self._engine.cancel(generation.request)
        last = {"text_output": [""], "finish_reason": ["cancelled"]}
        stream.send(last, final=True, outcome=None)

    def _watch(self) -> None:
        """Ask after clients to whom nothing is being sent, and cancel for those that have gone."""
        while not self._closing:
            with self._lock:
                self._lock.wait_for(lambda: self._active or self._is_busy or self._closing)
                # Before the look, so that the last figures shown are those of an idle engine.
                pause_s = max(POLL_S, POLL_STREAM_S * len(self._active))
                self._lock.wait_for(lambda: self._closing, timeout=pause_s)
                active = list(self._active.values())
            for generation in active:
                self._look(partial(self._cancel_if_abandoned, generation))
            self._look(self._show_stats)

    def _look(self, look: Callable[[], None]) -> None:
        """A look that fails must hide neither the others nor the next ones."""
        try:
            look()
        except Exception:
            logger.exception("looking after clients failed; trying again")

    def _cancel_if_abandoned(self, generation: Generation) -> None:
        if not generation.is_over and generation.stream.is_cancelled():
            self._engine.cancel(generation.request)

    def _show_stats(self) -> None:
        stats = self._engine.stats()
        self._is_busy = stats.running + stats.waiting > 0
        self._engine_metrics.show(stats)
