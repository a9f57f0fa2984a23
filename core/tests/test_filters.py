"""The filter language: what it means (against a twin), how text and tree correspond, and hostile input."""

from __future__ import annotations

import math
import pickle
import string
import sys
from fractions import Fraction
from typing import Any

import pytest
from hookrag.filters import (
    And,
    Compare,
    Contains,
    Exists,
    Filter,
    FilterError,
    In,
    Not,
    Or,
    StartsWith,
    both,
    fields,
    lexer,
    matches,
    parse,
    parser,
    render,
    validate,
)
from hypothesis import given
from hypothesis import strategies as st

A, B, C = Compare("a", "==", 1), Compare("b", "==", 2), Compare("c", "==", 3)

# Few names and few values, so that conditions meet values that they are true of.
NAMES = st.sampled_from(["a", "b"])
NUMBERS = st.integers(-2, 2) | st.sampled_from([-1.0, 0.0, 0.5, 2.0])
PLAIN = NUMBERS | st.booleans() | st.sampled_from(["", "a", "ab", "b", "1", "é", "\U0001f600", "\uffff"])
WILD_NAMES = st.sampled_from(["a", "x.y", "or", "first name", "`", ""]) | st.text()
WILD = PLAIN | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text()


def trees(names: st.SearchStrategy[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Filter]:
    ordered = values.filter(lambda value: not isinstance(value, bool))
    texts = values.filter(lambda value: isinstance(value, str))
    leaves = (
        st.builds(Compare, names, st.sampled_from(["==", "!="]), values)
        | st.builds(Compare, names, st.sampled_from(["<", "<=", ">", ">="]), ordered)
        | st.builds(In, names, st.lists(values, max_size=3).map(tuple), st.booleans())
        | st.builds(Contains, names, values)
        | st.builds(StartsWith, names, texts)
        | st.builds(Exists, names)
    )
    return st.recursive(
        leaves,
        lambda inner: (
            st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple))
            | st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple))
            | st.builds(Not, inner)
        ),
        max_leaves=12,
    )


ODD = st.sampled_from([None, math.nan, math.inf, -math.inf, [], {}, {"a": 1}, [None], [math.nan], 10**400])
METADATA = st.dictionaries(NAMES, PLAIN | st.lists(PLAIN, max_size=3) | ODD)


# Meaning


