"""`llm`: tokens of the reference, in-flight batching, streams, limits, cancellation."""

import http.client
import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tests.server.cancellation import stopped_early
from tests.server.checkpoints import checkpoint
from tests.server.conftest import OpenStream, Server, Streamed, is_final, tensor, text

WORDS = ["alpha", "beta", "port", "gamma", "8123", "release", "blue", "of", "the", "is", "Vebra"]


def prompts(count: int, words: int = 20) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, words)) for _ in range(count)]


def generate(server: Server, prompt: str, **inputs: Any) -> Streamed:
    return server.stream("llm", text("text_input", prompt), *sampling(**inputs))


def sampling(**inputs: Any) -> list[Any]:
    types = {int: "INT32", float: "FP32", bool: "BOOL"}
    found = []
    for name, value in inputs.items():
        if name == "stop_words":
            found.append(text(name, *value))
        else:
            dtype = "UINT64" if name.endswith("seed") else types[type(value)]
            found.append(tensor(name, [value], dtype))
    return found


# --- numbers ---------------------------------------------------------------------------------


def test_greedy_tokens_equal_transformers_on_50_prompts(server: Server) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint("llm"))
    model = AutoModelForCausalLM.from_pretrained(checkpoint("llm"), dtype=torch.float32).eval()
    asked = prompts(50)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda p: generate(server, p, max_tokens=24), asked))
    for prompt, answer in zip(asked, found, strict=True):
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        with torch.no_grad():
            out = model.generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :]
        assert answer.text == tokenizer.decode(out, skip_special_tokens=True), prompt
        assert answer.tokens == len(out)


def test_chat_messages_go_through_the_models_template(server: Server) -> None:
    from transformers import AutoTokenizer

    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "hello\n[1] x"}]
    tokenizer = AutoTokenizer.from_pretrained(checkpoint("llm"))
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    count = len(tokenizer(prompt, add_special_tokens=False).input_ids)
    answer = server.stream("llm", text("messages", json.dumps(messages)), *sampling(max_tokens=4))
    assert answer.values("num_input_tokens")[0] == count


def test_repetition_penalty_equals_transformers(server: Server) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint("llm"))
    model = AutoModelForCausalLM.from_pretrained(checkpoint("llm"), dtype=torch.float32).eval()
    prompt = prompts(1)[0]
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    out = model.generate(ids, max_new_tokens=24, do_sample=False, repetition_penalty=1.5)
    answer = generate(server, prompt, max_tokens=24, repetition_penalty=1.5)
    assert answer.text == tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)


# --- streams ---------------------------------------------------------------------------------


def test_stream_equals_the_whole_and_is_ordered(server: Server) -> None:
    prompt = prompts(1)[0]
    whole = generate(server, prompt, max_tokens=200, min_tokens=200)
    parts = generate(server, prompt, max_tokens=200, min_tokens=200, stream=True)
    assert len(whole.responses) == 1
    assert len(parts.responses) > 1
    assert parts.text == whole.text
    assert parts.tokens == whole.tokens == 200
    assert [is_final(r) for r in parts.responses] == [False] * (len(parts.responses) - 1) + [True]
    assert parts.finish_reason == whole.finish_reason == "length"
    assert all(array.ndim == 1 for array in parts.values("text_output"))


def test_stop_words_that_span_chunks_are_not_shown(server: Server) -> None:
    prompt = prompts(1)[0]
    whole = generate(server, prompt, max_tokens=60, min_tokens=60).text
    middle = len(whole) // 2
    word = whole[middle : middle + 7]
    for stream in (False, True):
        found = generate(
            server, prompt, max_tokens=60, min_tokens=60, stream=stream, stop_words=[word]
        )
        assert found.text == whole[: whole.index(word)]
        assert found.finish_reason == "stop"
        assert found.tokens < 60


