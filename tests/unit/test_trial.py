"""A build's trial of an engine folder: the sample prompt, and answers alone and together."""

import json

import pytest

from ensembles.manifest import Prompt, Sampling
from python_backends import trial
from python_backends.engines.llm_engine import Delta
from tests.fakes import folders, sum_encoder
from tests.fakes.serving import FakeLlm


def folder(path, max_tokens: int = 2000, **options):
    sampling = Sampling(max_tokens=10)
    return folders.make_folder(
        path / "cpu", folders.chat_tokenizer(), "llm", max_tokens, sampling, **options
    )


def ask(tmp_path, kind: str, **question):
    asked, answered = tmp_path / "question.json", tmp_path / "answer.json"
    asked.write_text(json.dumps(question), encoding="utf-8")
    trial.main(kind, str(asked), str(answered))
    return json.loads(answered.read_text(encoding="utf-8"))


def test_the_prompt_of_a_sample_question_is_rendered_and_its_end_of_turn_found(tmp_path):
    tokenizer = folders.chat_tokenizer()
    answer = ask(tmp_path, "prompt", folder=str(folder(tmp_path)))
    prompt = tokenizer.decode(answer["prompt_ids"])
    assert trial.QUESTION in prompt
    assert all(source in prompt for source in trial.SAMPLE_SOURCES)
    assert answer["end_of_turn"] == [tokenizer.token_to_id("<|end|>")]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_tokens": 64}, "54 fit beside the answer in 64; raise max_tokens"),
        ({"chat_template": "{{ f() }}"}, "template refuses them: 'f' is undefined"),
        ({"chat_template": "{% for"}, "the chat template is not valid Jinja: line 1"),
        ({"chat_template": "{{ 1 + 'a' }}"}, "template fails on them: TypeError"),
        ({"chat_template": "{{ messages[0].role }}"}, "leaves out 'Which port"),
        ({"chat_template": None}, "no chat template"),
        ({"prompt": Prompt(user="{{ qestion }}")}, "user template fails: 'qestion' is undefined"),
        ({"chat_template": f"{{{{ {'(' * 3000}1{')' * 3000} }}}}"}, "nested too deeply"),
        ({"prompt": Prompt(user="{{ 'a' * 2**25 }}")}, "at most 33554432 are possible"),
        ({"prompt": Prompt(user="{% if %}")}, "user template is not valid Jinja: line 1"),
        ({"prompt": Prompt(user="{{ question }}")}, "leaves out 'The gateway listens"),
        ({"prompt": Prompt(user="{{ sources[0] }}")}, "leaves out 'Which port"),
    ],
)
def test_what_would_fail_at_the_first_question_is_said(tmp_path, options, says):
    answer = ask(tmp_path, "prompt", folder=str(folder(tmp_path, **options)))
    assert says in answer["error"]
    assert "\n" not in answer["error"]


LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}INNER{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    "options",
    [
        {"chat_template": LOOPS.replace("INNER", "")},
        {"chat_template": f"{LOOPS.replace('INNER', '')}{{{{ raise_exception('no') }}}}"},
        {"prompt": Prompt(user=LOOPS.replace("INNER", ""))},
    ],
)
def test_a_template_that_does_not_end_is_ended(tmp_path, monkeypatch, options):
    monkeypatch.setattr(trial, "TEMPLATES_CPU_S", 0.2)
    answer = ask(tmp_path, "prompt", folder=str(folder(tmp_path, **options)))
    assert "takes more than 0.2 s of CPU for a sample question" in answer["error"]


def test_a_template_that_writes_for_ever_is_ended(tmp_path):
    written = LOOPS.replace("INNER", "a" * 9999)
    answer = ask(tmp_path, "prompt", folder=str(folder(tmp_path, chat_template=written)))
    assert "characters of them and more; at most 33554432 are possible" in answer["error"]


def test_an_answer_has_an_end_only_where_the_template_writes_one(tmp_path):
    template = "{% for m in messages %}{{ m.content }}\n\n{% endfor %}"
    answer = ask(tmp_path, "prompt", folder=str(folder(tmp_path, chat_template=template)))
    assert answer["end_of_turn"] == []


class Reciting(FakeLlm):
    """Answers each prompt with its ids, one more each, in two deltas."""

    def submit(self, prompt_ids, params, sink):
        number = super().submit(prompt_ids, params, sink)
        assert params.greedy and params.max_tokens == 3
        sink(Delta(tuple(i + 1 for i in prompt_ids)))
        sink(Delta((9,), "length"))
        return number


def test_prompts_are_answered_alone_and_together(tmp_path, monkeypatch):
    engine = Reciting()
    monkeypatch.setattr(trial, "load_llm_engine", lambda *_: engine)
    answer = ask(
        tmp_path,
        "generate",
        folder=str(folder(tmp_path)),
        parameters={"num_threads": "1"},
        prompts=[[1, 2], [5]],
        max_tokens=3,
    )
    assert answer == {"alone": [[2, 3, 9], [6, 9]], "together": [[2, 3, 9], [6, 9]]}
    assert engine.is_closed


def test_an_engine_that_fails_is_said_to(tmp_path, monkeypatch):
    engine = FakeLlm()
    monkeypatch.setattr(engine, "submit", lambda ids, params, sink: sink(Delta((), "error")))
    monkeypatch.setattr(trial, "load_llm_engine", lambda *_: engine)
    answer = ask(
        tmp_path, "generate", folder=str(folder(tmp_path)), parameters={}, prompts=[[1]],
        max_tokens=3,
    )  # fmt: skip
    assert answer == {"error": "the engine ended a request with an error: build/logs/ says which"}
    assert engine.is_closed


def test_a_text_is_embedded_as_text_query_and_passage(tmp_path):
    parameters = {
        "engine": "onnxruntime",
        "provider": "cpu",
        "num_threads": "1",
        "cached_rows": "0",
    }
    asked = {"folder": str(sum_encoder.folder(tmp_path / "engine")), "parameters": parameters}
    found = ask(tmp_path, "encode", **asked, query="a", texts=["a", "b"])
    assert len(found["alone"]) == 3 * 2
