"""Published clients call tools through the gateway: a call, its result, an answer.

The model is a stand-in that says what the last turn says (tests/server/stand_ins); tritonserver,
`llm` above it and the gateway are real. So a test writes the call that the model shall make.
"""

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import tritonclient.grpc as grpcclient

from builders.spec import load_sku
from operations.cpu_server import CpuServer
from operations.ports import free_ports
from tests.server.conftest import Server, until_killed
from tests.server.gateway import Gateway, running_gateway
from tests.server.test_published_clients import ask
from tests.server.test_tensorrt_llm_backend import change_parameters, make_repository

Found = dict[str, Any]
CALL = '<tool_call>\n{"name": "find_port", "arguments": {"server": "vebra"}}\n</tool_call>'
SETTINGS = """
[models]
llms = ["llm-small"]

[[routing.rules]]
name = "short"
task = "chat"
max_prompt_tokens = 4
models = ["llm-small"]
"""
BOTH = f"Two of them.\n{CALL}\n{CALL.replace('vebra', 'ferry')}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tools")
    log = folder / "tritonserver.log"
    repository = make_repository(folder / "model_repository")
    small = shutil.copytree(repository / "llm", repository / "llm-small") / "config.pbtxt"
    text = small.read_text(encoding="utf-8").replace('name: "llm"', 'name: "llm-small"')
    small.write_text(text, encoding="utf-8")
    says = {"says": "last turn", "token_delay_ms": 1, "max_input_len": 4096}
    change_parameters(repository / "tensorrt_llm" / "config.pbtxt", says)
    with until_killed(CpuServer(load_sku("cpu"), free_ports(), log, repository)) as running:
        client = grpcclient.InferenceServerClient(f"127.0.0.1:{running.ports.grpc}")
        yield Server(running.ports, client, log, running.pid)
        client.close()


@pytest.fixture(scope="module")
def gateway(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(server.ports, tmp_path_factory.mktemp("gateway"), SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def found(gateway: Gateway) -> Found:
    return ask("call_tools.py", gateway.url, prompt=BOTH)


FIRST = {
    "text": "Two of them.",
    "calls": [["find_port", {"server": "vebra"}], ["find_port", {"server": "ferry"}]],
    "reason": "tool_calls",
}


def test_openai_s_chat_calls_gets_results_and_answers(found: Found) -> None:
    chat = found["chat"]
    assert chat["first"] == FIRST
    assert "vebra has port 8123." in chat["answer"]
    assert "ferry has port 8123." in chat["answer"]


def test_a_streamed_chat_has_the_same_calls_piece_by_piece(found: Found) -> None:
    streamed = found["chat_streamed"]
    assert streamed.pop("deltas") > len(FIRST["calls"])
    assert streamed == FIRST


def test_without_parallel_calls_there_is_one(found: Found) -> None:
    assert found["chat_one"] == FIRST | {"calls": FIRST["calls"][:1]}


def test_functions_in_their_older_form_are_called_too(found: Found) -> None:
    older = found["older"]
    assert older["first"] == ["find_port", {"server": "vebra"}, "function_call"]
    assert older["streamed"] == older["first"]
    assert "vebra has port 8123." in older["answer"]


ENDS = {"responses": "completed", "messages": "tool_use", "cohere": "TOOL_CALL"}


@pytest.mark.parametrize("api", ["responses", "cohere"])
def test_other_apis_call_get_results_and_answer(found: Found, api: str) -> None:
    assert found[api]["first"] == FIRST | {"reason": ENDS[api]}
    assert "vebra has port 8123." in found[api]["answer"]
    assert "ferry has port 8123." in found[api]["answer"]


@pytest.mark.parametrize("api", ENDS)
def test_their_streams_have_the_same_calls(found: Found, api: str) -> None:
    streamed = found[f"{api}_streamed"]
    assert streamed.pop("deltas", 3) > len(FIRST["calls"])
    assert streamed == FIRST | {"reason": ENDS[api]}


def test_anthropic_s_tool_runner_goes_the_whole_way(found: Found) -> None:
    assert found["messages"] == found["tool_runner"]["first"] == FIRST | {"reason": "tool_use"}
    assert found["tool_runner"]["turns"] == 2
    assert "ferry has port 8123." in found["tool_runner"]["answer"]
    with_tools, without = found["counted"]
    assert with_tools > without + 50


def test_a_call_that_is_none_comes_as_text(gateway: Gateway) -> None:
    text = "<tool_call>\n{'name': 'find_port'}\n</tool_call>"
    tools = [{"type": "function", "function": {"name": "find_port"}}]
    body = {"model": "llm", "messages": [{"role": "user", "content": text}], "tools": tools}
    (choice,) = gateway.post("/v1/chat/completions", body).json()["choices"]
    assert choice["message"]["content"] == text
    assert choice["finish_reason"] == "stop"


def test_another_llm_of_the_server_is_asked_by_name_and_by_rule(gateway: Gateway) -> None:
    body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 20}
    by_name = gateway.post("/v1/chat/completions", body | {"model": "llm-small"})
    by_rule = gateway.post("/v1/chat/completions", body | {"model": "auto"})
    texts = [each.json()["choices"][0]["message"]["content"] for each in (by_name, by_rule)]
    assert texts == ["hello"] * 2
    assert by_rule.headers["x-router"].startswith("model=llm-small; reason=rule short: chat")
    assert "llm-small" in gateway.client.get("/v1/models").text
    asked = {"messages": json.dumps(body["messages"]), "max_tokens": 2**40}
    path = "/v2/models/llm-small/generate"
    assert gateway.post(path, asked).json()["error"].startswith("max_tokens: ")
    relayed = gateway.post(path, asked | {"max_tokens": 20})
    assert relayed.headers["x-model-version"] == relayed.json()["model_version"] == "1"
