"""Text files."""

from triton_rag.ingestion.file_text import FileText, Unreadable


def decoded(data: bytes) -> str:
    """The text of UTF-8; raises `Unreadable` for another encoding and for binary files."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"not UTF-8 (byte {error.start:,})") from error
    if "\0" in text:
        raise Unreadable("not a text: it has zero bytes")
    return text


def read(data: bytes) -> FileText:
    return FileText(decoded(data))
