"""The result file: every pair that was measured, kept at once, so that a run can go on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from builders.tune.change import Change, Changes
from builders.tune.decision import Pair, Slice
from builders.tune.objective import Limit
from builders.tune.search import Phase, Race


@dataclass(frozen=True)
class Settings:
    """What a measurement is of: results of other settings are not mixed with these.

    `clients` by workload, "embed=8"; `placement` is the text of its file; `engines` the keys.
    """

    sku: str
    limits: tuple[Limit, ...]
    clients: tuple[str, ...]
    slice_s: float
    placement: str
    engines: tuple[str, ...]


class Results:
    """Pairs by race, in a JSON file that is written anew after each race."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path = path
        self._settings = json.loads(json.dumps(asdict(settings)))
        self._pairs: dict[Race, list[Pair]] = {}

    def resume(self) -> int:
        """Take over the pairs of an unfinished run with the same settings; their number."""
        found = json.loads(self._path.read_text()) if self._path.is_file() else {}
        if found.get("settings") == self._settings and not found["finished"]:
            self._pairs = dict(map(_read, found["races"]))
        return sum(map(len, self._pairs.values()))

    def pairs(self, race: Race) -> list[Pair]:
        """Those measured so far."""
        return list(self._pairs.get(race, ()))

    def add(self, race: Race, pairs: Sequence[Pair]) -> None:
        """Keep more pairs of a race."""
        self._pairs.setdefault(race, []).extend(pairs)
        self.save()

    def save(self, finished: bool = False) -> None:
        """Write the file; a finished run is not gone on with."""
        races = [_told(race, pairs) for race, pairs in self._pairs.items()]
        text = {"finished": finished, "settings": self._settings, "races": races}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(text, indent=1))
        fresh.replace(self._path)


def _told(race: Race, pairs: Sequence[Pair]) -> dict[str, Any]:
    return asdict(race) | {"pairs": [asdict(pair) for pair in pairs]}


def _read(found: Mapping[str, Any]) -> tuple[Race, list[Pair]]:
    reference, candidate = (_changes(found[name]) for name in ("reference", "candidate"))
    race = Race(Phase(found["phase"]), found["workload"], reference, candidate)
    pairs = [Pair(_slice(one["reference"]), _slice(one["candidate"])) for one in found["pairs"]]
    return race, pairs


def _changes(found: Sequence[Mapping[str, Any]]) -> Changes:
    return tuple(Change(**one) for one in found)


def _slice(found: Mapping[str, Any]) -> Slice:
    timings_s = tuple(tuple(timings) for timings in found["timings_s"])
    return Slice(found["work_per_s"], found["failed"], timings_s)
