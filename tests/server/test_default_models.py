"""The models that pipeline.toml names answer over real text, whichever they are."""

from collections.abc import Iterator

import pytest
from triton_rag import Client
from triton_rag.cli.documents import read_documents

from builders.spec import ROOT, load_sku
from operations.cpu_server import CpuServer
from operations.ports import Ports, free_ports
from tests.server.conftest import until_killed
from tests.server.gateway import Gateway, running_gateway
from tests.server.test_published_clients import ask

ANIMAL = 'What is a whale? Answer with JSON: {"kind": "fish" or "mammal", "legs": a number}'
DOCUMENTS = read_documents(ROOT / "tests" / "evaluation" / "documents" / "sqlite").texts


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    log = tmp_path_factory.mktemp("default") / "tritonserver.log"
    repository = ROOT / "model_repository"
    with until_killed(CpuServer(load_sku("cpu"), free_ports(), log, repository)) as running:
        yield running.ports


@pytest.fixture(scope="module")
def client(ports: Ports) -> Iterator[Client]:
    with Client(f"127.0.0.1:{ports.grpc}") as client:
        yield client


def test_an_answer_rests_on_quotes_out_of_its_sources(client: Client) -> None:
    answer = client.ask("Which form of VACUUM makes a backup copy?", DOCUMENTS)
    assert answer.finish_reason in ("stop", "ungrounded")
    assert answer.text.strip()
    assert any("VACUUM" in source.text for source in answer.sources)
    assert bool(answer.quotes) == bool(answer.citations) == (answer.finish_reason == "stop")
    for quote in answer.quotes:
        assert quote.quote in answer.sources[quote.source - 1].text
        assert quote.statement in answer.text
    assert 0 <= answer.grounded <= 1


def test_a_question_that_no_document_is_about_is_refused(client: Client) -> None:
    answer = client.ask("Who won the cycling race in the mountains?", DOCUMENTS)
    assert answer.finish_reason == "ungrounded"
    assert (answer.citations, answer.quotes) == ((), ())


def test_a_client_can_have_the_models_own_text(client: Client) -> None:
    question = "Who won the cycling race in the mountains?"
    answer = client.ask(question, DOCUMENTS, check_grounding=False)
    assert answer.finish_reason in ("stop", "length")


@pytest.fixture(scope="module")
def gateway(ports: Ports, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(ports, tmp_path_factory.mktemp("gateway")) as running:
        yield running


def test_published_clients_parse_answers(gateway: Gateway) -> None:
    """`parse` raises for an answer that is cut, or is not of the schema."""
    found = ask("parse_with_openai.py", gateway.url, tokens=96, prompt=ANIMAL)
    assert found.keys() == {"chat", "chat_streamed", "responses", "responses_streamed"}
    for animal in found.values():
        assert animal["kind"] in ("fish", "mammal") and isinstance(animal["legs"], int)


def test_published_clients_get_the_calls_that_they_require(gateway: Gateway) -> None:
    """The model was not trained to call, and does where it must."""
    prompt = "What is the weather in Paris, in degrees Celsius?"
    found = ask("require_calls.py", gateway.url, tokens=96, prompt=prompt)
    assert found.pop("required")[0] in ("weather", "find_port")
    assert len(found) == 5
    for name, arguments in found.values():
        assert name == "weather"
        assert arguments.keys() == {"city", "unit"}
        assert arguments["unit"] in ("C", "F")
