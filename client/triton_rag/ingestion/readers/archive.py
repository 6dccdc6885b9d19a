"""Files that are zip archives of XML: Word, PowerPoint, OpenDocument, e-books."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import lxml.etree

from triton_rag.ingestion.file_text import Unreadable

MAX_UNPACKED_BYTES = 256 * 2**20
"""Most bytes of the unpacked parts: a small file with more was made to fill the memory."""
OLE = b"\xd0\xcf\x11\xe0"
"""First bytes of old files of Office, and of encrypted new ones."""
ENCRYPTED = "encrypted: save it without a password"
_MANIFEST = "META-INF/manifest.xml"
"""The part in which OpenDocument says what is encrypted."""
_IS_ENCRYPTED = 1
"""The flag of an encrypted part of a zip archive."""
_PARSER = lxml.etree.XMLParser(resolve_entities=False, no_network=True, recover=True)


class Archive:
    """The parts of a file by name. Raises `Unreadable` for a file that is no zip archive, is
    encrypted, or unpacks to too many bytes.

    A zip file can't unpack to more than it declares: Python stops at the declared size.
    """

    def __init__(self, data: bytes, kind: str) -> None:
        if data.startswith(OLE):
            raise Unreadable(
                f"encrypted, or of an older type: save it as {kind} without a password"
            )
        self._damaged = Unreadable(f"not {kind}, or a damaged one")
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            unpacked = sum(entry.file_size for entry in self._zip.infolist())
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise self._damaged from error
        if unpacked > MAX_UNPACKED_BYTES:
            raise Unreadable(
                f"unpacks to {unpacked / 2**20:,.0f} MiB; the most is {MAX_UNPACKED_BYTES // 2**20}"
            )
        if self._is_encrypted():
            raise Unreadable(ENCRYPTED)

    def _is_encrypted(self) -> bool:
        if any(entry.flag_bits & _IS_ENCRYPTED for entry in self._zip.infolist()):
            return True
        return _MANIFEST in self.names() and b"encryption-data" in self.read(_MANIFEST)

    def names(self) -> list[str]:
        return self._zip.namelist()

    def read(self, name: str) -> bytes:
        """A part; raises `Unreadable` where it is missing or damaged."""
        try:
            return self._zip.read(name)
        except (KeyError, zipfile.BadZipFile, OSError, RuntimeError, EOFError) as error:
            raise self._damaged from error

    def xml(self, name: str) -> Any:
        """The root element of a part."""
        root = lxml.etree.fromstring(self.read(name), _PARSER)
        if root is None:
            raise self._damaged
        return root
