"""Which source an answer rests on, and what the policy does with it."""

from dataclasses import replace

import numpy as np
import pytest

from ensembles.manifest import AnswerPolicy
from python_backends.generation.answer import UNGROUNDED, GroundedAnswer
from python_backends.generation.grounding import (
    Evidence,
    first_sentence_end,
    written_sentences,
)
from python_backends.generation.words import copied_share, words

PUMP = "The pump P7 starts at 4.2 bar. It was made in Ulm and weighs 1,250 kg.\nSee page 12."
SHIP = "The harbour of Tarn opens at six. Ships pay 30 crowns a night."


@pytest.mark.parametrize(
    ("answer", "source", "share", "quote"),
    [
        ("It starts at 4.2 bar.", 1, 1.0, "The pump P7 starts at 4.2 bar."),
        ("Ships pay 30 crowns.", 2, 1.0, "Ships pay 30 crowns a night."),
        ("1250", 1, 1.0, "It was made in Ulm and weighs 1,250 kg."),
        ("Ulm", 1, 1.0, "It was made in Ulm and weighs 1,250 kg."),
        ("It starts at 9.9 bar.", 1, 0.0, "The pump P7 starts at 4.2 bar."),
        ("Ships pay gold nightly.", 2, 0.5, "Ships pay 30 crowns a night."),
        ("It starts at 4.2 bar in Ulm.", 1, 1.0, "The pump P7 starts at 4.2 bar."),
        ("It starts at 4.2 bar, see page.", 1, 0.6, "The pump P7 starts at 4.2 bar."),
    ],
)
def test_a_sentence_rests_on_the_source_with_its_words_and_numbers(answer, source, share, quote):
    support = Evidence([PUMP, SHIP], "what is it?").support(answer)
    assert (support.source, support.share, support.quote) == (source, pytest.approx(share), quote)


def test_a_heading_does_not_go_on_in_the_next_line():
    heading = "2. Deferred transactions\n\nWrites wait for the lock."
    assert Evidence([heading], "").support("Deferred writes").share == 0.5
    sentence = "They may be deferred. Writes wait for the lock."
    assert Evidence([sentence], "").support("Deferred writes").share == 1.0


def test_words_of_the_question_prove_nothing():
    evidence = Evidence([PUMP, SHIP], "Where was the pump made?")
    assert evidence.support("The pump was made in Oslo.").share == 0.0
    assert evidence.support("The pump was made in Ulm.").share == 1.0
    assert evidence.support("The pump was made.").share == 1.0, "nothing new: all its words count"


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("東京の天気は晴れです。気温は25度です。", "天気は晴れ"),
        ("Помпа включается при 4,2 бар.", "включается при 4,2 бар"),
        ("The valve is red. Das Ventil ist rot.", "Das Ventil ist rot."),
        ("L'écluse ferme à midi.", "FERME À MIDI"),
        ("Lɪmit: ４２ bar", "42 bar"),  # full-width digits
        ("पंप सुबह नौ बजे चलता है। यह लाल है।", "पंप सुबह नौ बजे चलता है।"),
        ("หน้าต่างเปิดตอนเช้าทุกวัน", "เปิดตอนเช้า"),
    ],
)
def test_every_script_counts(source, answer):
    evidence = Evidence(["Something else altogether. बजी बह नि चलत हे पा सो", source], "")
    assert (evidence.support(answer).source, evidence.support(answer).share) == (2, 1.0)


@pytest.mark.parametrize("answer", ["", "…", "?!", "of the"])
def test_a_sentence_without_words_has_no_support(answer):
    assert Evidence([PUMP], "").support(answer) is None


def test_no_sources_support_nothing():
    assert Evidence([], "why?").support("Because.") is None


