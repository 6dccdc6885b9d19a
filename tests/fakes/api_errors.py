"""What an error looks like in each API of the gateway."""

from typing import Any

Json = dict[str, Any]


def is_worded(path: str, body: Json) -> bool:
    """Whether an error has the shape of the path's API."""
    if path.startswith("/v1/messages"):
        return body["type"] == "error" and bool(body["error"]["type"] and body["error"]["message"])
    if path in ("/v2/chat", "/v2/embed", "/v2/rerank", "/v1/rerank"):
        return bool(body["message"])
    if path.startswith("/v2"):
        return bool(body["error"])
    if path == "/v1/ranking":
        return body["object"] == "error" and bool(body["message"])
    if path in ("/rerank", "/embed"):
        return bool(body["error"] and body["error_type"])
    return {"message", "type", "param", "code"} == body["error"].keys()
