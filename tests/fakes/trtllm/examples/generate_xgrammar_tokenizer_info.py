#!/usr/bin/env python3
"""Stand-in: see tests/fakes/trtllm/__init__.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[4]))

from tests.fakes.trtllm.tokenizer_info import main

sys.exit(main(sys.argv[1:]))
