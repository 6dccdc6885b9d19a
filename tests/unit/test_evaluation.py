"""`evaluate`: the questions' format, the judgement of answers and passages, the figures."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from triton_rag import Answer, InvalidRequest, ServerFailed, Source
from triton_rag.cli import main
from triton_rag.cli.documents import DocumentsError
from triton_rag.cli.evaluation import by_split, measure
from triton_rag.cli.evaluation_tables import tables
from triton_rag.evaluation.corpora import Rankings, RequestDocuments
from triton_rag.evaluation.figures import figures, mean, percentile, share, wilson
from triton_rag.evaluation.outcomes import Outcome, ask_question, judged, rank, refuses
from triton_rag.evaluation.questions import Question, QuestionsError, check, read_questions
from triton_rag.evaluation.text import holds, share_of_words

from tests.evaluation.page import COLLECTION, OWNERS, joined

TALL = Question(
    "a", "How tall is it?", "tower.md", ("30 m", "thirty metres"), "The tower is 30 m tall."
)
UNKNOWN = Question("b", "Who built it?")


def document_of(found: Source) -> str:
    return ("bread.md", "tower.md")[found.document]


def source(
    text: str, document: int = 1, similarity: float = 0.5, relevance: float = 0.0, name: str = ""
) -> Source:
    return Source(text, document, similarity, relevance, name)


RIGHT = source("It is old. The tower is 30 m tall.")
WRONG = source("Bread weighs 30 m units.", document=0)


def answer(text: str, reason: str = "stop", citations: tuple[int, ...] = ()) -> Answer:
    return Answer(text, reason, 10, 5, sources=(WRONG, RIGHT), citations=citations)


# --- texts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("At most 1,024 passages.", "1024"),
        ("At most 1\u202f024\u00a0passages.", "1,024"),
        ("about 12'345'678 rows", "12345678"),
        ("It is  THIRTY\nmetres", "thirty metres"),
        ("call ``task_done()`` then", "task_done"),
        ("it’s “done”", 'it\'s "done"'),
        ("[:memory:]", ":memory:"),
        ("see notes.bak", ".bak"),
        ("首都は東京都です", "東京"),
    ],
)
def test_an_answer_is_found_however_it_is_written(text: str, expected: str) -> None:
    assert holds(text, (expected,))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("port 2200", "22"),
        ("port 1,022", "22"),
        ("ports 80 443", "80443"),
        ("version 3,1,024", "1024"),
        ("roots", "root"),
        ("", "22"),
    ],
)
def test_an_answer_is_whole_words(text: str, expected: str) -> None:
    assert not holds(text, (expected,))


def test_words_of_the_evidence_are_counted_once() -> None:
    assert share_of_words("the tower", "The tower is the tower") == pytest.approx(2 / 3)
    assert share_of_words("anything", "") == 0.0
    assert share_of_words("首都は東京です。", "東京です") == 1.0


# --- judgement -------------------------------------------------------------------------------


def test_a_passage_tells_with_document_answer_and_evidence() -> None:
    elsewhere = source("Nothing like that, but 30 m.")
    without_answer = source("The tower is tall.")
    assert rank(TALL, document_of, [WRONG, elsewhere, without_answer, RIGHT]) == 4
    assert rank(TALL, document_of, [WRONG, elsewhere, without_answer]) is None
    assert rank(UNKNOWN, document_of, [RIGHT]) is None


def test_ranks_in_each_order() -> None:
    right = source(RIGHT.text, similarity=0.9, relevance=-1.0, name="r")
    other = source("Else.", similarity=0.1, relevance=3.0, name="o")
    third = source("More.", similarity=0.2, relevance=1.0, name="t")
    rankings = Rankings(fused=["t", "x", "o", "r"], by_words=["o", "r", "x", "t"])
    found = judged(TALL, document_of, [other, right, third], rankings, answer("?"), 1.0)
    assert (found.served_rank, found.similarity_rank, found.relevance_rank) == (2, 1, 3)
    assert (found.fused_rank, found.words_rank) == (3, 2)


@pytest.mark.parametrize(
    ("given", "is_right", "is_cited_right", "is_refused"),
    [
        (answer("It is 30 m [2].", citations=(2, 1)), True, True, False),
        (answer("Thirty  Metres [1] [2].", citations=(1, 2)), True, False, False),
        (answer("“So tall.” [1]\n\n“It is 30 m [9].” [2]", citations=(1, 2)), True, True, False),
        (answer("“It is 30 m.” [1]\n\n“So tall.” [2]", citations=(1, 2)), True, False, False),
        (answer("It is 30 m."), True, False, False),
        (answer("It is 31 m [2].", citations=(2,)), False, False, False),
        (answer("Sorry: “30 m” [2]", "ungrounded", (2,)), False, False, True),
        (answer("The documents do not answer\nthis question."), False, False, True),
    ],
)
def test_answers(given: Answer, is_right: bool, is_cited_right: bool, is_refused: bool) -> None:
    found = judged(TALL, document_of, [RIGHT], Rankings(), given, 1.0)
    assert found.is_right == is_right
    assert found.is_cited_right == is_cited_right
    assert found.is_refused == is_refused


def test_a_citation_is_no_answer() -> None:
    first = Question("c", "Which?", "tower.md", ("1",), "The 1.")
    assert not judged(
        first, document_of, [], Rankings(), answer("It is none [1].", citations=(1,)), 1.0
    ).is_right
    assert judged(first, document_of, [], Rankings(), answer("It is 1 [2]."), 1.0).is_right


def test_refusals_of_ones_own_model() -> None:
    assert not refuses(answer("I cannot tell."))
    assert refuses(answer("I cannot  TELL."), ["I cannot tell"])


# --- figures ---------------------------------------------------------------------------------


def test_wilson_interval() -> None:
    """Newcombe, Two-sided confidence intervals for the single proportion (1998), table I."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share(counts: tuple[int, int]) -> None:
    hits, count = counts
    low, high = wilson(hits, count)
    assert 0.0 <= low <= hits / count + 1e-12
    assert hits / count - 1e-12 <= high <= 1.0


