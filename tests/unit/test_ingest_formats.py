"""Readers of notes, slides, e-books, notebooks and mail: what they find, and what they refuse."""

import json
from email.message import EmailMessage

import pytest
from triton_rag.ingestion.file_text import FileText, Unreadable
from triton_rag.ingestion.readers import kind, read

from tests.fakes.files import epub, odt, pptx, zipped


def places(found: FileText) -> list[tuple[int | None, tuple[str, ...]]]:
    return [(section.page, section.headings) for section in found.sections]


NOTE = """---
title: "Heat pump"
tags: [house]
---
# The pump

> [!warning]- Never in winter
> It is [[People/Kessler|Kessler]]'s, see ![[plan.png|300x200]]. ^warning-1

![](data:image/png;base64,AAAA) Text. <!-- hidden -->
%% old %%

```sh
[[ -f a ]] && echo '![x](y)' # %% <!--
```
"""


def test_notes_have_their_front_matter_and_no_marks_of_links() -> None:
    found = read("note.md", NOTE.encode())
    assert found.title == "Heat pump"
    assert places(found) == [(None, ()), (None, ("The pump",))]
    assert [line.rstrip() for line in found.text.split("\n") if line.strip()] == [
        *('title: "Heat pump"', "tags: [house]", "# The pump", "> Never in winter"),
        *("> It is Kessler's, see plan.png.", " Text.", "```sh"),
        *("[[ -f a ]] && echo '![x](y)' # %% <!--", "```"),
    ]
    tagged = '<a id="x"></a>H<sub>2</sub>O<br/>in <file> or `<b>`, <https://a.b> <img\nsrc=x>'
    assert read("a.md", tagged.encode()).text == "H2O in <file> or `<b>`, <https://a.b> "
    block = "Write\n\n    <div>a</div>\n\n<p>\n    <b>b</b>\n"
    assert read("a.md", block.encode()).text == "Write\n\n    <div>a</div>\n\n \n    b\n"
    rule = "---\nno front matter\n"
    assert read("rule.md", rule.encode()).text == rule


def test_headings_of_changelogs_and_manuals_are_their_words() -> None:
    text = "## [1.2](https://a.b/c?d) - 2026 {#v1-2}\n\nSee {py:class}`Boat` and {x}.\n\n## [1.1]\n"
    found = read("changes.md", text.encode())
    assert places(found) == [(None, ("1.2 - 2026",)), (None, ("1.1",))]
    assert "2026\n\nSee `Boat` and {x}.\n" in found.text


def test_pages_of_wikis_and_blogs_have_their_words_only() -> None:
    page = """+++
title = "Coffee"
+++
import Callout from '@components/Callout'

<aside>
**Clean** *it*, see [the plan](Plan%201a2b.md) and [Jura](https://jura.example), 2 ** 3, *.c, *.h.

</aside>
<Callout type="info">
Every {/* or more? */}Friday. {{< figure src="a.png" >}}
</Callout>
<Video id="7" />
Type <name> and [x](<a b.md>), `[y](z.md)`.
"""
    found = read("coffee.mdx", page.encode())
    assert found.title == "Coffee"
    assert [line.strip() for line in found.text.split("\n") if line.strip()] == [
        *(
            'title = "Coffee"',
            "Clean it, see the plan and [Jura](https://jura.example), 2 ** 3, *.c, *.h.",
        ),
        *("Every Friday.", "Type <name> and x, `[y](z.md)`."),
    ]


def test_slides_are_pages_in_the_order_of_the_talk() -> None:
    slides = [("Boats", "Red\nBlue", "Say hello"), ("Prices", "9 euros", "")]
    found = read("talk.pptx", pptx(slides))
    assert found.text.split("\n\n") == ["Boats", "Red\nBlue", "Say hello", "Prices", "9 euros"]
    assert places(found) == [(1, ("Boats",)), (2, ("Prices",))]
    assert found.title == "Boats"
    assert read("talk.pptx", pptx(slides[:1], diagram="Plan")).text.split("\n\n")[2] == "Plan"


