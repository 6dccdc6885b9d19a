"""What a client meant by a path that has no route, or what to tell it."""

import re
from collections.abc import Callable

_NOT_SERVED = {
    "/v1/responses/compact": "",
    "/v1/responses/": ", since no response is stored: send the whole conversation as input",
    "/v1/chat/completions/": ", since no completion is stored",
    "/v1/conversations": ", since nothing is stored: send the whole conversation as input",
    "/v1/messages/batches": ": send the messages one by one; many may run at a time",
    "/v1/uploads": ": send a file whole to /v1/files",
    "/v1/batches": ": send the requests one by one; many may run at a time",
    "/v1/assistants": ": use /v1/responses with the tool file_search",
    "/v1/threads": ": use /v1/responses with the tool file_search",
    **dict.fromkeys(
        ("/v1/audio", "/v1/images", "/v1/videos", "/v1/realtime"), ": models of text only"
    ),
    "/v1/complete": ": use /v1/messages",
    **dict.fromkeys(("/v1/generate", "/v1/summarize"), ": use /v2/chat"),
    **dict.fromkeys(("/v1/classify", "/v1/detokenize", "/v1/tokenize"), ""),
    **dict.fromkeys(("/v1/containers", "/v1/evals", "/v1/fine_tuning", "/v1/skills"), ""),
}
"""Paths of OpenAI's, Anthropic's and Cohere's APIs, and what to do instead."""

_CHAT = "/v1/chat/completions"
_OLLAMA = f": Ollama's API; use {_CHAT}, /v1/embeddings and /v1/models"
_OTHERS = {
    "/v1beta": f": Gemini's API; use {_CHAT}, with a base URL that ends in /v1",
    "/model/": f": Bedrock's API; use {_CHAT} or /v1/messages",
    **dict.fromkeys(("/api/chat", "/api/generate", "/api/embed", "/api/tags"), _OLLAMA),
    **dict.fromkeys(("/api/show", "/api/ps", "/api/version", "/api/pull"), _OLLAMA),
    "/v1/engines": ": OpenAI's older paths; use /v1/completions or /v1/embeddings",
    **dict.fromkeys(
        ("/generate", "/completion", "/invocations", "/predict"),
        f": use /v1/completions or {_CHAT}, or Triton's /v2/models/llm/generate",
    ),
}
"""Paths of APIs that are not served at all, and what to use instead."""


_AZURES = re.compile("^.*/openai/(?:deployments/([^/]+)/)?")


def meant(path: str, is_served: Callable[[str], bool]) -> tuple[str, str]:
    """The path that has a route, where a client has slashes or /v1 too many or none, or its
    provider's path before it (Groq's, Azure's); and the model, where Azure's path names one.

    `is_served` says whether a path has a route. A path that can't be told stays.
    """
    plain = re.sub("/{2,}", "/", path).rstrip("/")
    azures = _AZURES.match(plain)
    tries = (
        *(path, path.rstrip("/"), plain, f"/v1{plain}", plain.removeprefix("/v1")),
        "/v1/" + plain.rpartition("/v1/")[2],
        _AZURES.sub("/v1/", plain),
    )
    found = next((each for each in tries if each and is_served(each)), plain or "/")
    return found, (azures and azures[1]) or ""


def elsewhere(path: str) -> str:
    """The end of an error's sentence."""
    for begin, instead in (_NOT_SERVED | _OTHERS).items():
        if path.startswith(begin):
            return f"; this part of the API is not served{instead}"
    return "; /docs lists what is here"
