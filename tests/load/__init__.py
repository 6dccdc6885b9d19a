"""Load on a running server: when requests arrive, how long they are, what was seen.

    from tests.load import arrivals, loops, summary

    records = asyncio.run(loops.closed_loop(send, requests, clients=8, window=loops.Window(5.0)))
    print(summary.summarize(records).latency_s.p99)

`send(request)` is an async generator: it sends one request and yields the work (rows, tokens,
questions) of each response when that is there. Times are taken here, by the event loop's clock.
"""
