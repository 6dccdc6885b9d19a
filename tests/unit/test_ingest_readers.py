"""Readers: what they find in real small files, and what they say of those they can't read."""

import time

import pytest
from triton_rag.ingestion.file_text import FileText, Unreadable
from triton_rag.ingestion.readers import archive, read
from triton_rag.ingestion.readers.pdf_layout import lay_out
from triton_rag.ingestion.readers.pdf_lines import Line, undivided

from tests.fakes.files import docx, pdf, zipped


def headings(document: FileText) -> list[tuple[tuple[str, ...], str]]:
    """Each section's headings, and the first line of its text."""
    return [
        (section.headings, document.text[section.start : end].strip().split("\n")[0])
        for section, end in document.spans()
    ]


def refused(name: str, data: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        read(name, data)
    return str(caught.value)


# --- text --------------------------------------------------------------------------------------


def test_a_text_is_what_the_file_says() -> None:
    found = read("notes/ferry.txt", "\ufeffThe ferry\nsails at noon.".encode())
    assert (found.title, found.text) == ("ferry", "The ferry\nsails at noon.")
    text = "The ferry\n=========\nIt sails.\n\nPrices\n------\n9 euros.\n\n----\nEnd\n"
    found = read("README", text.encode())
    assert (found.title, found.text) == ("The ferry", text)
    assert [section.headings for section in found.sections] == [
        *(("The ferry",), ("The ferry", "Prices")),
    ]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"caf\xe9", "not UTF-8 (byte 3): convert it, such as by iconv -f WINDOWS-1252"),
        (b"a\0b", "not a text: it has zero bytes"),
        (b" \n", "empty"),
        ("\ufeff \n".encode(), "no text in it"),
    ],
)
def test_texts_that_are_none(data: bytes, reason: str) -> None:
    assert refused("a.txt", data) == reason


def test_markdown_is_cut_at_its_headings() -> None:
    text = (
        "intro\n# Boat A ##\ntext\n## Engine\n```sh\n# no heading\n```\nmore\n\nHull\n----\n"
        "wood\n- item\n---\n"
    )
    found = read("a.md", text.encode())
    assert found.title == "Boat A"
    assert found.text == text
    assert headings(found) == [
        ((), "intro"),
        (("Boat A",), "# Boat A ##"),
        (("Boat A", "Engine"), "## Engine"),
        (("Boat A", "Hull"), "Hull"),
    ]


def test_restructured_text_loses_its_marks() -> None:
    text = """.. _ferry-times:
.. index:: single: ferry
   pair: noon; ferry

:mod:`ferry` --- Sails
======================

.. module:: ferry
   :synopsis: Sails.

.. A comment that
   goes on.

.. function:: sail(at, *, slow=False)
   :async:

   Sails ``at`` noon, see :py:func:`~ferry.moor <here>` or `the timetable
   <https://a.b>`_::

      code()

   .. versionadded:: 3.2

.. note:: It floats. ::

    x = y[::2]

.. [1] A footnote.
"""
    lines = read("a.rst", text.encode()).text.split("\n")
    assert [line for line in lines if line] == [
        "ferry --- Sails",
        "======================",
        "function: sail(at, *, slow=False)",
        "   Sails `at` noon, see ferry.moor or the timetable",
        "   <https://a.b>:",
        "      code()",
        "   versionadded: 3.2",
        "note: It floats.",
        "    x = y[::2]",
        ".. [1] A footnote.",
    ]
    assert "slow=False)\n   Sails" in "\n".join(lines)


def test_code_in_restructured_text_keeps_its_marks() -> None:
    text = """See :func:`sail`:

.. code-block:: rst
   :linenos:

   See :func:`sail` and ``noon``.

   .. note:: It floats.
   .. no comment here

- Or::

    .. image:: ferry.png
      :func:`moor`::

  See :func:`moor`.

.. A comment::

     :func:`gone`

.. parsed-literal::

   :func:`sail`
"""
    assert [line for line in read("a.rst", text.encode()).text.split("\n") if line] == [
        "See sail:",
        "   See :func:`sail` and ``noon``.",
        "   .. note:: It floats.",
        "   .. no comment here",
        "- Or:",
        "    .. image:: ferry.png",
        "      :func:`moor`::",
        "  See moor.",
        "   sail",
    ]


