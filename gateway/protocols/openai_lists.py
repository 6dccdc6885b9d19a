"""OpenAI's lists: a client asks for the next page with the id of the last record."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fastapi import Request

from gateway.errors import BadRequest
from gateway.files.records import Page

MOST = 100
RecordT = TypeVar("RecordT")


def read_page(request: Request, default: int = 20, most: int = MOST) -> Page:
    """The page by `limit`, `order`, `after` and `before` of the query; raises `BadRequest`."""
    query = request.query_params
    limit, order = query.get("limit", str(default)), query.get("order", "desc")
    if not limit.isdecimal() or not 1 <= int(limit) <= most:
        raise BadRequest.at("limit", f"{limit!r:.20} given; 1 to {most} is possible")
    if order not in ("asc", "desc"):
        raise BadRequest.at("order", f"{order!r:.20} given; asc or desc is possible")
    return Page(int(limit), order == "asc", query.get("after", ""), query.get("before", ""))


def page_body(
    records: Sequence[RecordT], page: Page, shown: Callable[[RecordT], dict[str, Any]]
) -> dict[str, Any]:
    """A page as JSON; `records` has one more than the page's limit if there are more."""
    data = [shown(record) for record in records[: page.limit]]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(records) > page.limit,
    }
