"""The router: rules in order, fallbacks before the first event only, and a reason for each."""

from dataclasses import replace

import pytest

from gateway.call import Document, Embed, Finished, Text, Usage
from gateway.errors import BadRequest, NotFound, Unavailable, UpstreamFailed
from gateway.guards.rules import RuleError
from gateway.routing.routed import routed
from gateway.routing.rules import Router, Rule
from tests.fakes.handlers import Answering, answer, answer_until, call, generate, texts

FINISHED = Finished("stop", Usage(1, 1))
RULES = (
    Rule("short", ("small", "large"), task="chat", max_prompt_tokens=100),
    Rule("documents", ("rag",), task="rag"),
    Rule("long", ("large",), task="chat"),
)


def models(**handlers):
    """A handler that gives each model's calls to its own."""

    async def by_model(asked):
        async for event in handlers[asked.request.model](asked):
            yield event

    return by_model


def router(fallbacks=None):
    return Router(RULES, fallbacks or {})


def auto(text="hello"):
    return replace(generate(text), model="auto")


@pytest.mark.parametrize(
    ("request_", "model", "reason"),
    [
        (auto("x" * 399), "small", "rule short: chat, about 100 tokens"),
        (auto("x" * 400), "large", "rule long: chat, about 101 tokens"),
        (auto("日" * 134), "large", "rule long: chat, about 101 tokens"),
        (
            replace(auto(), documents=(Document("x" * 795),)),
            "rag",
            "rule documents: rag, about 201 tokens",
        ),
    ],
)
def test_the_first_rule_that_fits_chooses(request_, model, reason):
    inner = Answering(Text("a", 1), FINISHED)
    asked = call(request_)
    answer(routed(inner, router()), asked)
    assert [each.request.model for each in inner.calls] == [model]
    assert asked.headers["x-router"] == f"model={model}; reason={reason}"


def test_a_classifier_of_ones_own_says_what_is_asked(monkeypatch):
    def kind(text):
        seen.append(text)
        return "code" if "def " in text else "talk"

    seen = []
    monkeypatch.setattr("string.capwords", kind)
    rules = (Rule("code", ("coder",), label="code"), Rule("other", ("small",)))
    inner = Answering(Text("a", 1), FINISHED)
    handler = routed(inner, Router(rules, classifier="string:capwords"))
    asked = [call(auto("def f(): ...")), call(auto("hello")), call(replace(generate(), model="x"))]
    for each in asked:
        answer(handler, each)
    assert [each.request.model for each in inner.calls] == ["coder", "small", "x"]
    assert asked[0].headers["x-router"] == "model=coder; reason=rule code: chat, about 4 tokens"
    assert seen == ["def f(): ...", "hello"]


@pytest.mark.parametrize("classifier", ["", "string:digits"])
def test_a_rule_with_a_label_needs_a_classifier(classifier):
    with pytest.raises(RuleError, match=classifier or "'code' has a label"):
        routed(Answering(), Router((Rule("code", ("coder",), label="code"),), {}, classifier))


def test_no_rule_is_an_error_that_names_them():
    with pytest.raises(NotFound, match=r"no rule fits embed with about 3 tokens.*short, documents"):
        answer(routed(Answering(), router()), call(Embed("auto", token_ids=((1, 2, 3),))))


def test_a_model_that_fails_before_its_first_event_is_followed_by_the_next():
    small, large = Answering(error=Unavailable("full")), Answering(Text("a", 1), FINISHED)
    asked = call(auto())
    events = answer(routed(models(small=small, large=large), router()), asked)
    assert events == [Text("a", 1), FINISHED]
    assert asked.headers["x-router"] == (
        "model=large; reason=rule short: chat, about 2 tokens; small failed with 503"
    )


def test_after_the_first_event_its_error_is_the_answer():
    small, large = Answering(Text("a", 1), error=UpstreamFailed("died")), Answering(FINISHED)
    with pytest.raises(UpstreamFailed):
        answer(routed(models(small=small, large=large), router()), call(auto()))
    assert large.calls == []


def test_the_last_model_s_error_is_the_answer():
    failing = {n: Answering(error=Unavailable(n)) for n in ("small", "large")}
    with pytest.raises(Unavailable, match="large"):
        answer(routed(models(**failing), router()), call(auto()))


def test_what_the_client_got_wrong_is_wrong_everywhere():
    small, large = Answering(error=BadRequest("no")), Answering(FINISHED)
    with pytest.raises(BadRequest):
        answer(routed(models(small=small, large=large), router()), call(auto()))
    assert large.calls == []


def test_a_model_that_is_asked_for_has_its_own_fallbacks():
    llm, other = Answering(error=UpstreamFailed("died")), Answering(Text("b", 1), FINISHED)
    handler = routed(models(llm=llm, other=other), router(fallbacks={"llm": ["other"]}))
    assert texts(answer(handler, call(generate()))) == "b"


def test_others_pass_as_they_are():
    inner = Answering(FINISHED)
    asked = call(generate())
    answer(routed(inner, router()), asked)
    assert inner.calls == [asked]
    assert "x-router" not in asked.headers


def test_a_client_that_leaves_ends_the_model_s_work():
    inner = Answering(Text("a", 1), Text("b", 1), FINISHED)
    answer_until(routed(inner, router()), call(auto()), 1)
    assert inner.closed == 1