@pytest.mark.parametrize("text", ["a:" * 200_000, " " * 200_000 + "x"])
def test_restructured_text_of_one_long_line_is_read_at_once(text: str) -> None:
    """It took minutes: a mark was looked for from every character to the end of the line."""
    begin_s = time.process_time()
    assert read("a.rst", text.encode()).text == text
    assert time.process_time() - begin_s < 10


def test_restructured_text_is_cut_at_its_titles() -> None:
    text = (
        "======\nFerry\n======\n\nfirst\n\nTimes\n=====\n\n===  ===\nA    B\n===  ===\n\nNoon\n"
        "~~~~~\nat\n\nPrice\n=====\n"
    )
    found = read("a.rst", text.encode())
    assert found.text == text
    assert headings(found) == [
        (("Ferry",), "======"),
        (("Ferry", "Times"), "Times"),
        (("Ferry", "Times", "Noon"), "Noon"),
        (("Ferry", "Price"), "Price"),
    ]


# --- HTML --------------------------------------------------------------------------------------

PAGE = """<!DOCTYPE html><html><head><title> The  boat </title><style>p {}</style></head><body>
<nav><a href=a>Home</a></nav><ul><li><a href=b>About</a></li><li><a href=c>Shop</a></li></ul>
<h1>Boat</h1><p>It is <b>green</b>&nbsp;and
new.<br>It floats.</p>loose <i>words</i>
<h2><a href=d>Parts</a></h2><ul><li>oar<ul><li>of ash</li></ul></li><li>rudder</li></ul>
<table><tr><th>part</th><th>price</th></tr><tr><td>oar</td><td>4 &euro;</td></tr></table>
<pre>a
  b</pre><script>x()</script><footer>2020</footer></body></html>"""


def test_a_page_without_its_menus_and_scripts() -> None:
    found = read("boat.html", PAGE.encode())
    assert found.title == "The boat"
    assert found.text.split("\n\n") == [
        "Boat",
        "It is green and new.\nIt floats.",
        "loose words",
        "Parts",
        "- oar\n  - of ash\n- rudder",
        "part | price\noar | 4 €",
        "a\n  b",
    ]
    assert headings(found) == [(("Boat",), "Boat"), (("Boat", "Parts"), "Parts")]


def test_a_table_has_no_columns_that_only_make_room() -> None:
    """As in reports to the SEC, where signs have columns of their own."""
    table = (
        "<table><tr><td></td><td>&nbsp;</td><th colspan=2>2023</th><td></td><th>2022</th></tr>"
        "<tr><td>Boats</td><td></td><td>$</td><td>9</td><td></td><td>8</td></tr>"
        "<tr><td colspan=6>Total</td></tr></table>"
    )
    assert read("a.html", table.encode()).text == "| 2023 |  | 2022\nBoats | $ | 9 | 8\nTotal"


def test_a_cell_over_several_rows_is_in_each() -> None:
    table = (
        "<table><tr><th>kind<th>part<th>price<tr><td rowspan=3>boat<td>oar<td>4"
        f"<tr><td>hull<td>90<tr><td><tr><td rowspan=3>{'x' * 81}<td>mast<td>7<tr><td>sail<td>8"
        "<tr><td></table>"
    )
    lines = ["kind | part | price", "boat | oar | 4", "boat | hull | 90", " | sail | 8"]
    assert [
        line for line in read("a.html", table.encode()).text.split("\n") if "x" not in line
    ] == lines


def test_a_form_around_the_page_is_the_page() -> None:
    form = "<form><p>The boat is green and sails at noon.</p><select><option>1</select></form>"
    facts = "<div style='display:none'><ix:header>us-gaap:Member</ix:header></div>"
    page = f"{facts}{form}<form>Search <input></form>"
    assert read("a.aspx.html", page.encode()).text == "The boat is green and sails at noon."


def test_pages_that_programs_export() -> None:
    """Confluence marks its footer by its role; Google Docs has no title but a paragraph."""
    page = '<p class="c1 title">Guide</p><h1>Day 1</h1><div role="contentinfo">by a program</div>'
    found = read("export.html", page.encode())
    assert (found.title, found.text) == ("Guide", "Guide\n\nDay 1")


