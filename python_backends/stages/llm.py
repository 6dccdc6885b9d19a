"""`llm`: tokenizes, generates, detokenizes and streams, in one process.

It is one decoupled model and not three steps of a graph. Measured on Triton 2.51, a stream through
an ensemble costs twice as much, several postprocessing instances reorder its chunks, and a
cancellation does not reach an inner step.
"""

import contextlib
import logging
import math
import threading
from collections.abc import Callable, Sequence
from functools import partial

from ensembles.contracts import LLM
from ensembles.guides import GUIDE_TYPE
from ensembles.manifest import ManifestError
from ensembles.metrics import CONTEXT
from python_backends.context import StageContext
from python_backends.engines.llm_engine import Delta, GenerationParams, LlmEngine
from python_backends.engines.load import load_llm_engine
from python_backends.errors import RequestError
from python_backends.generation.answer import GroundedAnswer, PlainAnswer
from python_backends.generation.chat_template import ChatTemplate
from python_backends.generation.detokenizer import IncrementalDetokenizer, StopWords
from python_backends.generation.generation import ChunkPacer, Generation
from python_backends.generation.messages import JSON_ESCAPE, Message, read_messages
from python_backends.generation.sampling import read_params
from python_backends.generation.timeline import EngineMetrics, LlmMetrics, Timeline
from python_backends.stage import Stream, StreamingStage
from python_backends.tensors import Tensors
from python_backends.tokenization import load_tokenizer, require_length, token_ids
from python_backends.tool_calls.calling_answer import CallingAnswer, ForcedAnswer
from python_backends.tool_calls.definitions import Tool, ToolUse, read_tool_use
from python_backends.tool_calls.forced_call import with_required_call
from python_backends.tool_calls.prompts import ToolPrompts

POLL_S = 0.02
"""Pause between two checks whether clients have disconnected. A check waits for the server, so the
engine's thread makes none: sending a chunk would take it more than twice as long."""
POLL_STREAM_S = 0.005
"""Least pause for each active stream: checking one takes 0.04 ms of the engine's time."""

logger = logging.getLogger(__name__)


