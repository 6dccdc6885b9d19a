"""`python -m triton_rag`."""

import sys

from triton_rag.cli import main

if __name__ == "__main__":
    sys.exit(main())
