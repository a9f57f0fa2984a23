r"""Text to filter tree, by recursive descent whose depth is bounded.

filter    = either
either    = both { "or" both }
both      = single { "and" single }
single    = "not" single | "(" either ")" | condition
condition = "exists" "(" field ")"
          | field ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) value
          | field [ "not" ] "in" list
          | field "contains" ( value | "any" "of" list )
          | field "startswith" string
list      = "[" [ value { "," value } ] "]"
field     = [A-Za-z_][A-Za-z0-9_.-]* but no word of the language | "`" ... "`"
value     = string | number | "true" | "false"
string    = '"' ... '"' | "'" ... "'", with \" \' \` \\ \n \t \uXXXX
"""

from __future__ import annotations

from typing import cast

from hookrag.filters.lexer import RESERVED, Token, next_token, render_name
from hookrag.filters.tree import (
    MAX_NESTING,
    MAX_VALUES,
    OPERATORS,
    ORDERINGS,
    And,
    Compare,
    Contains,
    Exists,
    Filter,
    FilterError,
    In,
    Not,
    Operator,
    Or,
    StartsWith,
    Value,
    contains_any,
    problem,
    shown,
)

MAX_BYTES = 64 * 1024

_CONDITION = 'a condition, such as lang == "en", exists(lang), not ... or (...)'
_OPERATOR = "an operator: == != < <= > >= in, not in, contains or startswith"
_LITERAL = 'a value: "text", a number, true or false'
_TEXT = 'a string: "text"'
_ANY_OF = 'a list that has one of several is tested by: tags contains any of ["a", "b"]'
_SYMBOL_HINTS = {
    "=": "equality is written ==",
    "===": "equality is written ==",
    "!==": "inequality is written !=",
    "<>": "inequality is written !=",
    "=<": "less or equal is written <=",
    "=>": "greater or equal is written >=",
    "&&": "write and",
    "&": "write and",
    "||": "write or",
    "|": "write or",
    "!": "write not",
}