def test_an_opendocument_text_has_headings_lists_tables_and_notes() -> None:
    body = (
        '<text:h text:outline-level="1">Boats</text:h>'
        "<text:p>A<text:s/>boat<text:note><text:p>red</text:p></text:note> sails</text:p>"
        "<text:list><text:list-item><text:p>one</text:p></text:list-item></text:list>"
        "<text:tracked-changes><text:p>gone</text:p></text:tracked-changes>"
        "<table:table><table:table-row><table:table-cell><text:p>Price</text:p></table:table-cell>"
        "<table:table-cell><text:p>9</text:p><table:table><table:table-row><table:table-cell>"
        "<text:p>net</text:p></table:table-cell></table:table-row></table:table>"
        "</table:table-cell></table:table-row></table:table>"
        "<text:p>Oar<text:bibliography-source>: , .</text:bibliography-source>"
        "<draw:frame><svg:desc>of ash</svg:desc></draw:frame></text:p>"
    )
    found = read("boats.odt", odt(body))
    words = ["Boats", "A boat red sails", "- one", "Price | 9 net", "Oar of ash"]
    assert found.text.split("\n\n") == words
    assert places(found) == [(None, ("Boats",))]


def test_a_box_beside_the_text_is_read_behind_its_paragraph() -> None:
    inner = "<draw:frame><draw:text-box><text:p>Inner</text:p></draw:text-box></draw:frame>"
    caption = f"<draw:text-box><text:p>Figure 1: Oar{inner}</text:p></draw:text-box>"
    box = f"<draw:frame>{caption}</draw:frame>"
    item = f"<text:list-item><text:p>one{box}</text:p></text:list-item>"
    found = read(
        "boats.odt", odt(f"<text:p>A boat {box}sails</text:p><text:list>{item}</text:list>")
    )
    boxes = ["Figure 1: Oar", "Inner"]
    assert found.text.split("\n\n") == ["A boat sails", *boxes, "- one", *boxes]


def test_an_e_book_is_its_chapters() -> None:
    pages = {
        "nav.xhtml": "<p>Contents</p>",
        "two.xhtml": "<h1>Two</h1><p>second</p>",
        "one.xhtml": "<p>first</p>",
    }
    found = read("book.epub", epub(pages, "The book"))
    assert (found.title, found.text) == ("The book", "Two\n\nsecond\n\nfirst")


def test_opendocument_slides_are_pages_with_their_titles_first() -> None:
    slide = (
        "<draw:frame><draw:text-box><text:p>Red</text:p></draw:text-box></draw:frame>"
        '<draw:frame presentation:class="title"><text:p>Boats</text:p></draw:frame>'
        '<draw:frame presentation:class="footer"><text:p>Page 1</text:p></draw:frame>'
        '<presentation:notes><draw:page-thumbnail presentation:class="page"/>'
        '<draw:frame presentation:class="notes"><text:p>Say hello</text:p></draw:frame>'
        "</presentation:notes><office:annotation><text:p>why?</text:p></office:annotation>"
    )
    pages = f"<draw:page>{slide}</draw:page><draw:page><draw:g><text:p>9</text:p></draw:g>"
    found = read("talk.odp", odt(f"{pages}</draw:page>"))
    assert found.text.split("\n\n") == ["Boats", "Red", "Say hello", "9"]
    assert places(found) == [(1, ("Boats",)), (2, ("Boats",))]


def test_records_of_json_are_their_texts_under_their_own_titles() -> None:
    lines = ({"title": "Boat", "text": "It sails.", "id": 7}, {"content": "It\nsinks."})
    found = read("log.jsonl", "\n\n".join(map(json.dumps, lines)).encode())
    assert found.text.split("\n\n") == ["Boat", "It sails.", "It\nsinks."]
    assert places(found) == [(1, ("Boat",)), (3, ())]
    assert found.title == "log"


