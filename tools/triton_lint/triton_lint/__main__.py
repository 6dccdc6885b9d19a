"""`python -m triton_lint`."""

import sys

from triton_lint.command import main

sys.exit(main())
