"""What to tell a client whose path has no route: a slip in its base URL, or another way."""

import re
from collections.abc import Callable

_NOT_SERVED = {
    "/v1/responses/compact": "",
    "/v1/responses/": ", since no response is stored: send the whole conversation as input",
    "/v1/chat/completions/": ", since no completion is stored",
    "/v1/conversations": ", since nothing is stored: send the whole conversation as input",
    "/v1/messages/batches": ": send the messages one by one; many may run at a time",
    "/v1/moderations": ": the rules in [guards] refuse what breaks them",
    "/v1/uploads": ": send a file whole to /v1/files",
    "/v1/batches": ": send the requests one by one; many may run at a time",
    "/v1/assistants": ": use /v1/responses with the tool file_search",
    "/v1/threads": ": use /v1/responses with the tool file_search",
    **dict.fromkeys(
        ("/v1/audio", "/v1/images", "/v1/videos", "/v1/realtime"), ": models of text only"
    ),
    **dict.fromkeys(("/v1/generate", "/v1/summarize"), ": use /v2/chat"),
    **dict.fromkeys(("/v1/classify", "/v1/detokenize", "/v1/tokenize"), ""),
    **dict.fromkeys(("/v1/containers", "/v1/evals", "/v1/fine_tuning", "/v1/skills"), ""),
}
"""Paths of OpenAI's, Anthropic's and Cohere's APIs, and what to do instead."""

_CHAT = "/v1/chat/completions"
_OLLAMA = f": Ollama's API; use {_CHAT}, /v1/embeddings and /v1/models"
_OTHERS = {
    "/openai/": ": Azure's paths; give OpenAI's own client a base URL that ends in /v1, and a model"
    " instead of a deployment",
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


def elsewhere(path: str, is_served: Callable[[str], bool]) -> str:
    """The end of an error's sentence; `is_served` says whether another path has a route."""
    single = re.sub("/{2,}", "/", path)
    if single != path and is_served(single):
        return f"; {single!r:.100} is here: the base URL ends in a slash too many"
    for other in (f"/v1{single}", single.removeprefix("/v1")):
        if other not in (path, "") and is_served(other):
            return f"; {other!r:.100} is here: the base URL has one /v1 too many or too few"
    own = single[single.find("/v1/", 1) :]
    if own != single and own.startswith("/v1/") and is_served(own):
        return f"; {own!r:.100} is here: the base URL has too much before /v1"
    for begin, instead in (_NOT_SERVED | _OTHERS).items():
        if single.startswith(begin):
            return f"; this part of the API is not served{instead}"
    return "; /docs lists what is here"