SRT = """1\r
00:00:01,000 --> 00:00:03,000\r
<i>Hello</i> &amp; welcome\r
\r
2\r
00:00:03,000 --> 00:00:05,000\r
<i>Hello</i> &amp; welcome\r
to the island\r
\r
3\r
01:02:05,000 --> 01:02:07,000\r
Goodbye\r
"""
VTT = """WEBVTT - a talk

NOTE not said

STYLE
::cue { color: red }

first
00:59.000 --> 01:03.000 align:start
<v Ana>The <c.red>ferry</c> <00:59.500>sails at x < 3
"""


API = {
    "openapi": "3.1.0",
    "info": {"title": "Ferries", "version": "2", "description": "Boats and\ntimes."},
    "paths": {
        "/boats/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {}}],
            "put": {
                "summary": "Change a boat",
                "parameters": [
                    {"$ref": "#/parameters/Dry"},
                    {
                        "name": "deck",
                        "in": "query",
                        "description": "Which one.",
                        "schema": {"type": "string", "enum": ["a", "b"], "default": "a"},
                    },
                ],
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Boat"}}
                    }
                },
                "responses": {"404": {"description": "No such boat."}},
            },
        }
    },
    "components": {
        "schemas": {
            "Boat": {
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "crew": {"type": "array", "items": {"$ref": "#/components/schemas/Person"}},
                    "port": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                },
            }
        }
    },
}


def test_a_description_of_an_api_is_its_calls_and_schemas() -> None:
    found = read("api.json", json.dumps(API).encode())
    call = ("Ferries", "PUT /boats/{id}")
    assert places(found) == [(None, ("Ferries",)), (None, call), (None, ("Ferries", "Boat"))]
    assert found.title == "Ferries"
    assert found.text.split("\n\n") == [
        *("Ferries", "Version: 2", "Boats and\ntimes.", "PUT /boats/{id}", "Change a boat"),
        "Parameters:\n- id (in path, required)\n- Dry (Dry)\n"
        '- deck (in query, string, default "a", one of a, b): Which one.',
        *("Body (application/json): Boat", "Responses:\n- 404: No such boat.", "Boat"),
        "- name (string, required)\n- crew (list of Person)\n- port (integer or null)",
    ]


CALENDAR = """BEGIN:VCALENDAR
X-WR-CALNAME:Harbour
BEGIN:VTIMEZONE
DTSTART:19700101T000000
END:VTIMEZONE
BEGIN:VEVENT
SUMMARY:Low tide\\, a
 gain
DTSTART;TZID="Europe/Berlin":20240102T091500
DTEND:20240102T101500Z
RRULE:FREQ=WEEKLY;BYDAY=TU
LOCATION:Quay
ORGANIZER;CN="Doe, Ann":mailto:ann@example.org
ATTENDEE;CN=Bo;RSVP=TRUE:MAILTO:bo@example.org
ATTENDEE:mailto:cy@example.org
BEGIN:VALARM
DESCRIPTION:Beep
END:VALARM
DESCRIPTION:One\\nTwo\\; three
END:VEVENT
BEGIN:VEVENT
SUMMARY:Fair
DTSTART;VALUE=DATE:20240803
DTEND;VALUE=DATE:20240825
END:VEVENT
BEGIN:VEVENT
SUMMARY:Holiday
DTSTART;VALUE=DATE:20241231
DTEND;VALUE=DATE:20250101
END:VEVENT
BEGIN:VTODO
SUMMARY:Paint the boat
DUE;VALUE=DATE:20250501
STATUS:NEEDS-ACTION
END:VTODO
END:VCALENDAR
"""

