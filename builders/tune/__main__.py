"""`python -m builders.tune`."""

import sys

from builders.tune.cli import main

if __name__ == "__main__":
    sys.exit(main())
