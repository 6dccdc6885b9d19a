"""Collections in PostgreSQL, by the client's commands: ingest, a kill, a database that stops."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from triton_rag import Client, Overloaded, ingest
from triton_rag.cli import main

from builders.spec import load_sku
from ensembles.collections import COLLECTIONS, STORE_VARIABLE
from ensembles.contracts import DOWN
from ensembles.embed import EMBED
from ensembles.search import SEARCH
from operations.cpu_server import CpuServer
from operations.ports import free_ports
from tests.fakes.files import docx, pdf
from tests.postgres import Postgres, running_postgres
from tests.server.conftest import linked, until_killed
from tests.server.killed_ingest import TEXTS, documents, kill_ingest

STOPPED = r"PostgreSQL server at .* has stopped"


@dataclass(frozen=True)
class Served:
    database: Postgres
    url: str
    client: Client


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of the models that search needs, whose store is a database."""
    folder = tmp_path_factory.mktemp("served")
    names = EMBED.calls | SEARCH.calls
    others = (EMBED.name, SEARCH.name, COLLECTIONS.name, "passage_splitter")
    repository = linked(folder / "models", *names, *others)
    with running_postgres() as database:
        variables = {STORE_VARIABLE: database.url}
        log = folder / "tritonserver.log"
        serving = CpuServer(load_sku("cpu"), free_ports(), log, repository, variables=variables)
        with until_killed(serving) as running:
            url = f"127.0.0.1:{running.ports.grpc}"
            with Client(url) as client:
                yield Served(database, url, client)


def test_a_folder_is_ingested_and_searched_by_command(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ferry.pdf").write_bytes(pdf(["Cover", "The ferry sails at noon."], title="Times"))
    (tmp_path / "vebra.docx").write_bytes(docx([("Heading1", "Vebra"), ("", "It uses port 8123.")]))
    at = ["--collection", "manuals", "--url", served.url]
    assert main(["ingest", str(tmp_path), *at]) == 0
    assert "manuals: 2 added" in capsys.readouterr().out
    (tmp_path / "vebra.docx").write_bytes(docx([("", "It uses port 8124.")]))
    assert main(["ingest", str(tmp_path), *at]) == 0
    assert "0 added, 1 replaced, 0 removed, 1 unchanged" in capsys.readouterr().out
    assert main(["search", "When does the ferry sail?", *at, "--filter", '{"type": "pdf"}']) == 0
    assert capsys.readouterr().out.startswith(" [1] Times, page 2 (ferry.pdf)")
    assert main(["search", "Which port?", *at, "--filter", '{"type": "docx"}']) == 0
    assert "8124" in capsys.readouterr().out


def test_a_killed_ingest_goes_on(served: Served, tmp_path: Path) -> None:
    kill_ingest(served.url, tmp_path, "killed")
    ready = documents(served.client, "killed")
    report = ingest(served.client, tmp_path, "killed")
    assert report.unchanged >= ready > 0
    assert report.added == TEXTS - report.unchanged
    assert (
        documents(served.client, "killed") == served.client.collection("killed").passages == TEXTS
    )


def test_a_database_that_stops_is_said_and_comes_back(served: Served) -> None:
    served.client.create_collection("there")
    served.database.stop()
    with pytest.raises(Overloaded, match=STOPPED) as search:
        served.client.search("Which boat?", "there")
    with pytest.raises(Overloaded, match=STOPPED) as listing:
        served.client.collections()
    for caught in (search, listing):
        assert str(caught.value).endswith(DOWN)
        assert "secret" not in str(caught.value)
    assert served.client.embed(["boat"]).shape[0] == 1
    served.database.start()
    assert "there" in {one.name for one in served.client.collections()}