CONTACTS = """BEGIN:VCARD
VERSION:3.0
N:Brandl;Ana;;;
FN:Ana Brandl\\, Oma
ORG:Ferries;Deck
item1.TEL;TYPE=HOME,FAX:+49 1
TEL;TYPE=cell:2
EMAIL:ana@example.org
ADR;TYPE=HOME:;;Weg 1;Ulm;;89073;
BDAY:19481129
NOTE:Rings at 9\\, not later
PHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQ
 AAA
END:VCARD
BEGIN:VCARD
VERSION:2.1
FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:J=C3=B6rg =
M=C3=BCller
TEL;CELL;PREF:3
END:VCARD
BEGIN:VCARD
N:Doe;Ann;;;
END:VCARD
BEGIN:VCARD
VERSION:4.0
FN:Bo
TEL;VALUE=uri;PREF=1;TYPE="voice,home":tel:+1-555
BDAY:--0412
NOTE:Calls late; never writes
END:VCARD
"""


def test_subtitles_are_what_is_said_by_the_minute() -> None:
    found = read("talk.srt", SRT.encode())
    assert found.text == "Hello & welcome\nto the island\n\nGoodbye"
    assert places(found) == [(1, ()), (63, ())]
    assert read("talk.vtt", VTT.encode()).text == "Ana: The ferry sails at x < 3"


def test_a_calendar_is_its_events() -> None:
    found = read("team.ics", CALENDAR.replace("\n", "\r\n").encode())
    assert found.title == "Harbour"
    assert found.text.split("\n\n") == [
        "Event: Low tide, again; Start: 2024-01-02 09:15; End: 2024-01-02 10:15 UTC; "
        "Repeats: weekly, byday tu; Location: Quay; Organizer: Doe, Ann <ann@example.org>; "
        "Attendees: Bo <bo@example.org>, cy@example.org; Description: One Two; three",
        "Event: Fair; Start: 2024-08-03; End: 2024-08-24",
        "Event: Holiday; Start: 2024-12-31",
        "Task: Paint the boat; Due: 2025-05-01; Status: NEEDS-ACTION",
    ]


def test_contacts_are_a_line_each() -> None:
    found = read("all.vcf", CONTACTS.replace("\n", "\r\n").encode())
    assert found.title == "all"
    assert found.text.split("\n\n") == [
        "Name: Ana Brandl, Oma; Organization: Ferries, Deck; Phone: +49 1 (home, fax), 2 (cell); "
        "E-mail: ana@example.org; Address: Weg 1, Ulm, 89073 (home); Birthday: 1948-11-29; "
        "Note: Rings at 9, not later",
        "Name: Jörg Müller; Phone: 3 (cell)",
        "Name: Doe, Ann",
        "Name: Bo; Phone: +1-555 (home); Birthday: --0412; Note: Calls late; never writes",
    ]


def test_a_notebook_is_its_cells_without_outputs() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Load\n", "the data"]},
        {"cell_type": "code", "source": "# no heading\nx = 1", "outputs": [{"text": "secret"}]},
    ]
    found = read("a.ipynb", json.dumps({"cells": cells}).encode())
    assert found.text == "# Load\nthe data\n\n```\n# no heading\nx = 1\n```"
    assert places(found) == [(None, ("Load",))]


def test_a_mail_says_who_wrote_it_and_which_attachments_are_missing() -> None:
    mail = EmailMessage()
    mail["From"], mail["Subject"] = "Ana <ana@example.org>", "Die Fähre"
    mail.set_content("She sails at noon.")
    mail.add_alternative("<p>She sails at <b>noon</b>.</p>", subtype="html")
    mail.add_attachment(b"x", maintype="application", subtype="pdf", filename="plan.pdf")
    found = read("a.eml", mail.as_bytes())
    assert found.title == "Die Fähre"
    head = "From: Ana <ana@example.org>\nSubject: Die Fähre"
    assert found.text == f"{head}\n\nShe sails at noon."
    assert found.remarks == ("attachments are not read: plan.pdf",)


