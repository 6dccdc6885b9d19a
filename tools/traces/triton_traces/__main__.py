"""`python -m triton_traces`."""

import sys

from triton_traces.command import main

sys.exit(main())
