"""Texts for people, such as `README`: in sections that begin at the underlined titles."""

from triton_rag.ingestion.file_text import FileText, in_sections
from triton_rag.ingestion.readers.plain import decoded
from triton_rag.ingestion.readers.restructured import titles


def read(data: bytes) -> FileText:
    text = decoded(data)
    return in_sections(text, titles(text))