def test_numbers_are_compared_without_their_separators():
    assert words("1,250 kg, 4.2 bar, 12.") == {"1250", "kg", "4.2", "bar", "12"}


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (
            "Set 4.2 bar, e.g. by hand. Then wait! Done",
            ["Set 4.2 bar, e.g. by hand.", "Then wait!", "Done"],
        ),
        ("今日は。明日は！", ["今日は。", "明日は！"]),
        ("one\n\n  two  \n", ["one", "two"]),
        (
            "a line that is not wrapped\nand the next",
            ["a line that is not wrapped", "and the next"],
        ),
    ],
)
def test_a_models_sentences_and_lines(text, pieces):
    assert written_sentences(text) == pieces


@pytest.mark.parametrize(
    ("text", "end"), [("It is. ", None), ("It is. B", 6), ("It is 4.", None), ("\n A. B", 4)]
)
def test_a_first_sentence_ends_where_the_next_begins(text, end):
    assert first_sentence_end(text) == end


def run(policy: AnswerPolicy, *pieces: str, similarity=0.9, is_checked=True):
    answer = GroundedAnswer(policy, [PUMP, SHIP], "At what pressure?", similarity, is_checked)
    sent = []
    for piece in pieces:
        if answer.reason:
            break
        sent.append(answer.push(piece))
    return answer, [*sent, answer.flush()]


REFUSE = AnswerPolicy(
    cite="attribution", min_grounded=0.4, ungrounded="refuse", refusal="Not told."
)


def test_a_first_sentence_is_held_until_it_is_known_to_rest_on_a_source():
    answer, sent = run(REFUSE, "It starts", " at 4.2", " bar. ", "It", " is blue.")
    assert sent == ["", "", "", "It starts at 4.2 bar. It", " is blue.", ""]
    outputs = answer.outputs()
    assert (answer.reason, outputs["citations"].tolist()) == ("", [1])
    assert outputs["statements"] == ["It starts at 4.2 bar."]
    assert outputs["quotes"] == ["The pump P7 starts at 4.2 bar."]
    assert outputs["quote_source"].tolist() == [1]
    assert outputs["grounded"] == pytest.approx(0.5), "the mean of both sentences"


def test_an_answer_that_no_source_supports_is_replaced_before_its_text_is_sent():
    answer, sent = run(REFUSE, "It starts at 9 bar. ", "Or", " not.")
    assert sent == ["", "", "Not told."]
    assert answer.reason == UNGROUNDED
    assert answer.outputs()["citations"].tolist() == answer.outputs()["quotes"] == []


QUOTE = AnswerPolicy(
    cite="attribution",
    first_sentence_only=True,
    min_grounded=0.9,
    ungrounded="quote",
    quote_sentences=2,
    refusal="Not told.",
)


@pytest.mark.parametrize("written", ["It starts at 9 bar. Or", "Nobody knows", "", "At pressure?"])
def test_a_policy_quotes_the_best_source_instead_of_what_it_does_not_say(written):
    answer, sent = run(QUOTE, written)
    assert (
        "".join(sent)
        == "“The pump P7 starts at 4.2 bar. It was made in Ulm and weighs 1,250 kg.” [1]"
    )
    outputs = answer.outputs()
    assert (answer.reason, outputs["citations"].tolist()) == ("stop", [1])
    assert (
        outputs["quotes"]
        == outputs["statements"]
        == [
            "The pump P7 starts at 4.2 bar.",
            "It was made in Ulm and weighs 1,250 kg.",
        ]
    )
    assert outputs["grounded"].tolist() == [1.0]


def test_an_answer_in_the_words_of_the_source_is_not_replaced_by_a_quote():
    answer, sent = run(QUOTE, "Pump P7 starts at 4.2 bar. ", "Bye")
    assert (answer.reason, "".join(sent)) == ("stop", "Pump P7 starts at 4.2 bar.")