def test_mean_has_the_normal_interval() -> None:
    found = mean([0.0, 1.0, 0.5, 0.5])
    assert found.value == 0.5
    assert found.high - found.value == pytest.approx(1.96 * (1 / 6) ** 0.5 / 2, abs=1e-4)
    assert (mean([0.25]).low, mean([0.25]).high) == (0.0, 1.0)


def test_percentiles_are_nearest_ranks() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, part) for part in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([], 0.5) == 0.0


def test_figures() -> None:
    outcomes = [
        Outcome(TALL, 1, 2, None, is_right=True, is_cited_right=True, seconds=1.0),
        Outcome(TALL, 4, 1, None, is_right=True, seconds=2.0),
        Outcome(TALL, 11, None, 1, is_refused=True, seconds=3.0),
        Outcome(TALL, error="TimedOut: too slow"),
        Outcome(UNKNOWN, is_refused=True, seconds=4.0),
        Outcome(UNKNOWN, seconds=5.0),
    ]
    found = figures(outcomes)
    served = {name: figure.value for name, figure in found.retrieval["as served"].items()}
    assert served == {
        "recall@1": 0.25, "recall@3": 0.25, "recall@10": 0.5, "MRR@10": (1 + 1 / 4) / 4
    }  # fmt: skip
    assert found.retrieval["by relevance"]["recall@1"].value == 0.25
    assert (found.answerable, found.unanswerable, found.errors) == (4, 2, 1)
    assert (found.right.value, found.cited_right.value, found.cited_right.count) == (0.5, 0.5, 2)
    assert (found.refused_wrongly.value, found.refused_rightly.value) == (0.25, 0.5)
    assert (found.p50_s, found.p99_s) == (3.0, 5.0)


