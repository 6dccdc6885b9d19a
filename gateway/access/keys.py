"""API keys: what is stored of them, and how a secret is made and verified.

A token is `sk-ID-SECRET`. The secret is 256 random bits, so one SHA-256 is enough to store it: slow
hashes are for secrets that people choose, and nobody can try 2^256 secrets. The id finds the key.
"""

import hashlib
import hmac
import re
import secrets
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from pydantic import AwareDatetime, Field

from gateway.access.tiers import DEFAULT_TIER, Limits
from gateway.table import Table

_NO_HASH = "0" * 64
"""A hash to compare with when the key is unknown, so that this takes as long as a wrong secret."""

_TRITON_PATHS = re.compile(r"/v2(/models(/(?P<model>[^/]*).*)?|/repository/.*)?", re.DOTALL)
"""The paths of Triton's own protocol."""


class SecretHash(Table):
    """One secret of a key; a key that is being rotated has two."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    expires: AwareDatetime | None = None


class Key(Table):
    """One key, as it is stored: never the secret itself."""

    id: str = Field(pattern="^[0-9a-z]{8,32}$")
    tenant: str = Field(min_length=1, max_length=100)
    secrets: tuple[SecretHash, ...] = Field(min_length=1)
    name: str = ""
    tier: str = DEFAULT_TIER
    limits: Limits = Limits()
    """Limits that differ from the tier's."""
    models: tuple[str, ...] = ("*",)
    """Patterns of model names that it may use, `*` and `?` as in file names."""
    routes: tuple[str, ...] = ("*",)
    """Patterns of paths, as /v1/embeddings."""
    created: AwareDatetime
    expires: AwareDatetime | None = None
    disabled: bool = False

    def has_secret(self, secret: str, now: datetime) -> bool:
        """Whether `secret` is one of the valid ones, compared in constant time."""
        digest = hash_secret(secret)
        matches = [hmac.compare_digest(digest, stored.sha256) for stored in self.secrets]
        live = [stored.expires is None or now < stored.expires for stored in self.secrets]
        return any(match and alive for match, alive in zip(matches, live, strict=True))

    def has_expired(self, now: datetime) -> bool:
        return self.expires is not None and now >= self.expires

    def fault(self) -> str:
        """Why it may not be used now; empty if it may."""
        if self.disabled:
            return f"key {self.id} is disabled"
        if self.expires is not None and self.has_expired(datetime.now(UTC)):
            return f"key {self.id} expired at {self.expires.isoformat()}"
        return ""

    def allows_model(self, model: str) -> bool:
        return any(fnmatchcase(model, pattern) for pattern in self.models)

    def allows_route(self, path: str) -> bool:
        """Whether it may use a path. Triton's own need a pattern that begins with /v2, because
        requests there pass no guards and no cache; /metrics needs its name, because it shows all
        tenants."""
        if path == "/metrics":
            return path in self.routes
        if (found := _TRITON_PATHS.fullmatch(path)) is None:
            return any(fnmatchcase(path, pattern) for pattern in self.routes)
        model = found["model"]
        patterns = [pattern for pattern in self.routes if pattern.startswith("/v2")]
        is_open = any(fnmatchcase(path, pattern) for pattern in patterns)
        return is_open and (not model or self.allows_model(model))


def hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def new_secret() -> tuple[str, SecretHash]:
    """A secret, to be shown once, and what is stored of it."""
    secret = secrets.token_urlsafe(32)
    return secret, SecretHash(sha256=hash_secret(secret))


def new_key_id() -> str:
    return secrets.token_hex(6)


def token(key_id: str, secret: str) -> str:
    """The token that a client sends."""
    return f"sk-{key_id}-{secret}"


def split_token(given: str) -> tuple[str, str]:
    """The key id and the secret; both empty if it can't be a token of ours."""
    prefix, _, rest = given.partition("-")
    key_id, _, secret = rest.partition("-")
    return (key_id, secret) if prefix == "sk" and key_id and secret else ("", "")


def verify(key: Key | None, secret: str, now: datetime | None = None) -> bool:
    """Whether `key` has this secret; takes the same time for a key that doesn't exist."""
    if key is None:
        hmac.compare_digest(hash_secret(secret), _NO_HASH)
        return False
    return key.has_secret(secret, now or datetime.now(UTC))
