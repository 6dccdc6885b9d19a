"""What a fact can state: one generator for each kind of value, each a function of a `Random`."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from builders.reference.names import entity_name, person, place, word, words

Generator = Callable[[Random], str]


def _number(rng: Random) -> str:
    """Spread evenly over magnitudes: one to five digits, large ones with a comma at times."""
    number = rng.randrange(2, 10 ** rng.randint(1, 5) + 2)
    return f"{number:,}" if number > 999 and rng.random() < 0.4 else str(number)


def _decimal(rng: Random) -> str:
    return (
        f"{rng.uniform(0.1, 99):.{rng.choice((1, 1, 2))}f}" if rng.random() < 0.3 else _number(rng)
    )


def _measure(*units: str) -> Generator:
    return lambda rng: f"{_decimal(rng)} {rng.choice(units)}"


def _pick(group: str) -> Generator:
    return lambda rng: rng.choice(words(group))


def _colour(rng: Random) -> str:
    colour = rng.choice(words("colours"))
    if rng.random() < 0.2:
        return f"{colour} and {rng.choice(words('colours'))}"
    return f"{rng.choice(words('shades'))} {colour}" if rng.random() < 0.4 else colour


def _version(rng: Random) -> str:
    text = ".".join(str(rng.randrange(40)) for _ in range(rng.choice((2, 3, 3))))
    return ("v" if rng.random() < 0.15 else "") + text + rng.choice(("", "", "", "-rc1", "b2"))


def _team(rng: Random) -> str:
    name = word(rng).capitalize() if rng.random() < 0.6 else rng.choice(words("nouns")).capitalize()
    return f"{rng.choice(('team', 'the', 'group', 'squad'))} {name}{rng.choice(('', '', ' crew'))}"


def _host(rng: Random) -> str:
    tail = rng.choice((".net", ".org", ".local", ".example", ".internal", ".io"))
    return f"{word(rng)}{rng.choice(('', '.', '-'))}{word(rng)}{tail}"


def _date(rng: Random) -> str:
    day, month = rng.randrange(1, 29), rng.choice(words("months"))
    year = f" {rng.randrange(1700, 2030)}" if rng.random() < 0.6 else ""
    return f"{day} {month}{year}" if rng.random() < 0.7 else f"{month} {day}"


def _clock(rng: Random) -> str:
    if rng.random() < 0.25:
        return rng.choice(
            ("noon", "midnight", "dawn", "sunset", "six in the morning", "half past four")
        )
    return f"{rng.randrange(24):02d}:{rng.choice(('00', '15', '30', '45', '05', '20'))}"


def _code(rng: Random) -> str:
    letters = "".join(rng.choice("ABCDEFGHKLMNPRSTUVWXZ") for _ in range(rng.randint(1, 4)))
    return f"{letters}{rng.choice(('-', '', ' '))}{rng.randrange(10, 99999)}"


def _phrase(rng: Random) -> str:
    first = rng.choice(words("adjectives")) if rng.random() < 0.7 else word(rng)
    middle = f" {rng.choice(words('adjectives'))}" if rng.random() < 0.2 else ""
    return f"{first}{middle} {rng.choice(words('nouns'))}"


def _price(rng: Random) -> str:
    if rng.random() < 0.2:
        return f"{rng.choice('$€£')}{_decimal(rng)}"
    return f"{_decimal(rng)} {rng.choice(words('currencies'))}"


COUNT_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve")

GENERATORS: dict[str, Generator] = {
    "port": lambda rng: str(rng.randrange(80, 65536)),
    "person": person,
    "place": place,
    "team": _team,
    "version": _version,
    "duration": lambda rng: f"{_number(rng)} {rng.choice(words('seconds'))}",
    "quantity": lambda rng: f"{_number(rng)} {rng.choice(words('units'))}",
    "colour": _colour,
    "year": lambda rng: str(rng.randrange(1200, 2026)),
    "price": _price,
    "metres": _measure("metres", "m", "feet", "fathoms", "metres"),
    "kilometres": _measure("kilometres", "km", "miles", "metres"),
    "weight": _measure("kilograms", "kg", "tonnes", "pounds", "grams"),
    "speed": _measure("knots", "km/h", "metres per second", "miles per hour"),
    "temperature": _measure("degrees", "degrees Celsius", "°C", "kelvin"),
    "memory": _measure("MB", "GB", "MiB", "GiB", "megabytes"),
    "percent": _measure("percent", "per cent"),
    "material": _pick("materials"),
    "language": _pick("languages"),
    "code_name": _pick("stores"),
    "animal": _pick("animals"),
    "product": _pick("products"),
    "weekday": _pick("weekdays"),
    "month": _pick("months"),
    "host": _host,
    "email": lambda rng: f"{word(rng)}@{_host(rng)}",
    "big_number": lambda rng: rng.choice(
        (f"{rng.randrange(60, 90000):,}", str(rng.randrange(60, 9999)))
    ),
    "small_number": lambda rng: (
        rng.choice(COUNT_WORDS) if rng.random() < 0.3 else str(rng.randrange(2, 150))
    ),
    "date": _date,
    "clock": _clock,
    "code": _code,
    "entity_name": entity_name,
    "phrase": _phrase,
}


def draw(kind: str, rng: Random) -> str:
    """A value of that kind; an unknown kind is a fault in the phrase files, said by its name."""
    return GENERATORS[kind](rng)
