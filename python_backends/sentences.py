"""Where the sentences of a text are, also in text that is wrapped at a width.

In manuals a sentence mostly continues after a line break. A line was wrapped if the first word of
the next one would hardly have fitted into it, and its paragraph ends with a full stop. Headings,
items of lists, lines of notes and code are sentences of their own; a term belongs to the indented
lines that explain it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise

from python_backends.settings_text import (
    are_settings,
    begins_option,
    is_option,
    is_setting,
    setting_goes_on,
)

ENDS = ".!?؟۔।॥։።။។"
"""Characters that end a sentence before a space, in many scripts."""
_SHORT = ("Dr Mr Mrs Ms Prof St Nr Tel ca ext vs " + r"e\.g i\.e z\.B").split()
_MONTH = r"(?:Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember)\b"
END = (
    rf"(?<=[{ENDS}])"
    + "".join(rf"(?<!\b{word}\.)" for word in _SHORT)
    + r"(?<!\wstr\.)"  # Lindenstr. 4
    + rf"[\"'”’)\]]*\s+(?![a-z]|(?<=\b\d\. ){_MONTH}|(?<=\b\d\d\. ){_MONTH})"
    + r"|(?<=[。！？])(?![”’」』）])|(?<=[。！？][”’」』）])"
)
"""A pattern: where a sentence ends, but not after Dr. or in 24. April."""
_END = re.compile(END)
_NUMBER = r"\(?(?:\d{1,3}|[A-Za-z]|[ivx]{2,4})[.)]|\d+(?:\.\d+)+\.?"
_TIME = r"\d{1,2}:\d\d(?::\d\d)?"
_DATE = r"\d{1,4}[./-]\d{1,2}[./-]\d{2,4}"
_MESSAGE = (
    rf"\u200e?(?:[^\W\d_][^\[\]:\n]{{0,40}} )?\[{_DATE},?[ T]+{_TIME}"
    rf"|\u200e?{_DATE},?[ T]+{_TIME}[^:\n]{{0,40}}(?: - |:\s)"
    rf"|\[?{_TIME}\]?\s+(?:[<*]|-!-|[^\s:][^:\n]{{0,40}}:\s)"
)
"""How a message begins in an exported chat or log: with its time, maybe after a name. The client is
a separate package and has the same pattern."""
_ITEM = re.compile(rf"(?:[-*+•·#|>=~]+|\.\.|{_NUMBER})(?:\s|$)|{_MESSAGE}")
"""The beginning of a line that continues no other: items, messages, headings, quotes, tables, …"""
_IS_NUMBER = re.compile(_NUMBER)
_IS_ENDED = re.compile(rf"[{ENDS}:;。！？：；][\"'”’)\]]*$")
_HAS_WORD = re.compile(r"\w")
_BULLETS = "-*+•·"
_BULLET = re.compile(rf"(?:#{{1,6}}|[{_BULLETS}])\s+")
MARKED_HEADING = re.compile(r"#{1,6}\s")
RULE = re.compile(r"\s*\n[ \t]*([-=~^\"'*+#`_.])\1{2,}[ \t]*(?:\n|$)")
_CLAUSE = (
    r"(?:§+|Art(?:\.|icle|ikel)|Section|Clause|Chapter|Kapitel|Abschnitt)\s*\d{1,4}[a-z]?[.:]?"
)
_LONE_HEADING = re.compile(
    rf"(?:(?:{_CLAUSE}(?:\s[–—-])?|\d+(?:\.\d+)+\.?|\d{{1,3}}\.)\s+)?"
    r"[^\W\d_][^\d:;=|<>{}\[\]]*"
)
"""Only the number of a section is allowed: any other number may be what a question asks for."""
_NUMBERED = re.compile(r"\s*\d{1,3}[.)]\s")
_CLOSING = re.compile(
    r"(?:(?:Kind|Best|Warm) r|R)egards|Best(?: wishes)?|Cheers|(?:Many t|T)hanks|Sincerely"
    r"|Yours \w+|(?:Viele|Beste|Liebe|Herzliche) Grüße|Mit freundlichen Grüßen"
)
_IS_QUESTION = re.compile(r"[?？؟]\W*$")
_BLANK_BEFORE = re.compile(r"(?:^|\n)[ \t]*\n[ \t]*\Z|^[ \t]*\Z")
_LONGEST_BEFORE = 200
"""Characters before a line that are looked at: a document may be long."""
_BLANK_AFTER = re.compile(r"[ \t]*(?:\n[ \t]*\n|\s*\Z)")

_BAR = " | "
_FIELD = re.compile(r"[^\s:;|][^:;|]{0,60}: (?=[^;\n]*; )")
"""The name of a record's first field, where more follow."""

