"""Spans of the gateway's part: their order, their parents, and nothing of a text in them."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.access.access import open_access
from gateway.access.settings import AccessSettings
from gateway.call import Call, Event, Finished, Handler, Text, Usage
from gateway.errors import UpstreamFailed
from gateway.tracing import Tracing
from tests.fakes.handlers import Answering, answer, answer_until, call, generate

SENT = "00-" + 32 * "a" + "-" + 16 * "b" + "-01"
END = Finished("stop", Usage(9, 1))


def traced(inner: Handler) -> tuple[Handler, InMemorySpanExporter]:
    """`inner` as the upstream of a gateway with a fair queue."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(provider)

    async def handle(asked: Call) -> AsyncGenerator[Event, None]:
        async with open_access(AccessSettings()) as access:
            handler = tracing.around_call(access.fair(tracing.around_upstream(inner)))
            async with aclosing(handler(asked)) as events:
                async for event in events:
                    yield event

    return handle, exporter


def by_name(spans: Sequence[ReadableSpan]) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans}


def test_each_step_is_below_the_gateway_and_the_models_below_upstream() -> None:
    inner = Answering(Text("8123", 1), END)
    handler, exporter = traced(inner)
    asked = call(generate("my password"))
    asked.traceparent = SENT
    answer(handler, asked)
    found = by_name(exporter.get_finished_spans())
    assert found.keys() == {"gateway", "admission", "queue", "upstream", "first byte"}
    parents = {name: span.parent.span_id for name, span in found.items() if span.parent}
    gateway, upstream = (found[name].context.span_id for name in ("gateway", "upstream"))
    assert parents["gateway"] == int(16 * "b", 16)
    assert {parents[name] for name in ("admission", "queue", "upstream")} == {gateway}
    assert parents["first byte"] == upstream
    assert {f"{span.context.trace_id:032x}" for span in found.values()} == {32 * "a"}
    assert asked.traceparent == SENT
    assert "password" not in "".join(span.to_json() for span in found.values())


@pytest.mark.parametrize("events", [[], [Text("8", 1)]])
def test_a_failure_has_its_class_and_no_message(events: list[Event]) -> None:
    handler, exporter = traced(Answering(*events, error=UpstreamFailed("my password")))
    with pytest.raises(UpstreamFailed):
        answer(handler, call(generate()))
    found = by_name(exporter.get_finished_spans())
    assert found["gateway"].attributes["error.type"] == "UpstreamFailed"
    assert "password" not in "".join(span.to_json() for span in found.values())


def test_a_client_that_leaves_is_no_failure() -> None:
    handler, exporter = traced(Answering(Text("8", 1), END))
    answer_until(handler, call(generate()), 1)
    found = by_name(exporter.get_finished_spans())
    assert "error.type" not in (found["gateway"].attributes or {})


def test_without_a_collector_nothing_stands_in_between() -> None:
    inner = Answering(END)
    assert Tracing(None).around_call(inner) is inner
