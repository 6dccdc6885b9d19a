"""What an error looks like in each API of the gateway."""

from typing import Any

Json = dict[str, Any]
COHERE_PATHS = ("/v2/chat", "/v2/embed", "/v2/rerank", "/v1/chat", "/v1/embed", "/v1/rerank")


def is_worded(path: str, body: Json) -> bool:
    """Whether an error has the shape of the path's API."""
    if path.startswith("/v1/messages"):
        return body["type"] == "error" and bool(body["error"]["type"] and body["error"]["message"])
    if path in COHERE_PATHS:
        return bool(body["message"])
    if path.startswith("/v2"):
        return bool(body["error"])
    if path == "/v1/ranking" or path.endswith("/reranking"):
        return body["object"] == "error" and bool(body["message"])
    if path in ("/", "/rerank", "/embed", "/similarity"):
        return bool(body["error"] and body["error_type"])
    return {"message", "type", "param", "code"} == body["error"].keys()
