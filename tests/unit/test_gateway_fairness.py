"""Fair queueing: shares by weights, nobody starves, nobody saves up."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.access.fairness import FairQueue, Ticket


def start_next(queue: FairQueue) -> Ticket | None:
    ticket = queue.next(lambda ticket: True)
    if ticket is not None:
        queue.start(ticket)
    return ticket


def serve(queue: FairQueue, *, places: int, until_tokens: int, seed: int = 0) -> Counter[str]:
    """Tokens that each tenant used, whose requests use a random part of their bounds and are
    followed by another one each."""
    used: Counter[str] = Counter()
    chance, running = random.Random(seed), []
    while used.total() < until_tokens:
        while len(running) < places and (ticket := start_next(queue)) is not None:
            running.append(ticket)
        done = running.pop(chance.randrange(len(running)))
        tokens = chance.randint(1, done.tokens)
        used[done.tenant] += tokens
        queue.push(Ticket(done.tenant, done.weight, done.tokens))
        queue.end(done, tokens)
    return used


@given(
    weights=st.lists(st.sampled_from([0.5, 1.0, 2.0, 4.0]), min_size=2, max_size=4),
    bounds=st.lists(st.integers(10, 1000), min_size=4, max_size=4),
    places=st.integers(1, 6),
    seed=st.integers(0, 10),
)
@settings(max_examples=20, deadline=None)
def test_backlogged_tenants_get_tokens_by_their_weights(
    weights: list[float], bounds: list[int], places: int, seed: int
) -> None:
    queue = FairQueue()
    for index, weight in enumerate(weights):
        for _ in range(places):
            queue.push(Ticket(str(index), weight, bounds[index]))
    used = serve(queue, places=places, until_tokens=30_000, seed=seed)
    shares = [used[str(index)] / weight for index, weight in enumerate(weights)]
    most_at_once = max(
        places * bound / weight for bound, weight in zip(bounds, weights, strict=False)
    )
    assert max(shares) - min(shares) <= 2 * most_at_once


def test_a_newcomer_is_next_however_much_waits() -> None:
    queue = FairQueue()
    for _ in range(100):
        queue.push(Ticket("flood", 1, 500))
    for _ in range(20):
        running = start_next(queue)
        assert running is not None
        queue.end(running, 500)
    queue.push(Ticket("quiet", 1, 50))
    first = start_next(queue)
    assert first is not None
    assert first.tenant == "quiet"


def test_who_was_idle_did_not_save_up() -> None:
    queue = FairQueue()
    queue.push(Ticket("early", 1, 10))
    done = start_next(queue)
    assert done is not None
    queue.end(done, 10)
    for _ in range(10):
        queue.push(Ticket("busy", 1, 1000))
    serve_busy = [start_next(queue) for _ in range(5)]
    for ticket in serve_busy:
        assert ticket is not None
        queue.end(ticket, 1000)
    for _ in range(10):
        queue.push(Ticket("early", 1, 1000))
    order = []
    for _ in range(6):
        ticket = start_next(queue)
        assert ticket is not None
        order.append(ticket.tenant)
        queue.end(ticket, 1000)
    assert Counter(order) == {"early": 3, "busy": 3}


def test_short_requests_pass_a_long_one_but_only_by_its_own_length() -> None:
    queue = FairQueue()
    long = Ticket("a", 1, 1000)
    queue.push(long)
    passed = 0
    queue.push(Ticket("a", 1, 100))
    while (ticket := start_next(queue)) is not long:
        assert ticket is not None
        passed += ticket.tokens
        queue.push(Ticket("a", 1, 100))
        queue.end(ticket, ticket.tokens)
    assert 500 <= passed <= 1000


@given(st.lists(st.tuples(st.sampled_from("pslser"), st.sampled_from("abc"), st.integers(0, 9))))
def test_the_sums_are_those_of_the_tickets_whatever_happens(
    steps: list[tuple[str, str, int]],
) -> None:
    queue = FairQueue()
    waiting: list[Ticket] = []
    running: list[Ticket] = []
    for action, tenant, number in steps:
        if action == "p":
            waiting.append(ticket := Ticket(tenant, 1 + number / 3, 1 + number, number // 2))
            queue.push(ticket)
        elif action == "s" and (started := start_next(queue)) is not None:
            waiting.remove(started)
            running.append(started)
        elif action == "l" and waiting:
            queue.leave(waiting.pop(number % len(waiting)))
        elif action == "e" and running:
            queue.end(running.pop(number % len(running)), number)
        elif action == "r" and running:
            queue.read(running[number % len(running)])
        assert (queue.waiting, queue.running) == (len(waiting), len(running))
        assert queue.waiting_tokens == sum(ticket.tokens for ticket in waiting)
        assert queue.running_tokens == sum(ticket.tokens for ticket in running)
        assert queue.reading_tokens == sum(ticket.prompt_tokens for ticket in running)
        for name in "abc":
            of = queue.of(name)
            assert of.running_tokens == sum(t.tokens for t in running if t.tenant == name)
            assert of.reading_tokens == sum(t.prompt_tokens for t in running if t.tenant == name)
            assert of.waiting_tokens == sum(t.tokens for t in waiting if t.tenant == name)
            charged = sum(t.tokens / t.weight for t in running if t.tenant == name)
            assert of.charged == pytest.approx(charged)


def test_who_may_not_start_is_passed() -> None:
    queue = FairQueue()
    queue.push(Ticket("a", 1, 1))
    queue.push(Ticket("b", 1, 1))
    chosen = queue.next(lambda ticket: ticket.tenant != "a")
    assert chosen is not None
    assert chosen.tenant == "b"
    assert queue.next(lambda ticket: False) is None
