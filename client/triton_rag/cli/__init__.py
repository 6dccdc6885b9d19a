"""The command line: `triton-rag` and `python -m triton_rag`."""

from triton_rag.cli.commands import main
from triton_rag.cli.evaluation import evaluate

__all__ = ["evaluate", "main"]
