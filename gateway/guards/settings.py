"""The table `[guards]` of the settings."""

from pathlib import Path

from pydantic import Field, SecretStr

from gateway.table import Table


class GuardSettings(Table):
    """The settings of guards; all guards are off by default."""

    redact_input: tuple[str, ...] = ()
    """Key ids or tenants whose requests are redacted, or "*"."""
    redact_output: tuple[str, ...] = ()
    rules: dict[str, str] = Field(default_factory=dict)
    """Regular expressions by name; a text in which one of them matches is refused."""
    rule_hook: str = ""
    """The operator's rule, as package.module:function: it says whether a text breaks it."""
    log: bool = False
    """A line of JSON on standard output for each request."""
    audit_file: Path | None = None
    """The audit log: a file with the same lines, chained by hashes."""
    hash_key: SecretStr = SecretStr("")
    """With it, hashes of texts are comparable between runs, and nobody can forge the audit log."""
