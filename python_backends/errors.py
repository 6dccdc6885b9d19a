"""Errors, by who reads them.

    RequestError          the request is wrong; its client reads the message
    ├── NotFound          what the request names isn't there
    ├── Unavailable       a part of the server that it needs, such as a store, is down
    ├── Overloaded        the request is right, the server has no capacity for it now
    └── Cancelled         the client or its deadline ended the request
    MachineError          the machine lacks what the placement needs; the operator reads the message

Any other exception is a server error: the client reads one neutral sentence, the log has
the traceback.
"""


class RequestError(Exception):
    """The message says what was asked, what was found and what is possible."""

    code = "INVALID_ARG"
    """Name of the `TritonError` code that the client gets."""
    outcome = "invalid"
    """Label of the request in metrics and traces (`ensembles.metrics.OUTCOMES`)."""


class NotFound(RequestError):
    """What the request names isn't there."""

    code = "NOT_FOUND"


class Unavailable(RequestError):
    """A part of the server is down; the others go on."""

    code = "UNAVAILABLE"
    outcome = "failed"


class Overloaded(RequestError):
    """No capacity at present; the client may try again."""

    code = "UNAVAILABLE"
    outcome = "overloaded"


class Cancelled(RequestError):
    """The request ended before its answer did."""

    code = "CANCELLED"
    outcome = "cancelled"


class MachineError(Exception):
    """Raised while a model loads."""


def outcome_of(error: Exception) -> str:
    """One of `ensembles.metrics.OUTCOMES`."""
    return error.outcome if isinstance(error, RequestError) else "failed"
