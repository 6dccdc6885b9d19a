"""Reads the guide of a request: the schema, regex or grammar that its answer must match."""

import json

from ensembles.guides import GUIDE_TEXT, GUIDE_TYPE, GUIDE_TYPES
from python_backends.engines.llm_engine import Guide
from python_backends.errors import RequestError
from python_backends.generation.schema import refers_only_to_itself, unenforced
from python_backends.tensors import Tensors

MAX_CHARACTERS = 65_536
MAX_DEPTH = 64
"""Most nested brackets of a guide. The library needs 6 s for a schema with 500."""

_OPENING, _CLOSING = "([{", ")]}"


def read_guide(tensors: Tensors) -> Guide | None:
    """The request's guide; raises `RequestError`.

    Only form and size are checked: the engine finds out whether it can follow the guide.
    """
    kind = tensors.text(GUIDE_TYPE, "")
    text = tensors.text(GUIDE_TEXT, "")
    if not kind and not text:
        return None
    if kind not in GUIDE_TYPES:
        raise RequestError(
            f"{GUIDE_TYPE}: {kind[:20]!r} given; {', '.join(GUIDE_TYPES)} are possible"
        )
    if kind == "json":
        return Guide(kind)
    if not text:
        raise RequestError(f"{GUIDE_TEXT}: empty; a {kind} is needed")
    _check_size(text)
    if kind == "json_schema":
        _check_schema(text)
    return Guide(kind, text)


def _check_size(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise RequestError(
            f"{GUIDE_TEXT}: {len(text)} characters; at most {MAX_CHARACTERS} are possible"
        )
    if "\0" in text:
        raise RequestError(f"{GUIDE_TEXT}: a NUL at {text.index(chr(0))}; none is possible")
    if not _is_flat(text):
        raise RequestError(f"{GUIDE_TEXT}: more than {MAX_DEPTH} brackets within one another")


def _is_flat(text: str) -> bool:
    """Whether few brackets are open at a time; those in strings count too."""
    depth = 0
    for character in text:
        if character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth = max(0, depth - 1)
        if depth > MAX_DEPTH:
            return False
    return True


def _check_schema(text: str) -> None:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{GUIDE_TEXT}: not JSON; a JSON schema is needed") from error
    if not isinstance(schema, dict):
        raise RequestError(f"{GUIDE_TEXT}: no JSON object; a JSON schema is needed")
    if place := next(unenforced(schema), ""):
        raise RequestError(f"{GUIDE_TEXT}: {place[:100]} can't be enforced; leave it out")
    if refers_only_to_itself(schema):
        raise RequestError(f"{GUIDE_TEXT}: refers to itself only, so no text can match it")
