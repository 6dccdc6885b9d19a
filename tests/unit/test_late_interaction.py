"""A row of query and passage gives what both give apart, token by token."""

import functools

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from builders.checkpoint import Checkpoint
from builders.encoder_checkpoint import BACKGROUND, FIRST_WORD, check_late_interaction
from builders.errors import BuildError
from builders.late_interaction import load_late_interaction
from builders.llm_checkpoint import read_tokenizer
from builders.spec import ModelSpec
from tests.fakes import folders

CLS, SEP = 101, 102
QUERY = [CLS, 2500, FIRST_WORD, 2700, 1029, SEP]
PASSAGE = [2600, 2700, 2001, 2500, SEP]
SPEC = ModelSpec(name="mine", role="reranker", source="there", max_tokens=64)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(vocab_size=3000, intermediate_size=32, **sizes)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    folders.word_level(["the", "is", "file"]).save(str(folder / "tokenizer.json"))
    return Checkpoint(folder, "sha")


@functools.cache
def loaded(checkpoint: Checkpoint) -> torch.nn.Module:
    return load_late_interaction(SPEC, checkpoint, torch.float32)


def relevance(checkpoint: Checkpoint, query: list[int], passage: list[int], padding: int = 0):
    model = loaded(checkpoint)
    ids = query + passage + [0] * padding
    types = [0] * len(query) + [1] * len(passage) + [0] * padding
    mask = [1] * (len(ids) - padding) + [0] * padding
    with torch.no_grad():
        return model(*(torch.tensor([row]) for row in (ids, mask, types))).logits.item()


@functools.cache
def plain(checkpoint: Checkpoint) -> BertModel:
    return BertModel.from_pretrained(checkpoint.path, add_pooling_layer=False).eval()


def apart(checkpoint: Checkpoint, ids: list[int]) -> np.ndarray:
    bert = plain(checkpoint)
    with torch.no_grad():
        rows = bert(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def alike(checkpoint: Checkpoint, query: list[int], passage: list[int]) -> float:
    best = (apart(checkpoint, query) @ apart(checkpoint, passage).T).max(axis=1)
    weights = np.log(np.maximum(np.array(query) - FIRST_WORD + 1, 1)) + 0.01
    return float((best * weights).sum() / weights.sum())


@pytest.mark.parametrize("padding", [0, 7])
def test_neither_text_sees_the_other(checkpoint, padding):
    tokenizer = read_tokenizer(checkpoint)
    lines = BACKGROUND.read_text(encoding="utf-8").splitlines()
    usual = np.mean([alike(checkpoint, QUERY, tokenizer.encode(line).ids) for line in lines])
    expected = (alike(checkpoint, QUERY, [CLS, *PASSAGE]) + usual) / 2
    assert relevance(checkpoint, QUERY, PASSAGE, padding) == pytest.approx(expected, abs=1e-5)


def test_no_passage_is_more_relevant_than_the_query_itself(checkpoint):
    best = relevance(checkpoint, QUERY, QUERY[1:])
    assert relevance(checkpoint, QUERY, PASSAGE) < best <= 1


@pytest.mark.parametrize("query", [[CLS, SEP], [CLS, 1755, 1029, SEP]])
def test_a_query_without_words_has_a_relevance_too(checkpoint, query):
    assert -1 <= relevance(checkpoint, query, PASSAGE) <= 1


def test_a_row_without_a_query_is_not_relevant(checkpoint):
    assert relevance(checkpoint, [], PASSAGE) == 0


def test_missing_weights_are_refused(checkpoint, tmp_path):
    config = BertConfig.from_pretrained(checkpoint.path, num_hidden_layers=3)
    config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").symlink_to(checkpoint.path / "model.safetensors")
    (tmp_path / "tokenizer.json").symlink_to(checkpoint.path / "tokenizer.json")
    with pytest.raises(BuildError, match="mine"):
        load_late_interaction(SPEC, Checkpoint(tmp_path, "sha"), torch.float32)


def test_another_vocabulary_is_refused(checkpoint, tmp_path):
    BertConfig(vocab_size=3).save_pretrained(tmp_path)
    folders.word_level(["a", "the"]).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(BuildError, match="a 'bert' whose vocabulary has 'the' at 5; possible"):
        check_late_interaction(SPEC, Checkpoint(tmp_path, "sha"))
