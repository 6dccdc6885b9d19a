"""What has come so far on one stream, whoever moves the bytes."""

from triton_rag.calls import read_sources
from triton_rag.errors import ServerFailed
from triton_rag.identity import Identity
from triton_rag.results import Answer, Completion, Source
from triton_rag.status import from_stream
from triton_rag.wire import Message, Response

ERROR = "error"
"""`finish_reason` of a response whose text is an error."""


class Transcript:
    """Collects the responses of one generation.

    `finish_reason` is empty until the last response; `num_output_tokens` counts what came.
    """

    def __init__(self) -> None:
        self.text = ""
        self.finish_reason = ""
        self.num_input_tokens = 0
        self.num_output_tokens = 0
        self.sources: tuple[Source, ...] = ()
        self.citations: tuple[int, ...] = ()

    def take(self, message: Message) -> str:
        """The new text in a `ModelStreamInferResponse`, often empty in the last one.

        Raises the `TritonRagError` that it carries instead.
        """
        if message.error_message:
            raise from_stream(message.error_message)
        response = Response(message.infer_response)
        delta = response.text("text_output")
        if response.text("finish_reason") == ERROR:
            raise from_stream(delta)
        self.text += delta
        self.finish_reason = response.text("finish_reason")
        self._count(response)
        if "sources" in response:
            self.sources = read_sources(response)
        if "citations" in response:
            self.citations = tuple(response.array("citations").tolist())
        return delta

    def end(self) -> None:
        """Called when the stream is over; raises `ServerFailed` unless the last response came."""
        if not self.finish_reason:
            raise ServerFailed("the stream ended before its last response; see the server's log")

    def _count(self, response: Response) -> None:
        if "num_input_tokens" in response:
            self.num_input_tokens = response.number("num_input_tokens")
        if "num_output_tokens" in response:
            self.num_output_tokens += response.number("num_output_tokens")


class _Finished:
    """Gives a stream its result, once it is there, and says at any time which request it is."""

    _transcript: Transcript
    _identity: Identity

    @property
    def request_id(self) -> str:
        """The request's id in the server's logs and traces."""
        return self._identity.request_id

    @property
    def trace_id(self) -> str:
        """The trace that the request belongs to, 32 hexadecimal digits."""
        return self._identity.trace_id

    def _require_end(self) -> Transcript:
        if not self._transcript.finish_reason:
            raise RuntimeError("the text isn't complete yet: iterate the stream to its end first")
        return self._transcript


class WithCompletion(_Finished):
    """A stream of generated text."""

    @property
    def completion(self) -> Completion:
        """The whole text with its token counts; RuntimeError before the end of the stream."""
        done = self._require_end()
        return Completion(
            done.text,
            done.finish_reason,
            done.num_input_tokens,
            done.num_output_tokens,
            request_id=self.request_id,
            trace_id=self.trace_id,
        )


class WithAnswer(_Finished):
    """A stream of an answer's text."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """What the model was shown; there with the first piece of text, empty before it."""
        return self._transcript.sources

    @property
    def answer(self) -> Answer:
        """The whole answer with its citations; RuntimeError before the end of the stream."""
        done = self._require_end()
        return Answer(
            done.text,
            done.finish_reason,
            done.num_input_tokens,
            done.num_output_tokens,
            done.sources,
            done.citations,
            request_id=self.request_id,
            trace_id=self.trace_id,
        )
