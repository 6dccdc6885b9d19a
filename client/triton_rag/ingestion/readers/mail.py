"""Mail (.eml): who wrote what to whom and when; of attachments, only messages are read."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from email.message import EmailMessage, MIMEPart

from triton_rag.ingestion.file_text import Blocks, FileText, Unreadable
from triton_rag.ingestion.readers.html import add_page

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_BODIES = ("plain", "html")


def read(data: bytes) -> FileText:
    blocks = Blocks()
    subject, names = add_message(data, blocks)
    remarks = (f"attachments are not read: {', '.join(names)}",) if names else ()
    return replace(blocks.file_text(subject), remarks=remarks)


def add_message(data: bytes, blocks: Blocks, is_one_of_many: bool = False) -> tuple[str, list[str]]:
    """Adds a message, under its subject if it is one of many; returns the subject, and the names of
    attachments. Raises `Unreadable`."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    headers = _headers(message)
    if not headers:
        raise Unreadable("not a mail: it has no sender, no date and no subject")
    subject = headers.get("Subject", "")
    if is_one_of_many:
        blocks.heading(1, subject)
    return subject, list(_add(message, headers, blocks))


def _add(message: EmailMessage, headers: dict[str, str], blocks: Blocks) -> Iterator[str]:
    """Adds a message, its other texts that have no file name, and attached messages; gives the
    names of other attachments."""
    blocks.paragraph("\n".join(f"{name}: {text}" for name, text in headers.items()))
    body = message.get_body(_BODIES)
    _add_body(body, blocks)
    for part in message.iter_attachments():
        inner = None if part.get_filename() else part.get_body(_BODIES)
        if part.get_content_type() == "message/rfc822":
            forwarded = part.get_content()
            yield from _add(forwarded, _headers(forwarded), blocks)
        elif inner is None:
            yield part.get_filename() or part.get_content_type()
        elif inner is not body:
            _add_body(inner, blocks)


def _add_body(part: MIMEPart | None, blocks: Blocks) -> None:
    if part is not None and part.get_content_subtype() == "html":
        with suppress(Unreadable):  # an empty page
            add_page(_decoded(part), blocks)
    elif part is not None:
        blocks.paragraph(_decoded(part))


def _headers(message: EmailMessage) -> dict[str, str]:
    return {name: text for name in _HEADERS if (text := _header(message, name))}


def _decoded(part: MIMEPart) -> str:
    """The text of a part. If its encoding is missing, unknown or wrong, it is read as UTF-8, or if
    that is invalid as Windows-1252, as mail programs do."""
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)  # it is a part with text
    for encoding in (part.get_content_charset(""), "utf-8"):
        with suppress(LookupError, ValueError):
            return data.decode(encoding)
    return data.decode("windows-1252", errors="replace")


def _header(message: EmailMessage, name: str) -> str:
    """A header's text; unparsed if the library can't parse it, such as a year 99999999999 (which
    raises many kinds of errors)."""
    try:
        return str(message[name] or "")
    except Exception:
        written = {each.lower(): str(text) for each, text in message.raw_items()}[name.lower()]
        return " ".join(written.encode(errors="surrogateescape").decode(errors="replace").split())
