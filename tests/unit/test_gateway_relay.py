"""What is known of the tokens of Triton's own protocol, before and after a request."""

import orjson
import pytest

from gateway.access.demand import Assumptions, demand
from gateway.call import Generate, Other, Usage
from gateway.protocols.tensor_calls import generate_call, infer_call
from gateway.upstream.relay import TokenCount

PROMPT = "which port?"


@pytest.mark.parametrize(
    "body",
    [
        {"text_input": PROMPT, "max_tokens": 7},
        {"text_input": [PROMPT], "max_tokens": [7]},
        {"text_input": PROMPT, "parameters": {"max_tokens": 7}},
    ],
)
def test_a_generation_is_bounded_by_its_texts_and_its_longest_answer(
    body: dict[str, object],
) -> None:
    for model in ("llm", "ensemble", "rag", "rag_cancellable"):
        need = demand(generate_call(model, body), Assumptions())
        assert need.input_tokens >= len(PROMPT)
        assert need.output_tokens == 7


def test_long_documents_are_no_long_prompt() -> None:
    body = {"question": PROMPT, "documents": ["a long text " * 10_000], "max_tokens": 7}
    assert demand(generate_call("rag", body), Assumptions()).least_tokens == 7


def test_tensors_as_bytes_are_read_as_those_in_json() -> None:
    text = {"name": "text_input", "parameters": {"binary_data_size": 4 + len(PROMPT)}}
    most = {"name": "max_tokens", "parameters": {"binary_data_size": 4}}
    tensors = len(PROMPT).to_bytes(4, "little") + PROMPT.encode() + (7).to_bytes(4, "little")
    asked = infer_call("ensemble_unary", {"inputs": [text, most]}, tensors)
    assert isinstance(asked, Generate)
    assert (asked.sampling.max_tokens, PROMPT in asked.prompt) == (7, True)


def test_other_models_tell_no_tokens() -> None:
    assert infer_call("embed", {"inputs": [{"name": "input_text", "data": ["a"]}]}, b"") == Other(
        "embed"
    )
    assert demand(Other("embed"), Assumptions()).tokens == 0


def test_a_stream_is_counted_however_it_is_cut() -> None:
    events = [
        {"num_input_tokens": 9, "num_output_tokens": n, "text_output": "\n\n"} for n in (1, 2, 0)
    ]
    stream = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)
    for size in (1, 7, len(stream)):
        count = TokenCount()
        for start in range(0, len(stream), size):
            count.add_piece(stream[start : start + size])
        assert count.usage == Usage(9, 3)


def test_the_version_of_the_model_is_told_however_it_answers() -> None:
    count, told = TokenCount(), {"model_version": "2", "outputs": []}
    count.add_tensors(orjson.dumps(told))
    streamed = TokenCount()
    streamed.add_piece(b"data: " + orjson.dumps(told) + b"\n\n")
    assert count.headers == streamed.headers == {"x-model-version": "2"}


def test_infer_tells_its_tokens_as_numbers_or_bytes() -> None:
    counts = {"num_input_tokens": 9, "num_output_tokens": 3}
    as_numbers, as_bytes = TokenCount(), TokenCount()
    as_numbers.add_tensors(
        orjson.dumps({"outputs": [{"name": n, "data": [c]} for n, c in counts.items()]})
    )
    sizes = [{"name": n, "parameters": {"binary_data_size": 4}} for n in counts]
    head = orjson.dumps({"outputs": sizes})
    data = b"".join(count.to_bytes(4, "little") for count in counts.values())
    as_bytes.add_tensors(head + data, str(len(head)))
    assert as_numbers.usage == as_bytes.usage == Usage(9, 3)
