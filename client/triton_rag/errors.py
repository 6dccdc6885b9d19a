"""Errors of calls, by what the caller can do about them.

    TritonRagError
    ├── InvalidRequest      the server refuses this request: change it
    │   └── NothingFound    no passage of the collection fits: ingest more, or widen the filter
    ├── Overloaded          the request is fine, the server has no room now: send it again later
    ├── TimedOut            the deadline passed, here or on the server: allow more time
    ├── Cancelled           the stream was closed here, or the server ended it
    ├── ServerUnreachable   there is no connection, or it broke: start the server
    └── ServerFailed        the server is at fault: read its log

Wrong types of arguments are `TypeError`s, impossible values `ValueError`s, raised before anything
is sent. A message keeps the server's own text, which says what was asked and what is possible.
"""


class TritonRagError(Exception):
    """Any failure of a call to the server.

    `request_id` and `trace_id` name the request in the server's logs and traces; both are empty
    where no request was sent to a model, such as for `is_ready`.
    """

    request_id: str = ""
    trace_id: str = ""


class InvalidRequest(TritonRagError):
    """The server refuses this request."""


class NothingFound(InvalidRequest):
    """The collection is empty, or the filter leaves no passage of it."""


class Overloaded(TritonRagError):
    """The server has no room at present."""


class TimedOut(TritonRagError):
    """The deadline of the call passed."""


class Cancelled(TritonRagError):
    """The call ended before its answer did."""


class ServerUnreachable(TritonRagError):
    """There is no connection to the server."""


class ServerFailed(TritonRagError):
    """The server could not do what it should."""
