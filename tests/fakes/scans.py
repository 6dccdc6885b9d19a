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


def saved(images: Sequence[Image.Image], kind: str) -> bytes:
    file = io.BytesIO()
    images[0].save(file, kind, save_all=len(images) > 1, append_images=images[1:])
    return file.getvalue()
