"""What clients can do with files and vector stores; raises `GatewayError`s with their terms."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from triton_rag import Client
from triton_rag.errors import InvalidRequest, Overloaded, ServerUnreachable, TritonRagError

from gateway.errors import BadRequest, GatewayError, NotFound, Unavailable, UpstreamFailed
from gateway.files.indexing import Indexing
from gateway.files.records import File, StoreFile, Value, VectorStore
from gateway.files.register import Register, new_id
from gateway.files.uploads import Texts, Uploads, plain_name
from gateway.settings import Files
from gateway.upstream.statuses import RETRY_AFTER_S

T = TypeVar("T")

MOST_SHOWN_BYTES = 16 * 2**20
"""Most bytes of a file's text that are shown."""


@contextmanager
def open_library(settings: Files, triton: str) -> Iterator["Library"]:
    """The library in the settings' folder; `triton` is the gRPC address of Triton."""
    assert settings.folder is not None
    settings.folder.mkdir(parents=True, exist_ok=True)
    register = Register(settings.folder)
    with Client(triton) as client:
        known = register.file_ids()
        uploads = Uploads(settings.folder / "uploads", known)
        texts = Texts(settings.folder / "texts", known)
        library = Library(settings, register, uploads, texts, client)
        try:
            yield library
        finally:
            library.close()


class Library:
    """All tenants' files. Its methods block, so call them in threads."""

    def __init__(
        self, settings: Files, register: Register, uploads: Uploads, texts: Texts, client: Client
    ) -> None:
        self.register, self._uploads, self._texts = register, uploads, texts
        self._settings, self._client = settings, client
        self._indexing = Indexing(register, uploads, texts, client)

    def close(self) -> None:
        self._indexing.close()
        self.register.close()

    # --- files ---------------------------------------------------------------------------------

    def upload(self, tenant: str, name: str | None, purpose: str, content: BinaryIO) -> File:
        file_id, plain = new_id("file"), plain_name(name)
        most = self._settings.tenant_bytes
        try:
            size_bytes = self._uploads.keep(file_id, content)
        except OSError as error:
            raise Unavailable(f"file: can't be kept: {error.strerror}") from None
        try:
            return self.register.add_file(tenant, file_id, plain, purpose, size_bytes, most)
        except GatewayError:
            self._uploads.remove(file_id)
            raise

    def content(self, tenant: str, file_id: str) -> Path:
        return self._uploads.path(self.register.file(tenant, file_id).id)

    def delete_file(self, tenant: str, file_id: str) -> None:
        """Deletes the file, also from every vector store."""
        self.register.file(tenant, file_id)
        for store_id in self.register.stores_of(file_id):
            self._remove(partial(self._client.remove, store_id, [file_id]))
        self.register.remove_file(file_id)
        self._uploads.remove(file_id)
        self._texts.remove(file_id)

    # --- vector stores -------------------------------------------------------------------------

    def store(self, tenant: str, store_id: str) -> VectorStore:
        """A vector store of the tenant, or a shared one; raises `NotFound`. It asks no server, so
        it needs no thread."""
        if store_id in self._settings.shared_collections:
            return VectorStore(store_id, "", store_id, {}, 0, is_shared=True)
        return self.register.store(tenant, store_id)

    def described(self, tenant: str, store_id: str) -> VectorStore:
        """Like `store`, but a shared one has its time of creation, from the models' server."""
        found = self.store(tenant, store_id)
        if not found.is_shared:
            return found
        collection = self._ask(lambda: self._client.collection(store_id))
        return replace(found, created_s=int(collection.created_s))

    def own_store(self, tenant: str, store_id: str) -> VectorStore:
        """A vector store that the tenant may change; raises `GatewayError` for others."""
        found = self.store(tenant, store_id)
        if found.is_shared:
            raise BadRequest(f"vector store {store_id!r:.80} is shared: it can be read only")
        return found

    def create_store(
        self, tenant: str, name: str, metadata: Mapping[str, str], file_ids: Sequence[str]
    ) -> VectorStore:
        for file_id in file_ids:
            self.register.file(tenant, file_id)
        made = self.register.add_store(tenant, name, metadata)
        try:
            self._ask(lambda: self._client.create_collection(made.id))
        except GatewayError:
            self.register.remove_store(made.id)
            raise
        self.attach_all(made, {file_id: {} for file_id in file_ids})
        return made

    def delete_store(self, tenant: str, store_id: str) -> None:
        """Deletes the store and its collection; its files stay."""
        self.own_store(tenant, store_id)
        self._remove(lambda: self._client.delete_collection(store_id))
        self.register.remove_store(store_id)

    # --- files of a vector store ---------------------------------------------------------------

    def attach(
        self, store: VectorStore, file_id: str, attributes: Mapping[str, Value]
    ) -> StoreFile:
        """Attach a file, which is read later; raises `NotFound` for a file of another tenant."""
        self.attach_all(store, {file_id: attributes})
        return self.register.store_file(store.id, file_id)

    def attach_all(
        self, store: VectorStore, files: Mapping[str, Mapping[str, Value]], batch_id: str = ""
    ) -> None:
        """Attach files, by id with their attributes: all of them, or none."""
        for file_id in files:
            self.register.file(store.tenant, file_id)
        self.register.attach_all(store.id, files, batch_id)
        self._indexing.wake()

    def change_attributes(
        self, store: VectorStore, file_id: str, attributes: Mapping[str, Value]
    ) -> StoreFile:
        """Change a file's attributes; searches use the former ones until it is read again."""
        if self.register.store_file(store.id, file_id).attributes != attributes:
            self.register.change_attributes(store.id, file_id, attributes)
            self._indexing.wake()
        return self.register.store_file(store.id, file_id)

    def text(self, store: VectorStore, file_id: str) -> tuple[StoreFile, str]:
        """The file, and the text that was read from it."""
        file = self.register.store_file(store.id, file_id)
        if file.status != "completed":
            raise BadRequest(f"file {file_id!r:.80} is {file.status}; a completed one has a text")
        try:
            return file, self._texts.read(file_id, MOST_SHOWN_BYTES)
        except FileNotFoundError:
            why = "its text was not kept yet when it was read; attach it again"
            raise NotFound(why, field="file_id") from None

    def cancel(self, store: VectorStore, batch_id: str) -> None:
        """Cancel a batch: its files that are not read yet are not read, and not found."""
        if cancelled := self.register.cancel(store.id, batch_id):
            self._remove(lambda: self._client.remove(store.id, cancelled))

    def detach(self, store: VectorStore, file_id: str) -> None:
        self.register.store_file(store.id, file_id)
        self._remove(lambda: self._client.remove(store.id, [file_id]))
        self.register.detach(store.id, file_id)

    def _remove(self, call: Callable[[], object]) -> None:
        """Remove something on the models' server; nothing to do if the collection is gone."""

        def remove() -> None:
            with suppress(InvalidRequest):
                call()

        self._ask(remove)

    def _ask(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except (Overloaded, ServerUnreachable) as error:
            raise Unavailable(str(error), retry_after_s=RETRY_AFTER_S) from None
        except InvalidRequest as error:
            raise BadRequest(str(error)) from None
        except TritonRagError as error:
            raise UpstreamFailed(str(error)) from None
