"""One generation: token ids from the engine become text, and text becomes responses."""

import math
import time
from collections.abc import Sequence

import numpy as np

from ensembles.contracts import PLACES, SOURCES
from python_backends.deadline import Deadline
from python_backends.engines.llm_engine import SCHEDULED, Delta
from python_backends.errors import outcome_of
from python_backends.generation.answer import PlainAnswer
from python_backends.generation.detokenizer import IncrementalDetokenizer, StopWords
from python_backends.generation.timeline import Timeline
from python_backends.stage import Stream
from python_backends.tensors import Array, Outputs


class ChunkPacer:
    """Limits the time that the engine's thread spends on sending chunks to `SHARE` of all time.

    A chunk costs about 0.2 ms of that thread, and more of the server and the client, however many
    tokens are in it. So chunks are sent in rounds. After a round, the next one waits for the cost
    of that round divided by `SHARE`; tokens that come earlier are joined into one chunk. A slow
    model sends every token at once, a fast one joins a few.

    In a round every stream sends one chunk, one stream directly after the other. The server and the
    clients handle them together; chunks that are spread over time would interrupt every step.
    """

    SHARE = 0.02
    LONGEST_S = 1.0
    """Longest time between two rounds. Without it, the first chunks of many short streams, which
    are sent at once, would delay the next round for ever."""

    def __init__(self) -> None:
        self._cost_s = 0.0002
        self._round_s = -math.inf
        """When the latest round began."""
        self._chunks = 0
        """Chunks that were sent since then."""

    def is_due(self, last_sent_s: float) -> bool:
        """Whether a stream sends now: its first chunk at once, later ones once in a round.

        `last_sent_s` is when it sent its latest chunk. Threads that ask at the same time may begin
        two rounds, which sends a chunk too many and does no harm.
        """
        now_s = time.perf_counter()
        gap_s = min(self._cost_s * self._chunks / self.SHARE, self.LONGEST_S)
        if now_s - self._round_s >= gap_s:
            self._round_s, self._chunks = now_s, 0
        return last_sent_s < self._round_s

    def sent(self, duration_s: float) -> None:
        self._chunks += 1
        self._cost_s += 0.1 * (min(duration_s, 0.01) - self._cost_s)


class Generation:
    """Takes the deltas of one request and sends its responses; deltas after the end are dropped."""

    def __init__(
        self,
        stream: Stream,
        prompt_tokens: int,
        detokenizer: IncrementalDetokenizer,
        stop_words: StopWords,
        answer: PlainAnswer,
        pacer: ChunkPacer,
        timeline: Timeline,
    ) -> None:
        self.stream = stream
        self.number = -1
        """Number of the request in the engine, once submitted."""
        self.is_over = False
        """Whether the last response was sent."""
        self._deadline = Deadline(stream.timeout_us)
        self._timeline = timeline
        self._detokenizer, self._stop_words, self._pacer = detokenizer, stop_words, pacer
        self._answer = answer
        self._takes_single_ids = bool(stop_words) or answer.is_checked
        self._prompt_tokens, self._cached_tokens = prompt_tokens, 0
        self._is_streamed = bool(stream.tensors.scalar("stream"))
        self._sources = {
            s.name: stream.tensors.array(s.name)
            for s in (*SOURCES, *PLACES)
            if s.name in stream.tensors
        }
        self._ids: list[int] = []
        """Ids that are not decoded yet: all ids of a chunk are decoded together."""
        self._text = self._echoed_prompt()
        """Text that is not sent yet."""
        self._tokens = 0
        """Tokens of `_text`."""
        self._last_sent_s = 0.0

    def on_delta(self, delta: Delta) -> str | None:
        """Take new ids; returns the finish reason when the generation is over."""
        if self.is_over:
            return None
        if delta is SCHEDULED:
            self._timeline.scheduled()
            return None
        self._timeline.received(len(delta.token_ids), delta.cached_tokens)
        self._cached_tokens += delta.cached_tokens
        self._ids += delta.token_ids
        reason = delta.finish_reason
        due = self._is_streamed and self._pacer.is_due(self._last_sent_s)
        if due or reason or self._takes_single_ids:
            reason = self._detokenize() or reason
        if reason:
            self._finish(reason, delta.error)
        elif due and (self._text or self._answer.has_pieces):
            self._send_chunk()
        return reason

    @property
    def is_abandoned(self) -> bool:
        """Whether the rest is unwanted: the deadline is over, or the client disconnected."""
        return not self.is_over and (self._deadline.is_over or self.stream.is_cancelled())

    def finish_at_once(self) -> None:
        """Send the answer that was decided before the engine was asked."""
        self._finish(self._answer.reason)

    def fail(self, error: Exception) -> None:
        self.is_over = True
        self._timeline.end(outcome_of(error))
        self.stream.fail(error)

    def _detokenize(self) -> str | None:
        """Turn the ids into text; returns the finish reason if a stop word or the policy ends it.

        Where one of them may, ids are decoded one by one: those after the end must not be counted.
        """
        groups = [[i] for i in self._ids] if self._takes_single_ids else [self._ids]
        self._ids = []
        for group in groups:
            self._tokens += len(group)
            self._timeline.detokenized(len(group))
            text = self._detokenizer.push(group) + "".join(map(self._mark, group))
            self._text += self._answer.push(self._stop_words.push(text))
            if self._stop_words.found or self._answer.reason:
                return self._answer.reason or "stop"
        return None

    def _mark(self, token_id: int) -> str:
        """The text that replaces a special token: a call's marker, or a stop word's."""
        return self._answer.mark(token_id) or self._stop_words.mark(token_id)

    def _echoed_prompt(self) -> str:
        """The prompt, if the request wants it before an answer that is not streamed (NVIDIA's)."""
        tensors = self.stream.tensors
        wanted = tensors.scalar("exclude_input_in_output") is False and not self._is_streamed
        return tensors.text("text_input") if wanted and "text_input" in tensors else ""

    def _send_chunk(self) -> None:
        start_s = time.perf_counter()
        self._timeline.sending(self._tokens)
        self.stream.send(self._outputs())
        self._last_sent_s = time.perf_counter()
        self._pacer.sent(self._last_sent_s - start_s)

    def _finish(self, reason: str, error: Exception | None = None) -> None:
        if reason == "error":
            self.fail(error or RuntimeError("the engine ended the request with an error"))
            return
        if reason == "cancelled" and self._deadline.is_over:
            self.fail(self._deadline.error)
            return
        self.is_over = True
        rest = self._stop_words.push(self._detokenizer.flush()) + self._stop_words.flush()
        self._text += self._answer.push(rest) + self._answer.flush()
        if reason != "cancelled":
            reason = self._answer.finish_reason(reason)
        cached = np.array([self._cached_tokens], dtype=np.int32)
        last = {"finish_reason": [reason], "num_cached_tokens": cached, **self._answer.outputs()}
        if self._is_streamed:
            self._timeline.sending(self._tokens)
        self._timeline.end(reason)
        outcome = "cancelled" if reason == "cancelled" else "ok"
        self.stream.send({**self._outputs(), **last}, final=True, outcome=outcome)

    def _outputs(self) -> Outputs:
        """One response; the first one has the sources."""
        outputs: dict[str, Array | Sequence[str]] = {
            "text_output": [self._text],
            "num_input_tokens": np.array([self._prompt_tokens], dtype=np.int32),
            "num_output_tokens": np.array([self._tokens], dtype=np.int32),
            **self._answer.take_pieces(),
        }
        if self._last_sent_s == 0.0:
            outputs |= self._sources
        self._text, self._tokens = "", 0
        return outputs
