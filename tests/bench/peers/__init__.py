"""Other servers with the same models and the same work, one file each, run in `.venv-peers`.

`python -m tests.bench.peers.NAME PORT WORKERS THREADS` serves `/embed`, `/rerank` and `/rag` over
HTTP with JSON; checkpoints come by the environment (`models.Folders`).
"""
