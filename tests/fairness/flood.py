"""The neighbour that floods, in a process of its own: `python -m tests.fairness.flood URL KEY`.

It always has `STREAMS` streams open. Every tenth of a second it prints how many chunks it has had.
It yields the CPU: clients are elsewhere in practice, and the quiet tenant's clock is not to stop
because a client of the flood reads JSON.
"""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import aiohttp

from tests.gateway_bench.streams import CHAT, chat, connected

STREAMS = 32
TOKENS = 128
NICENESS = 15
PROMPT = "The quick brown fox jumps over the lazy dog near the river bank. " * 2


async def flood(url: str, key: str) -> None:
    chunks = [0]
    async with connected(url) as session:
        streams = [asyncio.create_task(_streams(session, key, chunks)) for _ in range(STREAMS)]
        while not any(stream.done() for stream in streams):
            await asyncio.sleep(0.1)
            print(chunks[0], flush=True)
        await asyncio.gather(*streams)


async def _streams(session: aiohttp.ClientSession, key: str, chunks: list[int]) -> None:
    body = chat(TOKENS) | {"messages": [{"role": "user", "content": PROMPT}]}
    while True:
        async with session.post(CHAT, json=body, headers={"x-api-key": key}) as answer:
            answer.raise_for_status()
            async for part in answer.content.iter_any():
                chunks[0] += part.count(b'"content":')


def yield_cpu() -> None:
    """To all others: Linux weighs the processes of a session together, where it groups them."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError):
        os.setsid()
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICENESS), encoding="ascii")


if __name__ == "__main__":
    yield_cpu()
    asyncio.run(flood(*sys.argv[1:]))