class LlmStage(StreamingStage):
    contract = LLM

    def __init__(self, context: StageContext) -> None:
        folder = context.engine_folder()
        self._tokenizer = load_tokenizer(folder)
        self._vocabulary = 1 + max(self._tokenizer.get_vocab().values())
        added = self._tokenizer.get_added_tokens_decoder()
        self._special_tokens = {i: token.content for i, token in added.items() if token.special}
        self._first_ids = self._tokenizer.encode("").ids[:1]
        """The token that begins every text, such as `<s>`; empty where there is none."""
        self._chat_template = ChatTemplate.load(folder)
        self._tool_prompts = ToolPrompts(folder.manifest.prompt)
        self._defaults = folder.manifest.sampling
        self._policy = folder.manifest.answer
        self._unguided = folder.manifest.unguided
        self._embeddings = folder.manifest.vocabulary or self._vocabulary
        self._chat_stop_words = folder.manifest.prompt.stop_words
        self._engine: LlmEngine = load_llm_engine(context, folder)
        self._max_tokens = folder.manifest.max_tokens
        self._eos = folder.manifest.eos_token_ids
        self._check_engine()
        self._metrics = LlmMetrics(context.meter)
        self._engine_metrics = EngineMetrics(context.meter)
        context.meter.gauge(CONTEXT).set(self._max_tokens)
        self._pacer = ChunkPacer()
        self._active: dict[int, Generation] = {}
        self._lock = threading.Condition()
        self._is_busy = False
        """Whether the engine was working at the last poll: it may work after the last stream."""
        self._closing = False
        self._poll_thread = threading.Thread(target=self._poll, name="llm-poll", daemon=True)
        self._poll_thread.start()

    def _check_engine(self) -> None:
        """Every request that the model accepts must fit the KV cache; raises `ManifestError`."""
        if self._engine.max_request_tokens < self._max_tokens:
            self._engine.close()
            raise ManifestError(
                f"the KV cache holds a request of {self._engine.max_request_tokens} tokens, the "
                f"model's spec allows {self._max_tokens}: raise kv_cache_tokens in "
                "builders/skus, or lower max_tokens in builders/models"
            )

    def start(self, stream: Stream) -> None:
        """Check the request and submit it to the engine; raises `RequestError`."""
        if stream.tensors.scalar("stop"):
            self._stop(stream)
            return
        use = read_tool_use(stream.tensors, self._max_tokens)
        prompt_ids = self._prompt_ids(stream.tensors, use.tools)
        params = read_params(
            stream.tensors, self._defaults, len(prompt_ids), context_tokens=self._max_tokens
        )
        self._check_end_id(stream.tensors)
        self._check_guide(stream.tensors, params)
        params = with_required_call(params, use, self._unguided)
        self._set_attributes(stream, params)
        answer = self._answer(stream.tensors, use, params)
        generation = Generation(
            stream,
            prompt_tokens=len(prompt_ids),
            detokenizer=IncrementalDetokenizer(self._decode, self._vocabulary),
            stop_words=self._stop_words(stream.tensors, params),
            answer=answer,
            pacer=self._pacer,
            timeline=Timeline(stream, len(prompt_ids), self._metrics),
        )
        if answer.reason:
            generation.finish_at_once()
            return
        with self._lock:  # the first delta could come before the generation is in `_active`
            generation.number = self._engine.submit(
                prompt_ids, params, partial(self._on_delta, generation)
            )
            self._active[generation.number] = generation
            self._lock.notify()

    def close(self) -> None:
        with self._lock:
            self._closing = True
            self._lock.notify()
        self._poll_thread.join()
        self._attempt(self._show_stats)
        self._engine.close()

    def _prompt_ids(self, tensors: Tensors, tools: Sequence[Tool]) -> list[int]:
        if ("text_input" in tensors) == ("messages" in tensors):
            raise RequestError("text_input, messages: exactly one of them is needed")
        if "messages" in tensors:
            messages = self._messages(tensors.text("messages"))
            prompt = self._chat_template.render(*self._tool_prompts.with_tools(messages, tools))
        else:
            prompt = tensors.text("text_input")
            require_length("text_input", len(prompt), self._max_tokens)
        # A chat template writes its own special tokens; a bare prompt gets the tokenizer's.
        ids = token_ids(self._tokenizer, prompt, add_special_tokens="text_input" in tensors)
        if self._first_ids and ids[:2] == 2 * self._first_ids:  # the prompt has it too
            ids = ids[1:]
        if not ids:
            raise RequestError("text_input: empty; a text is needed")
        self._check_ids(ids, "text_input" if "text_input" in tensors else "messages")
        return ids

    def _messages(self, text: str) -> list[Message]:
        require_length("messages", len(text), self._max_tokens, JSON_ESCAPE)
        messages = read_messages(text)
        characters = sum(len(message["content"]) for message in messages)
        require_length("messages", characters, self._max_tokens)
        return messages

    def _answer(self, tensors: Tensors, use: ToolUse, params: GenerationParams) -> PlainAnswer:
        if use.is_required:
            return ForcedAnswer(use.tools)
        if use.tools:
            return CallingAnswer(self._tool_prompts.syntax, self._special_tokens, use.is_parallel)
        if "sources" not in tensors:
            return PlainAnswer()
        return GroundedAnswer(
            self._policy,
            tensors.texts("sources"),
            tensors.text("question", ""),
            similarity=_highest_similarity(tensors),
            # Neither a quote nor a refusal would match a guide.
            is_checked=params.guide is None and tensors.scalar("check_grounding") is not False,
            relevance=_relevance(tensors),
            num_searched=tensors.scalar("num_searched"),
        )

    def _check_ids(self, ids: Sequence[int], name: str) -> None:
        """Raises `RequestError` for ids that only the tokenizer has: it can have more than the
        model."""
        if max(ids) >= self._embeddings:
            token = self._tokenizer.id_to_token(max(ids))
            raise RequestError(
                f"{name}: token '{token}' is number {max(ids)}, and this model has only the "
                f"first {self._embeddings} of its tokenizer"
            )

    def _decode(self, ids: Sequence[int]) -> str:
        """Text without end tokens, which not every tokenizer marks as special."""
        return str(self._tokenizer.decode([i for i in ids if i not in self._eos]))

    def _stop_words(self, tensors: Tensors, params: GenerationParams) -> StopWords:
        """The request's stop words; for `messages` also those of the model's prompt."""
        more = self._chat_stop_words if "messages" in tensors else ()
        return StopWords([*params.stop_words, *more], self._special_tokens)

    def _check_end_id(self, tensors: Tensors) -> None:
        """NVIDIA's contract lets a client name the end token; only the model's own is possible."""
        end_id = tensors.scalar("end_id")
        if end_id is not None and end_id not in self._eos:
            raise RequestError(f"end_id: {end_id} given; this model ends with {list(self._eos)}")

    def _check_guide(self, tensors: Tensors, params: GenerationParams) -> None:
        if params.guide is None:
            return
        if self._unguided:
            raise RequestError(f"{GUIDE_TYPE}: not offered by this model; {self._unguided}")
        if tensors.scalar("check_grounding"):
            raise RequestError("check_grounding: true given; with a guide only false is possible")

    def _set_attributes(self, stream: Stream, params: GenerationParams) -> None:
        operation = "chat" if "messages" in stream.tensors else "text_completion"
        stream.set_attributes(
            {
                "gen_ai.operation.name": operation,
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

    def _on_delta(self, generation: Generation, delta: Delta) -> None:
        """Runs on the engine's thread, so an error of one stream must not end the others."""
        try:
            is_over = generation.on_delta(delta) is not None
        except Exception as error:
            logger.exception("a response could not be sent; its request is ended")
            is_over = True
            with contextlib.suppress(Exception):  # the connection itself may be what is broken
                generation.fail(error)
        if is_over:
            self._remove(generation, is_engine_working=delta.finish_reason is None)

    def _remove(self, generation: Generation, is_engine_working: bool) -> None:
        with self._lock:
            self._active.pop(generation.number, None)
        if is_engine_working:
            self._engine.cancel(generation.number)

    def _stop(self, stream: Stream) -> None:
        """NVIDIA's stop request ends the requests that have its id."""
        with self._lock:
            stopped = [g for g in self._active.values() if g.stream.id == stream.id != ""]
        for generation in stopped:
            self._engine.cancel(generation.number)
        last = {"text_output": [""], "finish_reason": ["cancelled"]}
        stream.send(last, final=True, outcome=None)

    def _poll(self) -> None:
        """Cancel abandoned generations, and report the engine's state."""
        while not self._closing:
            with self._lock:
                self._lock.wait_for(lambda: self._active or self._is_busy or self._closing)
                # The pause comes first, so that the last state reported is that of an idle engine.
                pause_s = max(POLL_S, POLL_STREAM_S * len(self._active))
                self._lock.wait_for(lambda: self._closing, timeout=pause_s)
                active = list(self._active.values())
            for generation in active:
                self._attempt(partial(self._cancel_if_abandoned, generation))
            self._attempt(self._show_stats)

    def _attempt(self, action: Callable[[], None]) -> None:
        """A failure must prevent neither the other actions nor the next poll."""
        try:
            action()
        except Exception:
            logger.exception("a poll of clients or engine failed; trying again")

    def _cancel_if_abandoned(self, generation: Generation) -> None:
        if generation.is_abandoned:
            self._engine.cancel(generation.number)

    def _show_stats(self) -> None:
        stats = self._engine.stats()
        self._is_busy = stats.running + stats.waiting > 0
        self._engine_metrics.show(stats)


def _highest_similarity(tensors: Tensors) -> float:
    """The highest `source_similarity`: -1 without sources, and infinity without the tensor, so
    that nothing is refused."""
    name = "source_similarity"
    return float(tensors.array(name).max(initial=-1)) if name in tensors else math.inf


def _relevance(tensors: Tensors) -> list[float] | None:
    name = "source_relevance"
    return tensors.array(name).tolist() if name in tensors else None
