"""Mail (.eml): who wrote what to whom and when; attachments are named, not read."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace

from triton_rag.ingestion.file_text import Blocks, FileText, Unreadable
from triton_rag.ingestion.readers.html import add_page

_HEADERS = ("From", "To", "Cc", "Date", "Subject")


def read(data: bytes) -> FileText:
    message = email.message_from_bytes(data, policy=email.policy.default)
    if not any(message[name] for name in _HEADERS):
        raise Unreadable("not a mail: it has no sender, no date and no subject")
    blocks = Blocks()
    blocks.paragraph("\n".join(f"{n}: {message[n]}" for n in _HEADERS if message[n]))
    body = message.get_body(("plain", "html"))
    if body is not None and body.get_content_subtype() == "html":
        add_page(body.get_content().encode(), blocks)
    elif body is not None:
        blocks.paragraph(body.get_content())
    names = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
    remarks = (f"attachments are not read: {', '.join(names)}",) if names else ()
    return replace(blocks.file_text(str(message["Subject"] or "")), remarks=remarks)
