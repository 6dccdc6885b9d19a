"""The served graphs are right, and each wrong connection is named by step and tensor."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensembles
from ensembles.contracts import (
    EMBEDDER,
    GENERATION,
    LLM,
    PASSAGE_SELECTOR,
    TOKENIZER,
    ModelContract,
)
from ensembles.embed import EMBED
from ensembles.ensemble import ENSEMBLE
from ensembles.graph import EnsembleGraph, GraphError, Step
from ensembles.rag import RAG, RAG_CANCELLABLE
from ensembles.rerank import RERANK
from ensembles.retrieve import RETRIEVE
from ensembles.sampling import SAMPLING
from ensembles.search import ANSWER, SEARCH
from ensembles.tensors import DType, tensor

SHIPPED = (EMBED, RERANK, RETRIEVE, RAG, RAG_CANCELLABLE, ENSEMBLE, SEARCH, ANSWER)


def faults(graph: EnsembleGraph, **changes: object) -> list[str]:
    """What the graph complains of when some of its fields are others."""
    with pytest.raises(GraphError) as caught:
        replace(graph, **changes)
    head, *lines = str(caught.value).split("\n  ")
    assert head == f"graph '{graph.name}' has {len(lines)} fault(s):"
    return lines


def with_step(graph: EnsembleGraph, index: int, **changes: object) -> tuple[Step, ...]:
    """The graph's steps, one of them changed."""
    steps = list(graph.steps)
    steps[index] = replace(steps[index], **changes)
    return tuple(steps)


def with_input(model: ModelContract, name: str, **changes: object) -> ModelContract:
    """The contract, one of its inputs changed."""
    return replace(
        model, inputs=tuple(replace(s, **changes) if s.name == name else s for s in model.inputs)
    )


@pytest.mark.parametrize("graph", SHIPPED, ids=lambda graph: graph.name)
def test_shipped_graphs_can_be_made_again(graph):
    assert replace(graph) == graph


@given(dropped=st.integers(0, len(RAG.steps) - 1))
@settings(max_examples=30, deadline=None)
def test_a_dropped_step_leaves_a_gap_or_an_unread_tensor(dropped):
    step = RAG.steps[dropped]
    found = faults(RAG, steps=RAG.steps[:dropped] + RAG.steps[dropped + 1 :])
    outputs = {spec.name for spec in RAG.contract.outputs}
    for _, name in step.writes():
        missed = [line for line in found if f"'{name}'" in line]
        assert missed or name in outputs, f"nobody misses {name}: {found}"


@given(
    choice=st.sampled_from(
        [(i, spec.name) for i, step in enumerate(RAG.steps) for spec, _ in step.writes()]
    )
)
@settings(max_examples=60, deadline=None)
def test_a_renamed_output_is_unread_and_missing(choice):
    index, name = choice
    step = RAG.steps[index]
    found = faults(RAG, steps=with_step(RAG, index, outputs={**step.outputs, name: "elsewhere"}))
    label = f"step {index + 1} ({step.model.name})"
    assert f"{label}: nothing reads tensor 'elsewhere'" in found
    assert len(found) >= 2, "whoever read the tensor misses it"


@given(
    choice=st.sampled_from(
        [
            (i, spec.name)
            for i, step in enumerate(RETRIEVE.steps)
            for spec in step.model.inputs
            if not spec.optional
        ]
    ),
    kind=st.sampled_from(["dtype", "dims"]),
)
@settings(max_examples=60, deadline=None)
def test_a_changed_type_or_shape_names_both_sides(choice, kind):
    index, name = choice
    step = RETRIEVE.steps[index]
    source = step.inputs.get(name, name)
    if kind == "dtype":
        model = with_input(step.model, name, dtype=DType.FP16)
    else:
        model = with_input(step.model, name, dims=(1, 2, 3))
    lines = faults(RETRIEVE, steps=with_step(RETRIEVE, index, model=model))
    expected = f"step {index + 1} ({step.model.name}): input '{name}': takes "
    assert len(lines) == 1
    assert lines[0].startswith(expected)
    assert f"tensor '{source}'" in lines[0]


def test_two_fixed_sizes_that_differ_do_not_fit():
    embed = replace(EMBED.contract, outputs=(tensor("embedding", DType.FP32, "texts", 384),))
    fixed = replace(EMBEDDER, outputs=(tensor("embedding", DType.FP32, 768),))
    assert faults(EMBED, contract=embed, steps=with_step(EMBED, 1, model=fixed)) == [
        "graph output 'embedding': takes shape [-1, 384], tensor 'embedding' has [-1, 768]"
    ]


def test_a_forgotten_batch_dimension_is_a_wrong_shape():
    unbatched = replace(EMBEDDER, batched=False)
    found = faults(EMBED, steps=with_step(EMBED, 1, model=unbatched))
    assert (
        "step 2 (embedder): input 'input_ids': takes shape [-1], tensor 'input_ids' has [-1, -1]"
        in found
    )


def test_both_writers_of_a_tensor_are_named():
    steps = with_step(RETRIEVE, 3, outputs=RETRIEVE.steps[1].outputs)
    found = faults(RETRIEVE, steps=steps)
    assert "step 2 (tokenizer): tensor 'question_ids' is written 2 times" in found
    assert "step 4 (tokenizer): tensor 'question_ids' is written 2 times" in found


def test_a_step_may_not_write_a_graph_input():
    steps = with_step(EMBED, 0, outputs={"input_ids": "input_text"})
    assert "step 1 (tokenizer): tensor 'input_text' is written 2 times" in faults(
        EMBED, steps=steps
    )