@pytest.mark.parametrize(
    ("question", "source", "written"),
    [  # what SmolLM2-135M wrote: every word of meaning stands in the source
        (
            "Can VACUUM change row ids?",
            "The VACUUM command may change the row ids of entries in any tables.",
            "The VACUUM command does not change row ids.",
        ),
        (
            "How large may a write to a pipe be on Linux to stay in one piece?",
            "A write of 4096 bytes to a pipe on Linux stays in one piece, and it has 16 pages.",
            "A write to a pipe on Linux to stay in one piece is 16 bytes.",
        ),
    ],
)
def test_words_of_the_source_in_another_order_say_something_else(question, source, written):
    answer = GroundedAnswer(QUOTE, [source], question, 0.9, is_checked=True)
    assert answer.push(written) + answer.flush() == f"“{source}” [1]"


@pytest.mark.parametrize(
    ("sentence", "text", "share"),
    [
        ("It starts at 1,250 bar", "So it starts at 1250 bar.", 1),
        ("It starts at 16 bar", "So it starts at 1250 bar.", 0.5),
        ("bar 1250 at", "It starts at 1250 bar.", 0),
        ("1250", "It starts at 1250 bar.", 1),
        ("16", "It starts at 1250 bar.", 0),
        ("東京の天気", "昨日の東京の天気は晴れ", 1),
        ("?!", "It starts.", 0),
        ("", "", 0),
    ],
)
def test_a_copy_has_the_words_of_its_text_side_by_side(sentence, text, share):
    assert copied_share(sentence, text) == share


def test_a_model_that_only_repeats_the_question_has_not_answered():
    question = "Was the pump made in Ulm?"
    for policy, reason in ((QUOTE, "“"), (REFUSE, "The pump")):
        answer = GroundedAnswer(policy, [PUMP], question, 0.9, is_checked=True)
        text = answer.push("The pump was made in Ulm. So") + answer.flush()
        assert text.startswith(reason)


TRANSACTIONS = """\
2.2. DEFERRED, IMMEDIATE, and EXCLUSIVE transactions
Transactions can be DEFERRED, IMMEDIATE, or EXCLUSIVE. The default transaction behavior is DEFERRED.
DEFERRED means that the transaction does not actually start until the database is first accessed. \
Internally, the BEGIN DEFERRED statement merely sets a flag."""


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        (  # a model that runs the heading into its sentence: every word stands in the source
            "The default transaction behavior is DEFERRED, IMMEDIATE, and EXCLUSIVE transactions.",
            "“The default transaction behavior is DEFERRED. DEFERRED means that the transaction "
            "does not actually start until the database is first accessed.” [1]",
        ),
        ("The default transaction behavior is DEFERRED.",) * 2,
    ],
)
def test_a_model_must_say_what_the_source_says_about_the_question(written, sent):
    question = "What is the default transaction behavior?"
    answer = GroundedAnswer(QUOTE, [TRANSACTIONS], question, 0.9, is_checked=True)
    assert answer.push(written) + answer.flush() == sent


def test_a_question_of_the_source_is_no_answer():
    source = "(5) Can two programs open one file?\n\nBoth can read it. Only one can write."
    answer = GroundedAnswer(QUOTE, [source], "Can two programs open one file?", 0.9, True)
    sent = answer.push("(5) Can two programs open one file.") + answer.flush()
    assert sent == "“Both can read it. Only one can write.” [1]"


def test_a_quote_rests_on_all_its_sentences():
    source = "Payload of a message\n\nmessage size\nIt has up to 8000 bytes.\nAnd no less than one."
    answer = GroundedAnswer(QUOTE, [source], "Which payload?", 0.9, is_checked=True)
    answer.push("Nobody knows")
    assert "[1]" in answer.flush()
    outputs = answer.outputs()
    assert outputs["grounded"].tolist() == [1.0]
    assert outputs["quotes"] == outputs["statements"] == source.split("\n")[2:]


