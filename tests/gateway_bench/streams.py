"""Many streams at a time through a gateway: whether each ends whole, CPU and memory."""

import asyncio
import json
import time
from dataclasses import dataclass, field

import aiohttp
import psutil

CHAT = "/v1/chat/completions"
SAMPLE_S = 5.0
WARM_S = 60.0
"""Memory is compared with that after this time."""


@dataclass
class Tally:
    """What came of the streams so far."""

    whole: int = 0
    lost: int = 0
    chunks: int = 0
    memory_mib: list[float] = field(default_factory=list)
    """One sample every `SAMPLE_S`."""


def cpu_s(process: psutil.Process) -> float:
    """What the process and its children have used so far."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(float(each.user + each.system) for each in times)


def chat(tokens: int) -> dict[str, object]:
    return {
        "model": "llm",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": tokens,
        "min_tokens": tokens,
        "stream": True,
    }


def connected(url: str) -> aiohttp.ClientSession:
    no_limits = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=None)
    return aiohttp.ClientSession(url, connector=no_limits[0], timeout=no_limits[1])


async def at_once(url: str, streams: int, tokens: int) -> Tally:
    """So many streams of so many tokens, begun together."""
    tally = Tally()
    async with connected(url) as session:
        await asyncio.gather(*(one_stream(session, tokens, tally) for _ in range(streams)))
    return tally


async def always(
    url: str, process: psutil.Process, streams: int, tokens: int, minutes: float
) -> Tally:
    """So many streams at any time: each that ends is followed by another."""
    tally, end_s = Tally(), time.monotonic() + 60 * minutes

    async def one_after_another() -> None:
        while time.monotonic() < end_s:
            await one_stream(session, tokens, tally)

    async with connected(url) as session:
        running = [asyncio.create_task(one_after_another()) for _ in range(streams)]
        while time.monotonic() < end_s:
            await asyncio.sleep(SAMPLE_S)
            tally.memory_mib.append(process.memory_info().rss / 2**20)
        await asyncio.gather(*running)
    return tally


async def one_stream(session: aiohttp.ClientSession, tokens: int, tally: Tally) -> None:
    """A stream is lost that breaks, or has not as many tokens as were asked for."""
    body = chat(tokens) | {"stream_options": {"include_usage": True}}
    try:
        async with session.post(CHAT, json=body) as response:
            events = (await response.read()).split(b"\n\n")[:-1]
    except aiohttp.ClientError:
        events = []
    if len(events) < 3 or events[-1] != b"data: [DONE]":
        tally.lost += 1
        return
    used = json.loads(events[-2].removeprefix(b"data: "))["usage"]["completion_tokens"]
    tally.whole += used == tokens
    tally.lost += used != tokens
    tally.chunks += sum(b'"content":' in event for event in events)
