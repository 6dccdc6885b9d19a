"""The table `[guards]` of the settings."""

from pathlib import Path

from pydantic import Field, SecretStr

from gateway.table import Table


class GuardSettings(Table):
    """All of it is off by default."""

    redact_input: tuple[str, ...] = ()
    """Key ids or tenants whose requests lose their personal data, or "*"."""
    redact_output: tuple[str, ...] = ()
    rules: dict[str, str] = Field(default_factory=dict)
    """Regular expressions by name; a text that one of them finds something in is refused."""
    rule_hook: str = ""
    """A rule of one's own, as package.module:function, text to whether it breaks."""
    log: bool = False
    """A line of JSON on standard output for each request."""
    audit_file: Path | None = None
    """The same lines, chained."""
    hash_key: SecretStr = SecretStr("")
    """Makes hashes of texts comparable between runs, and the audit log's chain unforgeable."""