def test_a_late_request_gets_its_first_token_before_the_early_ones_end(server: Server) -> None:
    """In-flight batching, by timestamps."""
    early = [
        OpenStream(
            server.url,
            "llm",
            [text("text_input", p), *sampling(max_tokens=1900, min_tokens=1900, stream=True)],
        )
        for p in prompts(4)
    ]
    for stream in early:
        assert stream.next()[1] is None  # all of them decode
    late = OpenStream(
        server.url, "llm", [text("text_input", "late"), *sampling(max_tokens=8, stream=True)]
    )
    assert late.next()[1] is None
    first_of_late_s = late.arrived_s
    for stream in early:
        assert stream.last().as_numpy("finish_reason")[0] == b"length"
        assert first_of_late_s < stream.arrived_s
    for stream in (*early, late):
        stream.close()


# --- sampling --------------------------------------------------------------------------------


def test_concurrent_prompts_that_begin_alike_get_the_text_they_get_alone(server: Server) -> None:
    """Nobody writes into memory that others read (decision 0014)."""
    options: dict[str, Any] = {"max_tokens": 24, "min_tokens": 24}
    for batch in range(8):
        begun = f"{batch} alpha beta port"
        asked = [f"{begun} {word} {batch}" for word in WORDS + prompts(13, words=2)]
        alone = [generate(server, prompt, **options).text for prompt in asked]
        generate(server, begun, max_tokens=1)  # leaves a partly filled block, if blocks are kept
        with ThreadPoolExecutor(32) as pool:
            for slow in prompts(8, words=600):  # long steps: the others are added to one of them
                pool.submit(generate, server, f"slow {batch} {slow}", max_tokens=1)
            found = [f.text for f in pool.map(lambda p: generate(server, p, **options), asked)]
        assert found == alone, f"batch {batch}"


def test_same_seed_same_text_whatever_else_is_decoded(server: Server) -> None:
    options: dict[str, Any] = {"max_tokens": 40, "min_tokens": 40, "temperature": 1.5, "seed": 7}
    alone = generate(server, "hello", **options).text
    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(generate, server, p, max_tokens=60) for p in prompts(7)]
        among = generate(server, "hello", **options).text
        [other.result() for other in others]
    assert among == alone
    assert generate(server, "hello", **options | {"seed": 8}).text != alone
    assert (
        generate(server, "hello", **options | {"top_k": 1}).text
        == generate(server, "hello", max_tokens=40, min_tokens=40).text
    )


def test_random_seed_is_another_name_of_seed(server: Server) -> None:
    options: dict[str, Any] = {"max_tokens": 20, "min_tokens": 20, "temperature": 1.0}
    one = generate(server, "hello", **options, seed=5).text
    assert generate(server, "hello", **options, random_seed=5).text == one
    assert generate(server, "hello", **options, seed=5, random_seed=5).text == one


def test_min_and_max_tokens(server: Server) -> None:
    found = generate(server, "hello", min_tokens=30, max_tokens=30)
    assert (found.tokens, found.finish_reason) == (30, "length")


# --- limits ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"max_tokens": 0}, "max_tokens: 0 given; from 1"),
        ({"max_tokens": 10**6}, "max_tokens: 1000000 given"),
        ({"temperature": float("nan")}, "temperature: nan given"),
        ({"temperature": float("inf")}, "temperature: inf given"),
        ({"top_p": -0.5}, "top_p: -0.5 given; from 0.0 to 1.0"),
        ({"top_k": -1}, "top_k: -1 given"),
        ({"repetition_penalty": 0.0}, "repetition_penalty: 0.0 given"),
        ({"min_tokens": 9, "max_tokens": 4}, "min_tokens: 9 given"),
        ({"seed": 1, "random_seed": 2}, "seed and random_seed"),
        ({"stop_words": ["x" * 257]}, "stop_words[0]: 257 characters"),
        ({"stop_words": [b"\xff"]}, "stop_words[0]: not valid UTF-8"),
    ],
)
def test_bad_values_are_refused_and_neighbours_unharmed(
    server: Server, inputs: dict[str, Any], says: str
) -> None:
    with ThreadPoolExecutor(1) as pool:
        neighbour = pool.submit(generate, server, "hello", max_tokens=200, min_tokens=200)
        found = generate(server, "secret words", **inputs)
        assert neighbour.result().tokens == 200
    assert says in str(found.error)
    assert "secret" not in str(found.error)


