"""One generation on its way to one client: ids to text to chunks."""

import re
import time

import numpy as np

from ensembles.contracts import SOURCES
from python_backends.engines import JOINED, Delta
from python_backends.generation.detokenizer import IncrementalDetokenizer, StopWords
from python_backends.generation.timeline import Timeline
from python_backends.stage import Array, Outputs, Stream, outcome_of

_CITATION = re.compile(r"\[(\d{1,4})\]")


class ChunkPacer:
    """Joins tokens into chunks so that sending them takes at most a share of the engine's time.

    A chunk costs about 0.4 ms of Triton's Python backend, whatever is in it, and the engine's
    thread pays for it. A slow model sends every token; a fast one joins a few (never waiting for
    more to come than the time that sending to all clients costs, divided by the share).
    """

    SHARE = 0.05

    def __init__(self) -> None:
        self._cost_s = 0.0004
        self.active = 0
        """Streams being served now."""

    def is_due(self, last_s: float) -> bool:
        """Whether a stream that sent at `last_s` (perf_counter) may send again."""
        return time.perf_counter() - last_s >= self._cost_s * self.active / self.SHARE

    def sent(self, seconds: float) -> None:
        """Learn what a chunk costs at present."""
        self._cost_s += 0.1 * (min(seconds, 0.01) - self._cost_s)


class Generation:
    """Takes the deltas of one request (`on_delta`) and sends its responses.

    `is_over` tells whether the last response went out; ids that come later are dropped.
    """

    def __init__(
        self,
        stream: Stream,
        prompt_tokens: int,
        detokenizer: IncrementalDetokenizer,
        stop_words: StopWords,
        pacer: ChunkPacer,
        timeline: Timeline,
    ) -> None:
        self.stream = stream
        self._timeline = timeline
        self.request = -1
        """Number of the request in the engine, once submitted."""
        self.is_over = False
        self._detokenizer, self._stop_words, self._pacer = detokenizer, stop_words, pacer
        self._prompt_tokens = prompt_tokens
        self._is_streamed = bool(stream.tensors.scalar("stream"))
        self._sources = {
            s.name: stream.tensors.array(s.name) for s in SOURCES if s.name in stream.tensors
        }
        self._text = self._echo()
        self._shown = ""
        self._ids: list[int] = []
        """Ids not turned into text yet: that is done for whole chunks."""
        self._tokens = 0
        self._last_sent_s = 0.0

    def on_delta(self, delta: Delta) -> str | None:
        """Take new ids; the reason why the generation is over, once it is."""
        if self.is_over:
            return None
        if delta is JOINED:
            self._timeline.joined()
            return None
        self._timeline.computed(len(delta.token_ids), delta.cached_tokens)
        self._ids += delta.token_ids
        reason = delta.finish_reason
        due = self._is_streamed and self._pacer.is_due(self._last_sent_s)
        if due or reason or self._stop_words:
            reason = self._detokenize() or reason
        if reason:
            self._finish(reason, delta.error)
        elif due and self._text:
            return self._send_chunk()
        return reason

    def fail(self, error: Exception) -> None:
        """End the generation with an error."""
        self.is_over = True
        self._timeline.end(outcome_of(error))
        self.stream.fail(error)

    def _detokenize(self) -> str | None:
        """Turn waiting ids into text; "stop" when that completes a stop word.

        With stop words every id is looked at by itself, so that ids behind one don't count.
        """
        groups = [[i] for i in self._ids] if self._stop_words else [self._ids]
        self._ids = []
        for group in groups:
            self._tokens += len(group)
            self._timeline.counted(len(group))
            self._text += self._stop_words.push(self._detokenizer.push(group))
            if self._stop_words.found:
                return "stop"
        return None

    def _echo(self) -> str:
        """NVIDIA's contract can ask for the prompt in front of the answer; by default it is not."""
        tensors = self.stream.tensors
        wanted = tensors.scalar("exclude_input_in_output") is False and "text_input" in tensors
        return tensors.text("text_input") if wanted else ""

    def _send_chunk(self) -> str | None:
        """Send what there is, unless the client has gone: then nothing more is computed for it."""
        start = time.perf_counter()  # before the question: it takes the engine's time too
        if self.stream.is_cancelled():
            self._finish("cancelled")
            return "cancelled"
        self._timeline.chunk(self._tokens)
        self.stream.send(self._outputs())
        self._last_sent_s = time.perf_counter()
        self._pacer.sent(self._last_sent_s - start)
        return None

    def _finish(self, reason: str, error: Exception | None = None) -> None:
        """Send the last response: the rest of the text, the reason, the citations."""
        if reason == "error":
            self.fail(error or RuntimeError("the engine ended the request with an error"))
            return
        self.is_over = True
        self._text += self._stop_words.push(self._detokenizer.flush()) + self._stop_words.flush()
        last: dict[str, Array | list[str]] = {"finish_reason": [reason]}
        if "sources" in self._sources:
            last["citations"] = self._citations()
        if self._is_streamed:
            self._timeline.chunk(self._tokens)
        self._timeline.end(reason)
        outcome = "cancelled" if reason == "cancelled" else "ok"
        self.stream.send({**self._outputs(), **last}, final=True, outcome=outcome)

    def _outputs(self) -> Outputs:
        """One response; the sources go with the first."""
        outputs: dict[str, Array | list[str]] = {
            "text_output": [self._text],
            "num_input_tokens": np.array([self._prompt_tokens], dtype=np.int32),
            "num_output_tokens": np.array([self._tokens], dtype=np.int32),
        }
        if self._last_sent_s == 0.0:
            outputs |= self._sources
        self._shown += self._text
        self._text, self._tokens = "", 0
        return outputs

    def _citations(self) -> Array:
        """Numbers in brackets that name a source, in order, each once."""
        count = len(self._sources["sources"])
        found = (int(number) for number in _CITATION.findall(self._shown + self._text))
        return np.array(list(dict.fromkeys(n for n in found if 1 <= n <= count)), dtype=np.int32)
