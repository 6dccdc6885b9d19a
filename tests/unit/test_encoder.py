"""Encoders: rows are packed by length, and a row's result does not depend on its neighbours."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembles.contracts import EMBEDDER
from python_backends import encoder
from python_backends.batches import (
    LENGTH_STEP,
    MAX_BATCH_ROWS,
    SHORTEST_SHARE,
    compute_batches,
    padded_length,
)
from python_backends.encoder import EmbedderStage, RerankerStage
from python_backends.stage import RequestError, Tensors
from tests.fakes import folders
from tests.fakes.serving import SumEncoder, context


@given(lengths=st.lists(st.integers(1, 1200), min_size=1, max_size=120))
@settings(max_examples=60, deadline=None)
def test_compute_batches_cover_each_row_once_and_fit(lengths):
    seen: list[int] = []
    for rows, padded in compute_batches(np.array(lengths)):
        seen += rows.tolist()
        assert len(rows) <= MAX_BATCH_ROWS
        assert max(lengths[row] for row in rows) <= padded
        assert padded == padded_length(max(lengths[row] for row in rows))
        least = min(SHORTEST_SHARE * padded, padded - LENGTH_STEP + 1)
        assert all(lengths[row] >= least for row in rows), "no row pays for another"
    assert sorted(seen) == list(range(len(lengths)))


def test_padded_lengths():
    assert [padded_length(n) for n in (1, 8, 9, 102, 513)] == [8, 8, 16, 104, 520]


def test_rows_of_like_length_share_a_batch():
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
    path = folders.make_folder(tmp_path / "cpu", folders.word_level([]), max_tokens=40)
    return EmbedderStage(context(path))


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


def test_padding_of_the_request_costs_nothing(stage, engine):
    stage.run([rows([1, 2], width=39), rows([3], [4] * 9)])
    assert engine.shapes == [(1, 16), (2, 8)]


def test_rows_are_never_padded_beyond_the_model(stage, engine):
    stage.run([rows([1] * 40)])
    assert engine.shapes == [(1, 40)], "the model ends at 40"


def test_a_wrong_shape_fails_its_own_request_only(stage, engine):
    uneven = Tensors({"input_ids": np.ones((1, 3), int), "attention_mask": np.ones((1, 2), int)})
    good, bad, long, none = stage.run([rows([1, 2]), uneven, rows([1] * 41), rows([], width=0)])
    np.testing.assert_array_equal(good["embedding"], [[3, 2]])
    assert isinstance(bad, RequestError)
    assert str(bad) == "inputs differ in shape: {'input_ids': [1, 3], 'attention_mask': [1, 2]}"
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


def test_the_reranker_hands_over_segment_ids(engine, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        engine, "encode", lambda inputs: seen.update(inputs) or np.ones((1, 1), np.float32)
    )
    path = folders.make_folder(tmp_path / "cpu", folders.word_level([]))
    request = rows([1, 2, 3])
    types = {"token_type_ids": np.array([[0, 1, 1]])}
    answer = RerankerStage(context(path)).run([Tensors({**request.values, **types})])[0]
    assert answer["relevance"].shape == (1, 1)
    assert seen["token_type_ids"].tolist() == [[0, 1, 1, 0, 0, 0, 0, 0]]


def test_the_inputs_are_those_of_the_contract(stage):
    assert stage.contract is EMBEDDER
