"""Rules for input: patterns from the settings, and a function that the operator has written."""

import importlib
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from gateway.call import Call, Event, Handler
from gateway.errors import BadRequest
from gateway.texts import refuse_token_ids, texts_of


class RuleError(Exception):
    """A rule that can't be used; the message says which and why."""


@dataclass(frozen=True)
class Rule:
    """A rule; `breaks` says whether a text breaks it."""

    name: str
    breaks: Callable[[str], bool]


def pattern_rules(patterns: Mapping[str, str]) -> list[Rule]:
    """A rule for each name and regular expression; raises RuleError."""
    return [Rule(name, _pattern(name, pattern)) for name, pattern in patterns.items()]


def _pattern(name: str, pattern: str) -> Callable[[str], bool]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise RuleError(f"rule {name!r}: {error}") from error
    return lambda text: compiled.search(text) is not None


def hook_rule(place: str) -> Rule:
    """A rule by the function `package.module:function`, which says whether a text breaks it;
    raises RuleError."""
    return Rule(place, hook(place))


def hook(place: str) -> Callable[[str], Any]:
    """The operator's function `package.module:function`; raises RuleError."""
    module, colon, function = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), function) if colon else None
    except (ImportError, AttributeError, SyntaxError, TypeError, ValueError) as error:
        raise RuleError(f"hook {place!r}: {error}") from error
    if not callable(found):
        raise RuleError(f"hook {place!r} is not package.module:function")
    return cast(Callable[[str], Any], found)


def broken_rules(rules: Iterable[Rule], text: str) -> list[str]:
    """Names of the rules that a text breaks."""
    return [rule.name for rule in rules if rule.breaks(text)]


def ruled(inner: Handler, rules: Iterable[Rule]) -> Handler:
    """Raises BadRequest, with the field and the rule's name, for input that breaks a rule, and for
    token ids, whose text rules can't read."""
    rules = tuple(rules)

    async def handle(call: Call) -> AsyncGenerator[Event, None]:
        refuse_token_ids(call.request, "looked into by rules")
        for field, text in texts_of(call.request):
            if broken := broken_rules(rules, text):
                raise BadRequest(f"{field} breaks the rule {broken[0]!r} here", field=field)
        async with aclosing(inner(call)) as answer:
            async for event in answer:
                yield event

    return handle