@pytest.mark.parametrize(
    ("text", "metadata", "expected"),
    [
        ('a == "x"', {"a": "x"}, True),
        ('a == "x"', {"a": "X"}, False),
        ('a == "x"', {}, False),
        ('a != "x"', {"a": "y"}, True),
        ('a != "x"', {"a": "x"}, False),
        ('a != "x"', {}, False),
        ('a != "x"', {"a": None}, False),
        ('a != "x"', {"a": 1}, False),
        ('not a == "x"', {"a": 1}, True),
        ('not a == "x"', {}, True),
        ("a == 1", {"a": 1.0}, True),
        ("a == 1.0", {"a": 1}, True),
        ("a == 1", {"a": True}, False),
        ("a != 1", {"a": True}, False),
        ("a == true", {"a": 1}, False),
        ("a == true", {"a": True}, True),
        ("a != true", {"a": False}, True),
        ("a == 1", {"a": "1"}, False),
        ("a != 1", {"a": "1"}, False),
        ("a < 2", {"a": "1"}, False),
        ("a < 2", {"a": False}, False),
        ("a < 2", {"a": 2}, False),
        ("a < 2", {"a": 1.5}, True),
        ("a <= 2", {"a": 2}, True),
        ("a > 2", {"a": 2}, False),
        ("a > 2", {"a": 3}, True),
        ("a >= 2", {"a": 2.0}, True),
        ("a > 9007199254740992.0", {"a": 9007199254740993}, True),
        ("a < 1", {"a": math.nan}, False),
        ("a != 1", {"a": math.nan}, False),
        ("a > 1", {"a": math.inf}, False),
        ('a >= "2020-02-01"', {"a": "2020-10-01"}, True),
        ('a < "\U0001f600"', {"a": "\uffff"}, True),  # UTF-16 would order them the other way
        ('a < "a"', {"a": "Z"}, True),
        ('a in ["x", "y"]', {"a": "y"}, True),
        ('a in ["x", "y"]', {"a": "z"}, False),
        ('a in ["x", "y"]', {}, False),
        ("a in [1]", {"a": 1.0}, True),
        ("a in [1]", {"a": True}, False),
        ('a in ["x", 1]', {"a": 1}, True),
        ("a in []", {"a": 1}, False),
        ('a not in ["x", "y"]', {"a": "z"}, True),
        ('a not in ["x", "y"]', {"a": "x"}, False),
        ('a not in ["x", "y"]', {}, False),
        ('a not in ["x", "y"]', {"a": 1}, False),
        ('a not in ["x", 1]', {"a": "z"}, False),  # as `a != "x" and a != 1`
        ("a not in []", {"a": 1}, True),
        ("a not in []", {}, False),
        ('not a in ["x"]', {}, True),
        ('a contains "x"', {"a": ["y", "x"]}, True),
        ('a contains "x"', {"a": ("x",)}, True),
        ('a contains "x"', {"a": ["xy"]}, False),
        ('a contains "x"', {"a": "xyz"}, False),
        ('a contains "x"', {}, False),
        ("a contains 1", {"a": [True, 2]}, False),
        ("a contains 1", {"a": [1.0]}, True),
        ('a contains any of ["x", "y"]', {"a": ["z", "y"]}, True),
        ('a contains any of ["x", "y"]', {"a": ["z"]}, False),
        ('a contains any of ["x"]', {}, False),
        ("a contains any of [1, true]", {"a": [True]}, True),
        ("a contains any of []", {"a": ["x"]}, False),
        ("not a contains any of []", {}, True),
        ('a == "x"', {"a": ["x"]}, False),
        ('a startswith "x"', {"a": "xy"}, True),
        ('a startswith "x"', {"a": "yx"}, False),
        ('a startswith ""', {"a": ""}, True),
        ('a startswith ""', {}, False),
        ('a startswith "1"', {"a": 12}, False),
        ("exists(a)", {"a": False}, True),
        ("exists(a)", {"a": ""}, True),
        ("exists(a)", {"a": ["x"]}, True),
        ("exists(a)", {"a": None}, False),
        ("exists(a)", {"a": []}, False),
        ("exists(a)", {}, False),
        ("a.b == 1", {"a.b": 1}, True),
        ("a.b == 1", {"a": {"b": 1}}, False),
        ("a == 1 or b == 2 and c == 3", {"a": 1}, True),
        ("(a == 1 or b == 2) and c == 3", {"a": 1}, False),
        ("not a == 1 or b == 2", {"a": 1, "b": 2}, True),
        ("not (a == 1 or b == 2)", {"a": 1, "b": 2}, False),
    ],
)
def test_truth_table(text: str, metadata: dict[str, object], expected: bool) -> None:
    assert matches(parse(text), metadata) is expected


def twin(tree: Filter, metadata: dict[str, Any]) -> bool:
    """The meaning once more, from `==` and `<` on keys that carry their kind: code points, or exact fractions."""

    def key(value: object) -> tuple[str, Any] | None:
        if type(value) is str:
            return "text", [ord(char) for char in value]
        if type(value) is bool:
            return "bool", int(value)
        if type(value) is int or (type(value) is float and value - value == 0):
            return "number", Fraction(value)
        return None

    def holds(have: tuple[str, Any] | None, op: str, want: tuple[str, Any] | None) -> bool:
        if have is None or want is None or have[0] != want[0]:
            return False
        less, same = bool(have[1] < want[1]), bool(have[1] == want[1])
        return {"==": same, "!=": not same, "<": less, "<=": less or same, ">": not (less or same), ">=": not less}[op]

    if isinstance(tree, And):
        return False not in [twin(part, metadata) for part in tree.parts]
    if isinstance(tree, Or):
        return True in [twin(part, metadata) for part in tree.parts]
    if isinstance(tree, Not):
        return twin(tree.part, metadata) is False
    value = metadata.get(tree.field)
    if isinstance(tree, Compare):
        return holds(key(value), tree.op, key(tree.value))
    if isinstance(tree, In) and tree.negated:
        return key(value) is not None and False not in [holds(key(value), "!=", key(one)) for one in tree.values]
    if isinstance(tree, In):
        return True in [holds(key(value), "==", key(one)) for one in tree.values]
    if isinstance(tree, Contains):
        return type(value) is list and True in [holds(key(one), "==", key(tree.value)) for one in value]
    if isinstance(tree, StartsWith):
        return type(value) is str and value[: len(tree.prefix)] == tree.prefix
    return value is not None and value != []


