"""A stand-in for tritonserver's `llm`: one token in each event, at an even pace, as a GPU gives it.

The real one, on a CPU, joins tokens into chunks when it serves many streams. What a gateway spends
on a chunk does not depend on the words in it.

`python -m tests.gateway_bench.paced_model PORT`
"""

import asyncio
import json
import sys
import time

from aiohttp import web

PACE_S = 0.02


async def index(_: web.Request) -> web.Response:
    """The repository has one model."""
    return web.json_response([{"name": "llm", "version": "1", "state": "READY"}])


async def stream(request: web.Request) -> web.StreamResponse:
    """`max_tokens` events; the last has the finish reason."""
    asked = await request.json()
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    start_s = time.monotonic()
    for number in range(1, asked["max_tokens"] + 1):
        found = event(asked.get("id", ""), is_last=number == asked["max_tokens"])
        await response.write(b"data: " + json.dumps(found).encode() + b"\n\n")
        await asyncio.sleep(start_s + number * PACE_S - time.monotonic())
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


def main() -> None:
    app = web.Application()
    app.router.add_post("/v2/repository/index", index)
    app.router.add_post("/v2/models/llm/generate_stream", stream)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)


if __name__ == "__main__":
    main()
