"""Clients that behave badly, below HTTP."""

import json
import socket
import struct

from operations.ports import Ports

STREAM_TOKENS = 1900


def connect(ports: Ports, receive_bytes: int = 0) -> socket.socket:
    """A connection to the HTTP port; `receive_bytes` bounds what the kernel takes unread."""
    found = socket.socket()
    if receive_bytes:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    found.settimeout(20)
    found.connect(("127.0.0.1", ports.http))
    return found


def ask_stream(connection: socket.socket, prompt: str, tokens: int = STREAM_TOKENS) -> None:
    """Send a request for server-sent events of `llm`."""
    limits = {"max_tokens": tokens, "min_tokens": tokens, "stream": True}
    body = json.dumps({"text_input": prompt} | limits).encode()
    head = (
        "POST /v2/models/llm/generate_stream HTTP/1.1\r\nHost: test\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)


def reset(connection: socket.socket) -> None:
    """End the connection by RST: what is on its way is thrown away."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