@given(trees(NAMES, PLAIN), METADATA)
def test_matches_is_what_the_twin_says(tree: Filter, metadata: dict[str, Any]) -> None:
    assert matches(tree, metadata) is twin(tree, metadata)


@given(trees(NAMES, PLAIN), trees(NAMES, PLAIN), METADATA)
def test_both_is_conjunction_and_only_narrows(one: Filter, other: Filter, metadata: dict[str, Any]) -> None:
    joined = both(one, other)
    assert joined is not None
    assert matches(joined, metadata) is (matches(one, metadata) and matches(other, metadata))
    assert matches(parse(render(joined)), metadata) is matches(joined, metadata)
    assert fields(joined) == fields(one) | fields(other)


def test_both_flattens_and_none_is_neutral() -> None:
    assert both(None, None) is None
    assert both(A, None) == both(None, A) == A
    assert both(both(A, B), both(B, C)) == And((A, B, B, C))
    assert both(Or((A, B)), C) == And((Or((A, B)), C))


def test_fields() -> None:
    tree = parse('a == 1 and not (exists(b) or `c d` contains "x") or e in [] or f startswith "y"')
    assert fields(tree) == {"a", "b", "c d", "e", "f"}


# Text and tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ('lang=="en"and year>=2020', And((Compare("lang", "==", "en"), Compare("year", ">=", 2020)))),
        (" \t\r\na\n==\n1 ", A),
        ("(((a == 1)))", A),
        ("(a == 1 and b == 2) and c == 3", And((A, B, C))),
        ("a == 1 or (b == 2 or c == 3)", Or((A, B, C))),
        ("a == 1 or b == 2 and c == 3", Or((A, And((B, C))))),
        ("not not a == 1", Not(Not(A))),
        ("(a == 1) and " * 60 + "not a == 1", And((*[A] * 60, Not(A)))),
        ("not a == 1 and b == 2", And((Not(A), B))),
        ('a in ["x", 1, 2.5, true]', In("a", ("x", 1, 2.5, True))),
        ("not a not in [ ]", Not(In("a", (), negated=True))),
        ("null == false", Compare("null", "==", False)),
        ("_a-b.C9 == -0.5e-3", Compare("_a-b.C9", "==", -0.0005)),
        ("a == 1e2", Compare("a", "==", 100.0)),
        ("a == -9223372036854775808", Compare("a", "==", -(2**63))),
        ("`or` == 1", Compare("or", "==", 1)),
        (r"exists(`\`\\\u00e9`)", Exists("`\\é")),
        (r"""a == 'it\'s "\n\t\\\"\u00e9\ud83d\ude00'""", Compare("a", "==", 'it\'s "\n\t\\"é😀')),
        ('a == "a\nb"', Compare("a", "==", "a\nb")),
        ("tags contains 'x'", Contains("tags", "x")),
        ("tags contains any of ['x', 'y', 'x']", Or((Contains("tags", "x"), Contains("tags", "y")))),
        ("tags contains any of ['x']", Contains("tags", "x")),
        ("any contains 'of'", Contains("any", "of")),
        ("path startswith 'a/'", StartsWith("path", "a/")),
    ],
)
def test_parse(text: str, tree: Filter) -> None:
    assert parse(text) == tree
    assert parse(render(tree)) == tree