def test_links_to_pages_around_and_tables_of_contents_are_left_out() -> None:
    """As DocBook and Texinfo write them; a list that only bears the name is read."""
    page = (
        "<body><table><tr><th>Boats</th></tr><tr><td><a accesskey='n' href=b>Next</a></td></tr>"
        "</table><p>Next: <a rel='next' href=b>Oars</a>, Up: <a href=c>Top</a></p><h1>Boats</h1>"
        "<div class='toc'><p>Contents</p><ul><li><a href=#a>1. Building a boat</a></li></ul></div>"
        "<p>They float. See the <a href=b>next</a> page.</p><div class='toc'>Oars are long.</div>"
    )
    assert read("a.html", page.encode()).text == (
        "Boats\n\nThey float. See the next page.\n\nOars are long."
    )


def test_terms_stand_before_what_explains_them() -> None:
    """As AsciiDoc, Sphinx and man2html write manual pages."""
    page = (
        "<h2>Options<a href='#options'>¶</a></h2><dl><dt><b>-a</b></dt><dt>--all</dt>"
        "<dd><p>Takes all.</p><p>Even old ones.</p></dd>"
        "<div><dt>mode:<a class=anchor aria-hidden=true href='#mode'>link</a></dt>"
        "<dd><ul><li>slow<li>fast</ul></dd></div><dt><dd>An indent.<dt>-q<dd>"
        "<dt>Is it fast?<dd>Yes.</dl><p>After."
    )
    assert read("a.html", page.encode()).text.split("\n\n") == [
        "Options",
        "-a, --all: Takes all.",
        "Even old ones.",
        "mode:",
        "- slow\n- fast",
        "An indent.",
        "-q",
        "Is it fast?",
        "Yes.",
        "After.",
    ]


def test_a_page_says_its_encoding() -> None:
    page = "<html><head><meta charset='latin-1'></head><body><p>café</p></body></html>"
    assert read("a.html", page.encode("latin-1")).text == "café"
    assert refused("a.html", page.replace("latin-1", "utf-8").encode("latin-1")) == (
        "not UTF-8, which it declares"
    )
    assert "declares no other" in refused("a.html", "<p>café</p>".encode("latin-1"))


def test_a_page_is_in_the_encoding_that_browsers_take() -> None:
    latin = b"<meta charset=iso-8859-1><p>\x93Caf\xe9\x94 4 \x80</p>"
    assert read("a.html", latin).text == "“Café” 4 €"
    assert read("a.html", "<meta charset=x><p>café</p>".encode("utf-16")).text == "café"
    assert read("a.html", "\ufeff<meta charset=latin-1><p>café</p>".encode()).text == "café"
    assert read("a.html", "<meta charset=utf-16><p>café</p>".encode()).text == "café"
    assert read("saved.html", "<meta charset=gb2312><p>小船</p>".encode()).text == "小船"
    assert "unknown encoding, 'x-no'" in refused("a.html", b"<meta charset=x-no><p>a</p>")


def test_a_page_with_few_bad_characters_is_read_and_they_are_said() -> None:
    found = read("a.html", b"<p>caf\xe9 " + b"good " * 400)
    assert found.text.startswith("caf\ufffd good")
    assert found.remarks == ("1 unreadable characters",)


def test_navigation_and_pages_that_only_lead_on_are_left_out() -> None:
    """As latex2html and Texinfo write them."""
    panel = (
        "<!--Navigation Panel--><b>Next:</b> <a href=b.html>Oars</a><!--End of Navigation Panel-->"
    )
    assert read("a.html", f"{panel}<p>It sails.</p>{panel}".encode()).text == "It sails."
    leads = "<meta http-equiv='refresh' content='0; url=b.html'>"
    with pytest.raises(Unreadable, match="only leads to another page"):
        read(
            "a.html",
            f"{leads}<p>The node you are looking for is at <a href=b.html>Oars</a>.".encode(),
        )
    assert "sails" in read("a.html", f"{leads}<p>{'It sails. ' * 50}".encode()).text


def test_a_page_of_scripts_has_no_text() -> None:
    assert refused("a.html", b"<html><script>app()</script></html>") == "no text in it"


# --- Word --------------------------------------------------------------------------------------


