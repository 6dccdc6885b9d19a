"""Personal data and secrets leave texts; how a stream is cut never changes what is left."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.guards.redaction import RUN_CHARACTERS, Redactor, redact

FOUND = {
    "write to jane.doe+x@mail.example.co.uk.": "write to [EMAIL].",
    "<a@b.io>,c@d.org": "<[EMAIL]>,[EMAIL]",
    "card 4111 1111 1111 1111, thanks": "card [CARD], thanks",
    "5500-0000-0000-0004": "[CARD]",
    "378282246310005": "[CARD]",
    "IBAN DE89 3704 0044 0532 0130 00 please": "IBAN [IBAN] please",
    "GB29NWBK60161331926819": "[IBAN]",
    "GB29 NWBK 6016 1331 9268 19": "[IBAN]",
    "from 192.168.1.17:8000": "from [IP]:8000",
    "at 2001:db8::8a2e:370:7334 now": "at [IP] now",
    "call +49 (0) 30 123456-78 today": "call [PHONE] today",
    "call (415) 555-2671 or 415-555-2671": "call [PHONE] or [PHONE]",
    "Tel. 030 1234567": "Tel. [PHONE]",
    "key sk-proj-abcdefghijklmnop1234": "key [SECRET]",
    "AKIAIOSFODNN7EXAMPLE": "[SECRET]",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789": "[SECRET]",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl": "[SECRET]",
    "password: hunter22 and": "password: [SECRET] and",
    '{"api_key": "abcdef123456"}': '{"api_key": "[SECRET]"}',
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj": "[SECRET]",
    "邮箱jane@example.com。": "邮箱[EMAIL]。",
}
LEFT = [
    "Vebra listens on port 8123 and 8124.",
    "The ferry sails at 12:30 on 2026-11-28, not 28.11.2026.",
    "4111 1111 1111 1112 fails Luhn",
    "DE89 3704 0044 0532 0130 01 fails modulo 97",
    "version 1.2.3, then 999.1.1.1",
    "0.1234567 is a number, and so are 12345678 and 10 20 30 40 50",
    "0000000000000000",
    "a@b, @someone, x = y",
    "12:30:45 and a::b",
    "Straße, naïve, Ελλάδα, 日本語",
    "sha256 is e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
]
PIECES = st.lists(
    st.one_of(
        st.sampled_from([*FOUND, *LEFT, *" \n:=", "NWBK", "(0)"]),
        st.text("aZ09 .@-+:=(ö日\n", max_size=12),
    ),
    max_size=8,
)


@pytest.mark.parametrize(("text", "expected"), FOUND.items())
def test_what_has_a_shape_is_replaced(text, expected):
    assert redact(text) == expected


@pytest.mark.parametrize("text", LEFT)
def test_what_only_looks_like_it_stays(text):
    assert redact(text) == text


@given(PIECES, st.lists(st.integers(0, 400), max_size=20))
def test_how_a_stream_is_cut_never_changes_the_result(pieces, cuts):
    text = "".join(pieces)
    redactor = Redactor()
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    shown = [redactor.push(text[a:b]) for a, b in itertools.pairwise(bounds)]
    assert "".join(shown) + redactor.flush() == redact(text)


def test_words_are_held_back_by_one_only():
    redactor = Redactor()
    shown = [redactor.push(piece) for piece in ("The", " ferry", " sails", ".", "\n")]
    assert shown == ["", "The", " ferry", "", " sails.\n"]


def test_a_number_in_groups_is_held_back_until_it_ends():
    redactor = Redactor()
    shown = [redactor.push(p) for p in ("card ", "4111", " 1111", " 1111", " 1111", " ok", " x")]
    assert "".join(shown[:5]) == "card"
    assert "".join(shown) + redactor.flush() == "card [CARD] ok x"
    assert redactor.counts == {"CARD": 1}


def test_a_run_without_end_is_not_held_back_for_ever():
    redactor = Redactor()
    assert redactor.push("a" * (RUN_CHARACTERS + 1)) == "a" * RUN_CHARACTERS
