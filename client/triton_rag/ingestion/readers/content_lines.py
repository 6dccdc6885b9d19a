"""Calendars (.ics) and contacts (.vcf): a line for each event or person, "Event: …; Start: …".

Both are made of content lines, "NAME;PARAMETER=…:value" (RFC 5545, RFC 6350, vCard 2.1).
"""

from __future__ import annotations

import quopri
import re
from collections.abc import Iterator
from datetime import date, timedelta

from triton_rag.ingestion.file_text import Blocks, FileText, Unreadable
from triton_rag.ingestion.readers.plain import decoded

_LINE = re.compile(r"(?:[\w-]+\.)?([\w-]+)((?:;(?:\"[^\"]*\"|[^\":;])*)*):(.*)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PARTS = re.compile(r"(?<!\\);")
_DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:T(\d\d):?(\d\d)(?::?\d\d(?:\.\d+)?)?(Z?).*)?")
_TYPE = re.compile(r"[;,](?:TYPE=)?\"?(home|work|cell|fax|pager|main|other)\b", re.IGNORECASE)
_SCHEME = re.compile(r"^(?:mailto|tel):", re.IGNORECASE)
"""The scheme before an address or a number that is written as a link."""
_CALENDAR_NAME = "X-WR-CALNAME"

_LABELS = {
    "VEVENT": {"SUMMARY": "Event"},
    "VTODO": {"SUMMARY": "Task", "DUE": "Due", "STATUS": "Status"},
    "VJOURNAL": {"SUMMARY": "Entry"},
    "VCARD": {
        **{"FN": "Name", "NICKNAME": "Nickname", "ORG": "Organization", "TITLE": "Title"},
        **{"ROLE": "Role", "TEL": "Phone", "EMAIL": "E-mail", "ADR": "Address"},
        **{"BDAY": "Birthday", "ANNIVERSARY": "Anniversary", "URL": "Website", "NOTE": "Note"},
    },
}
"""Properties that are written for each kind of component, in this order, with their labels."""
_OF_CALENDARS = {
    **{"DTSTART": "Start", "DTEND": "End", "RRULE": "Repeats", "LOCATION": "Location"},
    **{"ORGANIZER": "Organizer", "ATTENDEE": "Attendees", "DESCRIPTION": "Description"},
}
_DATES = {"DTSTART", "DTEND", "DUE", "BDAY", "ANNIVERSARY"}
_PEOPLE = {"ORGANIZER", "ATTENDEE"}
_STRUCTURED = {"N", "ORG", "ADR"}
"""Properties whose values have several parts, with semicolons between them."""
_TYPED = {"TEL", "EMAIL", "ADR"}

Component = tuple[str, list[tuple[str, str, str]]]
"""A component's kind, and the name, parameters and value of each of its own lines."""


def read(data: bytes) -> FileText:
    blocks, title = Blocks(), ""
    for kind, lines in _components(decoded(data)):
        labels = _LABELS.get(kind)
        if labels is not None:
            blocks.paragraph(_told(lines, labels if kind == "VCARD" else labels | _OF_CALENDARS))
        title = title or next((_plain(v) for name, _, v in lines if name == _CALENDAR_NAME), "")
    if not blocks.file_text().text:
        raise Unreadable("no event and no contact in it: no BEGIN:VEVENT and no BEGIN:VCARD")
    return blocks.file_text(title)


def _components(text: str) -> Iterator[Component]:
    """The components in the order of their ends: an event's alarm comes before the event."""
    opened: list[Component] = []
    for name, parameters, value in _lines(text):
        if name == "BEGIN":
            opened.append((value.strip().upper(), []))
        elif name == "END" and opened:
            yield opened.pop()
        elif opened:
            opened[-1][1].append((name, parameters, value))


def _lines(text: str) -> Iterator[tuple[str, str, str]]:
    for line in _unfolded(text):
        if found := _LINE.match(line):
            name, parameters, value = found.groups()
            if _is_quoted(parameters):
                value = decoded(quopri.decodestring(value.encode()))
            yield name.upper(), parameters, value


def _unfolded(text: str) -> Iterator[str]:
    """Lines without the breaks within them: before a blank, and after the `=` of
    quoted-printable."""
    parts: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if parts and line[:1] in (" ", "\t"):
            parts.append(line[1:])
        elif parts and parts[-1].endswith("=") and _is_quoted(parts[0].partition(":")[0]):
            parts[-1] = parts[-1][:-1]
            parts.append(line)
        else:
            yield "".join(parts)
            parts = [line]
    yield "".join(parts)


def _is_quoted(parameters: str) -> bool:
    return "QUOTED-PRINTABLE" in parameters.upper()


def _told(lines: list[tuple[str, str, str]], labels: dict[str, str]) -> str:
    """The component in one line."""
    if not any(name == "FN" for name, _, _ in lines):  # vCard 2.1 needs the parts of a name only
        labels = {"N" if name == "FN" else name: label for name, label in labels.items()}
    begins = next((_when(value) for name, _, value in lines if name == "DTSTART"), "")
    fields = []
    for wanted, label in labels.items():
        of_name = [(p, v) for name, p, v in lines if name == wanted and v.strip()]
        values = [_value(wanted, parameters, value) for parameters, value in of_name]
        told = ", ".join(filter(None, values))
        if told and not (wanted == "DTEND" and told == begins):
            fields.append(f"{label}: {told}")
    return "; ".join(fields)


def _value(name: str, parameters: str, value: str) -> str:
    if name in _DATES:
        return _last_day(value) if name == "DTEND" else _when(value)
    if name in _PEOPLE:
        return _person(parameters, value)
    if name == "RRULE":
        return value.lower().replace("freq=", "").replace(";", ", ").replace("=", " ")
    parts = _PARTS.split(value) if name in _STRUCTURED else [_SCHEME.sub("", value)]
    told = ", ".join(filter(None, map(_plain, parts)))
    kinds = ", ".join(map(str.lower, _TYPE.findall(parameters))) if name in _TYPED else ""
    return f"{told} ({kinds})" if told and kinds else told


def _plain(value: str) -> str:
    unescaped = _ESCAPED.sub(lambda found: " " if found[1] in "nN" else found[1], value)
    return " ".join(unescaped.split())


def _when(value: str) -> str:
    """2024-03-23 14:00 UTC for `20240323T140000Z`; a value that is no date stays as it is."""
    found = _DATE.fullmatch(value.strip())
    if not found:
        return _plain(value)
    year, month, day, hour, minute, utc = found.groups()
    time = f" {hour}:{minute}" if hour else ""
    return f"{year}-{month}-{day}{time}{' UTC' if utc else ''}"


def _last_day(value: str) -> str:
    """The last day of an event whose end is a whole day: the day before it (RFC 5545, 3.6.1)."""
    told = _when(value)
    try:
        return str(date.fromisoformat(told) - timedelta(days=1))
    except ValueError:
        return told


def _person(parameters: str, value: str) -> str:
    """A person's name, where one is given, and address."""
    named = re.search(r";CN=(?:\"([^\"]*)\"|([^;:]*))", parameters, re.IGNORECASE)
    name = (named[1] or named[2]) if named else ""
    address = _SCHEME.sub("", value.strip())
    return f"{name} <{address}>" if name and "@" in address else name or address
