"""Jupyter notebooks: their texts and their code, without the code's output."""

import json
from typing import Any

from triton_rag.ingestion.file_text import FileText, Unreadable
from triton_rag.ingestion.readers import markdown
from triton_rag.ingestion.readers.plain import decoded


def read(data: bytes) -> FileText:
    try:
        cells = [_text(cell) for cell in json.loads(decoded(data))["cells"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreadable("not a notebook of version 4, or a damaged one") from error
    return markdown.read("\n\n".join(filter(None, cells)).encode())


def _text(cell: dict[str, Any]) -> str:
    """A cell as Markdown. Its source is a text, or a list of lines."""
    source = "".join(cell["source"]).strip()
    is_code = cell["cell_type"] == "code" and source
    return f"```\n{source}\n```" if is_code else source