_COLUMNS = re.compile(r"[^.\s](?: {4,}|\t+)\S")
"""The blanks between two columns of a table; justified text has fewer of them."""

_FULL = 0.75
"""Share of the longest line from which a line counts as full; justified text varies."""
_FEWEST_NOTES = 3
"""Least lines of notes: fewer lines without a full stop at the end may be a long heading."""
_LEAST_WIDTH = 30
"""Least width, in characters, at which anybody wraps text: shorter lines end on purpose."""
_LONGEST_HEADING_WORDS = 9
_LONGEST_WORD_CHARACTERS = 20
"""Most characters of a word: a whole line of a script without spaces looks like one word."""

Span = tuple[int, int]
"""Start and end of a slice of a text, in characters."""


def sentences(text: str) -> list[str]:
    """The sentences of a text, each on one line."""
    return [one_line(text[start:end]) for start, end in sentence_spans(text)]


def one_line(text: str) -> str:
    return " ".join(text.split())


def is_whole(sentence: str) -> bool:
    """Whether it ends as a sentence does; headings, terms and rows of tables don't."""
    return _IS_ENDED.search(sentence) is not None


def begins_item(sentence: str) -> bool:
    """Whether it begins as an item, an option, a heading or a row does, or is a setting."""
    return _ITEM.match(sentence) is not None or is_option(sentence) or is_setting(sentence)


def stands_alone(found: Sequence[str], number: int) -> bool:
    """Whether a sentence can be understood alone: an item of a list without numbers (so no step),
    an option of a command, a setting, a record, or a row of a table below another row. The first
    row is left out: it names the columns."""
    sentence, before = found[number], found[number - 1] if number else ""
    is_bulleted = begins_item(sentence) and sentence[0] in _BULLETS
    is_row = _FIELD.match(sentence) is not None or (_BAR in sentence and _BAR in before)
    return is_bulleted or is_row or is_option(sentence) or is_setting(sentence)


def without_bullet(text: str, span: Span) -> Span:
    """The span of a sentence without the sign before an item or a heading; settings keep theirs."""
    start, end = span
    found = _BULLET.match(text, start, end)
    return (found.end() if found and not is_setting(text[start:end]) else start), end


def is_heading(text: str, span: Span) -> bool:
    """Whether a sentence of the text is a heading.

    It is marked as one, or has a rule below it, or is alone between blank lines and a question, or
    short, without a full stop and with a capital. A line with a number or a colon is no heading: it
    says something. A letter's closing counts as one: what is below it is something else.
    """
    start, end = span
    sentence = text[start:end]
    if "\n" in sentence:
        return False
    is_closing = _CLOSING.fullmatch(sentence.rstrip(",!"))
    if is_setting(sentence):
        return False
    if MARKED_HEADING.match(sentence) or RULE.match(text, end) or is_closing:
        return True
    before = text[max(0, start - _LONGEST_BEFORE) : start]
    if not (_BLANK_BEFORE.search(before) and _BLANK_AFTER.match(text, end)):
        return False
    if _NUMBERED.match(sentence):  # beside another number it is an item
        line_before = before.rstrip().rpartition("\n")[2]
        if _NUMBERED.match(text, end) or _NUMBERED.match(line_before):
            return False
    return _IS_QUESTION.search(sentence) is not None or _is_title(sentence)


