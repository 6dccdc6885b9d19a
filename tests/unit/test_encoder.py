"""Encoders: rows are packed by length, and a row's result does not depend on its neighbours."""

from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembles.contracts import EMBEDDER
from ensembles.metrics import BATCH_ROWS, LARGE_REQUESTS, ROWS
from python_backends.engines.encoder_engine import (
    LENGTH_STEP,
    MAX_BATCH_ROWS,
    MIN_FILL,
    Packing,
    compute_batches,
    padded_length,
    slices,
)
from python_backends.errors import RequestError
from python_backends.stages import encoder
from python_backends.stages.encoder import EmbedderStage, RerankerStage
from python_backends.tensors import Tensors
from tests.fakes import folders
from tests.fakes.serving import FakeMeter, SumEncoder, context
from tests.unit.test_supervisor import wait_for

WORDS = folders.word_level(f"word{n}" for n in range(2000))
"""More tokens than the tests use."""


@given(
    lengths=st.lists(st.integers(1, 1200), min_size=1, max_size=120),
    packing=st.builds(Packing, st.sampled_from([1, 8, 32]), st.sampled_from([1, 8, 32, 128])),
)
@settings(max_examples=60, deadline=None)
def test_compute_batches_cover_each_row_once_and_fit(lengths, packing):
    seen: list[int] = []
    for rows, padded in compute_batches(np.array(lengths), packing):
        seen += rows.tolist()
        assert len(rows) <= packing.max_rows
        assert max(lengths[row] for row in rows) <= padded
        assert padded == padded_length(max(lengths[row] for row in rows), packing.length_step)
        least = min(MIN_FILL * padded, padded - packing.length_step + 1)
        assert all(lengths[row] >= least for row in rows), "no row pays for another"
    assert sorted(seen) == list(range(len(lengths)))


def test_packing_is_read_from_the_placement():
    assert Packing.read({}) == Packing(LENGTH_STEP, MAX_BATCH_ROWS)
    given = {"length_step": "16", "max_compute_rows": "8", "slice_ids": "64"}
    assert Packing.read(given) == Packing(16, 8, 64)
    with pytest.raises(ValueError, match="max_compute_rows 0, slice_ids 16384; all must be"):
        Packing.read({"max_compute_rows": "0"})


def test_a_stage_packs_rows_as_its_placement_says(engine, tmp_path):
    path = folders.make_folder(tmp_path / "cpu", WORDS, max_tokens=40)
    stage = EmbedderStage(context(path, cached_rows=0, max_compute_rows=2, length_step=16))
    stage.answer(rows(*[[n] * 10 for n in range(1, 6)]))
    assert engine.shapes == [(2, 16), (2, 16), (1, 16)]


@pytest.mark.parametrize("kept", [0, 8])
def test_embeddings_are_cut_to_the_models_dimensions(engine, tmp_path, kept):
    path = folders.make_folder(tmp_path / "cpu", WORDS, max_tokens=40, dimensions=2)
    stage = EmbedderStage(context(path, cached_rows=kept))
    row = np.array([3.0, 4.0, 12.0], np.float32)
    engine.encode = lambda batches: [np.tile(row, (len(b["input_ids"]), 1)) for b in batches]
    for _ in range(2):  # the second time from the rows that are kept
        found = stage.answer(rows([1, 2, 3, 4]))["embedding"]
        np.testing.assert_allclose(found, [[0.6, 0.8]], rtol=1e-6)


def test_padded_lengths():
    assert [padded_length(n) for n in (1, 8, 9, 102, 513)] == [8, 8, 16, 104, 520]


def test_rows_of_similar_length_share_a_compute_batch():
    found = [
        (rows.tolist(), padded) for rows, padded in compute_batches(np.array([3, 100, 90, 1, 60]))
    ]
    assert found == [([1, 2], 104), ([4], 64), ([0, 3], 8)]


@pytest.fixture
def engine(monkeypatch):
    engine = SumEncoder()
    monkeypatch.setattr(encoder, "load_encoder_engine", lambda *_: engine)
    return engine