@pytest.mark.parametrize("written", ["It sets a flag.", "12 12 12.", "Flag", "Отложенная", "🙂"])
def test_an_answer_that_says_less_about_the_question_than_the_source_is_a_quote(written):
    question = "What is the default transaction behavior?"
    answer = GroundedAnswer(QUOTE, [TRANSACTIONS], question, 0.9, is_checked=True)
    sent = answer.push(written) + answer.flush()
    assert sent.startswith("“The default transaction behavior is DEFERRED. ")


@pytest.mark.parametrize(
    ("question", "count", "quote"),
    [
        ("Who made the pump in Ulm?", 1, "A smith made it\nin Ulm."),
        ("Who made it in Ulm?", 2, "A smith made it\nin Ulm. See page 12."),
        ("Which page?", 2, "See page 12."),
    ],
)
def test_a_quote_begins_with_the_sentence_closest_to_the_question(question, count, quote):
    source = "The pump starts at 4.2 bar, and not before. A smith made it\nin Ulm. See page 12."
    assert Evidence([source], question).quotes(count)[0].text == quote


@pytest.mark.parametrize(
    ("source", "quote"),
    [
        (
            "Run pip. Set it to five. Limits slow a gateway.",
            "Set it to five. Limits slow a gateway.",
        ),
        ("Set it to five. It limits the gateway.", "Set it to five. It limits the gateway."),
        ("Run pip. Set it to five. This limits a gateway.", ""),
        ("Set it to five. Four limits of a gateway stay.", "Four limits of a gateway stay."),
        ("Set it to five.\n\nLimits\n\nA gateway is slow.", "A gateway is slow."),
        ("Set it to five.\n1. Limits slow a gateway.", "1. Limits slow a gateway."),
        ("limit\n\n    Four limits of a gateway.", "Four limits of a gateway."),
    ],
)
def test_a_quote_begins_one_sentence_earlier_if_its_first_lacks_a_word(source, quote):
    question = "Which four limits has a gateway?"
    assert Evidence([source], question).quotes(2)[0].text == (quote or source)


@pytest.mark.parametrize(
    ("source", "quote"),
    [
        ("It is old. Type ceto. This makes it. Done.", "Type ceto. This makes it. Done."),
        ("It is old. Type ceto. Thisbe makes it. Done.", "Thisbe makes it. Done."),
        ("Type ceto\n\n# Making\n\nThis makes it. Done.", "This makes it. Done."),
        ("This makes it. Done.", "This makes it. Done."),
    ],
)
def test_a_quote_begins_with_what_its_sentence_refers_to(source, quote):
    assert Evidence([source], "What makes it?").quotes(2)[0].text == quote


@pytest.mark.parametrize(
    ("relevance", "second"),
    [
        ([0.5, 0.5, 0.5, 0.5], 3),
        ([0.5, 0.3, 0.5, 0.3], 3),
        ([0.5, 0.5, 0.3, 0.5], None),  # it would be refused over the one that has the word
        ([0.5, 0.5], None),
        (None, 3),
    ],
)
def test_another_source_is_quoted_for_a_word_that_the_first_quote_lacks(relevance, second):
    sources = [PUMP, "The pump is blue.", "Seals hold the pump's pressure. They wear.", SHIP]
    question, policy = "At what pressure does the pump start?", replace(QUOTE, min_relevance=0.4)
    answer = GroundedAnswer(policy, sources, question, 0.9, True, relevance)
    sent = answer.push("Nobody knows") + answer.flush()
    first = "The pump P7 starts at 4.2 bar. It was made in Ulm and weighs 1,250 kg."
    more = f"\n\n“Seals hold the pump's pressure.” [{second}]" if second else ""
    assert sent == f"“{first}” [1]{more}"
    outputs, numbers = answer.outputs(), [second] if second else []
    assert outputs["citations"].tolist() == [1, *numbers]
    assert outputs["quote_source"].tolist() == [1, 1, *numbers]
    assert outputs["statements"][2:] == (["Seals hold the pump's pressure."] if second else [])


