"""A stand-in for tritonserver's `llm`: one token in each event, at an even pace, as a GPU gives it.

The real one, on a CPU, joins tokens into chunks when it serves many streams. What a gateway spends
on a chunk does not depend on the words in it. It decodes so many streams together, the others wait,
first come, first served; its times are not CPU.

`python -m tests.gateway_bench.paced_model PORT`
"""

import asyncio
import json
import time

import click
from aiohttp import web

PACE_S = 0.02
PLACES = web.AppKey("places", asyncio.Semaphore)
FIRST_S = web.AppKey("first_s", float)


async def index(_: web.Request) -> web.Response:
    """The repository has one model."""
    return web.json_response([{"name": "llm", "version": "1", "state": "READY"}])


async def stream(request: web.Request) -> web.StreamResponse:
    """`max_tokens` events; the last has the finish reason."""
    asked = await request.json()
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    async with request.app[PLACES]:
        start_s = time.monotonic()
        await asyncio.sleep(request.app[FIRST_S])
        await response.prepare(request)
        for number in range(1, asked["max_tokens"] + 1):
            found = event(asked.get("id", ""), is_last=number == asked["max_tokens"])
            await response.write(b"data: " + json.dumps(found).encode() + b"\n\n")
            next_s = start_s + request.app[FIRST_S] + number * PACE_S
            await asyncio.sleep(next_s - time.monotonic())
    return response


def event(request_id: str, is_last: bool) -> dict[str, object]:
    """As `generate_stream` of Triton 2.51 words it."""
    end = {"finish_reason": "length"} if is_last else {}
    return {
        **end,
        "id": request_id,
        "model_name": "llm",
        "model_version": "1",
        "num_input_tokens": 12,
        "num_output_tokens": 1,
        "text_output": " word",
    }


@click.command()
@click.argument("port", type=int)
@click.option("--places", default=1000, help="Streams that it decodes together.")
@click.option("--first-s", default=0.0, help="Time to a stream's first token.")
def main(port: int, places: int, first_s: float) -> None:
    app = web.Application()
    app[PLACES], app[FIRST_S] = asyncio.Semaphore(places), first_s
    app.router.add_post("/v2/repository/index", index)
    app.router.add_post("/v2/models/llm/generate_stream", stream)
    web.run_app(app, host="127.0.0.1", port=port, print=None, handler_cancellation=True)


if __name__ == "__main__":
    main()
