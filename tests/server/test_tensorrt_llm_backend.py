"""`llm` over NVIDIA's C++ `tensorrtllm` backend, for which a stand-in with its tensors answers.

The stand-in says the prompt backwards, an id every 2 ms. What a GPU would do was not run.
"""

import contextlib
import dataclasses
import functools
import shutil
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as grpcclient
from google.protobuf import json_format, text_format
from tokenizers import Tokenizer
from tritonclient.grpc import model_config_pb2 as schema

from builders.repository import REPOSITORY, engine_link
from builders.spec import load_sku
from ensembles.manifest import MANIFEST_FILE, TOKENIZER_FILE, read_manifest
from operations.cpu_server import CpuServer
from operations.ports import free_ports
from tests.server.cancellation import standing_still
from tests.server.conftest import (
    OpenStream,
    Page,
    Server,
    eventually,
    gauge,
    is_final,
    metrics_page,
    seen,
    tensor,
    text,
    until_killed,
)
from tests.server.test_ensemble import inputs
from tests.server.test_llm import generate, prompts, sampling

STAND_INS = Path(__file__).parent / "stand_ins"
ENGINE = engine_link("llm")
RUNNING, WAITING = 8, 4
PROMPT = "the release of Vebra is port 8123"


def make_repository(path: Path) -> Path:
    """`ensemble` over `llm` over the stand-in; the engine folder is one for the C++ backend."""
    skip = shutil.ignore_patterns("engine", "__pycache__")
    for name in ("llm", "ensemble"):
        shutil.copytree(REPOSITORY / name, path / name, ignore=skip)
    shutil.copytree(STAND_INS / "tensorrt_llm", path / "tensorrt_llm", ignore=skip)
    limits = {"max_running_requests": RUNNING, "max_waiting_requests": WAITING}
    change_parameters(path / "llm" / "config.pbtxt", limits)
    engine = engine_link("llm", path)
    engine.mkdir(parents=True)
    names = (TOKENIZER_FILE, "tokenizer_config.json", "chat_template.jinja")
    for name in names:
        if (ENGINE / name).is_file():
            shutil.copyfile(ENGINE / name, engine / name)
    built = read_manifest(ENGINE)
    files = {name: built.files[name] for name in names if name in built.files}
    manifest = dataclasses.replace(built, engine="tensorrtllm-backend", files=files)
    (engine / MANIFEST_FILE).write_text(manifest.to_json())
    return path


def change_parameters(path: Path, values: Mapping[str, int | str]) -> None:
    config = text_format.Parse(path.read_text(encoding="utf-8"), schema.ModelConfig())
    for name, value in values.items():
        config.parameters[name].string_value = str(value)
    path.write_text(text_format.MessageToString(config), encoding="utf-8")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tensorrt-llm")
    log = folder / "tritonserver.log"
    repository = make_repository(folder / "model_repository")
    with until_killed(CpuServer(load_sku("cpu"), free_ports(), log, repository)) as running:
        client = grpcclient.InferenceServerClient(f"127.0.0.1:{running.ports.grpc}")
        yield Server(running.ports, client, log, running.pid)
        client.close()


@functools.cache
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(ENGINE / TOKENIZER_FILE))


def backwards(prompt: str, count: int) -> str:
    """What the stand-in says."""
    ids = tokenizer().encode(prompt).ids
    return str(tokenizer().decode([ids[-1 - i % len(ids)] for i in range(count)]))


LONG = 1500
"""Tokens that take the stand-in 3 s."""


def long_stream(server: Server, tokens: int = LONG, **options: Any) -> OpenStream:
    """A stream of which the first response has come."""
    asked = sampling(max_tokens=tokens, min_tokens=tokens, stream=True)
    stream = OpenStream(server.url, "llm", [text("text_input", PROMPT), *asked], **options)
    assert stream.next()[1] is None
    return stream


def reason_of(stream: OpenStream) -> str:
    return str(stream.last().as_numpy("finish_reason")[0].decode())


