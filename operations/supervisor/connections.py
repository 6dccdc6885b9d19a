"""Ends connections of another process's clients, which nothing in Triton can do.

A stream whose model died gets neither an error nor an end (Triton 2.51). Shutting its socket
down gives the client both. The socket is borrowed from tritonserver by `pidfd_getfd` (Linux 5.6),
which needs the right to trace that process: its parent has it, unless a container's seccomp
profile or Yama's ptrace_scope forbids.
"""

import ctypes
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from operations.ports import Ports

PROC = Path("/proc")
ESTABLISHED = "01"
_PIDFD_GETFD = 438
"""Number of the system call on every architecture; Python has no function for it."""


class Forbidden(Exception):
    """The system does not let us have the server's sockets; the message says how and what to do."""


@dataclass(frozen=True)
class Connection:
    """A client's TCP connection to a process: `inode` names the socket, `peer_port` the client."""

    inode: int
    peer_port: int


def established(pid: int, ports: tuple[int, ...], proc: Path = PROC) -> Iterator[Connection]:
    """Open connections that clients made to `ports` of the process's network namespace."""
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / str(pid) / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            local, peer = (int(field.rpartition(":")[2], 16) for field in fields[1:3])
            if fields[3] == ESTABLISHED and local in ports and int(fields[9]):
                yield Connection(int(fields[9]), peer)


def end_clients(pid: int, ports: Ports, except_ports: set[int]) -> int:
    """End all that are open to the server now, but those from `except_ports`; how many.

    Raises `Forbidden`.
    """
    found = established(pid, (ports.http, ports.grpc))
    return end(pid, frozenset(one for one in found if one.peer_port not in except_ports))


def end(pid: int, connections: frozenset[Connection]) -> int:
    """Shut those of the connections down that are still open; how many that were.

    Raises `Forbidden`.
    """
    return sum(_shut_down(borrowed) for borrowed in _borrow(pid, connections))


@dataclass(frozen=True)
class Traffic:
    """For how long no data went either way, and whether the server sent last.

    0 seconds while the client has not taken all that was sent to it.
    """

    silent_s: float
    was_answered: bool


def traffic(pid: int, connection: Connection) -> Traffic | None:
    """What the kernel saw on the connection; None when it is closed. Raises `Forbidden`."""
    for borrowed in _borrow(pid, frozenset([connection])):
        info = borrowed.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 60)
        sent_ms, _, received_ms = struct.unpack_from("III", info, 44)  # struct tcp_info
        silent_s = 0.0 if _unread_bytes(borrowed) else min(sent_ms, received_ms) / 1000
        return Traffic(silent_s, sent_ms <= received_ms)
    return None


def _unread_bytes(borrowed: socket.socket) -> int:
    """Sent, and not acknowledged by the client's side."""
    (found,) = struct.unpack("i", fcntl.ioctl(borrowed, termios.TIOCOUTQ, b"\0" * 4))
    return int(found)


def _borrow(pid: int, connections: frozenset[Connection]) -> Iterator[socket.socket]:
    """Our own handles of the process's sockets; each is closed when the next is asked for."""
    inodes = {connection.inode for connection in connections}
    wanted = [number for number, inode in _sockets(pid) if inode in inodes] if inodes else []
    if not wanted:
        return
    try:
        process = os.pidfd_open(pid)
    except OSError as error:
        raise Forbidden(f"pidfd_open: {error.strerror}") from error
    try:
        for number in wanted:
            with _duplicate(process, number) as borrowed:
                yield borrowed
    finally:
        os.close(process)


def _sockets(pid: int, proc: Path = PROC) -> Iterator[tuple[int, int]]:
    """Number and inode of every socket that the process has open."""
    folder = proc / str(pid) / "fd"
    try:
        links = list(folder.iterdir())
    except FileNotFoundError:  # the process has ended, and its connections with it
        return
    except PermissionError as error:
        raise Forbidden(f"{folder} can't be read: {error.strerror}") from error
    for link in links:
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            yield int(link.name), int(target[8:-1])


def _duplicate(process: int, number: int) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(_PIDFD_GETFD, process, number, 0)
    if descriptor < 0:
        reason = os.strerror(ctypes.get_errno())
        raise Forbidden(
            f"pidfd_getfd: {reason}; it needs Linux 5.6, CAP_SYS_PTRACE where Yama's ptrace_scope "
            "is 2 or more, and a seccomp profile that allows it"
        )
    return socket.socket(fileno=descriptor)


def _shut_down(borrowed: socket.socket) -> bool:
    try:
        borrowed.shutdown(socket.SHUT_RDWR)
    except OSError:  # the client was faster
        return False
    return True
