"""Faults of the gateway itself: the client learns that there was one, the log says what and where.

An exception's message may contain what a client wrote, so it is neither sent nor logged.
"""

import logging
import traceback
from pathlib import Path

from gateway.errors import Broken, GatewayError

_log = logging.getLogger(__name__)
_ROOT = Path(__file__).parents[1]


def refusal_for(error: Exception, request_id: str) -> GatewayError:
    """A `GatewayError` as it is; any other error is logged, and becomes `Broken`."""
    if isinstance(error, GatewayError):
        return error
    _log.error("request %s: %s", request_id, described(error))
    return Broken(f"the gateway itself failed; its log says where, for request {request_id}")


def described(error: Exception) -> str:
    """An error's class, the lines of our code in its traceback, and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if _ROOT / "gateway" in Path(f.filename).parents or f is frames[-1]]
    place = " › ".join(f"{_short(frame.filename)}:{frame.lineno}" for frame in ours)
    return f"{type(error).__qualname__} at {place}"


def _short(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else path.name