@pytest.mark.parametrize(("relevance", "second"), [(0.55, [2]), (0.45, [])])
def test_a_second_quote_needs_more_relevance_than_an_answer(relevance, second):
    sources, question = [PUMP, "Seals hold the pressure."], "At what pressure does the pump start?"
    policy = replace(QUOTE, min_relevance=0.4, second_quote_margin=0.1)
    answer = GroundedAnswer(policy, sources, question, 0.9, True, [0.42, relevance])
    answer.push("Nobody knows")
    answer.flush()
    assert answer.outputs()["citations"].tolist() == [1, *second]


def test_no_other_source_is_quoted_for_an_s():
    sources = ["The start of a pump is at 4 bar.", "A boiler is hot, and it's loud."]
    quotes = Evidence(sources, "What's the start of a pump?").quotes(3, [2])
    assert [quote.text for quote in quotes] == ["The start of a pump is at 4 bar."]


def test_quotes_are_cited_though_the_model_cites_by_itself():
    answer = GroundedAnswer(replace(QUOTE, cite="model"), [PUMP], "Which bar?", 0.9, True)
    assert answer.push("Nine [7]. So") == ""
    assert answer.flush().endswith("[1]")
    assert answer.outputs()["citations"].tolist() == [1]


def test_a_term_does_not_count_as_a_quoted_sentence():
    source = "payload\n\nThe string to be sent. It is quoted. There is a queue."
    quote = Evidence([source], "payload").quotes(2)[0]
    assert quote.text == "payload\n\nThe string to be sent. It is quoted."
    listed = "payload\n\n- alpha\n- beta\n- gamma\n- delta"
    quote = Evidence([listed], "payload").quotes(2)[0]
    assert quote.text == "payload\n\n- alpha\n- beta", "only one more"


INSTALLATION = """\
# Overview

The gateway is small.

## Installation

Run pip.   It takes a minute.
* Then restart the gateway.

Requirements of the gateway

Python is needed.

Getting help
------------
"""


@pytest.mark.parametrize(
    ("question", "quote"),
    [
        (
            "How does the installation go?",
            "Run pip. It takes a minute.\n* Then restart the gateway.",
        ),
        ("Who has to restart?", "Then restart the gateway."),
        ("What are its requirements?", "Python is needed."),
        ("What is small?", "The gateway is small."),
        ("Where do I get help?", "Getting help"),  # nothing stands below it here
    ],
)
def test_a_quote_has_no_heading_and_ends_with_its_section(question, quote):
    answer = GroundedAnswer(
        replace(QUOTE, quote_sentences=9), [INSTALLATION], question, 0.9, is_checked=True
    )
    assert answer.push("Nobody knows") + answer.flush() == f"“{quote}” [1]"
    assert all(statement in quote for statement in answer.outputs()["statements"])


@pytest.mark.parametrize(
    ("source", "quote"),
    [
        ("It rests. Then it goes on until", "It rests."),
        ("It rests.\n\n.. attribute:: Repr.maxother", "It rests."),
        ("It rests on:\n\n- a rock\n- the sea", "It rests on:\n\n- a rock\n- the sea"),
        ("It rests until", "It rests until"),
    ],
)
def test_a_quote_does_not_end_where_its_passage_breaks_off(source, quote):
    assert Evidence([source], "What rests?").quotes(8)[0].text == quote


def test_a_lone_line_is_quoted_with_the_next_section():
    source = "# VACUUM\n\nVACUUM name [ INTO file ]\n\n## Description\n\nIt rebuilds the file."
    assert Evidence([source], "VACUUM?").quotes(3)[0].text == source.removeprefix("# VACUUM\n\n")
    only = "# VACUUM\n\nVACUUM name [ INTO file ]\n\n## Description"
    assert Evidence([only], "VACUUM?").quotes(3)[0].text == "VACUUM name [ INTO file ]"


