"""Words of the filter language: what each looks like in a text, how it is written, and what mistakes look like."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, NoReturn, TypeAlias

from hookrag.filters.tree import INT_MAX, INT_MIN, Value, has_lone_surrogate, problem, shown

RESERVED = frozenset({"and", "or", "not", "in", "contains", "startswith", "exists", "true", "false"})
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")

_SPACE = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"[^\W\d][\w.-]*")
# More than a number is taken, so that 2020-01-01 and 12px are reported whole.
_NUMBER_LIKE = re.compile(r"-?[0-9][\w.:+-]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SYMBOLS = re.compile(r"[=!<>&|~]+")
_QUOTED = {quote: re.compile(rf"[^\\{quote}]*(?:\\.[^\\{quote}]*)*", re.DOTALL) for quote in "\"'`"}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", '"': '"', "'": "'", "`": "`"}
_OTHER_QUOTES = "\u201c\u201d\u2018\u2019\u00ab\u00bb"

Kind: TypeAlias = Literal["name", "quoted name", "string", "number", "symbol", "mark", "end"]


@dataclass(frozen=True, slots=True)
class Token:
    """`text[start:end]` of a filter; `value` is what a literal or a quoted name stands for."""

    kind: Kind
    text: str
    start: int
    end: int
    value: Value = ""

    def is_end(self) -> bool:
        """Whether the text has no more tokens."""
        return self.kind == "end"

    def is_word(self, word: str) -> bool:
        """Whether this is the bare word."""
        return self.kind == "name" and self.text == word

    def is_mark(self, mark: str) -> bool:
        """Whether this is the parenthesis, bracket or comma."""
        return self.kind == "mark" and self.text == mark


def next_token(text: str, at: int) -> Token:
    """The first token at or after `at`, of kind "end" where there is none; FilterError where it is malformed."""
    space = _SPACE.match(text, at)
    start = space.end() if space else at
    if start == len(text):
        return Token("end", "", start, start)
    char = text[start]
    if char in "()[],":
        return Token("mark", char, start, start + 1)
    if char in _QUOTED:
        return _quoted(text, start, char)
    if found := _NUMBER_LIKE.match(text, start):
        return _number(text, start, found.group())
    if found := _SYMBOLS.match(text, start):
        return Token("symbol", found.group(), start, found.end())
    if not (found := _WORD.match(text, start)):
        _refuse_character(text, start)
    word = found.group()
    if not NAME.fullmatch(word):
        raise problem(
            "unquoted word with other letters than A-Z",
            got=shown(word),
            expected="a name of A-Z, a-z, 0-9, _, . and -",
            hint=f'write `{shown(word)}` for a field, "{shown(word)}" for a value',
            text=text,
            position=start,
        )
    return Token("name", word, start, found.end())


def _refuse_character(text: str, start: int) -> NoReturn:
    char = text[start]
    hint = ""
    if char in _OTHER_QUOTES:
        hint = "use straight quotes: \" or '"
    elif char == "-":
        hint = "a minus sign stands right before the digits of a number; nan and inf are not values"
    elif char == ":":
        hint = "equality is written =="
    raise problem(
        "unexpected character",
        got=f"{shown(char)} (U+{ord(char):04X})",
        expected="a name, a value, an operator, or one of ( ) [ ] ,",
        hint=hint,
        text=text,
        position=start,
    )


def _number(text: str, start: int, found: str) -> Token:
    number = _NUMBER.fullmatch(found)
    if number is None:
        raise problem(
            "not a number",
            got=shown(found),
            expected="a number such as 7, -0.5 or 1e6",
            hint=f'dates and codes are text: "{shown(found)}"',
            text=text,
            position=start,
        )
    end = start + len(found)
    if number[1] is None and number[2] is None:
        # The length first: Python refuses to convert thousands of digits, with an error of its own.
        if len(found) <= 20 and INT_MIN <= int(found) <= INT_MAX:
            return Token("number", found, start, end, int(found))
        raise problem(
            "integer out of range",
            got=shown(found),
            expected=f"{INT_MIN} to {INT_MAX}",
            hint="long identifiers are text: write them in quotes",
            text=text,
            position=start,
        )
    value = float(found)
    if not math.isfinite(value):
        raise problem(
            "number out of range", got=shown(found), expected="a finite number of 64 bits", text=text, position=start
        )
    return Token("number", found, start, end, value)


def _quoted(text: str, start: int, quote: str) -> Token:
    body = _QUOTED[quote].match(text, start + 1)
    end = body.end() + 1 if body else start
    if body is None or text[end - 1 : end] != quote:
        raise problem(
            "quote is not closed",
            got=shown(text[start:]),
            expected=f"a closing {quote}",
            hint=rf"a {quote} inside is written \{quote}",
            text=text,
            position=start,
        )

    def unescape(escape: re.Match[str]) -> str:
        if escape[1] is not None:
            return chr(int(escape[1], 16))
        if escape[2] in _ESCAPES:
            return _ESCAPES[escape[2]]
        raise problem(
            "unknown escape",
            got=shown(escape[0]),
            expected=r"""one of \" \' \` \\ \n \t \uXXXX""",
            hint=r"a backslash itself is written \\",
            text=text,
            position=start + 1 + escape.start(),
        )

    value = _ESCAPE.sub(unescape, body.group())
    if has_lone_surrogate(value):
        try:  # two \u escapes may be the halves of one character, as in JSON
            value = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            raise problem(
                "half of a surrogate pair",
                got=shown(text[start:end]),
                expected="characters that UTF-8 can hold",
                hint=r"above \uFFFF write the character itself, or both halves",
                text=text,
                position=start,
            ) from None
    return Token("quoted name" if quote == "`" else "string", text[start:end], start, end, value)


def render_name(name: str) -> str:
    """`name` as a filter writes it: bare where it can be, in backquotes where not."""
    return name if NAME.fullmatch(name) and name not in RESERVED else quoted(name, "`")


def quoted(text: str, quote: str) -> str:
    """`text` in quotes, with escapes for quotes, backslashes and whatever does not print."""
    return quote + "".join(_escaped(char, quote) for char in text) + quote


def _escaped(char: str, quote: str) -> str:
    if char == quote or char == "\\":
        return "\\" + char
    if char.isprintable():
        return char
    if char in "\n\t":
        return r"\n" if char == "\n" else r"\t"
    units = char.encode("utf-16-be").hex()
    return "".join(rf"\u{units[at : at + 4]}" for at in range(0, len(units), 4))
