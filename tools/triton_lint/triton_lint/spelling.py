"""Suggestions for names that don't exist."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one name that must be meant; None where there is doubt."""
    names = list(known)
    ends = [each for each in names if each.upper().endswith(f"_{name.upper()}")]
    if len(ends) == 1:
        return ends[0]
    near = get_close_matches(name, names, n=2, cutoff=0.85)
    return near[0] if len(near) == 1 or (near and near[0].lower() == name.lower()) else None


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`; did you mean 'x'?`, or "" when nothing is near."""
    names = list(known)
    by_lower = {each.lower(): each for each in names}
    if name.lower() in by_lower:
        return f"; did you mean '{by_lower[name.lower()]}'?"
    near = get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return f"; did you mean '{by_lower[near[0]]}'?" if near else ""
