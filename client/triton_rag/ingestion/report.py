"""The progress and the result of an ingest."""

from __future__ import annotations

from dataclasses import dataclass, field

from triton_rag.ingestion.folder import Skipped


@dataclass
class IngestReport:
    """The counts of an ingest, or of what a dry run would do."""

    collection: str
    is_dry_run: bool = False
    files: int = 0
    """Number of files to read, including unchanged ones."""
    size_bytes: int = 0
    """Size of all these files together."""
    read_bytes: int = 0
    """Size of the files that are done: in the collection, unchanged or skipped."""
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    removed: int = 0
    passages: int = 0
    """Number of passages of the documents that were added or replaced."""
    ocr_pages: int = 0
    """Number of pages that OCR has read."""
    skipped: list[Skipped] = field(default_factory=list)
    """Files that were not read, and why; their documents in the collection stay."""
    remarks: list[Skipped] = field(default_factory=list)
    """Parts that were not read, of documents that are in the collection now."""
    seconds: float = 0.0

    @property
    def documents(self) -> int:
        """Number of documents done so far, without skipped ones."""
        return self.added + self.replaced + self.unchanged
