"""Ray Serve: one deployment with `serve.batch` a path; dashboard and usage report off."""

import os
import sys
import threading
from pathlib import Path
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from tests.bench.peers.models import BATCH_WAIT_S, MAX_BATCH_REQUESTS, Models

MAX_ONGOING = 1000
"""Above every concurrency here: at less, requests wait in the proxy and batches stay small."""


@serve.deployment(
    max_ongoing_requests=MAX_ONGOING,
    logging_config={"log_level": "WARNING", "enable_access_log": False},
)
class Peer:
    """Dispatches by path."""

    def __init__(self, threads: int) -> None:
        self._models = Models(threads)
        self._paths = {"/embed": self._embed, "/rerank": self._rerank, "/rag": self._rag}

    @serve.batch(max_batch_size=MAX_BATCH_REQUESTS["embed"], batch_wait_timeout_s=BATCH_WAIT_S)
    async def _embed(self, requests: list[Any]) -> list[Any]:
        return self._models.answer("embed", requests)

    @serve.batch(max_batch_size=MAX_BATCH_REQUESTS["rerank"], batch_wait_timeout_s=BATCH_WAIT_S)
    async def _rerank(self, requests: list[Any]) -> list[Any]:
        return self._models.answer("rerank", requests)

    @serve.batch(max_batch_size=MAX_BATCH_REQUESTS["rag"], batch_wait_timeout_s=BATCH_WAIT_S)
    async def _rag(self, requests: list[Any]) -> list[Any]:
        return self._models.answer("rag", requests)

    async def __call__(self, request: Request) -> Any:
        return await self._paths[request.url.path](await request.json())


if __name__ == "__main__":
    port, workers, threads = (int(value) for value in sys.argv[1:4])
    environment = {key: value for key, value in os.environ.items() if key.startswith("BENCH_")}
    environment |= {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(Path.cwd())}
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="warning",
        object_store_memory=200 * 2**20, runtime_env={"env_vars": environment},
    )  # fmt: skip
    serve.start(
        http_options={"host": "127.0.0.1", "port": port},
        logging_config={"log_level": "WARNING", "enable_access_log": False},
    )
    options = Peer.options(num_replicas=workers, ray_actor_options={"num_cpus": 0})
    serve.run(options.bind(threads), route_prefix="/")
    threading.Event().wait()
