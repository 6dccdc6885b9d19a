"""What is not known of a message in which faults were found.

A rule that asks for what is not known is left out, by an exception: what it found before does not
depend on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from triton_lint.schema import FieldType, Kind
from triton_lint.tokens import Token, TokenKind

_TELLS_BACKEND = {"backend", "platform"}
_ALIKE = 0.6


class Doubtful(Exception):
    """A field is asked for that a fault keeps from being known."""


@dataclass(frozen=True)
class Unknown:
    """A field of which it isn't certain what is meant, and the kinds of value that it may have."""

    name: str
    kinds: frozenset[Kind]
    is_list: bool

    @classmethod
    def of(cls, name: str, following: Sequence[Token]) -> "Unknown":
        """By the first tokens after the name."""
        found = [token for token in following if token.text != ":"]
        is_list = bool(found) and found[0].text == "["
        return cls(name, _kinds(found[1:] if is_list else found), is_list)

    def may_be(self, known: FieldType) -> bool:
        return known.kind in self.kinds and (known.repeated or not self.is_list)

    def resembles(self, name: str) -> bool:
        return SequenceMatcher(None, self.name, name).ratio() >= _ALIKE


def _kinds(found: Sequence[Token]) -> frozenset[Kind]:
    """The kinds of field that take a value beginning so."""
    if not found or found[0].kind == TokenKind.END:
        return frozenset(Kind)
    kind, text = found[0].kind, found[0].text
    if text in "{<":
        return frozenset({Kind.MESSAGE})
    if kind == TokenKind.NUMBER or text == "-":
        return frozenset({Kind.INTEGER, Kind.FLOAT, Kind.BOOL})
    if kind == TokenKind.STRING:
        return frozenset({Kind.STRING})
    if kind == TokenKind.NAME:
        return frozenset({Kind.ENUM, Kind.STRING, Kind.BOOL})
    return frozenset(Kind) - {Kind.MESSAGE}


@dataclass
class Damage:
    """What faults leave in doubt."""

    fields: set[str] = field(default_factory=set)
    """Fields with a fault."""
    unknown: list[Unknown] = field(default_factory=list)
    is_partial: bool = False
    """Whether fields may have been passed over."""

    def covers(self, name: str, known: FieldType | None, present: Mapping[str, object]) -> bool:
        """Whether the values of the field `name` are in doubt."""
        if name in self.fields or known is None:
            return True
        if self.is_partial and (known.repeated or name not in present):
            return True
        return any(_may_mean(each, known, present) for each in self.unknown)


def _may_mean(unknown: Unknown, known: FieldType, present: Mapping[str, object]) -> bool:
    """Whether `unknown` may stand for a field that is absent, or for one more of several."""
    if not unknown.may_be(known):
        return False
    is_told = known.kind is Kind.STRING and bool(_TELLS_BACKEND & present.keys())
    if known.name in present or is_told:
        return (known.repeated or known.name not in present) and unknown.resembles(known.name)
    return True
