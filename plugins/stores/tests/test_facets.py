"""Facets and conditions, evaluated by brute force, mean what hookrag.filters.matches says."""

from __future__ import annotations

import operator

from hookrag.filters import And, Compare, Contains, Exists, In, Not, Or, StartsWith, matches, parse
from hookrag_stores.facets import Begins, Has, HasElement, NoneOf, OneOf, Ordered, after, conditions, facets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TEXTS = [
    "",
    "en",
    "EN",
    "e",
    "en-GB",
    "\u0000",
    "é",
    "\ud7ff",
    "\ue000",
    "\uffff",
    "\U0001f600",
    "\U0010ffff",
    "\U0010ffffa",
]
NUMBERS = [0, 1, 1.0, -1, 2.5, -0.0, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63), 2.0**63, 1e300, 5e-324]
SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}

texts = st.sampled_from(TEXTS) | st.text(st.characters(codec="utf-8"), max_size=3)
numbers = st.sampled_from(NUMBERS) | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
literals = texts | numbers | st.booleans()
odd = st.sampled_from([None, float("nan"), float("inf"), {}, {"a": 1}, 10**400, (), ("en", 1), [], [[]]])
values = literals | odd | st.lists(literals | odd, max_size=3)
fields = st.sampled_from(["a", "b", "a.b"])
metadata = st.dictionaries(fields, values, max_size=3)
leaves = (
    st.builds(Compare, fields, st.sampled_from(["==", "!="]), literals)
    | st.builds(Compare, fields, st.sampled_from(list(SIGNS)), texts | numbers)
    | st.builds(In, fields, st.lists(literals, max_size=4).map(tuple), st.booleans())
    | st.builds(Contains, fields, literals)
    | st.builds(StartsWith, fields, texts)
    | st.builds(Exists, fields)
)


def holds(condition, kept):
    """Whether a condition holds for the facets of a row: what an engine has to do, and no more."""
    own = [(kind, value, element) for field, kind, value, element in kept if field == condition.field]
    scalars = [value for kind, value, element in own if kind == getattr(condition, "kind", "s") and not element]
    match condition:
        case Has(_, kind):
            return any(found == kind and not element for found, _, element in own)
        case OneOf(_, _, found):
            return any(value in found for value in scalars)
        case NoneOf(_, _, found):
            return any(value not in found for value in scalars)
        case Ordered(_, _, op, bound):
            return any(SIGNS[op](value, bound) for value in scalars)
        case Begins(_, prefix):
            end = after(prefix)
            return any(prefix <= value and (end is None or value < end) for value in scalars)
        case HasElement(_, kind, item):
            return (kind, item, True) in own


@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(metadata, leaves)
def test_one_of_the_conditions_holds_where_the_filter_matches(each, leaf):
    assert any(holds(one, facets(each)) for one in conditions(leaf)) == matches(leaf, each)


@settings(max_examples=200, deadline=None)
@given(metadata)
def test_facets_are_few_and_each_says_what_is_there(each):
    kept = facets(each)
    there = [field for field, _, _, element in kept if not element]
    assert there == [field for field in each if matches(Exists(field), each)]
    for field, kind, value, element in kept:
        assert value in each[field] if element else value in (each[field], None), (field, value)
        assert (value is None) == (kind == "x")


@given(st.text(max_size=3), st.text(max_size=3))
def test_after_is_the_first_string_after_the_prefix(prefix, text):
    end = after(prefix)
    begins = prefix <= text and (end is None or text < end)
    assert begins == text.startswith(prefix)
    if end is not None:
        assert not "\ud800" <= end[-1] <= "\udfff", "UTF-8 can hold it"


def test_equal_values_are_asked_for_once_and_kinds_apart():
    assert conditions(parse('a in [1, 1.0, "x", "x", true]')) == [
        OneOf("a", "n", (1,)),
        OneOf("a", "s", ("x",)),
        OneOf("a", "b", (True,)),
    ]
    assert conditions(In("a", (), negated=True)) == [Has("a", "s"), Has("a", "n"), Has("a", "b")]
    assert conditions(In("a", ())) == []
    assert conditions(parse("exists(a)")) == [Has("a", kind) for kind in "snbx"]


def test_a_tree_is_the_business_of_the_store():
    tree = parse('not (a == 1 or b startswith "e") and a != 2')
    leaf = (Compare, In, Contains, StartsWith, Exists)

    def selects(part, kept):
        match part:
            case And(parts):
                return all(selects(one, kept) for one in parts)
            case Or(parts):
                return any(selects(one, kept) for one in parts)
            case Not(one):
                return not selects(one, kept)
        assert isinstance(part, leaf)
        return any(holds(one, kept) for one in conditions(part))

    for each in ({"a": 3}, {"a": 1}, {"a": 2}, {"a": 3, "b": "en"}, {"b": "x"}, {}):
        assert selects(tree, facets(each)) == matches(tree, each), each