def parse_text(text: str) -> Filter:
    """The tree of `text`; FilterError says where and why it is not a filter. Time is linear in the length."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise problem(
            "filter is too long",
            got=f"{size:,} bytes of UTF-8",
            expected=f"at most {MAX_BYTES:,}",
            hint="store what a long list of values has in common as a field, and filter on that",
        )
    return _Parser(text).filter()


class _Parser:
    __slots__ = ("depth", "text", "token", "values")

    def __init__(self, text: str) -> None:
        self.text = text
        self.depth = 0
        self.values = 0
        # One token ahead and no more, so that of several mistakes the leftmost is the one reported.
        self.token = next_token(text, 0)

    def advance(self) -> Token:
        token = self.token
        self.token = next_token(self.text, token.end)
        return token

    def expect(self, mark: str, *, expected: str = "", hint: str = "") -> None:
        if not self.token.is_mark(mark):
            raise self.error("unexpected text", expected=expected or mark, hint=hint)
        self.advance()

    def error(self, what: str, *, expected: str, hint: str = "", got: str = "", at: int | None = None) -> FilterError:
        token = self.token
        got = got or ("the end of the text" if token.is_end() else shown(token.text))
        position = token.start if at is None else at
        return problem(what, got=got, expected=expected, hint=hint, text=self.text, position=position)

    def filter(self) -> Filter:
        if self.token.is_end():
            raise self.error("filter is empty", expected=_CONDITION, hint="leave the filter out to search everything")
        tree = self.either()
        if not self.token.is_end():
            raise self.error(
                "text after the end of the condition", expected="and, or, or the end", hint=self.joint_hint()
            )
        return tree

    def either(self) -> Filter:
        parts = [self.both()]
        while self.token.is_word("or"):
            self.advance()
            parts.append(self.both())
        return Or(tuple(parts)) if len(parts) > 1 else parts[0]

    def both(self) -> Filter:
        parts = [self.single()]
        while self.token.is_word("and"):
            self.advance()
            parts.append(self.single())
        return And(tuple(parts)) if len(parts) > 1 else parts[0]

    def single(self) -> Filter:
        opening = self.token
        if not (opening.is_word("not") or opening.is_mark("(")):
            return self.condition()
        if self.depth == MAX_NESTING:
            raise self.error(
                "filter is nested too deeply",
                got=f"more than {MAX_NESTING} levels of not and parentheses",
                expected=f"at most {MAX_NESTING}",
                hint="in [...] replaces a long chain of alternatives",
            )
        self.depth += 1
        self.advance()
        if opening.is_word("not"):
            tree: Filter = Not(self.single())
        else:
            tree = self.either()
            expected = f"and, or, or the ) that closes the ( at character {opening.start + 1}"
            self.expect(")", expected=expected, hint=self.joint_hint())
        self.depth -= 1
        return tree

    def condition(self) -> Filter:
        if self.token.is_word("exists"):
            self.advance()
            self.expect("(", expected="( and a field", hint="write exists(lang); a field of that name is `exists`")
            field = self.field("a field")
            self.expect(")")
            return Exists(field)
        first = self.token
        field = self.field(_CONDITION)
        if self.token.kind == "symbol" and self.token.text in OPERATORS:
            return self.comparison(field, cast("Operator", self.advance().text))
        word = self.advance().text if any(map(self.token.is_word, ("in", "not", "contains", "startswith"))) else ""
        if word == "not" and not self.token.is_word("in"):
            hint = 'in other conditions not comes first: not tags contains "x"'
            raise self.error("unexpected text after not", expected="in", hint=hint)
        match word:
            case "in":
                return In(field, self.list())
            case "not":
                self.advance()
                return In(field, self.list(), negated=True)
            case "contains":
                if self.token.kind == "name" and self.token.text == "any":
                    self.advance()
                    if not (self.token.kind == "name" and self.token.text == "of"):
                        raise self.error("unexpected text after any", expected="of", hint=_ANY_OF)
                    self.advance()
                    return contains_any(field, self.list())
                if self.token.is_mark("["):
                    raise self.error("not a value", expected=_LITERAL, hint=_ANY_OF)
                return Contains(field, self.literal(_LITERAL))
            case "startswith":
                if self.token.kind != "string":
                    raise self.error("not a prefix", expected=_TEXT, hint=self.literal_hint())
                return StartsWith(field, str(self.literal(_TEXT)))
        raise self.error("not an operator", expected=_OPERATOR, hint=self.operator_hint(first, field))

    def field(self, expected: str) -> str:
        token = self.token
        if token.kind == "quoted name" or (token.kind == "name" and token.text not in RESERVED):
            self.advance()
            return str(token.value) if token.kind == "quoted name" else token.text
        hint = ""
        if token.kind == "name":
            hint = f"a field of that name is written `{token.text}`"
        elif token.kind in {"string", "number"}:
            hint = 'the field comes first: lang == "en"; a name with other characters is written `my field`'
        elif token.kind == "symbol":
            hint = _SYMBOL_HINTS.get(token.text, "")
        raise self.error("not a condition" if expected == _CONDITION else "not a field", expected=expected, hint=hint)

    def comparison(self, field: str, op: Operator) -> Filter:
        operand = self.token
        value = self.literal(_LITERAL)
        if op in ORDERINGS and isinstance(value, bool):
            expected = f"a number or a string after {op}"
            raise self.error(
                "true and false have no order", got=operand.text, expected=expected, hint="use ==", at=operand.start
            )
        return Compare(field, op, value)

    def list(self) -> tuple[Value, ...]:
        self.expect("[", expected="a list of values in square brackets", hint='for instance ["en", "de"]')
        values: list[Value] = []
        if not self.token.is_mark("]"):
            values.append(self.literal(_LITERAL))
            while self.token.is_mark(","):
                self.advance()
                values.append(self.literal(_LITERAL))
        self.expect("]", expected="a comma or ]")
        return tuple(values)

    def literal(self, expected: str) -> Value:
        token = self.token
        if self.values == MAX_VALUES:
            raise self.error(
                "too many values",
                got=f"more than {MAX_VALUES:,}",
                expected=f"at most {MAX_VALUES:,} in one filter",
                hint="store what they have in common as a field, and filter on that",
            )
        self.values += 1
        if token.kind in {"string", "number"}:
            self.advance()
            return token.value
        if token.is_word("true") or token.is_word("false"):
            self.advance()
            return token.text == "true"
        raise self.error("not a value", expected=expected, hint=self.literal_hint())

    # What to do about the usual mistakes, judged by the token that does not fit.

    def literal_hint(self) -> str:
        token = self.token
        word = token.text.lower()
        if token.kind == "quoted name":
            return 'backquotes are for names of fields; text is written "text"'
        if token.is_mark("["):
            return "one value stands here; several are tested by in [...]"
        if token.is_mark("]"):
            return "the last value has no comma after it"
        if token.kind == "symbol":
            return _SYMBOL_HINTS.get(token.text, "")
        if token.kind != "name":
            return ""
        if word in {"null", "none", "nil", "undefined"}:
            return "there is no null: use exists(field) or not exists(field)"
        if word in {"nan", "inf", "infinity"}:
            return "nan and inf are not values"
        if word in {"true", "false"} and word != token.text:
            return f"{word} is written in lower case"
        return f'text stands in quotes: "{shown(token.text)}"'

    def operator_hint(self, first: Token, field: str) -> str:
        token = self.token
        for word in (first, token):
            if word.kind == "name" and word.text.lower() in RESERVED and word.text not in RESERVED:
                return f"{word.text.lower()} is written in lower case"
        if token.kind == "symbol":
            return _SYMBOL_HINTS.get(token.text, "")
        if token.kind == "name" and token.text.lower() in {"is", "eq", "equals"}:
            return "equality is written ==, presence exists(field)"
        if token.kind == "name" and token.text.lower() in {"like", "has", "matches"}:
            return "a prefix is tested by startswith, an element of a list by contains"
        if token.is_end() or token.is_mark(")") or token.is_word("and") or token.is_word("or"):
            name = shown(render_name(field))
            return f"a field alone is no condition: write {name} == true or exists({name})"
        return ""

    def joint_hint(self) -> str:
        token = self.token
        if token.kind == "symbol":
            chained = "compare once and join by and: year >= 2020 and year < 2024"
            return chained if token.text in OPERATORS else _SYMBOL_HINTS.get(token.text, "")
        if token.kind == "name":
            word = token.text.lower()
            return f"{word} is written in lower case" if word in {"and", "or"} else "join conditions by and or by or"
        if token.is_mark(")"):
            return "this parenthesis was not opened"
        if token.kind == "string":
            return r"a quote inside a string is written \" or \'"
        return ""
