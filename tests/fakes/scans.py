"""Pictures of pages, and files of them."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont


def picture(*lines: str, size: int = 30) -> Image.Image:
    """A white page of 700 to 700 pixels with these lines."""
    image = Image.new("RGB", (700, 700), "white")
    font = ImageFont.load_default(size)
    for number, line in enumerate(lines):
        ImageDraw.Draw(image).text((40, 40 + 2 * size * number), line, "black", font)
    return image


def saved(images: Sequence[Image.Image], kind: str, dpi: int = 72) -> bytes:
    """A file of that kind. `dpi` gives the pages of a PDF their size."""
    file, more = io.BytesIO(), images[1:]
    images[0].save(file, kind, save_all=bool(more), append_images=more, resolution=dpi)
    return file.getvalue()
