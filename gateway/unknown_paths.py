"""What a client meant by a path that has no route, or what to tell it."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

_ELSEWHERE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
"""How paths of other APIs begin, and what to do instead, behind the words of an error."""

_AZURES = re.compile("^.*/openai/(?:deployments/([^/]+)/)?")


def corrected(path: str, is_served: Callable[[str], bool]) -> tuple[str, str]:
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


def advice(path: str) -> str:
    """The end of the sentence that refuses a path."""
    for begin, instead in _ELSEWHERE.items():
        if path.startswith(begin):
            return f"; this part of the API is not served{instead}"
    return "; /docs lists what is here"
