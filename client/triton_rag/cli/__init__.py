"""The command line: `triton-rag` and `python -m triton_rag`."""

from triton_rag.cli.collections import collections
from triton_rag.cli.commands import main
from triton_rag.cli.evaluation import evaluate
from triton_rag.cli.ingestion import ingest

__all__ = ["collections", "evaluate", "ingest", "main"]
