"""OTLP over HTTP: bodies to messages and back."""

import base64
import binascii
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

PROTOBUF, JSON = "application/x-protobuf", "application/json"
MAX_BODY_BYTES = 16 * 2**20
_ID_FIELDS = ("traceId", "spanId", "parentSpanId")


class BadExport(Exception):
    """The body of an export can't be used; the message says why."""


def decode(body: bytes, content_type: str, encoding: str) -> TracesData:
    """The spans in the body of a POST to /v1/traces; raises `BadExport`."""
    plain, kind = _unpack(body, encoding.strip().lower()), content_type.partition(";")[0].strip()
    if kind == PROTOBUF:
        data = _from_protobuf(plain)
    elif kind == JSON:
        data = _from_json(plain)
    else:
        raise BadExport(f"Content-Type {kind or 'missing'}; {PROTOBUF} or {JSON} is needed")
    _check(data)
    return data


def to_json(data: TracesData) -> bytes:
    """One OTLP JSON document: ids are hexadecimal there, which protobuf's own JSON gets wrong."""
    document = MessageToDict(data, use_integers_for_enums=True)
    for owner in _id_owners(document):
        _translate(owner, lambda text: base64.b64decode(text).hex())
    return json.dumps(document, ensure_ascii=False).encode()


def _unpack(body: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise BadExport(f"Content-Encoding {encoding}; gzip or none is possible")
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        plain = unpacker.decompress(body, MAX_BODY_BYTES)
    except zlib.error as error:
        raise BadExport(f"no gzip: {error}") from error
    if unpacker.unconsumed_tail:
        raise BadExport(f"more than {MAX_BODY_BYTES} bytes when unpacked")
    if not unpacker.eof:
        raise BadExport("no gzip: it ends too early")
    return plain


def _from_protobuf(body: bytes) -> TracesData:
    try:
        data = TracesData()
        data.ParseFromString(body)
        return data
    except DecodeError as error:
        raise BadExport(f"no protobuf of OTLP traces: {error}") from error


def _from_json(body: bytes) -> TracesData:
    try:
        document = json.loads(body)
        for owner in _id_owners(document):
            _translate(owner, lambda text: base64.b64encode(bytes.fromhex(text)).decode())
        data = TracesData()
        ParseDict(document, data, ignore_unknown_fields=True)
        return data
    except (ParseError, RecursionError, binascii.Error, ValueError) as error:
        raise BadExport(f"no OTLP JSON: {error}"[:300]) from error
    except (AttributeError, KeyError, TypeError) as error:
        raise BadExport("no OTLP JSON: an object or a list is not where it belongs") from error


def _id_owners(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every span, and every link of one."""
    for resource in document.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                yield span
                yield from span.get("links", ())


def _translate(owner: dict[str, Any], change: Callable[[str], str]) -> None:
    for name in _ID_FIELDS:
        if owner.get(name):
            owner[name] = change(owner[name])


def _check(data: TracesData) -> None:
    """Ids are what everything here is found by."""
    for resource in data.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                if len(span.trace_id) != 16 or len(span.span_id) != 8:
                    raise BadExport(
                        f"span '{span.name[:40]}': ids of {len(span.trace_id)} and "
                        f"{len(span.span_id)} bytes; 16 (trace) and 8 (span) are needed"
                    )