def test_a_prompt_that_is_too_long_is_refused_with_its_length(server: Server) -> None:
    found = generate(server, "word " * 3000, max_tokens=5)
    assert "the maximum context length is" in str(found.error)


def test_prompt_forms(server: Server) -> None:
    assert "exactly one" in str(server.stream("llm", *sampling(max_tokens=4)).error)
    assert "not JSON" in str(server.stream("llm", text("messages", "{")).error)
    assert "UTF-8 at byte" in str(server.stream("llm", text("text_input", b"ab\xff")).error)
    both = server.stream("llm", text("text_input", "a"), text("messages", "[]"))
    assert "exactly one" in str(both.error)


def test_more_than_the_kv_cache_holds_is_recomputed_not_lost(server: Server) -> None:
    """24 requests want a fifth more than the KV memory: all end, with the tokens they get alone."""
    asked = [f"{i} " + prompt for i, prompt in enumerate(prompts(24, words=650))]
    options: dict[str, Any] = {"max_tokens": 200, "min_tokens": 200}
    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(lambda p: generate(server, p, **options), asked))
    assert [f.tokens for f in found] == [200] * 24
    inputs = sum(int(f.values("num_input_tokens")[0][0]) for f in found)
    assert inputs + 24 * 200 > 1.1 * 32_800  # kv_cache_tokens of placements/cpu.toml
    assert generate(server, asked[5], **options).text == found[5].text


# --- cancellation ----------------------------------------------------------------------------


def test_client_gone_generation_stops_and_memory_is_free(server: Server) -> None:
    long = sampling(max_tokens=2000, min_tokens=2000, stream=True)
    with stopped_early(server, tokens=2000):
        stream = OpenStream(server.url, "llm", [text("text_input", "hello"), *long])
        stream.next()
        stream.cancel()


def test_stop_request_with_the_same_id_ends_the_stream(server: Server) -> None:
    long = sampling(max_tokens=2000, min_tokens=2000, stream=True)
    inputs = [text("text_input", "hello"), *long]
    with stopped_early(server, tokens=2000):
        stream = OpenStream(server.url, "llm", inputs, request_id="77")
        stream.next()
        stopped = server.stream("llm", tensor("stop", [True], "BOOL"), request_id="77")
    assert stopped.finish_reason == "cancelled"
    assert stream.last().as_numpy("finish_reason")[0] == b"cancelled"
    stream.close()


def test_server_sent_events_carry_the_same_stream(server: Server) -> None:
    body = {"text_input": "hello", "max_tokens": 50, "min_tokens": 50, "stream": True}
    request = urllib.request.Request(
        f"http://{server.http_url}/v2/models/llm/generate_stream", json.dumps(body).encode()
    )
    with urllib.request.urlopen(request) as answer:
        events = [json.loads(line[5:]) for line in answer if line.startswith(b"data:")]
    assert (
        "".join(e["text_output"] for e in events)
        == generate(server, "hello", max_tokens=50, min_tokens=50).text
    )
    assert events[-1]["finish_reason"] == "length"


def test_a_browser_that_goes_away_ends_its_server_sent_events(server: Server) -> None:
    body = {"text_input": "hello", "max_tokens": 2000, "min_tokens": 2000, "stream": True}
    with stopped_early(server, tokens=2000):
        connection = http.client.HTTPConnection(server.http_url)
        connection.request("POST", "/v2/models/llm/generate_stream", json.dumps(body))
        answer = connection.getresponse()
        answer.readline()
        answer.close()
        connection.close()
