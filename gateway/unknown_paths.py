"""Corrects a path that has no route, or advises the client."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

_ELSEWHERE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
"""How paths of other APIs begin, and what to do instead: the end of an error's sentence."""

_AZURES = re.compile("^.*/openai/(?:deployments/([^/]+)/)?")


def corrected(path: str, is_served: Callable[[str], bool]) -> tuple[str, str]:
    """The path that has a route, if a client has sent too many or no slashes or /v1, or a
    provider's path before it (Groq's, Azure's); and the model, if Azure's path names one.

    `is_served` says whether a path has a route. An unknown path is returned unchanged.
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


def advice(path: str) -> str:
    """The end of the sentence that refuses a path."""
    for begin, instead in _ELSEWHERE.items():
        if path.startswith(begin):
            return f"; this part of the API is not served{instead}"
    return "; /docs lists what is here"