def test_a_cycle_names_its_steps():
    turn = ModelContract("turn", (tensor("a", DType.FP32, 1),), (tensor("b", DType.FP32, 1),))
    found = faults(
        EMBED,
        steps=(*EMBED.steps, Step(turn), Step(turn, inputs={"a": "b"}, outputs={"b": "a"})),
    )
    assert found == ["cycle: step 3 (turn), step 4 (turn) wait for each other"]


def test_order_in_the_file_does_not_matter():
    assert replace(RETRIEVE, steps=RETRIEVE.steps[::-1])


def test_decoupled_must_be_declared():
    contract = replace(RAG.contract, decoupled=False)
    assert faults(RAG, contract=contract) == [
        "graph is declared decoupled=False, its steps are decoupled"
    ]
    contract = replace(EMBED.contract, decoupled=True)
    assert faults(EMBED, contract=contract) == [
        "graph is declared decoupled=True, its steps are not decoupled"
    ]


def test_nothing_may_follow_a_decoupled_step():
    shout = ModelContract(
        "shout", (tensor("text_output", DType.STRING, 1),), (tensor("loud", DType.STRING, 1),)
    )
    contract = replace(RAG.contract, outputs=(*RAG.contract.outputs, shout.outputs[0]))
    found = faults(RAG, contract=contract, steps=(*RAG.steps, Step(shout)))
    assert found == [
        "step 17 (shout): reads 'text_output' of decoupled step 16 (llm); "
        "a decoupled step must be last (no order, no back-pressure after it)",
        "graph output 'loud': must come from decoupled step 16 (llm)",
    ]


def test_a_stream_may_not_carry_tensors_of_earlier_steps():
    early = tensor("ranked_sources", DType.STRING, "sources")
    contract = replace(RAG.contract, outputs=(*RAG.contract.outputs, early))
    assert faults(RAG, contract=contract) == [
        "graph output 'ranked_sources': must come from decoupled step 16 (llm)"
    ]


def test_unknown_names_in_maps_list_what_exists():
    found = faults(EMBED, steps=with_step(EMBED, 0, inputs={"txt": "x"}))
    inputs = "input_text, input_type, truncate, query_text"
    assert f"step 1 (tokenizer): no input 'txt'; it has {inputs}" in found
    found = faults(EMBED, steps=with_step(EMBED, 0, outputs={"ids": "x"}))
    assert "step 1 (tokenizer): no output 'ids'; it has input_ids, attention_mask" in found


def test_unread_tensors_and_inputs():
    contract = replace(EMBED.contract, inputs=(*EMBED.contract.inputs, *SAMPLING[:1]))
    found = faults(EMBED, contract=contract, steps=with_step(EMBED, 1, inputs={}))
    assert found == ["graph input 'max_tokens': nothing reads it"]
    found = faults(ENSEMBLE, steps=(Step(LLM),))
    assert "step 1 (llm): nothing reads tensor 'citations'" in found


def test_an_optional_graph_input_cannot_feed_a_required_one():
    inputs = tuple(replace(spec, optional=True) for spec in RERANK.contract.inputs)
    assert faults(RERANK, contract=replace(RERANK.contract, inputs=inputs)) == [
        f"step 1 (pair_tokenizer): input '{name}': is required, "
        f"but graph input '{name}' is optional"
        for name in ("query", "passages")
    ]


def test_an_optional_input_that_is_mapped_must_exist():
    steps = with_step(RETRIEVE, 5, inputs={"num_candidates": "how_many"})
    assert (
        "step 6 (passage_selector): input 'num_candidates': nothing gives tensor 'how_many'"
        in faults(RETRIEVE, steps=steps)
    )
    inputs = tuple(s for s in RETRIEVE.contract.inputs if s.name != "num_candidates")
    assert replace(RETRIEVE, contract=replace(RETRIEVE.contract, inputs=inputs))


def test_a_graph_output_that_no_step_gives():
    outputs = (*EMBED.contract.outputs, *GENERATION[:1])
    assert faults(EMBED, contract=replace(EMBED.contract, outputs=outputs)) == [
        "graph output 'text_output': no step gives it"
    ]


def test_all_faults_come_at_once():
    broken = with_input(with_input(PASSAGE_SELECTOR, "passages", dtype=DType.FP32), "x")
    lost = {"candidates": "lost", "candidates_in_context": "lost_too"}
    steps = with_step(RETRIEVE, 5, model=broken, outputs=lost)
    found = faults(RETRIEVE, steps=steps)
    assert len(found) == 6
    assert {line.split(":")[0] for line in found} == {
        "step 6 (passage_selector)",
        "step 9 (pair_tokenizer)",
        "step 11 (source_ranker)",
    }


def test_only_streams_with_a_batch_dimension_split_rows():
    assert [graph.name for graph in SHIPPED if graph.splits_rows] == ["ensemble"]


@pytest.mark.parametrize("graph", SHIPPED, ids=lambda graph: graph.name)
def test_every_name_that_a_client_sees_can_be_searched_for(graph):
    folder = Path(ensembles.__file__).parent
    declared = {
        name
        for file in folder.glob("*.py")
        for name in re.findall(r'(?:tensor|optional|TensorSpec)\(\s*"(\w+)"', file.read_text())
    }
    seen = {spec.name for spec in (*graph.contract.inputs, *graph.contract.outputs)}
    assert seen <= declared


def test_symbolic_sizes_become_minus_one():
    assert TOKENIZER.outputs[0].shape == (-1, -1)
    assert str(TOKENIZER.outputs[0]) == "input_ids INT64[texts, tokens]"
