"""Random filters over random metadata: what is selected is what hookrag.filters.matches says."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest
from hookrag import Document, HookragError, Row, chunk_of
from hookrag.filters import And, Compare, Contains, Exists, Filter, In, Not, Or, StartsWith, matches, parse
from hookrag_elasticsearch.where import FIELD, MAX_TEXT, facets, query
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LONG = "\U0001f600" * MAX_TEXT
HOSTILE = [
    "", "en", "EN", "e", "en-GB", "en:s=", "=", ">", "%3A", "#", "*", "e*", "?", "\\", "\n", "\u0000", "100%", "true", "1", "é",
    "e\u0301", "\ud7ff", "\ue000", "\uffff", "\U0001f600", "\U0010ffff", "日本語", LONG, LONG + "a", LONG + "b",
    LONG[:-1] + "y", LONG + "a" * 900,
]  # fmt: skip
FIELDS = ["lang", "lang:s", "a.b", "", "é", "id", "a%3Ab", "a:b", "#", "x" * 150, "x" * 151]
NUMBERS = [
    0, 1, 1.0, -1, 2.5, -2.5, -0.0, 0.1, 1e-7, 2**53, 2**53 + 1, float(2**53), 2**62 + 1, 2**63 - 1, -(2**63), -(2**63) + 1,
    2.0**63, -(2.0**63), 2.0**63 + 2048, 1e300, -1e300, 5e-324, -5e-324, 2.0**60, 1.7976931348623157e308,
]  # fmt: skip
LARGE = [2**64 + 1, -(2**64) - 1, 10**30, -(10**400), 10**400]

texts = st.sampled_from(HOSTILE) | st.text(st.characters(codec="utf-8"), max_size=3)
literals = (
    texts
    | st.sampled_from(NUMBERS)
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
)
fields = st.sampled_from(FIELDS)
values = (
    literals
    | st.none()
    | st.sampled_from([float("nan"), float("inf"), {"lang": "en"}, *LARGE])
    | st.lists(literals | st.none() | st.just({}), max_size=3)
)
metadata = st.dictionaries(fields, values, max_size=4)


def comparisons(field: str) -> st.SearchStrategy[Compare]:
    equal = st.builds(Compare, st.just(field), st.sampled_from(["==", "!="]), literals)
    sortable = literals.filter(lambda v: not isinstance(v, bool) and not (isinstance(v, str) and len(v) > MAX_TEXT))
    return equal | st.builds(Compare, st.just(field), st.sampled_from(["<", "<=", ">", ">="]), sortable)


conditions = (
    fields.flatmap(comparisons)
    | st.builds(In, fields, st.lists(literals, max_size=4).map(tuple), st.booleans())
    | st.builds(Contains, fields, literals)
    | st.builds(StartsWith, fields, texts.filter(lambda text: len(text) <= MAX_TEXT))
    | st.builds(Exists, fields)
)
filters = st.recursive(
    conditions,
    lambda inner: (
        st.builds(Not, inner)
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts)))
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts)))
    ),
    max_leaves=5,
)


def selects(asked: dict[str, Any], terms: set[bytes]) -> bool:
    """What the server does with the query of a filter, on the terms of one row."""
    ((kind, inner),) = asked.items()
    match kind:
        case "match_none":
            return False
        case "wrapper":
            return selects(json.loads(b64decode(inner["query"])), terms)
        case "bool":
            one_of = inner.get("should")
            return (
                all(selects(part, terms) for part in inner.get("filter", ()))
                and (one_of is None or any(selects(part, terms) for part in one_of))
                and not any(selects(part, terms) for part in inner.get("must_not", ()))
            )
    (value,) = inner.values()
    assert set(inner) == {FIELD}
    match kind:
        case "terms":
            return any(one.encode() in terms for one in value)
        case "range":
            bounds = {side: bound.encode() for side, bound in value.items()}
            return any(
                bounds.get("gte", b"") <= term
                and ("gt" not in bounds or bounds["gt"] < term)
                and ("lt" not in bounds or term < bounds["lt"])
                and ("lte" not in bounds or term <= bounds["lte"])
                for term in terms
            )
    raise AssertionError(kind)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(everything=st.lists(metadata, min_size=1, max_size=4), tree=filters)
def test_a_query_means_what_the_filter_does(everything: list[dict[str, object]], tree: Filter) -> None:
    for each in everything:
        assert selects(query(tree), {term.encode() for term in facets(each)}) == matches(tree, each), query(tree)


def test_every_pair_of_values_compares_exactly() -> None:
    known = [*NUMBERS, *LARGE, *HOSTILE, True, False]
    rows = [({"lang": value}, {term.encode() for term in facets({"lang": value})}) for value in known]
    for value in [*NUMBERS, *HOSTILE]:
        if isinstance(value, str) and len(value) > MAX_TEXT:
            continue
        for op in ("==", "!=", "<", "<=", ">", ">="):
            asked = query(Compare("lang", op, value))
            for each, terms in rows:
                assert selects(asked, terms) == matches(Compare("lang", op, value), each), (op, value, each)


def test_no_term_is_longer_than_the_server_takes() -> None:
    longest = "\U0001f600" * 50_000
    made = facets({longest: longest, "a": [longest], longest[:37]: longest})
    assert max(len(term.encode()) for term in made) <= 1_000
    assert len(made) == 6


def test_a_string_that_is_too_long_to_be_ordered_is_refused() -> None:
    for tree in (Compare("lang", "<", LONG + "a"), StartsWith("lang", LONG + "a")):
        with pytest.raises(HookragError) as caught:
            query(tree)
        used = "<" if isinstance(tree, Compare) else "startswith"
        assert str(caught.value) == (
            f"filter on 'lang': {used} got a string of 201 characters, expected at most 200: on Elasticsearch a longer one "
            "can be tested by == != in, not in and contains only"
        )


def test_the_facets_of_rows_that_are_on_servers_stay_as_they_are() -> None:
    tags = ["news", 1, 2.5, True, None]
    assert facets({"first name": "x", "year": 2020.0, "big": 2**53 + 1, "draft": False, "a": {}, "t": tags}) == [
        "first name:s",
        "first name:s=x",
        "year:n",
        "year:n=c09f900000000000000",
        "big:n",
        "big:n=c340000000000000001",
        "draft:b",
        "draft:b=false",
        "a:x",
        "t:x",
        "t:e=snews",
        "t:e=nbff0000000000000000",
        "t:e=nc004000000000000000",
        "t:e=btrue",
    ]


def test_a_query_is_readable() -> None:
    assert query(parse('lang == "en" and not draft == true')) == {
        "bool": {
            "filter": [
                {"terms": {"facets": ["lang:s=en"]}},
                {"bool": {"must_not": [{"terms": {"facets": ["draft:b=true"]}}]}},
            ]
        }
    }


def rows_of(everything: list[dict[str, object]]) -> list[Row]:
    documents = [Document(f"d{number}", "text", metadata=each) for number, each in enumerate(everything)]
    return [Row(chunk_of(document, 0, 4), "o", number) for number, document in enumerate(documents)]


@pytest.mark.service
def test_the_server_selects_what_matches(make: Callable[..., Any]) -> None:
    store = make()
    known = [*NUMBERS, *LARGE, *HOSTILE, True]
    everything: list[dict[str, object]] = [{"lang": value} for value in known]
    everything += [{FIELDS[n % len(FIELDS)]: known[n : n + 3], "n": n} for n in range(len(known))]
    everything += [{}, {"lang": None}, {"lang": []}, {"lang": {}}, {"lang": float("nan")}, {"lang": [None]}]
    rows = rows_of(everything)
    assert store.put(rows, version=1) == {}
    store.sync()
    short = [value for value in HOSTILE if len(value) <= MAX_TEXT]
    trees: list[Filter] = [Compare("lang", op, value) for op in ("<", ">=") for value in [*NUMBERS[::3], *short[::3]]]
    trees += [Compare("lang", op, value) for op in ("==", "!=") for value in [*NUMBERS[1::4], *HOSTILE[1::4], True]]
    trees += [StartsWith("lang", prefix) for prefix in ("", "e", "en:", "\uffff", LONG)]
    trees += [
        In("lang", (), True),
        In("lang", ("en", "é")),
        In("lang", (1, "1"), True),
        Not(In("lang", (1, 2.5), True)),
    ]
    trees += [test(name) for name in FIELDS for test in (Exists, lambda name: Not(Contains(name, "en")))]
    for tree in trees:
        expected = [row.chunk.id for row in rows if matches(tree, row.chunk.metadata)]
        assert store.count(tree) == len(expected), tree
        (found,) = store.search_text(["text"], k=1_000, where=tree)
        assert [hit.chunk.id for hit in found] == sorted(expected), tree


@pytest.mark.service
def test_a_filter_as_large_as_the_language_allows(make: Callable[..., Any]) -> None:
    store = make()
    rows = rows_of([{"n": number} for number in range(5)])
    assert store.put(rows, version=1) == {}
    store.sync()
    many = In("n", tuple(range(3, 10_003)))
    assert store.count(many) == 2
    assert store.count(Not(many)) == 3
    deep: Filter = Compare("n", "==", 3)
    for level in range(24):
        deep = And((Or((deep, Compare("n", "==", -level - 1))), Exists("n")))
    assert store.count(deep) == 1
    assert store.count(Not(deep)) == 4
    (found,) = store.search_text(["text"], k=10, where=deep)
    assert [hit.chunk.metadata for hit in found] == [{"n": 3}]


@pytest.mark.service
def test_the_mapping_does_not_grow_with_the_metadata(make: Callable[..., Any], client: Any, index: str) -> None:
    store = make()
    before = client.indices.get_mapping(index=index)
    rows = rows_of([{f"key {number} {part}": number for part in range(40)} for number in range(100)])
    assert store.put(rows, version=1) == {}
    store.sync()
    assert store.count(parse("`key 7 39` == 7")) == 1
    assert client.indices.get_mapping(index=index) == before
