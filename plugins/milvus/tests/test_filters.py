"""Random filters over random metadata: what Milvus Lite selects is what hookrag.filters.matches says."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import numpy as np
import pytest
from hookrag import Document, Row, chunk_of
from hookrag.filters import And, Compare, Contains, Exists, Filter, In, Not, Or, StartsWith, matches, parse
from hookrag_milvus.store import Milvus
from hookrag_milvus.where import expression, facets, literal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from milvus_kit import made, remove

EXAMPLES = 5 if os.environ.get("HOOKRAG_SOAK") == "1" else 1
ALL = np.ones((1, 2), dtype=np.float32)
HOSTILE = [
    "", "en", "EN", "e", "en-GB", 'a"] or pk != "', "a' or 'b", "back\\", "\\n", "\n", "\r\t", "100%", "a_b", "%", "_", "{x}",
    "true", "1", "é", "e\u0301", "\u0000", "\ud7ff", "\ue000", "\uffff", "\U0001f600", "\U0010ffff", "\U0010ffff\U0010ffff",
    "$meta", "日本語",
]  # fmt: skip
FIELDS = ["lang", "a.b", 'q"]', "", "é", "pk", "in", "x" * 300]
NUMBERS = [
    0, 1, 1.0, -1, 2.5, -2.5, -0.0, 0.1, 1e-7, 2**53, 2**53 + 1, float(2**53), 2**62 + 1, 2**63 - 1, -(2**63), -(2**63) + 1,
    2.0**63, -(2.0**63), 2.0**63 + 2048, 1e300, -1e300, 5e-324, 2.0**60,
]  # fmt: skip

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
    | st.just(float("nan"))
    | st.lists(literals | st.none() | st.just({}), max_size=3)
    | st.just({"lang": "en"})
)
metadata = st.dictionaries(fields, values, max_size=4)


def comparisons(field: str) -> st.SearchStrategy[Compare]:
    equal = st.builds(Compare, st.just(field), st.sampled_from(["==", "!="]), literals)
    ordered = st.builds(
        Compare,
        st.just(field),
        st.sampled_from(["<", "<=", ">", ">="]),
        literals.filter(lambda v: not isinstance(v, bool)),
    )
    return equal | ordered


conditions = (
    fields.flatmap(comparisons)
    | st.builds(In, fields, st.lists(literals, max_size=4).map(tuple), st.booleans())
    | st.builds(Contains, fields, literals)
    | st.builds(StartsWith, fields, texts)
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


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Milvus]:
    store = made(tmp_path_factory.mktemp("filters"))
    store.open()
    yield store
    store.close()


def rows_of(everything: list[dict[str, object]]) -> list[Row]:
    rows = []
    for number, each in enumerate(everything):
        document = Document(f"d{number}", "text", metadata=each)
        rows.append(Row(chunk_of(document, 0, 4), "o", number, ALL[0]))
    return rows


@settings(max_examples=40 * EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(everything=st.lists(metadata, min_size=1, max_size=8), trees=st.lists(filters, min_size=1, max_size=6))
def test_selects_what_matches(store: Milvus, everything: list[dict[str, object]], trees: list[Filter]) -> None:
    rows = rows_of(everything)
    assert store.put(rows, version=1) == {}
    try:
        for tree in trees:
            expected = {row.chunk.id for row in rows if matches(tree, row.chunk.metadata)}
            found = {hit.chunk.id for hit in store.search_dense(ALL, k=100, where=tree)[0]}
            assert found == expected, expression(tree)
            assert store.count(tree) == len(expected)
    finally:
        store.drop([row.chunk.id for row in rows], version=2)
        assert store.count() == 0


@settings(max_examples=10 * EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(each=st.lists(values, min_size=8, max_size=16), tests=st.lists(comparisons("lang"), min_size=8, max_size=8))
def test_one_field_of_many_types(store: Milvus, each: list[object], tests: list[Compare]) -> None:
    rows = rows_of([{"lang": value} for value in each])
    assert store.put(rows, version=1) == {}
    try:
        for test in tests:
            for tree in (test, Not(test)):
                expected = {row.chunk.id for row in rows if matches(tree, row.chunk.metadata)}
                assert {hit.chunk.id for hit in store.search_dense(ALL, k=100, where=tree)[0]} == expected, expression(
                    tree
                )
    finally:
        store.drop([row.chunk.id for row in rows], version=2)


@pytest.fixture(scope="module", params=["lite", pytest.param("server", marks=pytest.mark.service)])
def on_disk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Milvus, list[Row]]]:
    """Rows of every hostile value in segments, where another part of the engine evaluates the filter; and on a server."""
    collection = f"test_{uuid.uuid4().hex}"
    uri = None if request.param == "lite" else request.getfixturevalue("server")
    store = made(tmp_path_factory.mktemp("segments"), uri=uri, collection=collection)
    store.open()
    single: list[object] = [
        *HOSTILE,
        *NUMBERS,
        True,
        False,
        None,
        float("nan"),
        [],
        {},
        ["en", 1, None],
        [True, "", 2.5],
    ]
    pool: list[dict[str, object]] = [{field: value} for field in FIELDS for value in single]
    pool += [{"lang": one, "a.b": other} for one in single[::3] for other in single[::4]]
    rows = rows_of(pool * (1 + 1_000 // len(pool)))
    assert store.put(rows, version=1) == {}
    store.sync()
    store.close()
    store.open()
    yield store, rows
    store.close()
    if uri is not None:
        remove(uri, collection)


@settings(max_examples=10 * EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(tree=filters)
def test_selects_what_matches_on_disk(on_disk: tuple[Milvus, list[Row]], tree: Filter) -> None:
    store, rows = on_disk
    expected = {row.chunk.id for row in rows if matches(tree, row.chunk.metadata)}
    assert {hit.chunk.id for hit in store.search_dense(ALL, k=2_000, where=tree)[0]} == expected, expression(tree)


def test_every_pair_of_numbers_compares_exactly(store: Milvus) -> None:
    rows = rows_of([{"n": value} for value in NUMBERS])
    assert store.put(rows, version=1) == {}
    try:
        wanted = [value for value in NUMBERS if isinstance(value, float) or abs(value) < 2**63 or value == -(2**63)]
        for value in wanted:
            for op in ("==", "!=", "<", "<=", ">", ">="):
                tree = Compare("n", op, value)
                expected = {row.chunk.id for row in rows if matches(tree, row.chunk.metadata)}
                assert {hit.chunk.id for hit in store.search_dense(ALL, k=100, where=tree)[0]} == expected, (op, value)
    finally:
        store.drop([row.chunk.id for row in rows], version=2)


def test_a_filter_as_large_as_the_language_allows(store: Milvus) -> None:
    rows = rows_of([{"n": number} for number in range(5)])
    assert store.put(rows, version=1) == {}
    try:
        many = In("n", tuple(range(3, 4_003)))
        assert store.count(many) == 2
        assert store.count(Not(many)) == 3
        deep: Filter = Compare("n", "==", 3)
        for level in range(24):
            deep = And((Or((deep, Compare("n", "==", -level - 1))), Exists("n")))
        assert store.count(deep) == 1
    finally:
        store.drop([row.chunk.id for row in rows], version=2)


def test_an_expression_is_readable_and_holds_no_name_as_it_is() -> None:
    assert expression(parse('lang == "en" and not year < 2020')) == (
        '(((exists $meta["s_lang"]) and ($meta["s_lang"] == "en")) and '
        '((not (exists $meta["i_year"]) or not ($meta["i_year"] < 2020)) and '
        '(not (exists $meta["f_year"]) or not ($meta["f_year"] < 2020.0))))'
    )
    name = "s_x_22__5d__20_or_20_pk_20__21__3d__20__22_"
    assert expression(parse('`x"] or pk != "` startswith "a%"')) == (
        f'((exists $meta["{name}"]) and ($meta["{name}"] >= "a%" and $meta["{name}"] < "a&"))'
    )


def test_the_facets_of_rows_that_are_in_databases_stay_as_they_are() -> None:
    tags = ["news", 1, 2.5, True, None]
    assert facets(
        {"first name": "x", "year": 2020.0, "price": 2.5, "big": 2**53 + 1, "draft": False, "a": {}, "t": tags}
    ) == {
        "s_first_20_name": "x",
        "i_year": 2020,
        "f_price": 2.5,
        "i_big": 2**53 + 1,
        "b_draft": False,
        "x_a": True,
        "x_t": True,
        "c_a6dceb6bbe6231d3f9b11265a98bb4e1": True,
        "c_096166b039918d9de9f80e5449f96c68": True,
        "c_9287edd655f6f7693c64bacc14836181": True,
        "c_6c5260946aad1e703a1d10a762d0b672": True,
    }


def test_different_fields_and_elements_have_different_facets() -> None:
    names = [name for field in (*FIELDS, "a_2e_b", "a_b", "a") for name in facets({field: "x"})]
    assert len(set(names)) == len(names)
    elements = [
        name for value in (1, 1.5, True, "1", "1.5", "true") for name in facets({"t": [value]}) if name.startswith("c_")
    ]
    assert len(set(elements)) == len(elements) == 6
    assert facets({"t": [1]}) == facets({"t": [1.0]})


def test_literals_escape_five_characters() -> None:
    assert literal("\\\"\n\r\t'\u0000é") == '"\\\\\\"\\n\\r\\t\'\u0000é"'
    assert [literal(value) for value in (True, -3, 1e300)] == ["true", "-3", "1e+300"]
