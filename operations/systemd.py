"""Notifies systemd as a service of `Type=notify` does: sd_notify(3)."""

import contextlib
import os
import socket
from enum import StrEnum


class Notice(StrEnum):
    """A state, as the protocol writes it."""

    READY = "READY=1"
    STOPPING = "STOPPING=1"
    ALIVE = "WATCHDOG=1"


def notify(state: Notice) -> None:
    """Send a datagram to $NOTIFY_SOCKET; does nothing if nobody reads it."""
    if not (path := os.environ.get("NOTIFY_SOCKET")):
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out, contextlib.suppress(OSError):
        out.setblocking(False)
        out.sendto(state.encode(), address)
