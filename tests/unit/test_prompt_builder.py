"""`prompt_builder`: the most relevant sources that fit, in exactly this form."""

import json

import numpy as np
import pytest

from ensembles.manifest import Sampling
from python_backends.prompt_builder import SYSTEM, PromptBuilderStage
from python_backends.stage import RequestError
from tests.fakes import folders
from tests.fakes.serving import context, strings, tensors


@pytest.fixture
def make_stage(tmp_path):
    def make(max_tokens: int = 2000) -> PromptBuilderStage:
        path = tmp_path / "cpu"
        folders.make_folder(
            path, folders.chat_tokenizer(), "llm", max_tokens, Sampling(max_tokens=10)
        )
        return PromptBuilderStage(context(path))

    return make


def request(*sources: str, question: str = "Who?", **values):
    count = len(sources)
    return tensors(
        question=question,
        sources=strings(*sources),
        source_document=np.arange(count, dtype=np.int32) + 10,
        source_similarity=np.linspace(1, 0, count, dtype=np.float32),
        source_relevance=np.linspace(9, 1, count, dtype=np.float32),
        **values,
    )


def user_of(answer) -> str:
    system, user = json.loads(answer["messages"][0])
    assert system == {"role": "system", "content": SYSTEM}
    assert user["role"] == "user"
    return user["content"]


def test_the_prompt_to_the_letter(make_stage):
    answer = make_stage().answer(
        request("First source.", "Line one\n\n  line two", question="A\nb?")
    )
    assert user_of(answer) == ("[1] First source.\n[2] Line one line two\n\nQuestion: A\nb?")


def test_sources_and_scores_travel_with_the_prompt(make_stage):
    answer = make_stage().answer(request("a", "b"))
    assert answer["prompt_sources"].tolist() == [b"a", b"b"]
    assert answer["prompt_source_document"].tolist() == [10, 11]
    assert answer["prompt_source_relevance"].tolist() == [9, 1]
    assert answer["prompt_source_similarity"].tolist() == [1, 0]


def test_the_least_relevant_are_dropped_until_it_fits(make_stage, tmp_path):
    texts = [f"source {n} " + "word " * 20 for n in range(8)]
    roomy = make_stage()
    one, three = (roomy._tokens(roomy._messages("Who?", texts[:count])) for count in (1, 3))
    (tmp_path / "cpu").rename(tmp_path / "roomy")
    stage = make_stage(max_tokens=three + 10 + 1)  # three sources, ten tokens of answer, one spare
    answer = stage.answer(request(*texts))
    assert answer["prompt_source_document"].tolist() == [10, 11, 12]
    assert user_of(answer).count("word") == 60
    assert "[1] source 0" in user_of(answer)
    assert "source 3" not in user_of(answer)
    fewer = stage.answer(request(*texts, max_tokens=three + 11 - one))
    assert fewer["prompt_source_document"].tolist() == [10], "a longer answer leaves less room"


@pytest.mark.parametrize("sources", [("x",), ("x", "y", "z"), ()])
def test_a_question_that_fits_with_no_choice_of_sources_is_refused(make_stage, sources):
    with pytest.raises(RequestError) as caught:
        make_stage(max_tokens=100).answer(request(*sources, question="why " * 200))
    assert str(caught.value).startswith("question: ")
    assert str(caught.value).endswith("90 fit beside the answer in 100")


@pytest.mark.parametrize("asked", [0, -1, 2000, 5000])
def test_an_answer_as_long_as_the_context_is_refused(make_stage, asked):
    with pytest.raises(RequestError, match=f"max_tokens: {asked} given; from 1 to 1999"):
        make_stage().answer(request("a", max_tokens=asked))


def test_a_question_is_needed(make_stage):
    with pytest.raises(RequestError, match=r"question\[0\]: empty"):
        make_stage().answer(request("a", question="  "))


def test_template_syntax_in_sources_and_questions_is_only_text(make_stage):
    answer = make_stage().answer(request("{{ 1 + 1 }} <b>", question="{% raw %}?"))
    assert user_of(answer) == "[1] {{ 1 + 1 }} <b>\n\nQuestion: {% raw %}?"