def test_a_word_document() -> None:
    data = docx(
        [
            ("Title", "Ferry"),
            ("Heading1", "Times"),
            ("", "Noon &amp; ten."),
            ("Heading2", "Sunday"),
        ],
        [["from", "to"], ["Isle", "Port"]],
    )
    found = read("times.docx", data)
    assert found.text == "Ferry\n\nTimes\n\nNoon & ten.\n\nSunday\n\nfrom | to\nIsle | Port"
    assert found.sections[-1].headings[-2:] == ("Times", "Sunday")


def test_what_word_keeps_elsewhere_stands_where_it_belongs() -> None:
    """Notes behind what they are about, a table inside a cell in its row, changes as accepted."""
    inside = f"<w:tbl><w:tr>{cell('cold')}{cell('3 bar')}</w:tr></w:tbl>"
    body = (
        "<w:p><w:r><w:t>The mo\u00adtor takes </w:t></w:r>"
        "<w:del><w:r><w:delText>12</w:delText></w:r></w:del><w:ins><w:r><w:t>24</w:t></w:r></w:ins>"
        '<w:r><w:t> V</w:t></w:r><w:r><w:footnoteReference w:id="2"/></w:r></w:p>'
        f"<w:tbl><w:tr>{cell('Pump')}{cell('4 bar')}</w:tr><w:tr>{cell('Hose')}"
        f"{cell('5 bar', inside)}</w:tr></w:tbl>"
    )
    data = docx([], body=body, footnotes={2: "Or 48 V.</w:t></w:r></w:p><w:p><w:r><w:t>No more."})
    assert read("motor.docx", data).text.split("\n\n") == [
        "The motor takes 24 V[1]",
        "[1] Or 48 V. No more.",
        "Pump | 4 bar\nHose | 5 bar cold 3 bar",
    ]


def test_headings_of_a_firms_template_are_headings_and_contents_are_left_out() -> None:
    styles = (
        '<w:style w:type="paragraph" w:styleId="K1"><w:name w:val="Kapitel \'A\'"/>'
        '<w:pPr><w:outlineLvl w:val="0"/></w:pPr></w:style>'
        '<w:style w:type="paragraph" w:styleId="K2"><w:name w:val="Blau"/>'
        '<w:basedOn w:val="K1"/></w:style>'
        '<w:style w:type="paragraph" w:styleId="T"><w:name w:val="toc 1"/></w:style>'
    )
    paragraphs = [("T", "Ferry 3"), ("K1", "Ferry"), ("", "Noon."), ("K2", "Port"), ("", "Red.")]
    found = read("a.docx", docx(paragraphs, styles=styles))
    assert headings(found) == [(("Ferry",), "Ferry"), (("Port",), "Port")]


def cell(text: str, inside: str = "") -> str:
    return f"<w:tc><w:p><w:r><w:t>{text}</w:t></w:r></w:p>{inside}</w:tc>"


def test_word_documents_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused("a.docx", b"no zip") == "not a Word document, or a damaged one"
    assert refused("a.docx", zipped({"a": b"b"})) == "not a Word document, or a damaged one"
    reason = refused("a.docx", b"\xd0\xcf\x11\xe0" + bytes(512))
    assert reason == "encrypted, or of an older type: save it as a Word document without a password"
    assert refused("a.docx", docx([])) == "no text in it"
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 2**20)
    bomb = zipped({"word/document.xml": bytes(3 * 2**20)})
    assert len(bomb) < 2**14
    assert refused("a.docx", bomb) == "unpacks to 3 MiB; the most is 1"


# --- PDF ---------------------------------------------------------------------------------------


def test_a_pdf_has_pages_and_its_bookmarks_as_headings() -> None:
    data = pdf(
        ["Ferry\nIt sails (always).", "1 Times\nNoon.\n2 Prices\nFree."],
        {"Times": 1, "Prices": 1},
        title="The ferry\0",
    )
    found = read("ferry.pdf", data)
    assert found.title == "The ferry"
    assert found.text == "Ferry\nIt sails (always).\n1 Times\nNoon.\n2 Prices\nFree."
    assert [(section.page, section.headings) for section in found.sections] == [
        (1, ()),
        (2, ("Times",)),
        (2, ("Prices",)),
    ]