def test_a_mail_has_its_further_texts_and_the_messages_that_are_attached() -> None:
    forwarded, mail = EmailMessage(), EmailMessage()
    mail["Subject"], forwarded["Subject"] = "The ferry", "Times"
    forwarded.set_content("<p>She sails at noon.</p>", subtype="html")
    mail.set_content("See below.")
    mail.add_attachment(b"x", maintype="image", subtype="png", filename="ferry.png")
    mail.add_attachment("Sent by the list.", disposition="inline")
    mail.add_attachment(forwarded)
    found = read("a.eml", mail.as_bytes())
    words = ["Subject: The ferry", "See below.", "Sent by the list.", "Subject: Times"]
    assert found.text.split("\n\n") == [*words, "She sails at noon."]
    assert (found.title, found.remarks) == ("The ferry", ("attachments are not read: ferry.png",))


@pytest.mark.parametrize(
    ("header", "read_as"),
    [
        (b"Date: Mon, 99999999999 Jan 2024 10:00:00", "Date: Mon, 99999999999 Jan 2024 10:00:00"),
        (b"Subject: \xff =?x?q?a?=", "Subject: \ufffd a"),
    ],
)
def test_a_mail_with_a_damaged_header_is_read(header: bytes, read_as: str) -> None:
    found = read("a.eml", b"From: ana@example.org\n" + header + b"\n\nShe sails at noon.\n")
    assert found.text == f"From: ana@example.org\n{read_as}\n\nShe sails at noon."


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("text/html; charset=utf-8", "<meta charset=iso-8859-1><p>café – 4 €</p>".encode()),
        ("text/plain; charset=x-unknown", "café – 4 €".encode()),
        ("text/plain", "café – 4 €".encode()),
        ("text/plain; charset=us-ascii", "café – 4 €".encode("cp1252")),
    ],
    ids=["html that declares another", "unknown", "none", "wrong"],
)
def test_a_mail_is_read_whatever_its_encoding_is_called(content_type: str, content: bytes) -> None:
    head = f"From: ana@example.org\nContent-Type: {content_type}\nContent-Transfer-Encoding: 8bit"
    found = read("a.eml", head.encode() + b"\n\n" + content)
    assert found.text == "From: ana@example.org\n\ncafé – 4 €"


ENCRYPTED_PART = (
    b"<manifest:manifest><manifest:encryption-data/></manifest:manifest>"  # what LibreOffice says
)


@pytest.mark.parametrize("name", ["a.odt", "a.odp", "a.ods"])
def test_encrypted_opendocument_says_so(name: str) -> None:
    data = zipped({"content.xml": b"\x93\x01", "META-INF/manifest.xml": ENCRYPTED_PART})
    with pytest.raises(Unreadable, match="encrypted: save it without a password"):
        read(name, data)


def test_a_mailbox_is_its_messages() -> None:
    mails = []
    for subject, text in (("Ferry", "At noon.\n>From my island."), ("Re: Ferry", "Thank you.")):
        mail = EmailMessage()
        mail["From"], mail["Subject"] = "ana@example.org", subject
        mail.set_content(text)
        mail.add_attachment(b"x", maintype="application", subtype="pdf", filename="plan.pdf")
        mails.append(f"From ana Sat Jan  3 01:05:34 2026\n{mail.as_string()}\n".encode())
    found = read("inbox.mbox", b"".join([*mails, b"From ana\nno mail\n"]))
    assert places(found) == [(1, ("Ferry",)), (2, ("Re: Ferry",)), (3, ())]
    assert found.text.split("\n\n")[:3] == [
        "Ferry",
        "From: ana@example.org\nSubject: Ferry",
        "At noon.\nFrom my island.",
    ]
    assert found.title == "inbox"
    assert found.remarks == ("1 messages are damaged", "2 attachments are not read")


