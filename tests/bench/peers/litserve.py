"""LitServe: a LitAPI a path with dynamic batching, each with worker processes of its own."""

import sys
from typing import Any

import litserve

from tests.bench.peers.models import BATCH_WAIT_S, KINDS, MAX_BATCH_REQUESTS, Kind, Models


class Api(litserve.LitAPI):
    """One path."""

    def __init__(self, kind: Kind, threads: int) -> None:
        super().__init__(
            max_batch_size=MAX_BATCH_REQUESTS[kind], batch_timeout=BATCH_WAIT_S,
            api_path=f"/{kind}",
        )  # fmt: skip
        self._kind, self._threads = kind, threads

    def setup(self, device: str) -> None:
        """In each worker process."""
        self._models = Models(self._threads)

    def batch(self, inputs: list[Any]) -> list[Any]:
        """Keeps the list: there is nothing to stack."""
        return inputs

    def predict(self, x: list[Any]) -> list[Any]:
        """The batch."""
        return self._models.answer(self._kind, x)

    def unbatch(self, output: list[Any]) -> list[Any]:
        """Returns it unchanged."""
        return output


if __name__ == "__main__":
    port, workers, threads = (int(value) for value in sys.argv[1:4])
    server = litserve.LitServer(
        [Api(kind, threads) for kind in KINDS], accelerator="cpu", workers_per_device=workers,
        timeout=False, track_requests=False,
    )  # fmt: skip
    server.run(
        host="127.0.0.1", port=port, num_api_servers=1, log_level="warning",
        generate_client_file=False, access_log=False,
    )  # fmt: skip
