"""The search on synthetic servers whose true speed is known."""

import math
import random

import pytest

from builders.spec import Placement, load_sku
from builders.tune.change import Change, applied, effective, merged, value
from builders.tune.decision import Pair, Slice, Verdict
from builders.tune.objective import WORKLOADS, parse
from builders.tune.search import Pairs, Phase, ServerFault, TimeIsUp, confirm, search
from builders.tune.space import moves

SKU = load_sku("cpu")
LIMITS = parse("embed:p99<200ms")
DELAY, INSTANCES = Change("embedder", "max_queue_delay_us", 0), Change("embedder", "instances", 2)


class SyntheticLab:
    """`speed` of a placement is 1 × what each of its changes brings."""

    def __init__(self, gains=None, seed=0, races=1000, broken=(), latency_s=None):
        self.gains, self.broken = gains or {}, broken
        self.latency_s = latency_s or {}
        self.left, self.source = races, random.Random(seed)
        self.known, self.trials = {}, []

    def measure(self, race, pairs):
        found = self.known.setdefault(race, [])
        if self.broken and set(self.broken) & set(race.candidate):
            raise ServerFault
        if len(found) < pairs:
            if self.left == 0:
                raise TimeIsUp
            self.left -= 1
        while len(found) < pairs:
            found.append(
                Pair(*(self._slice(race.workload, c) for c in (race.reference, race.candidate)))
            )
        return found

    def tell(self, trial):
        self.trials.append(trial)

    def _slice(self, workload, changes):
        rate, latency_s = 100 * math.exp(self.source.gauss(0, 0.05)), 0.1
        for change in changes:
            rate *= self.gains.get((workload, change), self.gains.get(change, 1.0))
            latency_s *= self.latency_s.get(change, 1.0)
        return Slice(rate, 0, ((latency_s,) * 50,))


def tune(lab, workloads=("embed",), limits=LIMITS):
    """As `builders.tune.tuning`, without its clock."""
    best, stages = (), []
    for workload in workloads:
        own = [limit for limit in limits if limit.workload == workload]
        best = search(workload, SKU, best, moves(workload, SKU, 2), own, lab, Pairs())
        stages.append((workload, best))
    return confirm(stages, limits, lab, Pairs())


def test_noise_alone_keeps_the_default():
    """The whole search, every change tried: in at least 95 % of the seeds nothing is taken."""
    kept = sum(tune(SyntheticLab(seed=seed)) == () for seed in range(200))
    assert kept >= 0.95 * 200


def test_noise_alone_keeps_the_default_with_all_workloads():
    limits = parse("embed:p99<1s rerank:p99<1s llm:p99<1s rag:p99<1s")
    kept = sum(tune(SyntheticLab(seed=seed), WORKLOADS, limits) == () for seed in range(100))
    assert kept >= 95


def test_a_real_gain_is_found():
    found = [tune(SyntheticLab({DELAY: 1.2}, seed)) for seed in range(50)]
    assert sum(DELAY in changes for changes in found) >= 45


def test_gains_are_put_together():
    changes = tune(SyntheticLab({DELAY: 1.25, INSTANCES: 1.25}, seed=1))
    assert {DELAY, INSTANCES} <= set(changes)


def test_a_gain_that_misses_the_slo_is_not_taken():
    lab = SyntheticLab({DELAY: 1.5}, latency_s={DELAY: 3.0})
    assert DELAY not in tune(lab)
    assert any(t.judgement.verdict is Verdict.MISSES for t in lab.trials)


def test_a_gain_that_harms_another_workload_is_given_up_and_the_other_kept():
    """`rag` gains by a change that `embed` suffers from; what `embed` gained by stays."""
    threads = Change("embedder", "num_threads", 1)
    lab = SyntheticLab({DELAY: 1.3, ("rag", threads): 1.3, ("embed", threads): 0.5})
    limits = parse("embed:p99<1s rag:p99<1s")
    final = tune(lab, ("embed", "rag"), limits)
    assert DELAY in final
    assert threads not in final


def test_a_server_that_does_not_come_up_is_passed_over():
    lab = SyntheticLab({DELAY: 1.3}, broken=(INSTANCES,))
    assert DELAY in tune(lab)
    assert any(trial.judgement is None for trial in lab.trials)


def test_without_time_the_default_stays():
    assert tune(SyntheticLab({DELAY: 2.0}, races=0)) == ()


def test_what_is_not_confirmed_is_not_taken():
    lab = SyntheticLab({DELAY: 2.0})
    best = search("embed", SKU, (), moves("embed", SKU, 2), LIMITS, lab, Pairs())
    assert DELAY in best
    lab.left = 0
    assert confirm([("embed", best)], LIMITS, lab, Pairs()) == ()


def test_the_final_measurement_uses_none_of_the_searchs():
    lab = SyntheticLab({DELAY: 1.3})
    tune(lab)
    confirmed = [race for race in lab.known if race.phase is Phase.CONFIRM]
    assert confirmed
    assert all(race.reference == () for race in confirmed)


def test_a_hopeless_change_costs_a_glance():
    lab = SyntheticLab({DELAY: 0.5})
    tune(lab)
    tried = {t.race.candidate: t.pairs for t in lab.trials if t.race.reference == ()}
    assert tried[(DELAY,)] == Pairs().glance


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("cores", [1, 2, 4, 64])
def test_the_search_stays_in_bounds(workload, cores):
    for move in moves(workload, SKU, cores):
        changed = applied(SKU, move)  # pydantic refuses what no placement can have
        assert effective(SKU, move), "a move that changes nothing"
        for change in move:
            number = value(changed, change.model, change.key)
            assert isinstance(number, int)
            if change.key == "instances":
                assert 1 <= number <= cores
            elif change.key == "num_threads":
                assert 0 <= number <= cores
            elif change.key == "max_step_tokens":
                assert number <= value(SKU, "llm", "kv_cache_tokens")
            elif change.key == "max_queue_delay_us":
                assert 0 <= number <= 10_000


def test_what_decides_more_than_speed_is_left_alone():
    keys = {c.key for w in WORKLOADS for move in moves(w, SKU, 8) for c in move}
    assert keys.isdisjoint(
        {
            *("engine", "precision", "provider", "kv_cache_tokens", "prefix_caching"),
            *("max_queue_size", "max_batch_size", "max_waiting_requests", "response_cache"),
        }
    )


def test_keys_that_a_placement_lacks_are_not_invented():
    """A parameter is read by a stage; one that is not there may be unknown to it."""
    bare = SKU.model_copy(update={"placement": {"llm": Placement()}})
    assert moves("llm", bare, 4) == ()


def test_changes_merge_by_key_and_vanish_where_they_are_the_default():
    later = Change("embedder", "max_queue_delay_us", 1000)
    assert merged((DELAY,), (later, INSTANCES)) == (INSTANCES, later)
    assert effective(SKU, merged((DELAY,), (later,))) == ()
