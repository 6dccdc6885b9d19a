"""Guided answers: what they promise, with the real engine, beside free ones.

The LLM of the tests writes blanks for ever where JSON allows them. The default model writes objects
in test_default_models.py.
"""

import contextlib
import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest

from builders.repository import REPOSITORY
from builders.spec import ROOT
from operations.cpu_server import ENVIRONMENT
from tests.server.cancellation import cancelled
from tests.server.conftest import OpenStream, Server, Streamed, text
from tests.server.gateway import Gateway
from tests.server.test_llm import sampling

OBJECT = r"""
root ::= "{\"name\":" name ",\"port\":" port ",\"tags\":[" (tag ("," tag)?)? "]}"
name ::= "\"" [a-zA-Z0-9 é]{1,20} "\""
port ::= [1-9] [0-9]{0,4}
tag ::= "\"a\"" | "\"b\""
"""
WALK = [{"role": "user", "content": "Describe the server Vebra as JSON."}]


def guided(kind: str, guide: Any = "", **options: Any) -> list[Any]:
    guide = guide if isinstance(guide, str) else json.dumps(guide)
    return [
        text("messages", json.dumps(WALK)),
        text("guided_decoding_guide_type", kind),
        text("guided_decoding_guide", guide),
        *sampling(**({"max_tokens": 128} | options)),
    ]


def ask(server: Server, kind: str, guide: Any = "", **options: Any) -> Streamed:
    return server.stream("llm", *guided(kind, guide, **options))


def drawn(server: Server, seed: int) -> Streamed:
    return ask(server, "ebnf_grammar", OBJECT, seed=seed, temperature=1.5, stream=True)


def test_every_answer_matches_its_grammar(server: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda seed: drawn(server, seed), range(32)))
    for answer in answers:
        assert answer.finish_reason == "stop"
        found = json.loads(answer.text)
        assert found.keys() == {"name", "port", "tags"}
        assert len(found["name"]) <= 20 and 1 <= found["port"] <= 99999
        assert set(found["tags"]) <= {"a", "b"} and len(found["tags"]) <= 2
    assert len({answer.text for answer in answers}) > 8


def test_every_answer_matches_its_schema(server: Server) -> None:
    schema = {"type": "integer", "minimum": 1, "maximum": 65535}
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(
                lambda seed: ask(server, "json_schema", schema, seed=seed, temperature=2.0),
                range(16),
            )
        )
    assert all(1 <= json.loads(answer.text) <= 65535 for answer in found)
    assert len({answer.text for answer in found}) > 4


SERVER = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
        "place": {"type": "object", "properties": {"hall": {"enum": [1, 2]}}, "required": ["hall"]},
    },
    "required": ["name", "tags", "place"],
}


def test_objects_end_though_the_model_likes_blanks(server: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(
                lambda seed: ask(server, "json_schema", SERVER, seed=seed, temperature=1.5),
                range(16),
            )
        )
    assert {answer.finish_reason for answer in found} == {"stop"}
    read = [json.loads(answer.text) for answer in found]
    assert all(each["place"]["hall"] in (1, 2) and len(each["tags"]) <= 2 for each in read)


@pytest.mark.parametrize(
    ("kind", "guide", "pattern"),
    [
        ("regex", r"(yes|no) \d{3}", r"(yes|no) \d{3}"),
        ("ebnf_grammar", 'root ::= "é" | "ü" root', "ü*é"),
        ("json_schema", {"const": "x y"}, '"x y"'),
    ],
)
def test_other_guides(server: Server, kind: str, guide: Any, pattern: str) -> None:
    answer = ask(server, kind, guide, temperature=1.0, seed=5)
    assert re.fullmatch(pattern, answer.text) and answer.finish_reason == "stop"


def test_an_answer_that_is_cut_says_so(server: Server) -> None:
    answer = ask(server, "json", max_tokens=3)
    assert answer.finish_reason == "length" and answer.tokens == 3


def free(server: Server, seed: int) -> str:
    inputs = sampling(max_tokens=48, seed=seed, temperature=1.0)
    return server.stream("llm", text("messages", json.dumps(WALK)), *inputs).text


def test_free_streams_say_the_same_beside_guided_ones(server: Server) -> None:
    alone = [free(server, seed) for seed in range(3)]
    with ThreadPoolExecutor(8) as pool:
        beside = [pool.submit(drawn, server, seed) for seed in range(5)]
        found = list(pool.map(lambda seed: free(server, seed), range(3)))
        again = [each.result().text for each in beside]
    assert found == alone
    assert again == [drawn(server, seed).text for seed in range(5)]


