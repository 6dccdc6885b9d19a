"""Why files of a type are not read, and what their owner can do."""

from __future__ import annotations

from pathlib import PurePath

_ARCHIVE = "an archive: unpack it into the folder"
_DATA = "data for programs: save lists as .csv, records with a text as .jsonl"
_SOUND = "sound or film: only subtitles (.srt, .vtt) are read"
_BOOK = "a reader's own format: convert it to .epub, such as with Calibre"

_REASONS = {
    ".zip .gz .tar .tgz .bz2 .xz .zst .7z .rar": _ARCHIVE,
    ".json .xml": _DATA,
    ".doc .rtf .wpd .pages": "a word processor's other format: save it as .docx or .odt",
    ".ppt .key": "another format of slides: save it as .pptx or .odp",
    ".xlsb .numbers": "another format of tables: save it as .xlsx or .ods",
    ".mobi .azw .azw3 .fb2 .lit": _BOOK,
    ".chm": "compiled help: unpack its pages, such as with 7-Zip",
    ".url .webloc .lnk": "a link: save what it leads to, a page as .html or .mhtml",
    ".texi .texinfo": "the source of a manual: save it as .html, such as by 'makeinfo --html'",
    ".djvu .xps .oxps .ps": "drawn pages: convert it to PDF",
    ".msg .pst .ost": "Outlook's own format: save messages as .eml, or export a mailbox (.mbox)",
    ".png .jpg .jpeg .tif .tiff .webp": "a picture; triton-rag ingest --ocr reads its words",
    ".mp3 .m4a .wav .ogg .flac .mp4 .mov .mkv .avi .webm": _SOUND,
    ".env": "settings that may hold passwords: save what may be read as .conf",
    ".sqlite .sqlite3 .db .mdb .accdb .parquet": "a database: export its tables as .csv",
}
_REASON_OF = {
    suffix: reason for suffixes, reason in _REASONS.items() for suffix in suffixes.split()
}


def refusal(name: str) -> str:
    """Why a file of this name, whose type no reader knows, is not read."""
    suffix = PurePath(name).suffix
    if not suffix:
        return "no suffix"
    reason = _REASON_OF.get(suffix.lower())
    return f"'{suffix.lower()}' is {reason}" if reason else f"unknown type '{suffix}'"