@given(trees(WILD_NAMES, WILD))
def test_round_trip(tree: Filter) -> None:
    text = render(tree)
    assert parse(text) == tree
    assert render(parse(text)) == text
    assert all(char.isprintable() for char in text)
    assert pickle.loads(pickle.dumps(tree)) == tree


def test_filters_of_different_types_are_different_filters() -> None:
    for one in ("a == {}", "a in [{}]", "a contains {}"):
        assert len({parse(one.format(value)) for value in ("1", "1.0", "true", '"1"')}) == 4
        assert render(parse(one.format("-0.0"))) == one.format("0.0")


HOSTILE = [
    '"',
    "'",
    "`",
    "\\",
    '\\"',
    '" or exists(a) or a == "',
    "' OR 1=1 --",
    "') or ('",
    "a\x00b",
    "\x1b[2J",
    "\u202eevil",
    "%_*?",
    "${jndi:x}",
    "{{7*7}}",
    "\\u0022",
    "\r\n",
    "\u2028",
    "\x85",
    "😀\U000e0001\U0010ffff",
    "e\u0301",
    "_id:* OR text:*",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_strings_stay_values_and_names(hostile: str) -> None:
    for tree in (Compare("a", "==", hostile), Exists(hostile), In(hostile, (hostile,)), StartsWith("a", hostile)):
        assert parse(f"({render(tree)}) and b == 2") == And((tree, B))
    assert matches(Compare(hostile, "==", hostile), {hostile: hostile})
    assert not matches(Compare("a", "==", hostile), {"a": "a", hostile: "a"})


WORDS = ["and", "or", "not", "in", "contains", "startswith", "exists", "true", "a", "b", '"x"', "1", "-2.5", "==", "<"]
WORDS += [
    "!=",
    "=",
    "&&",
    "null",
    "(",
    ")",
    "[",
    "]",
    ",",
    "`f`",
    '"',
    "'",
    "`",
    "\\",
    "\n",
    "é",
    "-",
    "\ud800",
    "1e999",
]


def parsed(text: str) -> Filter | FilterError:
    try:
        return parse(text)
    except FilterError as error:
        return error


@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join) | st.text(string.printable) | st.text())
def test_any_text_is_a_filter_or_a_filter_error(text: str) -> None:
    found = parsed(text)
    if isinstance(found, FilterError):
        assert found.position is not None
        assert 0 <= found.position <= len(text)
        assert all(line.isprintable() for line in str(found).split("\n"))
    else:
        assert parse(render(found)) == found


def deepest() -> Filter:
    tree: Filter = Or((A, B))
    for _ in range(50):
        tree = Or((And((tree, C)), A))
    return tree


def test_the_deepest_tree_needs_no_deep_stack() -> None:
    tree, depth = deepest(), 0
    frame = sys._getframe()
    while frame.f_back:
        frame, depth = frame.f_back, depth + 1
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 450)
    try:
        assert parse(render(tree)) == tree
        assert not matches(tree, {})
        assert fields(tree) == {"a", "b", "c"}
        validate(tree, {"a": "int", "b": "int", "c": "int"})
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 65_536,
        "not " * 16_384,
        "[" * 65_536,
        '"' + "\\" * 65_000,
        '"' * 65_536,
        "a in [" + "0" * 60_000 + "]",
        "a == " + "9" * 60_000,
        "a == 0." + "1" * 60_000,
        "a == " + "1" * 60_000 + ".0",
        "a" * 65_536,
        "a==1 or " * 8_192,
        "a==1 and(" * 7_000,
        "a == " + "=" * 60_000,
        "\n" * 65_536,
    ],
    ids=lambda text: text[:12],
)
def test_each_token_is_read_once(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[int] = []

    def counted(source: str, at: int) -> lexer.Token:
        starts.append(at)
        return lexer.next_token(source, at)

    monkeypatch.setattr(parser, "next_token", counted)
    assert len(str(parsed(text))) < 1_000 or text.startswith("a==1 or")
    assert len(starts) == len(set(starts)) <= len(text) + 1
