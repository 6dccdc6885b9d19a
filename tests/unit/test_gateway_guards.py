"""Redaction, rules and records around a call, and the audit log's chain."""

import asyncio
import os
from collections import Counter
from dataclasses import replace

import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import (
    Caller,
    Document,
    Embed,
    Embedded,
    Finished,
    Quote,
    Rank,
    Source,
    Sources,
    Text,
    Usage,
)
from gateway.errors import BadRequest, NotFound, UpstreamFailed
from gateway.guards.audit import AuditError, AuditLog, verify
from gateway.guards.cli import audit as cli
from gateway.guards.records import recorded
from gateway.guards.redacted import RedactionPolicy, redacted
from gateway.guards.redaction import redact
from gateway.guards.rules import RuleError, broken_rules, hook_rule, pattern_rules, ruled
from tests.fakes.handlers import Answering, answer, answer_until, call, generate, texts

FINISHED = Finished("stop", Usage(5, 4), quotes=(Quote("Ask a@b.io", "a@b.io", 1),))
JANE, JOE = Caller("key-1", "jane"), Caller("key-2", "joe")
MAIL = "write to a@b.io please"


def guarded(inner, counts=None, **policy):
    found = Counter() if counts is None else counts

    def count(direction, name, number):
        found[direction, name] += number

    return redacted(inner, RedactionPolicy(**policy), count)


@pytest.mark.parametrize(
    "request_",
    [
        generate(MAIL),
        replace(generate(), messages=(), prompt=MAIL),
        replace(generate(), documents=(Document(MAIL, title=MAIL),)),
        Embed("embed", (MAIL,)),
        Rank("rerank", MAIL, (MAIL,)),
    ],
)
def test_every_text_of_a_request_is_redacted(request_):
    inner, counts = Answering(FINISHED), Counter()
    answer(guarded(inner, counts, input=["jane"]), call(request_, JANE))
    assert "a@b.io" not in repr(inner.calls[0].request)
    assert "[EMAIL]" in repr(inner.calls[0].request)
    assert counts["input", "EMAIL"] == repr(request_).count("a@b.io")


def test_only_whom_the_policy_names():
    for names, caller, is_redacted in [
        (["jane"], JANE, True),
        (["key-1"], JANE, True),
        (["jane"], JOE, False),
        (["*"], JOE, True),
        ([], JOE, False),
        ([""], Caller("", ""), False),
    ]:
        inner = Answering(Text(MAIL, 3), FINISHED)
        events = answer(guarded(inner, input=names, output=names), call(generate(MAIL), caller))
        assert ("a@b.io" not in repr(inner.calls[0].request)) is is_redacted
        assert ("a@b.io" not in repr(events)) is is_redacted


def test_token_ids_hide_what_is_to_be_found():
    with pytest.raises(BadRequest, match="send texts"):
        answer(guarded(Answering(), input=["*"]), call(Embed("embed", token_ids=((1, 2),))))


@given(st.lists(st.sampled_from(["a@", "b.io", " ", "4111 1111 ", "1111 1111", "x\n", "Zürich"])))
def test_a_redacted_stream_has_the_text_and_the_tokens_of_the_whole(pieces):
    inner = Answering(*(Text(piece, 1) for piece in pieces), FINISHED)
    events = answer(guarded(inner, output=["*"]), call(generate()))
    assert texts(events) == redact("".join(pieces))
    assert sum(event.tokens for event in events if isinstance(event, Text)) == len(pieces)


def test_sources_and_quotes_are_redacted():
    about = {"title": "of a@b.io", "metadata": {"author": "a@b.io", "year": 2020}}
    inner = Answering(Sources((Source(MAIL, 0, 1.0, 1.0, **about),)), FINISHED)
    counts = Counter()
    sources, finished = answer(guarded(inner, counts, output=["*"]), call(generate()))
    assert sources.sources[0].text == "write to [EMAIL] please"
    assert sources.sources[0].title == "of [EMAIL]"
    assert sources.sources[0].metadata == {"author": "[EMAIL]", "year": 2020}
    assert finished.quotes == (Quote("Ask [EMAIL]", "[EMAIL]", 1),)
    assert counts == {("output", "EMAIL"): 5}