NOTES = """\
# Heating

Pressure 1.5 bar
Pump level 2

# To do

- buy for the kitchen:
  - milk
- call the plumber
- pay the plumber's bill of May
  before June, by bank

# Rules

The heating is off in summer.
"""


@pytest.mark.parametrize(
    ("question", "quote"),
    [
        ("Which pressure?", "Pressure 1.5 bar\nPump level 2"),  # not the next section
        ("When is the bill due?", "pay the plumber's bill of May\n  before June, by bank"),
        ("Whom?", "Pressure 1.5 bar\nPump level 2"),
        (
            "Which plumber?",
            "call the plumber\n- pay the plumber's bill of May\n  before June, by bank",
        ),
        ("What for the kitchen?", "buy for the kitchen:\n  - milk"),
    ],
)
def test_an_item_ends_its_quote_where_no_other_has_as_many_words(question, quote):
    assert Evidence([NOTES], question).quotes(3)[0].text == quote


@pytest.mark.parametrize(
    ("relevance", "min_relevance", "ungrounded", "is_refused"),
    [
        (0.5, 0.6, "quote", True),
        (0.5, 0.6, "refuse", True),
        (0.5, 0.6, "answer", False),
        (0.7, 0.6, "quote", False),
        (-8.0, None, "quote", False),
    ],
)
def test_a_question_to_which_no_source_is_relevant_is_refused(
    relevance, min_relevance, ungrounded, is_refused
):
    policy = AnswerPolicy(min_relevance=min_relevance, ungrounded=ungrounded, refusal="Not told.")
    answer = GroundedAnswer(policy, [PUMP, SHIP], "At which bar?", 0.9, True, [relevance, 9.0])
    assert (answer.reason == UNGROUNDED) == is_refused


@pytest.mark.parametrize(
    ("num_searched", "least"),
    [(None, 0.39), (300, 0.39), (3000, 0.415), (30, 0.365), (1, 0.365)],
)
def test_the_best_of_many_passages_must_be_more_relevant(num_searched, least):
    policy = AnswerPolicy(min_relevance=0.39, relevance_per_tenfold=0.025, ungrounded="quote")
    for relevance, reason in ((least - 0.001, UNGROUNDED), (least + 0.001, "")):
        given = PUMP, SHIP
        answer = GroundedAnswer(
            policy, given, "At which bar?", 0.9, True, [relevance], num_searched
        )
        assert answer.reason == reason


@pytest.mark.parametrize(
    ("question", "similarity", "is_refused"),
    [
        ("At which bar does the pump P7 turn?", 0.5, False),  # one sentence has 3 of 3 words
        ("At which bar does the crane P7 turn?", 0.5, True),  # 2 of 3: 0.5 - 0.4 / 3
        ("At which bar does the crane P7 turn?", 0.6, False),
        ("Ships: what do they weigh in Ulm?", 0.6, True),  # known, but in no one sentence
        ("どうして？", 0.6, True),
        ("", 0.5, False),
    ],
)
def test_a_question_whose_words_are_missing_must_be_more_similar(question, similarity, is_refused):
    policy = AnswerPolicy(
        min_similarity=0.4, missing_words_penalty=0.4, ungrounded="quote", refusal="Not told."
    )
    answer = GroundedAnswer(policy, [PUMP, SHIP], question, similarity, is_checked=True)
    assert (answer.reason == UNGROUNDED) == is_refused


def test_sources_unlike_the_question_are_refused_before_anything_is_generated():
    policy = AnswerPolicy(min_similarity=0.5, ungrounded="refuse", refusal="Not told.")
    answer, sent = run(policy, "never asked", similarity=0.4)
    assert (answer.reason, sent) == (UNGROUNDED, ["Not told."])
    assert run(policy, "4.2 bar", similarity=0.6)[1] == ["", "4.2 bar"]


