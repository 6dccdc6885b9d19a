"""Errors of Triton and our models get the status that is due."""

import pytest

from gateway.errors import BadRequest, DeadlinePassed, NotFound, Unavailable, UpstreamFailed
from gateway.upstream.statuses import from_status, from_stream


@pytest.mark.parametrize(
    ("message", "kind", "field"),
    [
        ("INVALID_ARG: max_tokens: -3 given; 1 to 9 fit", BadRequest, "max_tokens"),
        ("INVALID_ARG: stop_words[0]: 300 characters", BadRequest, "stop_words"),
        ("in ensemble 'rag', INVALID_ARG: question[0]: empty", BadRequest, "question"),
        ("UNAVAILABLE: 256 requests wait; try again later", Unavailable, ""),
        ("CANCELLED: timeout: 5 us asked for; this time has passed", DeadlinePassed, ""),
        ("INTERNAL: the model failed on this request", UpstreamFailed, ""),
        ("unexpected input 'x'", BadRequest, ""),
    ],
)
def test_an_error_on_a_stream(message, kind, field):
    error = from_stream(message)
    assert (type(error), error.field) == (kind, field)
    assert not str(error).startswith(("INVALID_ARG", "UNAVAILABLE", "CANCELLED", "INTERNAL"))


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "in ensemble 'embed', input_text[1]: empty", BadRequest),
        (400, "256 requests wait; try again later", Unavailable),
        (400, "Request for unknown model: 'llm' has no available versions", Unavailable),
        (404, "Request for unknown model: 'x' is not found", NotFound),
        (500, "Stub process 'llm' is not healthy", Unavailable),
        (500, "the model failed", UpstreamFailed),
        (503, "Exceeds maximum queue size", Unavailable),
        (503, "", Unavailable),
        (502, "", UpstreamFailed),
    ],
)
def test_a_status_of_triton(status, message, kind):
    error = from_status(status, message)
    assert type(error) is kind
    assert str(error)
    assert "in ensemble" not in str(error)
