"""FastAPI on uvicorn: no batching. One request at a time in each worker process, since two in one
would share its cores and its interpreter's lock.
"""

import sys
from threading import Lock
from typing import Any

import uvicorn
from fastapi import FastAPI

from tests.bench.peers.models import KINDS, Kind, Models

MODULE = "tests.bench.peers.fastapi"


def application() -> FastAPI:
    """With its models; uvicorn calls it in each worker."""
    models, lock, app = Models(int(sys.argv[3])), Lock(), FastAPI()

    def add(kind: Kind) -> None:
        @app.post(f"/{kind}")
        def answer(body: dict[str, Any]) -> dict[str, Any]:
            with lock:
                return models.answer(kind, [body])[0]

    for kind in KINDS:
        add(kind)
    return app


if __name__ == "__main__":
    uvicorn.run(
        f"{MODULE}:application", factory=True, host="127.0.0.1", port=int(sys.argv[1]),
        workers=int(sys.argv[2]), log_level="warning", access_log=False,
        timeout_worker_healthcheck=120,  # loading models takes longer than its 5 s
    )  # fmt: skip