@pytest.fixture
def stage(engine, tmp_path):
    path = folders.make_folder(tmp_path / "cpu", WORDS, max_tokens=40)
    return EmbedderStage(context(path, cached_rows=0, slice_ids=2560))


def rows(*rows_of_ids: list[int], width: int = 0) -> Tensors:
    """A request with these rows, padded to its longest."""
    width = width or max(map(len, rows_of_ids))
    ids = np.array([[*row, *[7] * (width - len(row))] for row in rows_of_ids])
    mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows_of_ids])
    return Tensors({"input_ids": ids, "attention_mask": mask})


def test_a_row_gives_the_same_alone_and_merged(stage, engine):
    requests = [rows([1, 2, 3], [4]), rows([5] * 33), rows([6, 6], width=39)]
    alone = [stage.run([request])[0]["embedding"] for request in requests]
    merged = [outputs["embedding"] for outputs in stage.run(requests)]
    for one, other in zip(alone, merged, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(merged[0], [[6, 3], [4, 1]])
    np.testing.assert_array_equal(stage.answer(requests[0])["embedding"], merged[0])


def test_padding_of_a_request_is_not_computed(stage, engine):
    stage.run([rows([1, 2], width=39), rows([3], [4] * 9)])
    assert engine.shapes == [(1, 16), (2, 8)]


def test_rows_are_never_padded_beyond_the_model(stage, engine):
    stage.run([rows([1] * 40)])
    assert engine.shapes == [(1, 40)], "the model ends at 40"


def test_a_wrong_shape_fails_its_own_request_only(stage, engine):
    good, long, none = stage.run([rows([1, 2]), rows([1] * 41), rows([], width=0)])
    np.testing.assert_array_equal(good["embedding"], [[3, 2]])
    assert isinstance(long, RequestError)
    assert str(long) == "input_ids: rows of 41 tokens; from 1 to 40 are possible"
    assert str(none) == "input_ids: rows of 0 tokens; from 1 to 40 are possible"


def test_only_faulty_requests_do_not_reach_the_engine(stage, engine):
    assert isinstance(stage.run([rows([1] * 41)])[0], RequestError)
    assert engine.shapes == []


def test_a_request_without_rows_is_refused(stage):
    empty = Tensors({"input_ids": np.ones((0, 4), int), "attention_mask": np.ones((0, 4), int)})
    assert isinstance(stage.run([empty])[0], RequestError)


def test_a_row_without_any_mask_is_still_answered(stage):
    blank = Tensors({"input_ids": np.ones((1, 4), int), "attention_mask": np.zeros((1, 4), int)})
    np.testing.assert_array_equal(stage.run([blank])[0]["embedding"], [[0, 0]])


def test_the_reranker_passes_on_token_type_ids(engine, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        engine, "encode", lambda batches: seen.update(*batches) or [np.ones((1, 1), np.float32)]
    )
    path = folders.make_folder(tmp_path / "cpu", WORDS)
    request = rows([1, 2, 3])
    types = {"token_type_ids": np.array([[0, 1, 1]])}
    answer = RerankerStage(context(path, cached_rows=0)).run(
        [Tensors({**request.values, **types})]
    )[0]
    assert answer["relevance"].shape == (1, 1)
    assert seen["token_type_ids"].tolist() == [[0, 1, 1, 0, 0, 0, 0, 0]]


def test_the_inputs_are_those_of_the_contract(stage):
    assert stage.contract is EMBEDDER


def test_rows_of_each_compute_batch_are_counted(engine, tmp_path):
    path = folders.make_folder(tmp_path / "cpu", WORDS, max_tokens=40)
    meter = FakeMeter()
    EmbedderStage(context(path, cached_rows=8, meter=meter)).run(
        [rows([1], [2], [3] * 30), rows([4])]
    )
    assert meter[BATCH_ROWS].values == [1, 3], "the long row, then the short ones together"


def test_rows_seen_before_are_not_computed_again(engine, tmp_path):
    path = folders.make_folder(tmp_path / "cpu", WORDS, max_tokens=40)
    meter = FakeMeter()
    stage = EmbedderStage(context(path, cached_rows=8, meter=meter))
    first = stage.run([rows([1, 2, 3], [4, 5, 6, 7])])[0]["embedding"]
    again = stage.run([rows([4, 5, 6, 7], [1, 2, 3], [9, 9, 9])])[0]["embedding"]
    np.testing.assert_array_equal(again, [first[1], first[0], [27, 3]])
    assert [shape[0] for shape in engine.shapes] == [2, 1]
    assert (meter[ROWS, "computed"].sum, meter[ROWS, "cached"].sum) == (3, 2)


def test_a_long_row_takes_no_more_than_its_result(engine, tmp_path):
    path = folders.make_folder(tmp_path / "cpu", WORDS, max_tokens=40)
    stage = EmbedderStage(context(path, cached_rows=8))
    stage.answer(rows([1] * 40, [1] * 39))
    assert [len(key) for key in stage._cache._rows] == [16, 16]


def test_the_mask_is_part_of_a_rows_cache_key(engine, tmp_path):
    path = folders.make_folder(tmp_path / "cpu", WORDS, max_tokens=40)
    stage = EmbedderStage(context(path, cached_rows=8))
    ids = np.array([[1, 2, 3, 4]])
    for mask, total in (([1, 1, 1, 1], 10), ([1, 0, 1, 1], 8)):
        request = Tensors({"input_ids": ids, "attention_mask": np.array([mask])})
        assert stage.run([request])[0]["embedding"][0, 0] == total


def test_the_canary_of_one_token_always_reaches_the_engine(engine, tmp_path):
    path = folders.make_folder(tmp_path / "cpu", WORDS, max_tokens=40)
    stage = EmbedderStage(context(path, cached_rows=8))
    for _ in range(2):
        stage.run([rows([1])])
    assert len(engine.shapes) == 2


def test_a_request_that_breaks_the_engine_fails_alone(stage, engine, monkeypatch):
    encode = engine.encode

    def fail(batches):
        if any((inputs["input_ids"] == 13).any() for inputs in batches):
            raise RuntimeError("engine")
        return encode(batches)

    monkeypatch.setattr(engine, "encode", fail)
    good, bad, other = stage.run([rows([1, 2]), rows([13, 2]), rows([3, 4])])
    assert isinstance(bad, RuntimeError)
    np.testing.assert_array_equal(good["embedding"], [[3, 2]])
    np.testing.assert_array_equal(other["embedding"], [[7, 2]])


def test_nan_is_an_error_and_not_an_answer(stage, engine, monkeypatch):
    monkeypatch.setattr(engine, "encode", lambda batches: [np.array([[1, 1], [np.nan, 1]])])
    good, bad = stage.run([rows([1, 2, 3]), rows([4, 5])])
    assert isinstance(bad, RuntimeError)
    assert "NaN" in str(bad)
    np.testing.assert_array_equal(good["embedding"], [[1, 1]])


@pytest.mark.parametrize("token", [-1, 2004, 2**40])
def test_a_token_beyond_the_vocabulary_is_refused(stage, engine, token):
    good, bad = stage.run([rows([1, 2003]), rows([1, token])])
    assert "embedding" in good
    assert f"token {token} given; from 0 to 2003 are possible" in str(bad)


# --- large requests ------------------------------------------------------------------------------


@given(lengths=st.lists(st.integers(1, 6000), min_size=1, max_size=80))
@settings(max_examples=60, deadline=None)
def test_slices_cover_each_row_once_and_have_few_ids(lengths):
    packing = Packing(slice_ids=4096)
    found = list(slices(np.array(lengths), packing))
    assert sorted(row for part in found for row in part) == list(range(len(lengths)))
    for part in found:
        batches = compute_batches(np.array(lengths)[part], packing)
        assert len(part) == 1 or sum(len(r) * padded for r, padded in batches) <= 4096


def test_a_slice_has_whole_compute_batches_or_a_part_of_one():
    found = {ids: slices(np.full(100, 128), Packing(slice_ids=ids)) for ids in (2048, 10000, 100)}
    sizes = {ids: [len(part) for part in parts] for ids, parts in found.items()}
    assert sizes == {2048: [16] * 6 + [4], 10000: [64, 36], 100: [1] * 100}


def test_padding_makes_no_request_large(stage):
    (answer,) = stage.run([rows([1] * 40, *[[n + 1] for n in range(500)])])
    assert len(answer["embedding"]) == 501


def large(first: int = 1) -> Tensors:
    """300 rows of 40 tokens: five slices."""
    return rows(*[[first + n] * 40 for n in range(300)])


def test_a_large_request_gives_what_it_gives_whole(stage, engine):
    (answer,) = stage.run([large()])
    whole = stage.answer(large())["embedding"]
    np.testing.assert_array_equal(answer.result(10)["embedding"], whole)


def test_a_small_request_goes_between_two_slices_of_large_ones(stage, engine, monkeypatch):
    encode, begun, go_on = engine.encode, Semaphore(0), Semaphore(0)

    def held(batches):
        begun.release()
        assert go_on.acquire(timeout=10)
        return encode(batches)

    monkeypatch.setattr(engine, "encode", held)
    first, second = stage.run([large(), large(first=500)])
    assert begun.acquire(timeout=10), "a slice of the first is in the engine"
    small = ThreadPoolExecutor(1).submit(stage.run, [rows([1, 2])])
    wait_for(stage._engine_lock._next.locked)
    go_on.release()
    assert begun.acquire(timeout=10)
    go_on.release()
    np.testing.assert_array_equal(small.result(10)[0]["embedding"], [[3, 2]])
    assert not first.done() and not second.done()
    for _ in range(9):
        go_on.release()
    assert len(first.result(10)["embedding"]) == len(second.result(10)["embedding"]) == 300
    assert engine.shapes.index((1, 8)) == 2, "right after the slice at hand, of two batches"


def test_large_requests_take_turns(stage, engine):
    seen = []
    encode = engine.encode
    engine.encode = lambda batches: (
        seen.append(int(batches[0]["input_ids"][0, 0]) >= 500) or encode(batches)
    )
    with stage._engine_lock:
        both = stage.run([large(), large(first=500)])
    for one in both:
        one.result(10)
    assert seen[:4] == [False, True, False, True]


def test_a_large_request_that_breaks_the_engine_fails_alone(stage, engine, monkeypatch):
    encode = engine.encode

    def fail(batches):
        if any((inputs["input_ids"] == 333).any() for inputs in batches):
            raise RuntimeError("engine")
        return encode(batches)

    monkeypatch.setattr(engine, "encode", fail)
    bad, good, small = stage.run([large(first=300), large(first=700), rows([1, 2])])
    assert isinstance(bad.exception(10), RuntimeError)
    assert len(good.result(10)["embedding"]) == 300
    np.testing.assert_array_equal(small["embedding"], [[3, 2]])


def test_the_large_requests_at_hand_are_shown(engine, tmp_path, monkeypatch):
    path = folders.make_folder(tmp_path / "cpu", WORDS, max_tokens=40)
    meter, encode, go_on = FakeMeter(), engine.encode, Semaphore(0)
    monkeypatch.setattr(
        engine, "encode", lambda batches: go_on.acquire(timeout=10) and encode(batches)
    )
    stage = EmbedderStage(context(path, cached_rows=0, slice_ids=2560, meter=meter))
    both = stage.run([large(), large(first=500)])
    assert meter[LARGE_REQUESTS].values[-1] == 2
    for _ in range(10):
        go_on.release()
    for one in both:
        one.result(10)
    wait_for(lambda: meter[LARGE_REQUESTS].values[-1] == 0)
