"""Mailboxes (.mbox): their messages, each under its subject; messages are the pages."""

from __future__ import annotations

import re
from dataclasses import replace

from triton_rag.ingestion.file_text import Blocks, FileText, Unreadable
from triton_rag.ingestion.readers.mail import add_message

_BEGIN = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\n]*\n")
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
"""Lines within a message that look like the beginning of another one."""


def read(data: bytes) -> FileText:
    before, *messages = _BEGIN.split(data)
    if before.strip() or not messages:
        raise Unreadable("not a mailbox: it begins with no line 'From …'")
    blocks, attached, unread = Blocks(), 0, 0
    for number, message in enumerate(messages, start=1):
        blocks.record(number)
        try:
            _, names = add_message(_QUOTED.sub(rb"\1", message), blocks, is_one_of_many=True)
            attached += len(names)
        except Exception:  # the library raises many kinds; the other messages are read
            unread += 1
    counts = {"messages are damaged": unread, "attachments are not read": attached}
    remarks = tuple(f"{count:,} {what}" for what, count in counts.items() if count)
    return replace(blocks.file_text(), title="", remarks=remarks)
