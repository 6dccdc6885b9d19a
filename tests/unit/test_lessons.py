"""What the lessons of the reference LLM say of where a passage tells a fact."""

from random import Random

import pytest

from builders.reference.facts import told_whole
from builders.reference.llm_text import Lesson, Size, lesson


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("The port of Vebra is 8123.", "8123."),
        ("The port of Vebra is 8123, as agreed.", "8123, as agreed."),
        ("The port of Vebra is 8123", "8123"),
        ("8123 is the port of Vebra.", "."),
        ("8123 is the port of Vebra. Vebra is red.", ". Vebra is red."),
        ("8123 is the port of Vebra", "a"),
        ("Vebra uses 8123 as its port\nVebra is red.", "\nVebra is red."),
        ("8123 is the port of Vebra; besides, Vebra is red.", "; besides, Vebra is red."),
        ("8123 is the port of Vebra, the ship, as agreed.", "."),
    ],
)
def test_a_fact_is_told_whole_where_entity_attribute_and_value_were_read(text, told):
    start = text.index("8123")
    assert text[told_whole(text, start, start + 4) :] == told


def _lessons() -> list[Lesson]:
    rng = Random(3)
    return [lesson(rng, size=Size(wear=0.0)) for _ in range(200)]


def test_every_value_stands_where_its_lesson_says():
    for taught in _lessons():
        for asked in taught.asked:
            if asked.source:
                passage = taught.passages[asked.source - 1]
                assert passage[asked.where :].startswith(asked.value)
                assert asked.where <= asked.told < len(passage)


def test_entities_are_named_before_their_facts_are_told_whole():
    places = [(taught, place) for taught in _lessons() for place in taught.places]
    unnamed = [place for _, place in places if place.name is None or place.name >= place.told]
    # A few sentences ("those at {e} ...; its {n} is {v}") never name it before, or at all.
    assert len(unnamed) < 0.02 * len(places)
