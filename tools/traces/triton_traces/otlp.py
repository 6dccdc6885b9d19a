"""Bodies of OTLP over HTTP, in protobuf or JSON, to lines of OTLP JSON."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from triton_traces.spans import TraceError, read_spans

PROTOBUF, JSON = "application/x-protobuf", "application/json"
MAX_BODY_BYTES = 16 * 2**20


class BadExport(Exception):
    """The body of an export can't be used; the message says why."""


def to_line(body: bytes, content_type: str, encoding: str) -> str:
    """The body of a POST to /v1/traces as one line of OTLP JSON, empty where it has no spans.

    Raises `BadExport`.
    """
    kind = content_type.partition(";")[0].strip()
    if kind not in (PROTOBUF, JSON):
        raise BadExport(f"Content-Type {kind or 'missing'}; {PROTOBUF} or {JSON} is needed")
    try:
        plain = _decompress(body, encoding.strip().lower())
        document = _from_protobuf(plain) if kind == PROTOBUF else json.loads(plain)
        line = json.dumps(document) if document else ""
        return line if line and read_spans(line) else ""
    except (zlib.error, DecodeError, TraceError, ValueError, RecursionError) as error:
        raise BadExport(f"no OTLP: {error}"[:300]) from error


def _decompress(body: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise BadExport(f"Content-Encoding {encoding}; gzip or none is possible")
    decompressor = zlib.decompressobj(16 + zlib.MAX_WBITS)
    plain = decompressor.decompress(body, MAX_BODY_BYTES)
    if not decompressor.eof:
        raise BadExport(f"the gzip ends too early, or has more than {MAX_BODY_BYTES} bytes inside")
    return plain


def _from_protobuf(body: bytes) -> dict[str, Any]:
    """OTLP JSON has ids as hexadecimal digits, protobuf's own JSON as base64."""
    data = TracesData.FromString(body)
    document: dict[str, Any] = MessageToDict(data, use_integers_for_enums=True)
    for resource in document.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                for owner in (span, *span.get("links", ())):
                    for name in owner.keys() & {"traceId", "spanId", "parentSpanId"}:
                        owner[name] = base64.b64decode(owner[name]).hex()
    return document
