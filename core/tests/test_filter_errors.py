"""What is not a filter, as text and as tree, and what is said about it, word for word."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
from hookrag.errors import HookragError
from hookrag.filters import Compare, FilterError, In, Not, both, parse

A = Compare("a", "==", 1)
CONDITION = 'a condition, such as lang == "en", exists(lang), not ... or (...)'
OPERATOR = "an operator: == != < <= > >= in, not in, contains or startswith"
ANY_OF = 'a list that has one of several is tested by: tags contains any of ["a", "b"]'
VALUE = 'a value: "text", a number, true or false'
JOINT = "and, or, or the end"


def refusal(of: Callable[[], object]) -> str:
    with pytest.raises(FilterError) as caught:
        of()
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'lang = "en"',
            """\
filter, column 6: not an operator
  lang = "en"
       ^
  got: =
  expected: an operator: == != < <= > >= in, not in, contains or startswith
  hint: equality is written ==""",
        ),
        (
            "lang == en",
            """\
filter, column 9: not a value
  lang == en
          ^
  got: en
  expected: a value: "text", a number, true or false
  hint: text stands in quotes: "en\"""",
        ),
        (
            "",
            """\
filter, column 1: filter is empty
  got: the end of the text
  expected: a condition, such as lang == "en", exists(lang), not ... or (...)
  hint: leave the filter out to search everything""",
        ),
        (
            " \n ",
            """\
filter, line 2, column 2: filter is empty
  got: the end of the text
  expected: a condition, such as lang == "en", exists(lang), not ... or (...)
  hint: leave the filter out to search everything""",
        ),
        (
            "a == 1\n  and year => 2020\n",
            """\
filter, line 2, column 12: not an operator
    and year => 2020
             ^
  got: =>
  expected: an operator: == != < <= > >= in, not in, contains or startswith
  hint: greater or equal is written >=""",
        ),
        (  # wide and combining characters: the caret is right in a terminal
            '`中文e\u0301` == "東京" oder b == 1',
            """\
filter, column 16: text after the end of the condition
  `中文e\u0301` == "東京" oder b == 1
                    ^
  got: oder
  expected: and, or, or the end
  hint: join conditions by and or by or""",
        ),
        (
            'a == "\x1b[31m" z',
            """\
filter, column 14: text after the end of the condition
  a == "\ufffd[31m" z
               ^
  got: z
  expected: and, or, or the end
  hint: join conditions by and or by or""",
        ),
        (
            f'x == "{"y" * 100}" = "{"z" * 100}"',
            f"""\
filter, column 109: text after the end of the condition
  ...{"y" * 58}" = "{"z" * 57}...
                                                                 ^
  got: =
  expected: and, or, or the end
  hint: equality is written ==""",
        ),
        (
            "(" * 51 + "a == 1" + ")" * 51,
            f"""\
filter, column 51: filter is nested too deeply
  {"(" * 51}a == 1{")" * 51}
                                                    ^
  got: more than 50 levels of not and parentheses
  expected: at most 50
  hint: in [...] replaces a long chain of alternatives""",
        ),
        (
            "not " * 51 + "a == 1",
            f"""\
filter, column 201: filter is nested too deeply
  ...{"not " * 16}a == 1
                                                                 ^
  got: more than 50 levels of not and parentheses
  expected: at most 50
  hint: in [...] replaces a long chain of alternatives""",
        ),
        (
            "a in [" + ",".join(["1"] * 10_001) + "]",
            f"""\
filter, column 20007: too many values
  ...{"1," * 30}1]
                                                                 ^
  got: more than 10,000
  expected: at most 10,000 in one filter
  hint: store what they have in common as a field, and filter on that""",
        ),
        (
            "é" * 40_000,
            """\
filter is too long
  got: 80,000 bytes of UTF-8
  expected: at most 65,536
  hint: store what a long list of values has in common as a field, and filter on that""",
        ),
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_layout(text: str, message: str) -> None:
    assert refusal(lambda: parse(text)) == message


