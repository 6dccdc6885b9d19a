"""Tests, and what is run by hand: bench, chaos, headroom, load, soak."""

import os

# Models of their own, whatever pipeline.toml names; `make test` builds them there.
os.environ.setdefault("MODEL_REPOSITORY", "build/tests/model_repository")
# Otherwise gRPC's thread in a child that has not begun its program yet finds its files closed, and
# aborts: 48 of 2,571 starts with a `preexec_fn` beside open channels did, and none of 2,924 so.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
