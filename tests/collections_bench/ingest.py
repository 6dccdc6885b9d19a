"""How much of the bare embedder's speed an ingest has, on a running server.

python -m tests.collections_bench.ingest 127.0.0.1:8001 FOLDER

Both see the documents of FOLDER, each time with other words in them, because the embedder keeps
rows that it knows. They take turns, so that a busy machine is as busy for both. One ingest before
them is not counted: in the first of a server the store is loaded, which takes a second.
"""

import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from triton_rag import Client, ingest
from triton_rag.ingestion.embedder import Embedder
from triton_rag.ingestion.embedding import IN_FLIGHT, ROWS
from triton_rag.ingestion.file_text import FileText
from triton_rag.ingestion.passages import find_words, passages
from triton_rag.ingestion.readers.plain import read

COLLECTION = "ingest-bench"
ROUNDS = 3


def main(url: str, folder: Path) -> None:
    with Client(url, timeout_s=None) as client:
        _ingest(client, dict([next(iter(_marked(folder, secrets.token_hex(2)).items()))]))
        for _ in range(ROUNDS):
            bare = _bare(
                client, [read(data) for data in _marked(folder, secrets.token_hex(2)).values()]
            )
            ingested = _ingest(client, _marked(folder, secrets.token_hex(2)))
            print(f"embed {bare:.0f} rows/s, ingest {ingested:.0f} rows/s: {ingested / bare:.2f}")


def _marked(folder: Path, mark: str) -> dict[str, bytes]:
    """The texts of a folder with a word more in each line, of the same length for every mark."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = {str(path.relative_to(folder)): path.read_text().splitlines() for path in files}
    return {
        name: "\n".join(f"{line} {mark}" if line.strip() else "" for line in text).encode()
        for name, text in lines.items()
    }


def _bare(client: Client, texts: Sequence[FileText]) -> float:
    """Rows a second of the embedder alone, over passages that are cut before."""
    embedder, rows = Embedder(client), []
    for text in texts:
        words = find_words(text)
        counts = embedder.count_tokens(words.vocabulary)
        rows += [p.text for p in passages(text, words, counts, embedder.passage_tokens)]
    portions = [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
    begin_s = time.monotonic()
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        list(pool.map(embedder.embed, portions))
    return len(rows) / (time.monotonic() - begin_s)


def _ingest(client: Client, files: dict[str, bytes]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        report = ingest(client, folder, COLLECTION)
    client.delete_collection(COLLECTION)
    return report.passages / report.seconds


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