# Text, column, what, got, expected, hint.
MISTAKES = [
    ('lang = "en"', 6, "not an operator", "=", OPERATOR, "equality is written =="),
    ("lang == en", 9, "not a value", "en", VALUE, 'text stands in quotes: "en"'),
    ('lang == "en', 9, "quote is not closed", '"en', 'a closing "', 'a " inside is written \\"'),
    ("lang == 'en\"", 9, "quote is not closed", "'en\"", "a closing '", "a ' inside is written \\'"),
    ("a == 1 && b == 2", 8, "text after the end of the condition", "&&", JOINT, "write and"),
    ("a == 1 or !b", 11, "not a condition", "!", CONDITION, "write not"),
    ("a == null", 6, "not a value", "null", VALUE, "there is no null: use exists(field) or not exists(field)"),
    ("a == 1 b == 2", 8, "text after the end of the condition", "b", JOINT, "join conditions by and or by or"),
    ("a == 1 AND b == 2", 8, "text after the end of the condition", "AND", JOINT, "and is written in lower case"),
    ("NOT a == 1", 5, "not an operator", "a", OPERATOR, "not is written in lower case"),
    ('a IN ["x"]', 3, "not an operator", "IN", OPERATOR, "in is written in lower case"),
    ('a in ("x", "y")', 6, "unexpected text", "(", "a list of values in square brackets", 'for instance ["en", "de"]'),
    ('a in ["x" "y"]', 11, "unexpected text", '"y"', "a comma or ]", ""),
    ('a in ["x",]', 11, "not a value", "]", VALUE, "the last value has no comma after it"),
    ("a in [null]", 7, "not a value", "null", VALUE, "there is no null: use exists(field) or not exists(field)"),
    (
        'a not contains "x"',
        7,
        "unexpected text after not",
        "contains",
        "in",
        'in other conditions not comes first: not tags contains "x"',
    ),
    (
        "flag",
        5,
        "not an operator",
        "the end of the text",
        OPERATOR,
        "a field alone is no condition: write flag == true or exists(flag)",
    ),
    (
        "flag and a == 1",
        6,
        "not an operator",
        "and",
        OPERATOR,
        "a field alone is no condition: write flag == true or exists(flag)",
    ),
    (
        "1 < a",
        1,
        "not a condition",
        "1",
        CONDITION,
        'the field comes first: lang == "en"; a name with other characters is written `my field`',
    ),
    (
        '"lang" == "en"',
        1,
        "not a condition",
        '"lang"',
        CONDITION,
        'the field comes first: lang == "en"; a name with other characters is written `my field`',
    ),
    (
        "year >= 2000 < 3",
        14,
        "text after the end of the condition",
        "<",
        JOINT,
        "compare once and join by and: year >= 2020 and year < 2024",
    ),
    (
        "date >= 2020-01-01",
        9,
        "not a number",
        "2020-01-01",
        "a number such as 7, -0.5 or 1e6",
        'dates and codes are text: "2020-01-01"',
    ),
    ("a == 007", 6, "not a number", "007", "a number such as 7, -0.5 or 1e6", 'dates and codes are text: "007"'),
    ("a == nan", 6, "not a value", "nan", VALUE, "nan and inf are not values"),
    (
        "a == -inf",
        6,
        "unexpected character",
        "- (U+002D)",
        "a name, a value, an operator, or one of ( ) [ ] ,",
        "a minus sign stands right before the digits of a number; nan and inf are not values",
    ),
    ("a == 1e999", 6, "number out of range", "1e999", "a finite number of 64 bits", ""),
    (
        "a == 9223372036854775808",
        6,
        "integer out of range",
        "9223372036854775808",
        "-9223372036854775808 to 9223372036854775807",
        "long identifiers are text: write them in quotes",
    ),
    (
        "a == “en”",
        6,
        "unexpected character",
        "“ (U+201C)",
        "a name, a value, an operator, or one of ( ) [ ] ,",
        "use straight quotes: \" or '",
    ),
    (
        "année == 1",
        1,
        "unquoted word with other letters than A-Z",
        "année",
        "a name of A-Z, a-z, 0-9, _, . and -",
        'write `année` for a field, "année" for a value',
    ),
    ("a < true", 5, "true and false have no order", "true", "a number or a string after <", "use =="),
    ("a startswith 1", 14, "not a prefix", "1", 'a string: "text"', ""),
    ('a contains ["x"]', 12, "not a value", "[", VALUE, ANY_OF),
    ('a contains any ["x"]', 16, "unexpected text after any", "[", "of", ANY_OF),
    (
        'a contains any of "x"',
        19,
        "unexpected text",
        '"x"',
        "a list of values in square brackets",
        'for instance ["en", "de"]',
    ),
    ('a == ["x"]', 6, "not a value", "[", VALUE, "one value stands here; several are tested by in [...]"),
    ("a == True", 6, "not a value", "True", VALUE, "true is written in lower case"),
    ("a == `b`", 6, "not a value", "`b`", VALUE, 'backquotes are for names of fields; text is written "text"'),
    (
        'a == "C:\\dir"',
        9,
        "unknown escape",
        "\\d",
        "one of \\\" \\' \\` \\\\ \\n \\t \\uXXXX",
        "a backslash itself is written \\\\",
    ),
    (
        'a == "\\ud800"',
        6,
        "half of a surrogate pair",
        '"\\ud800"',
        "characters that UTF-8 can hold",
        "above \\uFFFF write the character itself, or both halves",
    ),
    ("a == 'it's'", 10, "text after the end of the condition", "s", JOINT, "join conditions by and or by or"),
    (
        "exists lang",
        8,
        "unexpected text",
        "lang",
        "( and a field",
        "write exists(lang); a field of that name is `exists`",
    ),
    (
        'exists("a")',
        8,
        "not a field",
        '"a"',
        "a field",
        'the field comes first: lang == "en"; a name with other characters is written `my field`',
    ),
    ("in == 1", 1, "not a condition", "in", CONDITION, "a field of that name is written `in`"),
    ("(a == 1", 8, "unexpected text", "the end of the text", "and, or, or the ) that closes the ( at character 1", ""),
    (
        "(a == 1 b",
        9,
        "unexpected text",
        "b",
        "and, or, or the ) that closes the ( at character 1",
        "join conditions by and or by or",
    ),
    ("a == 1)", 7, "text after the end of the condition", ")", JOINT, "this parenthesis was not opened"),
    ("a ==", 5, "not a value", "the end of the text", VALUE, ""),
    ("a == 1 and", 11, "not a condition", "the end of the text", CONDITION, ""),
    ("a is null", 3, "not an operator", "is", OPERATOR, "equality is written ==, presence exists(field)"),
    (
        'a LIKE "x"',
        3,
        "not an operator",
        "LIKE",
        OPERATOR,
        "a prefix is tested by startswith, an element of a list by contains",
    ),
    (
        "a : 1",
        3,
        "unexpected character",
        ": (U+003A)",
        "a name, a value, an operator, or one of ( ) [ ] ,",
        "equality is written ==",
    ),
    ("a == 1;", 7, "unexpected character", "; (U+003B)", "a name, a value, an operator, or one of ( ) [ ] ,", ""),
]