def test_a_pdf_without_bookmarks_has_paragraphs_and_headings_by_its_type() -> None:
    pages = [
        "The harbour\n\nOpening\n\nIt opens at six\nin the morning.\n\nOn Sundays it is closed.",
        "Prices\n\nA day is 9 euros.",
    ]
    large = ["The harbour", "Opening", "Prices"]
    for title in ("", "Microsoft Word - harbour_v3.docx", "(anonymous)"):
        found = read("h.pdf", pdf(pages, title=title, large=large))
        assert found.title == "The harbour"
        assert found.text == "\n".join(pages)
        assert [(section.page, section.headings) for section in found.sections] == [
            (1, ("The harbour",)),
            (1, ("Opening",)),
            (2, ("Prices",)),
        ]


def test_what_is_filled_into_a_form_stands_behind_its_label() -> None:
    data = pdf(["Application\nName\nSignature"], filled="Ada Byron")
    assert read("form.pdf", data).text == "Application\nName Ada Byron\nSignature"


@pytest.mark.parametrize("line", ["cost = 2n + 1", "Keep it cold, at 5 to 35 degrees."])
def test_a_formula_or_a_sentence_in_large_type_is_no_heading(line: str) -> None:
    text = f"Costs\n\nThey rise.\n\n{line}\n\nIt holds for all of these, and here."
    found = read("f.pdf", pdf([text], large=["Costs", line]))
    assert {section.headings for section in found.sections} == {("Costs",)}


def test_tables_of_contents_are_left_out() -> None:
    pages = [
        "Contents\n1 Boats . . . . . . . . 2\n2 Prices 3\n2.1 Days . . . . . . 3\n"
        "End of\nall . . . . . 9\nOars 4",
        "1 Boats\nThere are 7.\nBoats 7",
        "2 Prices\nSee below.\n2.1 Days\n9 euros.",
    ]
    lines = read("h.pdf", pdf(pages)).text.split("\n")
    assert [line for line in lines if line] == [
        *("Contents", "End of", "Oars 4", "1 Boats", "There are 7.", "Boats 7"),
        *("2 Prices", "See below.", "2.1 Days", "9 euros."),
    ]


def test_divided_words_keep_a_hyphen_that_they_have_elsewhere() -> None:
    place = {"x": 0.0, "y": 0.0, "end_x": 0.0, "end_y": 0.0, "size": 12.0, "weight": 400}
    texts = [
        "a camera\ufffeready con\ufffenection",
        "is Camera-ready",
        "Komma\ufffeListe pre\ufffeand post",
        "\uf767\uf770\uf76c \uf731.\uf735 \uf6c5\uf6c8",  # Adobe's small capitals, old figures, …
    ]
    found = undivided([[Line(text, **place) for text in texts]])
    assert [line.text for line in found[0]] == [
        *("a camera-ready connection", "is Camera-ready", "Komma-Liste pre- and post", "gpl 1.5 бт")
    ]


def test_a_line_that_ends_in_lighter_type_goes_on() -> None:
    weights = {"Notes": 900, "It keeps": 700, "a light": 390, "object.": 700}
    lines = [
        Line(text, x=0, y=-12 * number, end_x=50, end_y=-12 * number, size=10, weight=weight)
        for number, (text, weight) in enumerate(weights.items())
    ]
    assert lay_out([lines]).texts == ("Notes\n\nIt keeps\na light\nobject.",)


@pytest.mark.parametrize(("size", "gap"), [(10.0, "\n"), (18.0, "\n\n")])
def test_a_line_that_begins_with_a_small_heading_goes_on(size: float, gap: str) -> None:
    """A title may end with the mark of a footnote in the type of the text."""
    place = {"x": 0.0, "end_x": 90.0, "weight": 400, "end_size": 9.0}
    lines = [
        Line("2.1. Use. It is made", y=0, end_y=0, size=size, **place),
        Line("to be used.", y=-11, end_y=-11, size=9, **place),
        Line("So it is.", y=-22, end_y=-22, size=9, **place),
    ]
    assert lay_out([lines]).texts == (f"2.1. Use. It is made{gap}to be used.\nSo it is.",)


def test_japanese_goes_on_without_a_space() -> None:
    texts = {"必要な時": 100, "以外は避ける。": 70, "https://debian.": 100, "org/を見る": 50}
    lines = [
        Line(text, x=0, y=-12 * number, end_x=end, end_y=-12 * number, size=10, weight=400)
        for number, (text, end) in enumerate(texts.items())
    ]
    assert lay_out([lines]).texts == ("必要な時以外は避ける。\nhttps://debian.\norg/を見る",)


