"""The tool `file_search` of `/v1/responses`: the answer is from a vector store."""

from collections.abc import Iterator
from typing import Any, Literal

from fastapi import Request
from pydantic import Field

from gateway.call import SearchedCollection
from gateway.errors import BadRequest
from gateway.files.search_filter import collection_filter
from gateway.protocols.answer import Answer, statement_end
from gateway.protocols.openai_files import library
from gateway.protocols.openai_vector_stores import RankingOptions, place, result
from gateway.protocols.reading import Json, StrictBody, read
from gateway.protocols.request import caller

RESULTS = "file_search_call.results"
"""The value of `include` that asks for the passages."""
_TOOL = "tools.0."


class FileSearch(StrictBody):
    """The tool `file_search`: no other tool of OpenAI is offered."""

    type: Literal["file_search"]
    vector_store_ids: list[str] = Field(min_length=1, max_length=1)
    max_num_results: int | None = Field(default=None, ge=1, le=50)
    filters: Any = None
    ranking_options: RankingOptions | None = None


def searched_collection(tools: list[Any] | None, request: Request) -> SearchedCollection | None:
    """Where to search; None without a tool. Raises `BadRequest`, and `NotFound` for the store."""
    if not tools:
        return None
    if len(tools) > 1:
        raise BadRequest.at("tools", f"{len(tools)} given; one file_search is possible")
    tool = read(FileSearch, tools[0], _TOOL)
    _refuse(tool.ranking_options)
    store = library(request).store(caller(request).tenant, tool.vector_store_ids[0])
    return SearchedCollection(
        store.id, collection_filter(tool.filters, f"{_TOOL}filters"), tool.max_num_results
    )


def _refuse(options: RankingOptions | None) -> None:
    if options is None:
        return
    options.refuse(f"{_TOOL}ranking_options.")
    if options.score_threshold:
        why = "not offered; how relevant sources must be is the server's setting; 0 is possible"
        raise BadRequest.at(f"{_TOOL}ranking_options.score_threshold", why)


def call_item(request_id: str, question: str, answer: Answer, has_results: bool) -> Json:
    """The output item of the search, which is over when the answer begins."""
    return {
        "id": f"fs_{request_id}",
        "type": "file_search_call",
        "status": "completed",
        "queries": [question],
        "results": [result(source) for source in answer.sources] if has_results else None,
    }


def search_events(item: Json) -> Iterator[Json]:
    """The events of a stream for that item."""
    place = {"item_id": item["id"], "output_index": 0}
    begun = {**item, "status": "in_progress", "results": None}
    yield {"type": "response.output_item.added", "output_index": 0, "item": begun}
    for step in ("in_progress", "searching", "completed"):
        yield {"type": f"response.file_search_call.{step}", **place}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}


def annotations(answer: Answer) -> Iterator[Json]:
    """A file citation for each sentence of the answer that a file supports."""
    for quote in answer.end.quotes:
        source = answer.sources[quote.source - 1]
        yield {
            "type": "file_citation",
            "file_id": source.document_id,
            "filename": source.title,
            "index": statement_end(answer, quote),
            **place(source),
        }