def _is_title(line: str) -> bool:
    is_short = len(line.split()) <= _LONGEST_HEADING_WORDS
    has_form = _LONE_HEADING.fullmatch(line) and not line[0].islower()
    return bool(is_short and has_form and not is_whole(line))


def sentence_spans(text: str) -> list[Span]:
    """Start and end of each sentence in order, without the blanks around it.

    A text without a word is one sentence, a blank one none.
    """
    found = [span for start, end in _blocks(text) for span in _in_block(text[start:end], start)]
    return found or ([_stripped(text)] if text.strip() else [])


def _blocks(text: str) -> Iterator[Span]:
    """The spans of lines that belong together."""
    lines = text.split("\n")
    width = max(map(len, lines))
    start = end = 0
    for _, group in groupby(lines, lambda line: not line.strip()):
        paragraph = list(group)
        goes_on = _how_lines_go_on(paragraph, width)
        for line, following in pairwise([*paragraph, ""]):
            end += len(line) + 1
            if not goes_on(line, following):
                yield start, min(end, len(text))
                start = end


def _how_lines_go_on(paragraph: list[str], width: int) -> Callable[[str, str], bool]:
    """A function that tells whether a line of this paragraph and the next one belong together."""
    if are_settings(paragraph):
        return setting_goes_on
    if _are_notes(paragraph):
        return lambda line, following: False
    return lambda line, following: _goes_on(line, following, width)


def _are_notes(paragraph: list[str]) -> bool:
    """Whether each line is a note of its own: wrapped text would end with a full stop.

    Full lines that continue with small letters are no notes but a paragraph that is cut.
    """
    least = _FULL * max(map(len, paragraph))
    is_cut = all(len(line) > least for line in paragraph[:-1]) and any(
        line[:1].islower() for line in paragraph[1:]
    )
    return (
        len(paragraph) >= _FEWEST_NOTES
        and not _IS_ENDED.search(paragraph[-1].rstrip())
        and not any(line[:1].isspace() or _ITEM.match(line) for line in paragraph)
        and not is_cut
    )


def _goes_on(line: str, following: str, width: int) -> bool:
    """Whether `following` continues the sentence or the term of `line`."""
    begin = following.lstrip()
    has_words = _HAS_WORD.search(line) and _HAS_WORD.search(begin)  # no rules under headings
    if not has_words or _ITEM.match(begin) or _are_rows(line, following):
        return False
    if begins_option(line, following):
        return False
    line = line.rstrip()
    used = len(line) + 1 + min(len(begin.split(maxsplit=1)[0]), _LONGEST_WORD_CHARACTERS)
    is_full = used > _FULL * width or (begin[0].islower() and len(line) > width / 2)
    if is_full and width >= _LEAST_WIDTH:
        return True
    is_deeper = len(following) - len(begin) > len(line) - len(line.lstrip())
    return is_deeper and not _IS_ENDED.search(line)


def _are_rows(line: str, following: str) -> bool:
    """Whether both have cells between bars or in columns, or are records with one first field."""
    if _BAR in line and _BAR in following:
        return True
    if _COLUMNS.search(line) and _COLUMNS.search(following):
        return True
    name, following_name = _FIELD.match(line), _FIELD.match(following)
    return bool(name and following_name and name[0] == following_name[0])


def _in_block(block: str, offset: int) -> Iterator[Span]:
    start = 0
    ends = [] if is_setting(block) else [found.end() for found in _END.finditer(block)]
    for end in [*ends, len(block)]:
        piece = block[start:end]
        if _IS_NUMBER.fullmatch(piece.strip().lstrip("# ")) and end < len(block):
            continue  # "7." and its text are one
        if _HAS_WORD.search(piece):
            yield _stripped(piece, offset + start)
        start = end


def _stripped(text: str, offset: int = 0) -> Span:
    """The span of a text that begins at `offset`, without the blanks around it."""
    begin = offset + len(text) - len(text.lstrip())
    return begin, begin + len(text.strip())
