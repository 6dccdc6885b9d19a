"""mosec: a Rust front with dynamic batching, worker processes a path."""

import json
import os
import sys
from typing import Any

from mosec import Runtime, Server, Worker

from tests.bench.peers.models import BATCH_WAIT_S, KINDS, MAX_BATCH_REQUESTS, Kind, Models

# mosec reads sys.argv itself, in each worker process again.
if len(sys.argv) > 3 and sys.argv[1].isdigit():
    PORT, WORKERS, THREADS = sys.argv[1:4]
    sys.argv[1:] = [
        "--port", PORT, "--address", "127.0.0.1", "--timeout", "300000", "--log-level", "warning",
        "--capacity", "2000", "--namespace", f"/tmp/mosec-{PORT}",
    ]  # fmt: skip


class Peer(Worker):
    """One path, named by a subclass."""

    kind: Kind

    def __init__(self) -> None:
        self._models = Models(int(os.environ["PEER_THREADS"]))

    def serialize(self, data: Any) -> bytes:
        """Without mosec's indentation, which would be a third of the body."""
        return json.dumps(data).encode()

    def forward(self, data: list[Any]) -> list[Any]:
        """The batch."""
        return self._models.answer(self.kind, data)


class Embed(Peer):
    """`/embed`."""

    kind = "embed"


class Rerank(Peer):
    """`/rerank`."""

    kind = "rerank"


class Rag(Peer):
    """`/rag`."""

    kind = "rag"


if __name__ == "__main__":
    server = Server()
    server.register_runtime({
        f"/{kind}": [
            Runtime(
                worker, num=int(WORKERS), max_batch_size=MAX_BATCH_REQUESTS[kind],
                max_wait_time=max(1, int(BATCH_WAIT_S * 1000)), timeout=300,
                env=[{"PEER_THREADS": THREADS}] * int(WORKERS),
            )
        ]
        for kind, worker in zip(KINDS, (Embed, Rerank, Rag), strict=True)
    })  # fmt: skip
    server.run()
