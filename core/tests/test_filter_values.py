"""Trees that cannot be, and filters and metadata against declared fields: the full text of each refusal."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hookrag.filters import (
    And,
    Compare,
    Exists,
    FieldType,
    FilterError,
    In,
    Or,
    StartsWith,
    check_value,
    parse,
    validate,
)


def refusal(of: Callable[[], object]) -> str:
    with pytest.raises(FilterError) as caught:
        of()
    return str(caught.value)


LITERAL = "a plain str that UTF-8 can hold, an int of 64 bits, a finite float, or a bool"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Compare("a", "==", math.nan),
            f"filter value for field `a`\n  got: nan (float)\n  expected: {LITERAL}",
        ),
        (lambda: In("a", (1, -math.inf)), f"filter value for field `a`\n  got: -inf (float)\n  expected: {LITERAL}"),
        (
            lambda: Compare("a", "==", 10**5000),
            f"filter value for field `a`\n  got: an int of more than 64 bits\n  expected: {LITERAL}",
        ),
        (
            lambda: Compare("a", "==", None),  # type: ignore[arg-type]  # what a caller without types does
            f"filter value for field `a`\n  got: a value of type NoneType\n  expected: {LITERAL}",
        ),
        (
            lambda: Compare("a", "==", "\ud800"),
            f"filter value for field `a`\n  got: '\\ud800' (str)\n  expected: {LITERAL}",
        ),
        (
            lambda: Compare("a", "<", True),
            "filter value for field `a`\n  got: < true\n"
            "  expected: a number or a string: true and false have no order\n  hint: use == or !=",
        ),
        (
            lambda: Compare("a", "~", 1),  # type: ignore[arg-type]  # as above
            "filter operator for field `a`\n  got: '~' (str)\n  expected: one of == != < <= > >=",
        ),
        (
            lambda: StartsWith("a", 1),  # type: ignore[arg-type]  # as above
            "filter prefix for field `a`\n  got: 1 (int)\n  expected: a string",
        ),
        (
            lambda: In("a", (1,) * 10_001),
            "filter list for field `a`\n  got: 10,001 values\n  expected: at most 10,000",
        ),
        (
            lambda: Exists("\udfff"),
            "filter field is not a name\n  got: '\\udfff' (str)\n  expected: a str that UTF-8 can hold",
        ),
        (
            lambda: And((Exists("a"),)),
            "filter And\n  got: 1 parts\n  expected: at least two\n"
            "  hint: one part needs no And or Or; no filter at all is None",
        ),
        (
            lambda: Or(()),
            "filter Or\n  got: 0 parts\n  expected: at least two\n"
            "  hint: one part needs no And or Or; no filter at all is None",
        ),
    ],
)
def test_trees_that_cannot_be(make: Callable[[], object], message: str) -> None:
    assert refusal(make) == message


DECLARED: dict[str, FieldType] = {
    "lang": "keyword",
    "year": "int",
    "score": "float",
    "ok": "bool",
    "tags": "keywords",
}
LISTED = "  expected: one of lang, ok, score, tags, year\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('langg == "en"', f"filter on a field that is not declared\n  got: langg\n{LISTED}  hint: did you mean lang?"),
        (
            'not (lang == "a" or `my zzz` > 1)',
            f"filter on a field that is not declared\n  got: `my zzz`\n{LISTED}"
            "  hint: only fields of [index.fields] can be filtered on",
        ),
        (
            'lang == "en" and year == "2020"',
            'filter on year, a field of type int\n  got: "2020" (str)\n  expected: a number\n'
            "  hint: numbers, true and false have no quotes",
        ),
        (
            'lang in ["a", 2020]',
            'filter on lang, a field of type keyword\n  got: 2020 (int)\n  expected: a string\n  hint: write "2020"',
        ),
        (
            "score == true",
            "filter on score, a field of type float\n  got: true (bool)\n  expected: a number\n"
            "  hint: numbers, true and false have no quotes",
        ),
        (
            'tags == "x"',
            "filter on tags, a field of type keywords\n  got: ==\n  expected: contains or exists\n"
            '  hint: a list is tested by: tags contains "x"',
        ),
        (
            'lang contains "x"',
            "filter on lang, a field of type keyword\n  got: contains\n"
            "  expected: == != < <= > >= in, not in or startswith",
        ),
        ("ok > 1", "filter on ok, a field of type bool\n  got: >\n  expected: == != in or not in"),
    ],
)
def test_validate(text: str, message: str) -> None:
    assert refusal(lambda: validate(parse(text), DECLARED)) == message


def test_validate_with_no_or_many_declared_fields() -> None:
    got = "filter on a field that is not declared\n  got: a\n"
    hint = "  hint: only fields of [index.fields] can be filtered on"
    assert refusal(lambda: validate(Exists("a"), {})) == f"{got}  expected: no filter: no fields are declared\n{hint}"
    many: dict[str, FieldType] = {f"f{n}": "int" for n in range(12)}
    listed = "f0, f1, f10, f11, f2, f3, f4, f5, f6, f7, ..."
    assert refusal(lambda: validate(Exists("a"), many)) == f"{got}  expected: one of {listed}\n{hint}"


STRINGS, NUMBERS, BOOLS = ('"x"',), ("1", "1.5"), ("true",)
ALLOWED = {
    "lang": [f"lang {op} {v}" for op in ("==", "!=", "<", "<=", ">", ">=", "startswith") for v in STRINGS],
    "year": [f"year {op} {v}" for op in ("==", "!=", "<", "<=", ">", ">=") for v in NUMBERS],
    "ok": [f"ok {op} {v}" for op in ("==", "!=") for v in BOOLS],
    "tags": [f"tags contains {v}" for v in STRINGS],
}
ALLOWED["lang"] += [f"lang {op} [{v}]" for op in ("in", "not in") for v in STRINGS]
ALLOWED["year"] += [f"year {op} [{v}]" for op in ("in", "not in") for v in NUMBERS]
ALLOWED["ok"] += [f"ok {op} [{v}]" for op in ("in", "not in") for v in BOOLS]
ALLOWED["score"] = [text.replace("year", "score") for text in ALLOWED["year"]]


@pytest.mark.parametrize("name", DECLARED)
def test_validate_allows_exactly_what_the_type_can_meet(name: str) -> None:
    validate(Exists(name), DECLARED)
    every = {text.replace(other, name, 1) for other, texts in ALLOWED.items() for text in texts}
    assert len(every) == 30
    for text in every:
        if text in ALLOWED[name]:
            validate(parse(text), DECLARED)
        else:
            refusal(partial(validate, parse(text), DECLARED))


@pytest.mark.parametrize(
    ("declared", "good", "bad"),
    [
        ("keyword", ["", "x", "中"], [1, True, ["x"], {"a": 1}, "\ud800", b"x"]),
        ("int", [0, -(2**63), 2**63 - 1], [True, 1.0, "1", 2**63, -(2**63) - 1, [1]]),
        ("float", [0.5, 1, -0.0, 2**53, -(2**63)], [True, "1", math.nan, math.inf, 2**53 + 1, 2**63 - 1, 2**1024]),
        ("bool", [True, False], [0, 1, "true", []]),
        ("keywords", [[], ["x", "y"], ("x",)], ["x", [1], ["x", None], [["x"]], ["\ud800"], {"x": 1}, {"x"}]),
    ],
)
def test_check_value(declared: FieldType, good: list[Any], bad: list[Any]) -> None:
    for value in [*good, None]:
        check_value("f", declared, value)
    for value in bad:
        assert refusal(partial(check_value, "f", declared, value)).startswith(
            f"metadata field f, declared as {declared}\n"
        )


@pytest.mark.parametrize(
    ("name", "declared", "value", "got", "expected"),
    [
        ("year", "int", "2020", "'2020' (str)", "an int from -9223372036854775808 to 9223372036854775807"),
        ("my f", "int", 2**63, "an int of more than 64 bits", f"an int from {-(2**63)} to {2**63 - 1}"),
        ("x", "float", math.nan, "nan (float)", "a finite number that a float of 64 bits holds exactly"),
        ("x", "float", 2**53 + 1, "9007199254740993 (int)", "a finite number that a float of 64 bits holds exactly"),
        ("x", "bool", 1, "1 (int)", "true or false"),
        ("x", "keyword", {"a": 1}, "a value of type dict", "a string that UTF-8 can hold"),
        ("x", "keyword", "y" * 200 + "\ud800", "'yyy", "a string that UTF-8 can hold"),
        ("t", "keywords", ["a", 1], "a list with 1 (int)", "a list of strings that UTF-8 can hold"),
        ("t", "keywords", "a", "'a' (str)", "a list of strings that UTF-8 can hold"),
    ],
)
def test_check_value_says(name: str, declared: FieldType, value: object, got: str, expected: str) -> None:
    shown = f"`{name}`" if " " in name else name
    got = f"'{'y' * 56}... (str)" if got == "'yyy" else got
    assert refusal(lambda: check_value(name, declared, value)) == (
        f"metadata field {shown}, declared as {declared}\n  got: {got}\n  expected: {expected}\n"
        "  hint: mend the value, or declare another type under [index.fields]"
    )


def test_integers_that_python_does_not_print() -> None:
    kinds: list[FieldType] = ["int", "float", "keyword", "bool"]
    for declared in kinds:
        assert "\n  got: an int of more than 64 bits\n" in refusal(partial(check_value, "f", declared, 10**5000))
    assert "a list with an int of more than 64 bits\n" in refusal(lambda: check_value("f", "keywords", [10**5000]))
