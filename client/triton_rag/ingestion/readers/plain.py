"""Text files."""

from codecs import BOM_UTF16_BE, BOM_UTF16_LE

from triton_rag.ingestion.file_text import FileText, Unreadable


def decoded(data: bytes) -> str:
    """The text of bytes in UTF-8, or in UTF-16 with a byte order mark.

    Raises `Unreadable` for another encoding and for binary files.
    """
    is_utf_16 = data.startswith((BOM_UTF16_BE, BOM_UTF16_LE))
    try:
        text = data.decode("utf-16" if is_utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(
            f"not UTF-8 (byte {error.start:,}): convert it, such as by iconv -f WINDOWS-1252"
        ) from error
    if "\0" in text:
        raise Unreadable("not a text: it has zero bytes")
    return text


def read(data: bytes) -> FileText:
    return FileText(decoded(data))
