"""Values of protobuf's text format: integers, numbers, strings."""

import re


class BadLiteral(ValueError):
    """The text is no value of the wanted type; the message says what is wrong."""


_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"?])|x([0-9a-fA-F]{1,2})|([0-7]{1,3})|u(.{4})|U(.{8})|(.))"
)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def read_integer(
    text: str, negative: bool = False, bounds: tuple[int, int] = (-(2**63), 2**64 - 1)
) -> int:
    """Decimal, hexadecimal (0x) or octal (0…); raises `BadLiteral`."""
    try:
        if text[:2] in ("0x", "0X"):
            value = int(text, 16)
        elif text.startswith("0") and len(text) > 1:
            value = int(text, 8)
        else:
            value = int(text) if text.isdecimal() and text.isascii() else _not_integer(text)
    except ValueError:
        raise BadLiteral(f"takes an integer, not '{text}'") from None
    value = -value if negative else value
    if not bounds[0] <= value <= bounds[1]:
        raise BadLiteral(f"takes an integer from {bounds[0]} to {bounds[1]}, not {value}")
    return value


def _not_integer(text: str) -> int:
    raise ValueError(text)


def read_float(text: str) -> float:
    """A number, `inf` or `nan`; raises `BadLiteral`."""
    if text.lower() in ("inf", "infinity", "nan"):
        return float(text)
    if re.fullmatch(r"0[0-9]+", text) or text[:2] in ("0x", "0X"):
        raise BadLiteral(f"takes a decimal number, not '{text}'")
    try:
        return float(text.rstrip("fF"))
    except ValueError:
        raise BadLiteral(f"takes a number, not '{text}'") from None


def read_string(literal: str) -> str:
    """What a literal in quotes stands for; raises `BadLiteral`."""
    inside = literal[1:-1]
    if "\\" not in inside:
        return inside
    parts, start = [], 0
    for match in _ESCAPE.finditer(inside):
        parts += [_bytes(inside[start : match.start()]), _unescape(match)]
        start = match.end()
    return b"".join([*parts, _bytes(inside[start:])]).decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _unescape(match: re.Match[str]) -> bytes:
    """Octal and hexadecimal escapes are bytes, of which several make one character."""
    simple, hexadecimal, octal, short, long, other = match.groups()
    if simple:
        return _bytes(_SIMPLE.get(simple, simple))
    if other:
        raise BadLiteral(f"has the escape '\\{other}', which does not exist")
    try:
        if short or long:
            return _bytes(chr(int(short or long, 16)))
        return bytes([int(hexadecimal, 16) if hexadecimal else int(octal, 8) & 0xFF])
    except (ValueError, OverflowError):
        raise BadLiteral(f"has the escape '{match[0]}', which is no character") from None
