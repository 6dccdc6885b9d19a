"""Entry point of `python -m builders`."""

import sys

from builders.cli import main

sys.exit(main())
