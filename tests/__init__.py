"""Tests, and what is run by hand: bench, chaos, headroom, load, soak."""

import os

# Models of their own, whatever pipeline.toml names; `make test` builds them there.
os.environ.setdefault("MODEL_REPOSITORY", "build/tests/model_repository")
