"""A key for calls that change the server, which are restricted if other machines can reach it.

A client that may load a model may run any code: a load can contain its own model.py (Triton's
"Secure Deployment Considerations"). The supervisor itself must load models, so these calls can't be
turned off. On 127.0.0.1 they are open to this machine's users; on other addresses they need the
key, over HTTP and gRPC (tried with Triton 2.51: tests/server/test_address.py).
"""

import os
import re
import secrets
from collections.abc import Mapping

from operations.preflight import PreflightError

KEY_VARIABLE = "TRITON_RAG_ADMIN_KEY"
HTTP_HEADER = "triton-rag-admin-key"

RESTRICTED = ("model-repository", "shared-memory", "trace", "logging")
"""Triton's names of groups of calls that load code, map memory of the host, or write files."""

_KEY = re.compile(r"[A-Za-z0-9._~-]{16,}")


def admin_key(variables: Mapping[str, str] = os.environ) -> str:
    """The key in TRITON_RAG_ADMIN_KEY, or else a new one. Raises `PreflightError`."""
    given = variables.get(KEY_VARIABLE, "")
    if given and not _KEY.fullmatch(given):
        raise PreflightError(
            f"{KEY_VARIABLE} has {len(given)} characters; it takes 16 or more letters, digits, "
            "'.', '_', '~' and '-'"
        )
    return given or secrets.token_urlsafe(32)


def restrictions(key: str) -> tuple[str, ...]:
    """Options of tritonserver that restrict the calls to holders of `key`."""
    calls = ",".join(RESTRICTED)
    return (
        f"--http-restricted-api={calls}:{HTTP_HEADER}={key}",
        f"--grpc-restricted-protocol={calls}:{HTTP_HEADER}={key}",
    )
