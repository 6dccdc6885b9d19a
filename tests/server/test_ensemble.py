"""`ensemble`: what published clients of NVIDIA's contract send, and what they wait for."""

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.server.cancellation import stopped_early
from tests.server.conftest import OpenStream, Server, Streamed, is_final, tensor
from tests.server.test_llm import generate

TYPES = {int: "INT32", float: "FP32", bool: "BOOL", str: "BYTES", list: "BYTES"}


def inputs(prompt: str, **values: Any) -> list[Any]:
    """All of shape [1, n], as these clients send them."""
    named = {"text_input": prompt, **values}
    found = []
    for name, value in named.items():
        dtype = "UINT64" if name.endswith("seed") else TYPES[type(value)]
        row = value if isinstance(value, list) else [value]
        encoded = [v.encode() if isinstance(v, str) else v for v in row]
        found.append(tensor(name, [encoded], dtype))
    return found


def ask(server: Server, prompt: str, **values: Any) -> Streamed:
    return server.stream("ensemble", *inputs(prompt, **values))


def test_same_text_as_llm_streamed_and_whole(server: Server) -> None:
    expected = generate(server, "hello", max_tokens=100, min_tokens=100)
    whole = ask(server, "hello", max_tokens=100, min_tokens=100)
    parts = ask(server, "hello", max_tokens=100, min_tokens=100, stream=True)
    assert whole.text == parts.text == expected.text
    assert (len(whole.responses), whole.tokens, parts.tokens) == (1, 100, 100)
    assert len(parts.responses) > 1
    assert is_final(parts.responses[-1])


def test_text_output_is_one_dimensional_and_the_last_response_is_final(server: Server) -> None:
    """A 2-D text, or a final flag on an empty response, hangs clients of the contract."""
    found = ask(server, "hello", max_tokens=40, min_tokens=40, stream=True)
    assert {array.ndim for array in found.values("text_output")} == {1}
    assert [is_final(r) for r in found.responses].count(True) == 1
    assert found.finish_reason == "length"


def test_what_clients_of_the_contract_always_send_is_accepted(server: Server) -> None:
    found = ask(
        server, "hello", max_tokens=8, top_k=1, top_p=0.0, temperature=1.0, length_penalty=1.0,
        repetition_penalty=1.0, beam_width=1, random_seed=3, stream=True,
    )  # fmt: skip
    assert found.error is None
    assert found.text == generate(server, "hello", max_tokens=8).text


def test_what_the_openai_frontend_sends_is_accepted(server: Server) -> None:
    found = ask(
        server, "hello", stream=False, max_tokens=16, stop_words=["zzz", "yyy"], top_p=1.0,
        frequency_penalty=0.0, presence_penalty=0.0, temperature=0.0, seed=1,
        exclude_input_in_output=True, return_num_input_tokens=True, return_num_output_tokens=True,
    )  # fmt: skip
    assert found.error is None
    assert found.values("num_input_tokens")[0].item() > 0


def test_echo_only_when_asked_for(server: Server) -> None:
    plain = ask(server, "hello", max_tokens=8).text
    echoed = ask(server, "hello", max_tokens=8, exclude_input_in_output=False).text
    assert echoed == "hello" + plain


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"max_tokens": 0}, "max_tokens: 0 given"),
        ({"max_tokens": 4, "beam_width": 4}, "beam_width: 4 given"),
        ({"max_tokens": 4, "bad_words": ["x"]}, "bad_words: not offered"),
        ({"max_tokens": 4, "return_log_probs": True}, "return_log_probs: True given"),
        ({"max_tokens": 4, "seed": 1, "random_seed": 2}, "seed and random_seed"),
        ({}, "max_tokens"),
    ],
)
def test_refusals_keep_their_words(server: Server, values: dict[str, Any], says: str) -> None:
    assert says in str(ask(server, "hello", **values).error)


def test_one_prompt_a_request(server: Server) -> None:
    two = [tensor("text_input", [["a"], ["b"]], "BYTES"), tensor("max_tokens", [[4], [4]], "INT32")]
    assert "batch-size must be <= 1" in str(server.stream("ensemble", *two).error)


def test_generate_and_generate_stream_over_http(server: Server) -> None:
    expected = generate(server, "hello", max_tokens=40, min_tokens=40).text
    url = f"http://{server.http_url}/v2/models/ensemble/"
    body = {"text_input": "hello", "parameters": {"max_tokens": 40, "min_tokens": 40}}
    with urllib.request.urlopen(url + "generate", json.dumps(body).encode()) as answer:
        assert json.load(answer)["text_output"] == expected
    body["stream"] = True
    with urllib.request.urlopen(url + "generate_stream", json.dumps(body).encode()) as answer:
        events = [json.loads(line[5:]) for line in answer if line.startswith(b"data:")]
    assert "".join(event["text_output"] for event in events) == expected


LONG = {"max_tokens": 2000, "min_tokens": 2000, "stream": True}


def test_client_gone_generation_stops(server: Server) -> None:
    with stopped_early(server, tokens=2000):
        stream = OpenStream(server.url, "ensemble", inputs("hello", **LONG))
        stream.next()
        stream.cancel()


def test_a_deadline_ends_the_generation(server: Server) -> None:
    with stopped_early(server, tokens=2000):
        found = server.stream("ensemble", *inputs("hello", **LONG), timeout=100_000)
    assert "timeout: 100000 us asked for" in str(found.error)


def test_many_streams_at_once_keep_to_their_own_text(server: Server) -> None:
    asked = [f"prompt {i}" for i in range(40)]
    expected = [generate(server, p, max_tokens=30, min_tokens=30).text for p in asked]
    with ThreadPoolExecutor(40) as pool:
        found = list(
            pool.map(lambda p: ask(server, p, max_tokens=30, min_tokens=30, stream=True), asked)
        )
    assert [f.text for f in found] == expected
