"""Pages that a browser saved as one file with their pictures (.mhtml, .mht)."""

import email
import email.policy

from triton_rag.ingestion.file_text import FileText, Unreadable
from triton_rag.ingestion.readers import html


def read(data: bytes) -> FileText:
    page = email.message_from_bytes(data, policy=email.policy.default).get_body(("html",))
    found = page.get_payload(decode=True) if page else None
    if not isinstance(found, bytes):
        raise Unreadable("no page in it")
    return html.read(found)