def test_nothing_counted_is_no_figure() -> None:
    rows = tables({"all": figures([Outcome(UNKNOWN, seconds=1.0)])})
    assert rows["answers"][0]["right"] == "-"
    assert rows["retrieval"][0]["MRR@10"] == "-"
    assert rows["answers"][0]["refused rightly"] == "0% (0-79)"
    assert str(share([]).count) == "0"


def test_splits_and_all() -> None:
    first = Outcome(Question("a", "?", split="tune"))
    second = Outcome(Question("b", "?", split="held_out"))
    assert list(by_split([first, second])) == ["held_out", "tune", "all"]
    assert by_split([first]) == {"all": [first]}


# --- the file of questions -------------------------------------------------------------------


def write(folder: Path, *lines: object) -> Path:
    path = folder / "questions.jsonl"
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


GOOD = {
    "id": "a",
    "question": "How tall?",
    "document": "sub/tower.md",
    "answers": ["30 m"],
    "evidence": "The tower\nis 30 m tall.",
}
TOWER = {"sub/tower.md": "It is old. The  tower is\n30 m tall."}


def test_questions_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, "", {"id": "b", "question": "Why?", "answers": [], "split": "x"})
    first, second = read_questions(path)
    assert (first.answers, first.line, first.is_answerable) == (("30 m",), 1, True)
    assert (second.answers, second.line, second.is_answerable) == ((), 3, False)
    check(path, [first, second], TOWER)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ("[" * 100_000, "not JSON: too deep"),
        ({"id": "b"}, "no field 'question'"),
        ({"id": "b", "question": " "}, "'question' is empty"),
        ({"id": 3, "question": "Why?"}, "'id' must be a string"),
        ({"id": "b", "question": None}, "'question' must be a string"),
        ({**GOOD, "id": "b", "answer": "x"}, "no field 'answer' is known; possible are id"),
        ({**GOOD, "id": "b", "answers": "30 m"}, "'answers' must be a list of strings"),
        ({**GOOD, "id": "b", "answers": [30]}, "'answers' must be a list of strings"),
        ({**GOOD, "id": "b", "answers": ["30", " "]}, "'answers' has an empty one"),
        ({**GOOD, "id": "b", "evidence": " "}, "document, answers without evidence"),
        ({"id": "b", "question": "?", "document": "x"}, "document without answers, evidence"),
        ({"id": "b", "question": "?", "split": "all"}, "'split' is 'all', which names all"),
        (GOOD, "id 'a' is that of line 1 too"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: object, message: str) -> None:
    with pytest.raises(QuestionsError) as error:
        read_questions(write(tmp_path, GOOD, line))
    assert f"line 2: {message}" in str(error.value)
    assert "line 1:" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"document": "tower.md"}, "no document 'tower.md'"),
        ({"evidence": "The tower is 31 m or 30 m tall."}, "the evidence is not in 'sub/tower.md'"),
        ({"answers": ["3"]}, "no answer is in the evidence"),
        ({"folder": "other"}, "document 'sub/tower.md' is not in folder 'other'"),
    ],
)
def test_what_the_documents_do_not_hold(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = write(tmp_path, "", {**GOOD, **change})
    with pytest.raises(QuestionsError, match=f"line 2: {message}"):
        check(path, read_questions(path), TOWER)


def test_many_faults_are_counted(tmp_path: Path) -> None:
    with pytest.raises(QuestionsError, match=r"line 10: .*\nand 5 more$"):
        read_questions(write(tmp_path, *["{"] * 15))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(QuestionsError, match=r"questions.jsonl: no questions"):
        read_questions(write(tmp_path, "", " "))
    (tmp_path / "latin.jsonl").write_bytes(b"\xff")
    with pytest.raises(QuestionsError, match=r"latin.jsonl: not UTF-8 \(byte 0\)"):
        read_questions(tmp_path / "latin.jsonl")
    with pytest.raises(QuestionsError, match="No such file"):
        read_questions(tmp_path / "none.jsonl")


# --- the command -----------------------------------------------------------------------------


class SimulatedClient:
    """Knows one passage; fails for questions with the word 'fail'."""

    def __init__(self, refuses_folder: bool = False) -> None:
        self.sent: list[tuple[str, int]] = []
        self._refuses_folder = refuses_folder

    def retrieve(self, question: str, documents: list[str], **options: int) -> list[Source]:
        self.sent.append((question, len(documents)))
        if self._refuses_folder:
            raise InvalidRequest("documents: 2 given, which make 3,000 passages")
        return [source(documents[-1], len(documents) - 1)]

    def ask(self, question: str, documents: list[str]) -> Answer:
        if "fail" in question:
            raise ServerFailed("the model has failed")
        return answer("It is 30 m [2].", citations=(2,))


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    (tmp_path / "docs" / "sub").mkdir(parents=True)
    (tmp_path / "docs" / "sub" / "bread.md").write_text("Bread is baked.")
    (tmp_path / "docs" / "sub" / "tower.md").write_text(TOWER["sub/tower.md"])
    return tmp_path / "docs"


def test_a_failed_question_does_not_end_the_run(tmp_path: Path, documents: Path) -> None:
    failing = {"id": "b", "question": "Does it fail?", "folder": "sub"}
    path = write(tmp_path, failing, {**GOOD, "folder": "sub"})
    client = SimulatedClient()
    first, second = measure(client, path, documents)  # type: ignore[arg-type]
    assert first.error == "ServerFailed: the model has failed"
    assert (second.served_rank, second.is_right, second.error) == (1, True, "")
    assert {count for _, count in client.sent} == {2}


def test_an_error_tells_no_text() -> None:
    corpus = RequestDocuments(SimulatedClient(), [], ["secret"])  # type: ignore[arg-type]
    found = ask_question(corpus, Question("b", "fail"))
    assert found.error == "ServerFailed: the model has failed"


def test_documents_that_do_not_fit_are_refused(tmp_path: Path, documents: Path) -> None:
    path = write(tmp_path, {**GOOD, "folder": "sub"})
    client = SimulatedClient(refuses_folder=True)
    with pytest.raises(DocumentsError, match=r"folder 'sub' can't be sent .* 3,000 passages"):
        measure(client, path, documents)  # type: ignore[arg-type]


def test_a_question_whose_folder_is_not_there(
    tmp_path: Path, documents: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, GOOD, {"id": "b", "question": "?", "folder": "none"})
    assert main(["evaluate", str(path), "--documents", str(documents)]) == 2
    assert "line 2: " in (said := capsys.readouterr().err)
    assert "none: no such folder" in said


def test_a_server_that_is_not_there(
    tmp_path: Path, documents: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, GOOD)
    given = ["evaluate", str(path), "--documents", str(documents), "--url", "unix:/nowhere/x"]
    assert main(given) == 1
    assert "no connection to a Triton server" in capsys.readouterr().err


def test_a_target_that_cannot_be_written_is_refused_before_the_run(
    tmp_path: Path, documents: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, GOOD)
    given = ["evaluate", str(path), "--documents", str(documents), "--url", "unix:/nowhere/x"]
    assert main([*given, "--json", str(tmp_path / "none" / "raw.json")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_each_run_writes_its_part_of_the_page() -> None:
    collection, owners = f"{COLLECTION}\nold\n", f"{OWNERS}\nold\n"
    page = joined(joined(joined("", "# Evaluation\n"), owners), collection)
    assert page == f"# Evaluation\n{collection}{owners}"
    assert joined(page, "# New\n") == f"# New\n{collection}{owners}"
    for mark, left in (
        (COLLECTION, f"{COLLECTION}\nnew\n{owners}"),
        (OWNERS, f"{collection}{OWNERS}\nnew\n"),
    ):
        assert joined(page, f"{mark}\nnew\n") == f"# Evaluation\n{left}"