def test_headers_footers_and_page_numbers_are_left_out() -> None:
    """Numbers that don't count the pages are of the text."""
    pages = [f"Ferries {n + 5}\nDeck {n * n} is red.\n{40 - n}\n- {n + 5} -" for n in range(4)]
    found = read("ferry.pdf", pdf(pages))
    assert found.text.split("\n") == [
        *("Ferries 5", "Deck 0 is red.", "40", "Deck 1 is red.", "39"),
        *("Deck 4 is red.", "38", "Deck 9 is red.", "37"),
    ]
    assert [section.page for section in found.sections] == [1, 2, 3, 4]
    roman = pdf([f"Preface {a}\n{b}" for a, b in (("iv", "One."), ("v", "Two."), ("vi", "Three."))])
    assert read("roman.pdf", roman).text == "Preface iv\nOne.\nTwo.\nThree."
    two = pdf([f"Header {page}\nText {page * page}.\n{page}" for page in (1, 2)])
    assert read("two.pdf", two).text == "Header 1\nText 1.\nText 4."
    one = pdf(["Header 1\nText.\n1"])
    assert read("one.pdf", one).text == "Header 1\nText.\n1"


def test_scanned_pages_are_said() -> None:
    """Blank pages are not."""
    assert "and no scan: blank, or drawings" in refused("a.pdf", pdf(["", ""]))
    assert refused("a.pdf", pdf(["", ""], scanned=[0, 1])) == (
        "no text on its 2 pages: scanned, it seems; triton-rag ingest --ocr reads it, or add "
        "a text layer with an OCR program"
    )
    found = read("a.pdf", pdf(["", "", "text", "", "text", ""], scanned=[0, 1, 2, 3]))
    assert found.remarks == ("no text on pages 1-2, 4 (of 6): scanned?",)


_RUSSIAN = (
    "Паром отходит от острова ровно в полдень по всем рабочим дням года, кроме дней, когда дует "
    "очень сильный ветер."
)
RUSSIAN = _RUSSIAN.encode("cp1251").decode("latin-1")
"""What the codes of a Russian font look like where they are taken for characters."""


def test_pages_of_fonts_that_do_not_say_their_letters_are_said() -> None:
    latin = "The of\x0ccial ferry, \x0ct or not, sails to these islands about noon on any day, "
    latin += "except when there are strong winds."
    found = read("a.pdf", pdf([latin, RUSSIAN, "It is free."], unmapped=[0, 1]))
    assert found.text.split("\n") == [latin.replace("\x0c", "fi"), "", "It is free."]
    assert found.remarks == (
        "no readable text on page 2 (of 3): its fonts don't say which letters they draw",
    )
    assert refused("a.pdf", pdf([RUSSIAN, ""], unmapped=[0])) == (
        "its fonts don't say which letters they draw: triton-rag ingest --ocr reads it, or "
        "add a text layer with an OCR program"
    )


def test_codes_without_letters_are_no_text() -> None:
    """Such as of a program that numbers the letters as it meets them."""
    codes = "".join(map(chr, range(1, 8)))
    assert "which letters" in refused("a.pdf", pdf([" ".join(12 * [codes])], unmapped=[0]))


@pytest.mark.parametrize(
    "text",
    [
        r"\newcommand{\the@author}[1]{\@latex@warning@no@line{No \noexpand\Email given} \vskip .5}",
        "x^2*y*z^2, List(Tuples([1..3], 3), i -> MonomialExtRep(i)); Sort(list, LexOrdering());",
        "DERIVED FROM setUpModule IN a HTTPServer OF THE readOnly KIND WITH 12,5 mm AND 3-4 kHz",
        "Az érvényes jegy ára négy euró, a gyermekek ingyen utaznak minden ünnepnapon is",
    ],
)
def test_what_looks_odd_is_read(text: str) -> None:
    found = read("a.pdf", pdf([text], unmapped=[0]))
    assert (found.text, found.remarks) == (text, ())


def test_pdfs_that_cannot_be_read() -> None:
    assert refused("a.pdf", pdf(["x"], is_encrypted=True)) == "encrypted: a password is needed"
    assert refused("a.pdf", b"%PDF-1.4 no more") == "not a PDF, or a damaged one"