REFUSED = [
    ("json_schema", {"type": "nonsense"}, 'Unsupported type "nonsense"'),
    ("json_schema", {"$ref": "#/$defs/none"}, "Cannot find field"),
    ("json_schema", {"type": "integer", "minimum": 5, "maximum": 3}, "minimum greater"),
    ("regex", "(a", "The parenthesis is not closed"),
    ("regex", "(?=a)b", "Lookahead is not supported"),
    ("ebnf_grammar", "root ::= none", 'Rule "none" is not defined'),
]


def test_bad_guides_are_refused_beside_good_streams(server: Server) -> None:
    alone = free(server, 1)
    with ThreadPoolExecutor(8) as pool:
        good = [pool.submit(free, server, 1) for _ in range(2)]
        answers = pool.map(lambda bad: ask(server, *bad[:2]), REFUSED)
        for (_, _, said), answer in zip(REFUSED, answers, strict=True):
            assert "guided_decoding_guide: " in str(answer.error), answer.text
            assert said in str(answer.error)
        assert [each.result() for each in good] == [alone, alone]


def test_a_guide_that_holds_the_library_up_costs_nobody_else(server: Server) -> None:
    """Its trial is killed; a good guide behind it goes on."""
    slow = ask(server, "regex", "((a{1,1000}){1,1000}){1,1000}b")
    assert "it holds up the library that prepares it" in str(slow.error)
    assert ask(server, "regex", "ab?", max_tokens=4).text in ("a", "ab")


def is_trial(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):  # the one before may be gone, or a zombie
        return "python_backends.engines.guide_trial" in process.cmdline()
    return False


def test_a_guide_is_tried_again_where_the_process_was_killed(server: Server) -> None:
    """As the kernel does when memory is short: the next guide is not blamed for it."""
    assert ask(server, "regex", "ac?", max_tokens=4).text in ("a", "ac")
    (trial,) = filter(is_trial, psutil.Process(server.pid).children(recursive=True))
    trial.kill()
    assert ask(server, "regex", "ad?", max_tokens=4).text in ("a", "ad")


def test_compiled_guides_are_freed_and_nobody_notices(server: Server) -> None:
    """The engine alone, with room for three of them: each guide has a request beside it."""
    config = server.client.get_model_config("llm", as_json=True)["config"]
    given = {name: each["string_value"] for name, each in config["parameters"].items()}
    folder = REPOSITORY / "llm" / "1" / given["engine_folder"]
    program = [ENVIRONMENT / "bin" / "python", ROOT / "tests" / "server" / "many_guides.py"]
    found = json.loads(subprocess.check_output([*program, folder, json.dumps(given)]))
    assert (found["reasons"], found["answers"]) == (["length", "stop"], 14)
    assert found["loads"] > 2


def test_a_guided_stream_is_cancelled(server: Server) -> None:
    endless = {"type": "array", "items": {"enum": [1, 2]}, "minItems": 3000}
    with cancelled(server, 1):
        stream = OpenStream(
            server.url, "llm", guided("json_schema", endless, max_tokens=1500, stream=True)
        )
        assert stream.next()[1] is None
        stream.cancel()


# --- through the gateway ---------------------------------------------------------------------


def chat(gateway: Gateway, **fields: Any) -> httpx.Response:
    return gateway.post("/v1/chat/completions", {"model": "llm", "messages": WALK} | fields)


def test_a_refusal_names_the_client_s_field(gateway: Gateway) -> None:
    table = {"name": "x", "schema": {"type": "nonsense"}}
    answer = chat(gateway, response_format={"type": "json_schema", "json_schema": table})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "response_format.json_schema.schema")
    assert error["message"].startswith("response_format.json_schema.schema: can't be followed")


def test_a_required_call_that_is_cut_is_its_beginning(gateway: Gateway) -> None:
    tool = {"type": "function", "function": {"name": "find_port", "parameters": SERVER}}
    cut = {"tools": [tool], "tool_choice": "required", "max_tokens": 2}
    choice = chat(gateway, **cut).json()["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("length", None)
    (call,) = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "find_port", "arguments": ""}


def test_rag_answers_as_the_schema_says(gateway: Gateway) -> None:
    table = {"name": "x", "schema": {"enum": ["8123", "none"]}}
    answer = gateway.post(
        "/v1/chat/completions",
        {
            "model": "rag",
            "messages": [{"role": "user", "content": "Which port does Vebra listen on?"}],
            "documents": ["Vebra listens on port 8123."],
            "response_format": {"type": "json_schema", "json_schema": table},
        },
    ).json()["choices"][0]
    assert answer["finish_reason"] == "stop"
    assert json.loads(answer["message"]["content"]) in ("8123", "none")