def test_only_the_first_sentence_is_kept_where_the_policy_says_so():
    policy = AnswerPolicy(cite="attribution", first_sentence_only=True)
    answer, sent = run(policy, "It is 4.2 bar. Ships", " pay")
    assert (answer.reason, sent) == ("stop", ["It is 4.2 bar.", ""])


def test_a_client_can_have_the_text_as_it_is():
    policy = AnswerPolicy(first_sentence_only=True, min_grounded=1, ungrounded="refuse")
    answer, sent = run(policy, "It is 9 bar. ", "Ships", is_checked=False)
    assert (answer.reason, sent) == ("", ["It is 9 bar. ", "Ships", ""])


def test_a_model_that_cites_is_believed_and_its_marks_are_no_numbers():
    answer, _ = run(AnswerPolicy(cite="model"), "It is 4.2 bar [2]. So [9].")
    outputs = answer.outputs()
    assert outputs["citations"].tolist() == [2]
    assert outputs["quote_source"].tolist() == [1], "the words say otherwise"


def test_an_empty_answer_rests_on_nothing():
    answer, sent = run(AnswerPolicy())
    outputs = answer.outputs()
    assert (sent, outputs["grounded"].tolist(), outputs["quotes"]) == ([""], [0.0], [])
    assert outputs["quote_source"].dtype == outputs["citations"].dtype == np.int32
    assert run(REFUSE)[1] == ["Not told."]


def test_no_sources_after_the_budget():
    answer = GroundedAnswer(REFUSE, [], "why?", -1.0, is_checked=True)
    assert answer.push("Because. So") == "" and answer.flush() == "Not told."
    quoting = AnswerPolicy(min_grounded=0.4, ungrounded="quote", refusal="Not told.")
    answer = GroundedAnswer(quoting, [], "why?", -1.0, is_checked=True)
    assert answer.push("Because. So") == "" and answer.flush() == "Not told."


ROWS = [
    "host: ceto; role: gitlab; cpu: 16; os: Ubuntu 22.04; place: Halle 1",
    "host: dione; role: backup; cpu: 8; os: Debian 11; place: the cellar",
]


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("\n".join(ROWS), ROWS),
        (
            "SCL | GPIO 22 | white\n---|---|---\nSDA | GPIO 21 | yellow",
            ["SCL | GPIO 22 | white", "SDA | GPIO 21 | yellow"],
        ),
        (
            "1. The host is ceto\n2. No deploys on Fridays",
            ["1. The host is ceto", "2. No deploys on Fridays"],
        ),
        (
            "ceto is the host of GitLab for the teams of\nboth places. It has 16 cores, all used.",
            ["ceto is the host of GitLab for the teams of both places. It has 16 cores, all used."],
        ),
    ],
)
def test_a_quote_keeps_the_lines_of_rows_and_items(source: str, lines: list[str]) -> None:
    """Ten rows on one line can't be read."""
    quote = Evidence([source], "host GPIO").quotes(8)[0]
    assert quote is not None and quote.laid_out.splitlines() == lines


@pytest.mark.parametrize(
    ("question", "quote"),
    [
        ("Who owns the warehouse?", "warehouse | Demir | ext. 44. Ask first"),
        ("Which system has which owner?", "System | Owner | Phone\nSAP | Carla | ext. 12"),
        ("Phone of the plumber?", "Trade: Plumber; Phone: 0117"),
    ],
)
def test_a_row_ends_its_quote_unless_it_names_the_columns(question, quote):
    rows = (
        "System | Owner | Phone\nSAP | Carla | ext. 12\nwarehouse | Demir | ext. 44. Ask first\n\n"
        "Trade: Plumber; Phone: 0117\nTrade: Roofer; Phone: 0770"
    )
    assert Evidence([rows], question).quotes(2)[0].text.startswith(quote)
    assert "SAP" in quote or Evidence([rows], question).quotes(2)[0].text == quote