def test_a_rule_names_itself_and_the_field():
    handler = ruled(Answering(FINISHED), pattern_rules({"no-nukes": r"(?i)\bwarhead"}))
    assert answer(handler, call(generate("hello"))) == [FINISHED]
    with pytest.raises(BadRequest, match="'no-nukes'") as caught:
        answer(handler, call(Rank("rerank", "hello", ("fine", "Warheads"))))
    assert caught.value.field == "documents[1]"
    assert "Warhead" not in str(caught.value)


def test_token_ids_are_hidden_from_rules():
    handler = ruled(Answering(FINISHED), pattern_rules({"no-nukes": "warhead"}))
    with pytest.raises(BadRequest, match="send texts"):
        answer(handler, call(Embed("embed", token_ids=((1, 2),))))


def test_a_hook_is_a_function_of_ones_own():
    rule = hook_rule("operator:not_")
    assert broken_rules([rule], "") == ["operator:not_"]
    assert broken_rules([rule], "text") == []


@pytest.mark.parametrize(
    "place", ["..:x", ":x", "operator", "operator:nothing", "no.module:f", "string:digits"]
)
def test_a_hook_that_is_not_there_is_refused(place):
    with pytest.raises(RuleError, match=place):
        hook_rule(place)


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(RuleError, match="'bad'"):
        pattern_rules({"bad": "("})


def label(model):
    return model if model == "llm" else "unknown"


def record_of(inner, request, caller=JANE, leave_after=0):
    written = []
    handler, asked = recorded(inner, written.append, b"key", label), call(request, caller)
    try:
        if leave_after:
            answer_until(handler, asked, leave_after)
        else:
            answer(handler, asked)
    except (BadRequest, NotFound, UpstreamFailed):
        pass
    (record,) = written
    return record


def test_a_record_has_lengths_and_hashes_and_no_text():
    inner = Answering(Text("No", 1), Text("on.", 3), FINISHED)
    record = record_of(inner, generate("When does it sail?"))
    assert record["outcome"] == "ok"
    assert (record["tenant"], record["key_id"]) == ("jane", "key-1")
    assert (record["input_characters"], record["output_characters"]) == (18, 5)
    assert (record["input_tokens"], record["output_tokens"]) == (5, 4)
    assert "sail" not in repr(record)
    assert "No" not in repr(record)
    again = record_of(inner, generate("When does it sail?"))
    other = record_of(inner, generate("When does it sink?"))
    assert again["input_hash"] == record["input_hash"] != other["input_hash"]


def test_a_record_has_no_name_that_a_client_makes_up():
    asked = replace(generate(), model="When does it sail?" * 10_000)
    record = record_of(Answering(error=NotFound("no such model")), asked)
    assert (record["model"], record["outcome"]) == ("unknown", "refused")


@pytest.mark.parametrize(
    ("inner", "leave_after", "outcome", "status"),
    [
        (Answering(error=BadRequest("no")), 0, "refused", 400),
        (Answering(Text("a", 1), error=UpstreamFailed("died")), 0, "failed", 502),
        (Answering(Text("a", 1), FINISHED), 1, "cancelled", 499),
        (Answering(Text("a", 1), FINISHED), 2, "ok", 200),
        (Answering(Embedded((b"",), Usage(3))), 0, "ok", 200),
    ],
)
def test_a_record_says_how_it_ended(inner, leave_after, outcome, status):
    record = record_of(inner, generate(), leave_after=leave_after)
    assert (record["outcome"], record["status"]) == (outcome, status)


def test_tokens_of_a_stream_that_its_client_left_are_counted():
    inner = Answering(Text("a", 2), Text("b", 1), FINISHED)
    assert record_of(inner, generate(), leave_after=2)["output_tokens"] == 3


