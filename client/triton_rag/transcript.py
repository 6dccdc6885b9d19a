"""What has come so far on one stream, blocking or asyncio."""

from triton_rag.calls import read_sources
from triton_rag.errors import ServerFailed
from triton_rag.results import Answer, Completion, Source
from triton_rag.status import from_stream
from triton_rag.trace_context import RequestContext
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
        if "num_input_tokens" in response:
            self.num_input_tokens = response.number("num_input_tokens")
        if "num_output_tokens" in response:
            self.num_output_tokens += response.number("num_output_tokens")
        if "sources" in response:
            self.sources = read_sources(response)
        if "citations" in response:
            self.citations = tuple(response.array("citations").tolist())
        return delta

    def require_end(self) -> None:
        """Raises `ServerFailed` unless the last response came."""
        if not self.finish_reason:
            raise ServerFailed("the stream ended before its last response; see the server's log")

    def completion(self, context: RequestContext) -> Completion:
        """The whole text; RuntimeError before the last response."""
        if not self.finish_reason:
            raise RuntimeError("the text isn't complete yet: iterate the stream to its end first")
        return Completion(
            self.text,
            self.finish_reason,
            self.num_input_tokens,
            self.num_output_tokens,
            request_id=context.request_id,
            trace_id=context.trace_id,
        )

    def answer(self, context: RequestContext) -> Answer:
        """The whole text with its sources; RuntimeError before the last response."""
        whole = vars(self.completion(context))
        return Answer(**whole, sources=self.sources, citations=self.citations)
