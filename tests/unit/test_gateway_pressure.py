"""How many streams of a tenant run beside another's, where the settings leave it open."""

import asyncio
from typing import cast

import pytest

from gateway.access.admission import Admission, Room
from gateway.upstream import pressure
from gateway.upstream.connection import Connection


class Triton:
    """Tells `llm`'s configuration."""

    def __init__(self, parameters: dict[str, object]) -> None:
        self._config = {"name": "llm", "parameters": parameters}

    async def json(self, method: str, path: str) -> object:
        assert (method, path) == ("GET", "/v2/models/llm/config")
        return self._config


@pytest.mark.parametrize(
    ("given", "parameters", "expected"),
    [
        (None, {"num_threads": {"string_value": "2"}}, 3),
        (None, {"engine": {"string_value": "tensorrt_llm"}}, 0),
        (5, {"num_threads": {"string_value": "2"}}, 5),
    ],
    ids=["on a CPU", "on a GPU", "as set"],
)
def test_few_run_beside_another_where_llm_computes_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, given: int | None, parameters: dict[str, object], expected: int
) -> None:
    monkeypatch.setattr(pressure, "LOOK_S", 0.0)

    async def test() -> None:
        admission, looked = Admission(Room(beside=given)), asyncio.Event()
        monkeypatch.setattr(admission, "hold", lambda is_held: looked.set())
        async with pressure.held_under_pressure(cast(Connection, Triton(parameters)), admission):
            await looked.wait()
        assert admission.beside == expected

    asyncio.run(test())