@pytest.fixture
def log(tmp_path):
    """The file of five records, made by two processes one after the other."""
    path = tmp_path / "audit.jsonl"
    for numbers in ((0, 1, 2), (3, 4)):
        audit = AuditLog(path, b"key")
        for number in numbers:
            audit.append({"number": number})
        audit.close()
    return path


def test_a_log_that_nobody_touched_is_whole(log):
    verdict = verify(log, b"key")
    assert (verdict.lines, verdict.faults) == (5, ())
    assert verdict.last_hash == orjson.loads(log.read_bytes().splitlines()[-1])["hash"]
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: [*lines[:2], lines[2].replace(b'"number":2', b'"number":7'), *lines[3:]], 3),
        (lambda lines: [*lines[:2], *lines[3:]], 3),
        (lambda lines: [*lines[:2], lines[3], lines[2], lines[4]], 3),
        (lambda lines: [lines[0], *lines], 2),
        (lambda lines: lines[1:], 1),
        (lambda lines: [*lines[:3], b"what?", *lines[3:]], 4),
    ],
)
def test_a_changed_line_is_found(log, change, line):
    log.write_bytes(b"".join(each + b"\n" for each in change(log.read_bytes().splitlines())))
    faults = verify(log, b"key").faults
    assert faults[0].startswith(f"line {line}: ")


def test_a_chain_made_with_another_key_is_found(log):
    assert len(verify(log, b"other").faults) == 5


def test_a_line_that_a_crash_cut_short_is_shown_and_the_chain_goes_on(log):
    log.write_bytes(log.read_bytes()[:-20])
    audit = AuditLog(log, b"key")
    audit.append({"number": 5})
    audit.close()
    verdict = verify(log, b"key")
    assert list(verdict.faults) == [
        "line 5: is not a record: cut short, or not written by the gateway"
    ]
    assert verdict.lines == 6


def test_a_record_without_room_is_lost_and_missed(log, monkeypatch):
    audit = AuditLog(log, b"key")
    whole = log.read_bytes()
    with monkeypatch.context() as disk, pytest.raises(OSError, match="No space left"):
        disk.setattr(os, "write", lambda file, line, write=os.write: write(file, line[:9]))
        audit.append({"number": 5})
    assert log.read_bytes() == whole
    audit.append({"number": 6})
    audit.close()
    assert list(verify(log, b"key").faults) == [
        "line 6: does not follow the line before it: number 6, not 5"
    ]


def test_a_log_that_is_moved_away_goes_on_in_a_new_file(log, tmp_path):
    audit = AuditLog(log, b"key")
    moved = log.rename(tmp_path / "audit.1")
    audit.append({"number": 5})
    audit.close()
    first = verify(moved, b"key")
    rest = verify(log, b"key", first.last_hash, first.sequence)
    assert (first.lines, rest.lines, first.faults + rest.faults) == (5, 1, ())
    shown = CliRunner().invoke(cli, ["verify", str(moved), str(log), "--hash-key", "key"])
    assert (shown.exit_code, shown.output.split(",")[0]) == (0, "6 lines")
    assert CliRunner().invoke(cli, ["verify", str(log), "--hash-key", "key"]).exit_code == 1


def test_one_process_writes_a_log(log):
    audit = AuditLog(log, b"key")
    with pytest.raises(AuditError, match="another process"):
        AuditLog(log, b"key")
    audit.close()


def test_long_input_leaves_room_for_others():
    """Redaction of a long text lets other work go on between its pieces."""

    async def run() -> list[str]:
        order = list[str]()

        async def long() -> None:
            asked = call(generate(MAIL * 5_000), JANE)
            async for _ in guarded(Answering(FINISHED), input=["*"])(asked):
                order.append("long")

        async def short() -> None:
            order.append("short")

        await asyncio.gather(long(), short())
        return order

    assert asyncio.run(run()) == ["short", "long"]