def test_source_code_has_what_it_defines_as_headings() -> None:
    text = (
        '"""Ferries."""\nimport sea\n\nclass Boat(Ship):\n    def sail(self) -> None: ...\n\n'
        "async def go(x: int) -> None:\n    pass\n\n"
        "export default function dock(a) {\n}\n\npub(crate) fn tie<T>(a: T) {\n}\n"
        "func (s *Server) Run() error {\n}\n"
    )
    found = read("ferry.py", text.encode())
    assert found.text == text
    assert [path for _, path in places(found)] == [
        *((), ("class Boat",), ("def go",), ("function dock",), ("fn tie<T>",)),
        ("func (s *Server) Run",),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("a/B.PDF", ".pdf"), ("README", ".txt"), ("src/Makefile", ".txt"), ("photo.png", "")),
        *(("LICENSE-MIT", ".txt"), ("Dockerfile.dev", ".txt"), ("install.exe", "")),
        *(("mail/cur/1700000000.M1P2.host:2,S", ".eml"), ("new/17.x", ".eml"), ("readme.bin", "")),
    ],
)
def test_kinds_of_files(name: str, expected: str) -> None:
    assert kind(name) == expected


def test_utf_16_says_so_in_its_first_bytes() -> None:
    assert read("a.txt", "Fähre".encode("utf-16")).text == "Fähre"


DATA = "'.json' is data for programs: save lists as .csv, records with a text as .jsonl"
NO_TIMES = "no subtitles: no times '00:01:02,000 --> 00:01:04,000' with words below"
NO_CARD = "no event and no contact in it: no BEGIN:VEVENT and no BEGIN:VCARD"
EACH_LINE = 'each line is {"text": "…"}, or {"title": "…", "text": "…"}'


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.pptx", b"x", "not a PowerPoint file, or a damaged one"),
        ("a.pptx", zipped({"a": b"b"}), "not a PowerPoint file, or a damaged one"),
        ("a.odt", zipped({"content.xml": b"no XML"}), "not an OpenDocument file, or a damaged one"),
        ("a.epub", zipped({"META-INF/container.xml": b"<a/>"}), "not an e-book, or a damaged one"),
        ("a.ipynb", b'{"worksheets": []}', "not a notebook of version 4, or a damaged one"),
        ("a.ipynb", b"{", "not a notebook of version 4, or a damaged one"),
        ("a.mbox", b"hello", "not a mailbox: it begins with no line 'From …'"),
        ("a.eml", b"hello", "not a mail: it has no sender, no date and no subject"),
        ("a.json", b"{", "not JSON, or a damaged one"),
        ("package-lock.json", json.dumps({f"a{i}": i for i in range(1001)}).encode(), DATA),
        (
            "syslog.1",
            b"Nov 30 10:00:01 ferry cron: sails",
            "no manual page; a log is read as .log or .txt",
        ),
        ("a.json", b"[1]", DATA),
        (
            "a.min.js",
            b"a=1;" * 200,
            "minified: a program has made it out of code, or it holds data",
        ),
        ("a.jsonl", b'{"text": "a"}\n{', f"line 2 is not JSON; {EACH_LINE}"),
        ("a.jsonl", b'{"text": 3}', f"line 1 has no text; {EACH_LINE}"),
        ("a.jsonl", b'["text"]', f"line 1 has no text; {EACH_LINE}"),
        (
            "a.srt",
            b"Hello",
            NO_TIMES,
        ),
        ("a.ics", b"BEGIN:VCALENDAR\nEND:VCALENDAR", NO_CARD),
        ("a.vcf", b"Hello: you\nEND:VCARD", NO_CARD),
    ],
)
def test_files_that_are_not_what_their_name_says(name: str, data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read(name, data)
    assert str(caught.value) == reason


def test_marks_of_notes_are_left_out_and_comparisons_stay() -> None:
    note = "It is in the ==thylakoid membranes==. Is a == b and c == d, or a ==b== c?\n\n====\n"
    said = "It is in the thylakoid membranes. Is a == b and c == d, or a b c?\n\n====\n"
    assert read("a.md", note.encode()).text == said
