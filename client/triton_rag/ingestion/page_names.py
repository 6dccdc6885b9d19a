"""What the pages of a file are called, by its type."""

_NAMES = {
    "slide": {"pptx", "odp"},
    "row": {"csv", "tsv", "xlsx", "xlsm", "xls", "ods"},
    "line": {"jsonl", "ndjson"},
    "minute": {"srt", "vtt"},
    "message": {"mbox"},
}


def page_name(suffix: str) -> str:
    """`page`, `row`, …; `suffix` is that of the file's name, without a dot."""
    return next((name for name, kinds in _NAMES.items() if suffix.lower() in kinds), "page")