def is_idle_on(page: Page) -> bool:
    return page.total("stand_in_running") == page.total("llm_requests_running") == 0


def idle_page(server: Server) -> Page:
    return seen(lambda: metrics_page(server), is_idle_on)


@contextlib.contextmanager
def stopped_in_the_backend(server: Server) -> Iterator[None]:
    """The block ends one generation of `LONG` tokens: the backend is told so, and makes
    fewer."""
    before = idle_page(server)
    stops, made = (before.total(f"stand_in_{name}") for name in ("stop_requests", "tokens"))
    yield
    after = seen(
        lambda: metrics_page(server),
        lambda page: is_idle_on(page) and page.total("stand_in_tokens") > made,
    )
    assert after.total("stand_in_stop_requests") > stops
    assert after.total("stand_in_tokens") - made < LONG


# --- answers ---------------------------------------------------------------------------------


def test_stream_equals_the_whole(server: Server) -> None:
    whole = generate(server, PROMPT, max_tokens=40, min_tokens=40)
    parts = generate(server, PROMPT, max_tokens=40, min_tokens=40, stream=True)
    assert whole.text == parts.text == backwards(PROMPT, 40)
    assert (len(whole.responses), whole.tokens, parts.tokens) == (1, 40, 40)
    assert len(parts.responses) > 1
    assert whole.finish_reason == parts.finish_reason == "length"
    assert [is_final(r) for r in parts.responses] == [False] * (len(parts.responses) - 1) + [True]


def test_the_end_token_ends_the_answer(server: Server) -> None:
    (end,) = read_manifest(ENGINE).eos_token_ids
    prompt = f"alpha{tokenizer().id_to_token(end)}beta gamma"
    behind = tokenizer().encode(prompt).ids
    behind = behind[behind.index(end) + 1 :]
    found = generate(server, prompt, max_tokens=100)
    assert found.text == tokenizer().decode(behind[::-1])
    assert (found.tokens, found.finish_reason) == (len(behind), "stop")


def test_seeds_reach_the_backend(server: Server) -> None:
    options: dict[str, Any] = {"max_tokens": 12, "min_tokens": 12, "temperature": 1.0}
    one = generate(server, PROMPT, seed=2**63 + 1, **options).text
    assert generate(server, PROMPT, seed=2**63 + 1, **options).text == one
    assert generate(server, PROMPT, seed=2**63 + 2, **options).text != one


def test_ensemble_hands_the_same_answer_on(server: Server) -> None:
    found = server.stream("ensemble", *inputs(PROMPT, max_tokens=20, min_tokens=20, stream=True))
    assert found.text == backwards(PROMPT, 20)


# --- many at a time --------------------------------------------------------------------------


def test_requests_run_side_by_side(server: Server) -> None:
    asked = prompts(RUNNING)
    with ThreadPoolExecutor(RUNNING) as pool:
        with standing_still(server, "tensorrt_llm"):
            found = pool.map(lambda p: generate(server, p, max_tokens=400, min_tokens=400), asked)
            assert eventually(lambda: gauge(server, "llm_requests_running") == RUNNING)
        found = list(found)
    assert [f.text for f in found] == [backwards(prompt, 400) for prompt in asked]
    assert gauge(server, "stand_in_most_running") == RUNNING


def test_a_late_request_gets_its_first_token_before_an_early_one_ends(server: Server) -> None:
    early = long_stream(server, tokens=600)
    late = OpenStream(server.url, "llm", [text("text_input", "late"), *sampling(max_tokens=4)])
    late.last()
    assert reason_of(early) == "length"
    assert late.arrived_s < early.arrived_s
    for stream in (early, late):
        stream.close()


