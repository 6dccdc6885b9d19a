"""10,000 small requests, some faulty and some cancelled: what stays behind?"""

import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence

from tests.chaos import requests
from tests.chaos.leaks import leaks
from tests.chaos.requests import Request, number, text
from tests.chaos.resources import Use
from tests.chaos.scenario import HANG_S, Finding, Scenario
from tests.chaos.site import Running, Site
from tests.chaos.traffic import Line, Outcome, send_all

REQUESTS = 10_000
WORKERS = 8
STEPS = 10
"""Looks at memory; the first two steps are warm-up."""
WARM_STEPS = 2
MIB_PER_1000 = 0.5
"""A slope above this, in MiB for 1,000 requests of one process, is a leak."""


def scenarios() -> Iterator[Scenario]:
    """The last of the suite: after it nothing may be left behind."""
    done = f"{REQUESTS:,} requests of 1 to 8 tokens or rows: 5 % faulty, 5 % cancelled"
    yield Scenario("10000-requests", done, _run)


def _run(site: Site) -> Finding:
    running = site.shared()
    to_send = list(running.oracle.learn(running.address, _small(200)))
    send_all(running.address, list(requests.of_every_length()), HANG_S, 1)
    looks, ends, faults = [], Counter[str](), list[str]()
    for step in range(STEPS):
        outcomes = _burst(running, to_send, step)
        ends.update(outcome.end for outcome in outcomes)
        faults += running.oracle.faults(outcomes)
        faults += (f"{o.request.model}: {o.end}, not refused" for o in outcomes if _was_taken(o))
        looks.append(running.use())
    slopes = dict(_slopes(looks[WARM_STEPS:]))
    worst = max(slopes, key=lambda name: slopes[name])
    seen = ", ".join(f"{count:,} × {end}" for end, count in ends.items())
    seen += f"; steepest memory: {worst} {slopes[worst]:+.2f} MiB/1,000 requests"
    grown = tuple(
        f"{name} grows by {slope:.2f} MiB/1,000" for name, slope in slopes.items()
        if slope > MIB_PER_1000
    )  # fmt: skip
    return Finding(
        seen,
        faults=tuple(dict.fromkeys(faults)),
        leaks=(*grown, *leaks(looks[WARM_STEPS], looks[-1], may_die=False)),
    )


def _small(count: int) -> Iterator[Request]:
    for n in range(count):
        yield requests.embed(n)
        yield Request("tokenizer", (text("input_text", requests.fact(n)[2]),))
        yield requests.llm(requests.prompt(n), 1 + n % 8)
        yield requests.ensemble(requests.prompt(n), 1 + n % 8)


def _bad() -> tuple[Request, ...]:
    return (
        requests.llm("", 1),
        Request("embed", (text("input_text", b"\xff"),)),
        Request("llm", (text("text_input", "a"), number("max_tokens", 0))),
    )


def _was_taken(outcome: Outcome) -> bool:
    """Whether a faulty request was not refused."""
    return outcome.request in _bad() and outcome.end != "error"


def _burst(running: Running, to_send: Sequence[Request], step: int) -> list[Outcome]:
    """One step's requests, over a few connections."""
    outcomes: list[Outcome] = []
    share = REQUESTS // STEPS // WORKERS

    def work(worker: int) -> None:
        chance = random.Random(STEPS * worker + step)
        with Line(running.address) as line:
            for _ in range(share):
                outcomes.append(_one(line, to_send, chance))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def _one(line: Line, to_send: Sequence[Request], chance: random.Random) -> Outcome:
    kind = chance.random()
    if kind < 0.05:
        return line.send(chance.choice(_bad()), HANG_S)
    if kind < 0.10:
        request = requests.llm(requests.prompt(chance.randrange(1000)), 400)
        return line.send(request, HANG_S, lambda call, _piece: call.cancel())
    return line.send(chance.choice(to_send), HANG_S)


def _slopes(looks: Sequence[Use]) -> Iterator[tuple[str, float]]:
    """MiB for 1,000 requests of each process, by least squares."""
    middle = (len(looks) - 1) / 2
    spread = sum((i - middle) ** 2 for i in range(len(looks)))
    for process in looks[0].processes:
        now = [look.process(process.name) for look in looks]
        mib = [found.memory_mib if found else 0.0 for found in now]
        slope = sum((i - middle) * value for i, value in enumerate(mib)) / spread
        yield process.name, slope * 1000 / (REQUESTS / STEPS)
