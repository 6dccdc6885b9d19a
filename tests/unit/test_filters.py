"""Filters: what is accepted is in tests/server/test_stores.py; what is refused is here."""

import pytest

from python_backends.errors import RequestError
from python_backends.stores.filters import NO_FILTER, FieldType, conditions, fits_all, parse

FIELDS: dict[str, FieldType] = {"lang": "text", "year": "number", "draft": "boolean"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "filter: not JSON"),
        ("[" * 100_000, "filter: not JSON"),
        ('["lang"]', "filter: a list given; an object such as"),
        ("null", "filter: null given; an object"),
        ('{"colour": "red"}', "'colour'; fields are document, draft, lang, title, year"),
        ('{"year": "2020"}', "filter.year: number is needed, text given"),
        ('{"lang": {"$in": ["en", 5]}}', "filter.lang: text is needed, number given"),
        ('{"draft": {"$gt": false}}', "filter.draft: true and false have no order"),
        ('{"year": null}', "filter.year: null given; text, a number, true or false"),
        ('{"year": NaN}', "filter.year: NaN given"),
        ('{"year": 1e999}', "filter.year: Infinity given"),
        ('{"title": "\\ud800"}', "filter.title: half of a surrogate pair given"),
        ('{"lang": []}', "filter.lang: a list given; a list of values is needed"),
        ('{"lang": {"$in": "en"}}', "filter.lang: text given; a list of values"),
        ('{"lang": {"$regex": "e"}}', "no operator '$regex'; possible are $eq, $ne"),
        ('{"lang": {"$gt": {"a": 1}}}', "filter.lang: an object given; text"),
        ('{"$not": {"lang": "en"}}', "filter.$not: no such operator; here are $and, $or"),
        ('{"$or": {"lang": "en"}}', "filter.$or: an object given; a list of filters"),
        ('{"$or": []}', "filter.$or: a list given; a list of filters"),
        ('{"$or": [{"lang": "en"}, 5]}', "filter.$or[1]: 5 given"),
        ('{"$and": [' * 20 + '{"lang": "en"}' + "]}" * 20, "nested deeper than 8"),
        ('{"year": [' + ",".join(map(str, range(1001))) + "]}", "more than 1,000 values"),
    ],
)
def test_a_wrong_filter_is_refused_at_its_place(text: str, says: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse(text, FIELDS)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 300, "it does not repeat the filter"


def test_an_empty_filter_is_none() -> None:
    assert parse("{}", FIELDS) == NO_FILTER
    assert fits_all(parse('{"$and": [{}, {"$or": [{}]}]}', FIELDS))
    assert not fits_all(parse('{"$or": [{}, {"lang": "en"}]}', FIELDS))


def test_conditions_side_by_side_must_all_hold() -> None:
    parsed = parse('{"year": {"$gt": 1, "$lt": 9}, "lang": ["a"]}', FIELDS)
    found = [(one.field, one.operator, one.values) for one in conditions(parsed)]
    assert found == [("year", "$gt", (1,)), ("year", "$lt", (9,)), ("lang", "$in", ("a",))]
