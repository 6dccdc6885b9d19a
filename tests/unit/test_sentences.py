"""Where sentences end, also in text that is wrapped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_backends.sentences import is_heading, sentence_spans, sentences

WRAPPED = """\
LIMITS

Since Linux 2.6.11, the pipe capacity is 16 pages (i.e., 65,536 bytes in a system with
a page size of 4096 bytes).   Since Linux 2.6.35, the default pipe capacity is 16
pages, but the capacity can be changed.

   gc_thresh3 (since Linux 2.2)
          The hard maximum number of entries to keep in the ARP cache.
          Defaults to 1024.

1.12. "Secondary License"
    means either the GNU General Public License, Version 2.0, or any later one.
7. Distribution of the licence comes with the program, and needs no other one.
* one
* two
"""


def test_sentences_of_wrapped_text_are_whole():
    assert sentences(WRAPPED) == [
        "LIMITS",
        "Since Linux 2.6.11, the pipe capacity is 16 pages (i.e., 65,536 bytes in a system with a "
        "page size of 4096 bytes).",
        "Since Linux 2.6.35, the default pipe capacity is 16 pages, but the capacity can be "
        "changed.",
        "gc_thresh3 (since Linux 2.2) The hard maximum number of entries to keep in the ARP cache.",
        "Defaults to 1024.",
        '1.12. "Secondary License" means either the GNU General Public License, Version 2.0, or '
        "any later one.",
        "7. Distribution of the licence comes with the program, and needs no other one.",
        "* one",
        "* two",
    ]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (
            "Set 4.2 bar, e.g. by hand. Then wait! Done",
            ["Set 4.2 bar, e.g. by hand.", "Then wait!", "Done"],
        ),
        ("Ask Dr. Hoppe, Lindenstr. 4. She knows.", ["Ask Dr. Hoppe, Lindenstr. 4.", "She knows."]),
        (
            "Am 24. April um 14 Uhr. Im Mai 7. Sonst nie.",
            ["Am 24. April um 14 Uhr.", "Im Mai 7.", "Sonst nie."],
        ),
        ("It returns a str. Separate them.", ["It returns a str.", "Separate them."]),
        ("今日は。明日は！", ["今日は。", "明日は！"]),
        ("「今日は。」と言う。明日は", ["「今日は。」", "と言う。", "明日は"]),
        ("山の高さ\n山は高い。", ["山の高さ", "山は高い。"]),
        ("नाव चली। वह कब आएगी? कल।", ["नाव चली।", "वह कब आएगी?", "कल।"]),
        ("متى يبحر القارب؟ ظهرا.", ["متى يبحر القارب؟", "ظهرا."]),
        (
            "paper: in the archive\nwhen it beeps, turn the blue wheel\nink is black\nor red",
            [
                "paper: in the archive",
                "when it beeps, turn the blue wheel",
                "ink is black",
                "or red",
            ],
        ),
        (
            "All paper is in the archive, and\nwho takes the last roll has to\norder more: [1]_",
            ["All paper is in the archive, and who takes the last roll has to order more: [1]_"],
        ),
        (
            "12/04/25, 10:02 - Bo: Who has the key to the shed? mine does not fit any more\n"
            "12/04/25, 10:05 - Phil: code lock now. 2580 is the number that opens it, all right\n"
            "[2025-03-18 17:20] bo: refunds fail with an error code in all the shops, and\nmore\n"
            "16:02 < ell> we are short of people in july, and nobody knows what to do now\n"
            "00:09:03\tPriya Nair:\tone",
            [
                "12/04/25, 10:02 - Bo: Who has the key to the shed? mine does not fit any more",
                "12/04/25, 10:05 - Phil: code lock now.",
                "2580 is the number that opens it, all right",
                "[2025-03-18 17:20] bo: refunds fail with an error code in all the shops, and more",
                "16:02 < ell> we are short of people in july, and nobody knows what to do now",
                "00:09:03 Priya Nair: one",
            ],
        ),
        (
            "Playdale     23,400   12 weeks\nSutcliffe    21,950   16 weeks\n\nAnd the rest of it.",
            ["Playdale 23,400 12 weeks", "Sutcliffe 21,950 16 weeks", "And the rest of it."],
        ),
        (
            "We meet in the old hall by the harbour, the boats leave at\n10:30 from a pier, or"
            " since the beginning of the epoch and of everything,\n1970-01-01 00:00:00 +0000.",
            [
                "We meet in the old hall by the harbour, the boats leave at 10:30 from a pier, or"
                " since the beginning of the epoch and of everything, 1970-01-01 00:00:00 +0000."
            ],
        ),
        ("Call ext. 4410 at once.", ["Call ext. 4410 at once."]),
        ("one\n\n  two  \n", ["one", "two"]),
        ("the title\nbody goes on", ["the title", "body goes on"]),
        ("> quoted\n>\n> again", ["> quoted", "> again"]),
        ("def f(x):\n    return x\n\nprint(f(1))", ["def f(x):", "return x", "print(f(1))"]),
        (
            "Configuration file handling\n===========================\n\nThe rest.",
            ["Configuration file handling", "The rest."],
        ),
        (" ***\n---", ["*** ---"]),
        ("", []),
        (" \n", []),
    ],
)
def test_sentences(text, pieces):
    assert sentences(text) == pieces


@given(st.text(st.sampled_from("aB .!?。\n 1-"), max_size=120))
def test_sentences_are_in_order_and_lose_no_word(text):
    spans = sentence_spans(text)
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in spans)
    assert bool(spans) == bool(text.strip())
    assert spans == sorted(spans)
    kept = "".join(text[start:end] for start, end in spans)
    assert [c for c in kept if c.isalnum()] == [c for c in text if c.isalnum()]


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("# One\n\nIt is. So.\n\n## Two ##", ["# One", "## Two ##"]),
        ("One thing\n=========\nIt is.", ["One thing"]),
        ("One thing\n\nIt is.\n\n2.4. Another thing\n\nSo.", ["One thing", "2.4. Another thing"]),
        ("概要\n\n天気は晴れです。", ["概要"]),
        (
            "§ 3 Preise\n\nSie sind fest.\n\nArtikel 4 – Dauer\n\nEin Jahr.",
            ["§ 3 Preise", "Artikel 4 – Dauer"],
        ),
        ("2. Price\n\nIt is fixed.\n\n3. Term\n\n3.1 One year.", ["2. Price", "3. Term"]),
        ("1. Bread\n\n2. Milk\n\n3. Tea\n\nBuy it.", []),  # a list
        ("Does it?\n\n(5) Or not?\n\nIt does. Does it? It does.", ["Does it?", "(5) Or not?"]),
        (
            "It rains.\nKind regards,\nJo Ann\n\nEs regnet.\nViele Grüße",
            ["Kind regards,", "Viele Grüße"],
        ),
        ("One thing\nIt is.", []),  # a line that goes on, perhaps
        ("Port 8123\n\nport of the gateway\n\nPort: two\n\n- One thing\n\nIt is.", []),
    ],
)
def test_headings_are_marked_or_underlined_or_stand_alone(text, headings):
    found = [
        text[start:end] for start, end in sentence_spans(text) if is_heading(text, (start, end))
    ]
    assert found == headings