@pytest.mark.parametrize(("text", "column", "what", "got", "expected", "hint"), MISTAKES)
def test_mistakes(text: str, column: int, what: str, got: str, expected: str, hint: str) -> None:
    lines = [f"filter, column {column}: {what}", f"  {text}".rstrip(), "  " + " " * (column - 1) + "^"]
    lines += [f"  got: {got}", f"  expected: {expected}"] + ([f"  hint: {hint}"] if hint else [])
    assert refusal(lambda: parse(text)) == "\n".join(lines)
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert caught.value.position == column - 1


def test_raw_lone_surrogates_are_refused_and_not_repeated() -> None:
    message = refusal(lambda: parse('a == "\ud800"'))
    assert message.startswith('filter, column 6: half of a surrogate pair\n  a == "\ufffd"\n')


def test_limits_are_reached_exactly() -> None:
    assert parse("(" * 50 + "a == 1" + ")" * 50) == A
    assert parse(f'a == "{"x" * (65_536 - 7)}"') == Compare("a", "==", "x" * (65_536 - 7))
    assert parse("a in [" + ",".join(["1"] * 10_000) + "]") == In("a", (1,) * 10_000)
    for refused in (f'a == "{"x" * (65_536 - 6)}"', f'a == "{"é" * 32_765}"', "a == 1" + " " * 65_531):
        with pytest.raises(FilterError, match="filter is too long"):
            parse(refused)
    deep = parse("a == 1 or b == 2 and (" * 50 + "a == 1 or b == 2" + ")" * 50)
    makers: list[tuple[int, Callable[[], object]]] = [(51, lambda: both(deep, A)), (52, lambda: Not(deep))]
    for levels, make in makers:
        assert refusal(make) == (
            f"filter is nested too deeply\n  got: {levels} levels of not and parentheses\n  expected: at most 50\n"
            "  hint: in [...] replaces a long chain of alternatives"
        )


def test_filter_error_is_a_hookrag_error_and_travels_between_processes() -> None:
    with pytest.raises(FilterError) as caught:
        parse("a = 1")
    assert isinstance(caught.value, HookragError)
    assert isinstance(caught.value, ValueError)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy), copy.position) == (FilterError, str(caught.value), 2)
