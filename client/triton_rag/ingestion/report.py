"""The progress and the result of an ingest."""

from __future__ import annotations

from dataclasses import dataclass, field

from triton_rag.ingestion.folder import Skipped


@dataclass
class IngestReport:
    """Counts of documents. Those of a dry run say what would be done."""

    collection: str
    is_dry_run: bool = False
    files: int = 0
    """Files to read, unchanged ones included."""
    size_bytes: int = 0
    """All of these files together."""
    read_bytes: int = 0
    """Files that are dealt with: in the collection, unchanged or skipped."""
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    removed: int = 0
    passages: int = 0
    """Those of documents that were added and replaced."""
    ocr_pages: int = 0
    """Pages that OCR has read."""
    skipped: list[Skipped] = field(default_factory=list)
    """Files that were not read, and why; what the collection has of them stays."""
    remarks: list[Skipped] = field(default_factory=list)
    """What was not read of a document that is in the collection now."""
    seconds: float = 0.0

    @property
    def documents(self) -> int:
        """Dealt with so far, skipped ones not counted."""
        return self.added + self.replaced + self.unchanged
