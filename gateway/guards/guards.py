"""Puts the guards of this folder together, as the settings say."""

import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.call import Handler, Label
from gateway.guards.audit import AuditError, AuditLog
from gateway.guards.records import Write, recorded
from gateway.guards.redacted import Count, RedactionPolicy, redacted
from gateway.guards.rules import Rule, hook_rule, pattern_rules, ruled
from gateway.guards.settings import GuardSettings

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Guards:
    """The handlers around every call, outermost first: records, rules, redaction."""

    rules: tuple[Rule, ...]
    policy: RedactionPolicy
    writes: tuple[Write, ...]
    hash_key: bytes

    @property
    def are_on(self) -> bool:
        """Whether any guard has to see every request."""
        return bool(self.policy.input or self.policy.output or self.rules or self.writes)

    def around(self, inner: Handler, count: Count, label: Label) -> Handler:
        """`inner` with the guards that are switched on; `count` is called for each redaction."""
        if self.policy.input or self.policy.output:
            inner = redacted(inner, self.policy, count)
        if self.rules:
            inner = ruled(inner, self.rules)
        return self.recorded(inner, label)

    def recorded(self, inner: Handler, label: Label) -> Handler:
        """`inner` with a record of each call, if records are on."""
        return recorded(inner, self._write, self.hash_key, label) if self.writes else inner

    def _write(self, record: dict[str, Any]) -> None:
        """Write a record; a full disk must not fail a request."""
        for write in self.writes:
            try:
                write(record)
            except (OSError, AuditError) as error:
                _log.error("a record was not written: %s", error)


@asynccontextmanager
async def open_guards(settings: GuardSettings) -> AsyncIterator[Guards]:
    """Opens the audit log; raises RuleError and AuditError."""
    key = settings.hash_key.get_secret_value().encode()
    rules = pattern_rules(settings.rules)
    if settings.rule_hook:
        rules.append(hook_rule(settings.rule_hook))
    audit = AuditLog(settings.audit_file, key) if settings.audit_file else None
    writes: list[Callable[[dict[str, Any]], None]] = [_print] if settings.log else []
    if audit:
        writes.append(audit.append)
    policy = RedactionPolicy(settings.redact_input, settings.redact_output)
    try:
        yield Guards(tuple(rules), policy, tuple(writes), key or secrets.token_bytes(32))
    finally:
        if audit:
            audit.close()


def _print(record: dict[str, Any]) -> None:
    print(orjson.dumps(record).decode(), flush=True)
