"""Pages as browsers save them: with banners, and answers that are folded in."""

import pytest
from triton_rag.ingestion.file_text import Unreadable
from triton_rag.ingestion.readers import read


def text_of(body: str) -> str:
    return read("a.html", f"<html><body>{body}</body></html>".encode()).text


@pytest.mark.parametrize(
    "folded",
    [
        "<h3><button aria-expanded=false aria-controls=p>Is it free?<svg></svg></button></h3>"
        "<div id=p hidden>Yes, for residents.</div>",
        "<h3 aria-controls=p>Is it free?</h3><div id=p aria-hidden=true>Yes, for residents.</div>",
        "<button aria-controls=p>Is it free?</button><p id=p>Yes, for residents.</p>",
    ],
)
def test_what_unfolds_keeps_its_question_and_its_answer(folded: str) -> None:
    links = "<ul id=m><li><a href=/>Home</a><li><a href=/b>Bins</a></ul>"
    menu = f"<button aria-controls=m>Menu</button>{links}"
    closed = "<button>Search</button><p aria-hidden=true>an ornament</p>"
    page = f"{menu}{folded}{closed}<p>Anything else: call us.</p>"
    assert text_of(page) == "Is it free?\n\nYes, for residents.\n\nAnything else: call us."


def test_what_stands_around_is_left_out() -> None:
    around = (
        "<div role=banner>Borough</div><div id=cookie-consent-banner><p>We use cookies.</p></div>"
        "<div role=dialog><h2>Privacy</h2></div><ol class='c breadcrumbs'><li>Home<li>Rules</ol>"
        "<p class=noprint>Print this</p><div><a href=/a>Terms</a><a href=/b>Imprint</a></div>"
    )
    rules = "<h1>Rules</h1><p>The long pond is closed to swimmers, and to dogs, and in winter.</p>"
    said = "Rules\n\nThe long pond is closed to swimmers, and to dogs, and in winter."
    assert text_of(around + rules * 3) == "\n\n".join([said] * 3)
    assert text_of(f"<div>Shop</div><div role=main>{rules}</div><div>Baskets</div>") == said


def test_a_page_about_cookies_or_of_contacts_stays() -> None:
    page = "<section id=cookies><h2>Cookies</h2><p>We set one.</p></section>"
    contacts = "<ul><li><a href=tel:1>01 1</a><li><a href=mailto:a@b.c>a@b.c</a></ul>"
    assert text_of(page + contacts) == "Cookies\n\nWe set one.\n\n- 01 1\n- a@b.c"


def test_headings_of_scripts_are_headings() -> None:
    page = (
        b"<div role=heading aria-level=1>Terms</div><p>Text.</p>"
        b"<div role=heading>Refunds</div><p>None.</p>"
    )
    found = read("a.html", page)
    assert [section.headings for section in found.sections] == [("Terms",), ("Terms", "Refunds")]


@pytest.mark.parametrize(
    ("listed", "lines"),
    [
        ("<ol type=a start=2><li>one<li value=26>two<li>three</ol>", "b. one\nz. two\n27. three"),
        ("<ol type=I start=9><li>one<li>two</ol>", "IX. one\nX. two"),
        ("<dl><dt>a)<dd><div>one</div><dt>oar<dd>two</dl>", "a) one\n\noar: two"),
        ("<table><tr><td>(a)<td>one<tr><td>oar<td>two</table>", "(a) one\noar | two"),
        ("<table><caption>Fees</caption><tr><td>oar<td>£2</table>", "Fees\n\noar | £2"),
        ("<p><span><span>4.</span>(1)</span><span>Unless</span></p>", "4.(1) Unless"),
        ("<p>Python <b>3.</b><i>Y</i></p>", "Python 3.Y"),
        ("<div>using <a href=/a>hibf_compressed</a></div><p>x</p>", "using hibf_compressed\n\nx"),
        ("<div>let <a href=/a>boats_of_all</a>=<a href=/b>b</a></div>", "let boats_of_all=b"),
        ("<p>See<a href=/a>this</a><a href=/b>that</a></p>", "Seethis that"),
        ("<p>10<sup>6</sup> boats<sup><a href=#n>1</a></sup></p>", "10⁶ boats[1]"),
        ("<ol><li>Of 1908. <a href=#r>↩︎</a></ol>", "1. Of 1908."),
    ],
)
def test_numbers_of_lists_notes_and_tables_stay(listed: str, lines: str) -> None:
    assert text_of(listed) == lines


def test_a_page_that_is_saved_as_one_file() -> None:
    whole = (
        b"From: <Saved by Blink>\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/related; type="text/html"; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        b"<title>Byelaws</title><h1>Dogs</h1><p>On a lead, caf=C3=A9s too.</p>\r\n"
        b"--b\r\nContent-Type: text/css\r\n\r\np { color: red }\r\n--b--\r\n"
    )
    found = read("a.mhtml", whole)
    assert (found.title, found.text) == ("Byelaws", "Dogs\n\nOn a lead, cafés too.")
    with pytest.raises(Unreadable, match="no page in it"):
        read("a.mht", b"MIME-Version: 1.0\r\nContent-Type: text/css\r\n\r\np {}")