def test_a_full_queue_is_refused_and_room_comes_back(server: Server) -> None:
    idle_page(server)
    asked = [text("text_input", PROMPT), *sampling(max_tokens=40, min_tokens=40)]
    with standing_still(server, "tensorrt_llm"):
        streams = [OpenStream(server.url, "llm", asked) for _ in range(RUNNING + WAITING)]
        assert eventually(lambda: gauge(server, "llm_requests_waiting") == WAITING)
        refused = generate(server, PROMPT, max_tokens=4)
    assert f"{RUNNING + WAITING} requests are running or waiting" in str(refused.error)
    for stream in streams:
        assert reason_of(stream) == "length"
        stream.close()
    assert generate(server, PROMPT, max_tokens=4).error is None


# --- stopping --------------------------------------------------------------------------------


def test_a_client_that_goes_stops_its_generation_in_the_backend(server: Server) -> None:
    with stopped_in_the_backend(server):
        long_stream(server).cancel()


def test_a_stop_request_reaches_the_backend_through_llm(server: Server) -> None:
    before = idle_page(server).total("stand_in_stop_requests")
    other = long_stream(server, tokens=600, request_id="78")
    stream = long_stream(server, request_id="77")
    stopped = server.stream("llm", tensor("stop", [True], "BOOL"), request_id="77")
    assert stopped.finish_reason == "cancelled"
    assert reason_of(stream) == "cancelled"
    assert reason_of(other) == "length"
    assert idle_page(server).total("stand_in_stop_requests") > before
    for each in (stream, other):
        each.close()


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_word_ends_the_answer_and_the_generation(server: Server, stream: bool) -> None:
    word = backwards(PROMPT, 12)[4:12]
    with stopped_in_the_backend(server):
        found = generate(
            server, PROMPT, max_tokens=LONG, min_tokens=LONG, stream=stream, stop_words=[word]
        )
    assert found.text == backwards(PROMPT, 12).partition(word)[0]
    assert found.finish_reason == "stop"


# --- faults ----------------------------------------------------------------------------------


def failed(server: Server, prompt: str, says: str) -> None:
    """The client gets one sentence, the log what the backend said."""
    found = generate(server, prompt, max_tokens=4)
    assert "the model failed on this request; see the server's log" in str(found.error)
    assert eventually(lambda: says in server.log.read_text(errors="replace"))


def test_an_error_of_the_backend_ends_that_request_alone(server: Server) -> None:
    with ThreadPoolExecutor(1) as pool:
        neighbour = pool.submit(generate, server, PROMPT, max_tokens=200, min_tokens=200)
        failed(server, "word " * 400, "exceeds maximum input length (256)")
        assert neighbour.result().text == backwards(PROMPT, 200)
    assert generate(server, PROMPT, max_tokens=4).text == backwards(PROMPT, 4)


def test_a_backend_that_is_not_decoupled(server: Server) -> None:
    config = server.client.get_model_config("tensorrt_llm").config
    config.model_transaction_policy.decoupled = False
    plain = json_format.MessageToJson(config, preserving_proto_field_name=True)
    server.client.load_model("tensorrt_llm", config=plain)
    try:
        failed(server, PROMPT, "Streaming is only supported if model is deployed using decoupled")
    finally:
        server.client.unload_model("tensorrt_llm")
        server.client.load_model("tensorrt_llm")
    assert generate(server, PROMPT, max_tokens=4).text == backwards(PROMPT, 4)


def test_a_backend_that_is_not_loaded(server: Server) -> None:
    server.client.unload_model("tensorrt_llm")
    try:
        assert eventually(lambda: not server.client.is_model_ready("tensorrt_llm"))
        failed(server, PROMPT, "tensorrt_llm")
    finally:
        server.client.load_model("tensorrt_llm")
    assert generate(server, PROMPT, max_tokens=4).text == backwards(PROMPT, 4)


def test_live_config_declares_what_the_backend_has(server: Server) -> None:
    with urllib.request.urlopen(
        f"http://{server.http_url}/v2/models/tensorrt_llm/config"
    ) as answer:
        assert b'"lookahead_verification_set_size"' in answer.read()
