"""The command line: `triton-rag` and `python -m triton_rag`."""

from triton_rag.cli.commands import main

__all__ = ["main"]
