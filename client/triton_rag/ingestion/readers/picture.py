"""Pictures of pages: photographs and scans. A TIFF may have several."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from triton_rag.ingestion.file_text import FileText, OnPage, Section, Unreadable
from triton_rag.ingestion.readers import ocr
from triton_rag.ingestion.readers.pdf_layout import lay_out
from triton_rag.ingestion.readers.pdf_lines import undivided


def read(data: bytes, on_page: OnPage) -> FileText:
    """The text that OCR reads, without headings: the size of type in a picture is too uncertain."""
    try:
        pages = []
        for pixels in _pictures(data):
            pages.append(ocr.read_picture(pixels, 72 / ocr.DPI))
            on_page()
    except (OSError, Image.DecompressionBombError) as error:
        raise Unreadable("not a picture, or a damaged or too large one") from error
    if not any(pages):
        raise Unreadable("OCR finds no text in it of which it is sure")
    texts, sections, start = lay_out(undivided(pages)).texts, list[Section](), 0
    for number, text in enumerate(texts):
        sections.append(Section(start, page=number + 1))
        start += len(text) + 1
    ocr_pages = sum(map(bool, pages))
    return FileText("\n".join(texts), tuple(sections), ocr_pages=ocr_pages)


def _pictures(data: bytes) -> Iterator[Any]:
    """Each picture as an array of uint8 [height, width, 3], blue first, rotated as the camera's
    orientation says."""
    with Image.open(io.BytesIO(data)) as image:
        for frame in ImageSequence.Iterator(image):
            upright = ImageOps.exif_transpose(frame).convert("RGB")
            upright.thumbnail((ocr.MAX_SIDE, ocr.MAX_SIDE))
            yield np.asarray(upright)[:, :, ::-1]
