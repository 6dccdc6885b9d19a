"""The names of a file's pages, by the type of the file."""

_NAMES = {
    "slide": {"pptx", "odp"},
    "row": {"csv", "tsv", "xlsx", "xlsm", "xls", "ods"},
    "line": {"jsonl", "ndjson"},
    "minute": {"srt", "vtt"},
    "message": {"mbox"},
}


def page_name(suffix: str) -> str:
    """The name, such as `page` or `row`; `suffix` is the file name's, without a dot."""
    return next((name for name, kinds in _NAMES.items() if suffix.lower() in kinds), "page")
