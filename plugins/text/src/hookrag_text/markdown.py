"""What each line of a Markdown text is, and the blocks that lines make: one scanner for whoever chunks, quotes or checks text.

It reads CommonMark 0.31, and the tables of GitHub's dialect, as far as blocks go, in linear time and without looking ahead: a
text may still be written while it is read. The tests compare it with markdown-it-py. It differs on purpose, because it also
reads plain text, the text of PDF files and what language models write:

- lines also end at a form feed (a page), U+2028 and U+2029; white space is what Unicode calls so;
- an underlined heading has one line; a line of nothing but = - * _ that is neither underline nor rule is of kind "marks";
- a heading ends every list; one in a quote or behind the marker of an item is none, and inside an item none is underlined;
- there is no code by indentation: an item, a row or a line that is underlined may be indented as far as it likes;
- typographic bullets (U+2022 and its kin) and letters with a bracket, "a)", begin items too;
- an item may follow a line of text directly, whatever its number, unless that has four digits or more (a year that ends a
  sentence); a letter may where a list is open, or it is "a"; an empty item may only where a list is open;
- a line that begins with | is a row, with or without a rule below the first;
- a fence stays open until it is closed, also where the list item or quote that it stands in ends; in quotes there are none;
- HTML, link definitions and escapes are text like any other; front matter, which `blocks` knows, is no Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "blank",
    "paragraph",
    "text",
    "heading",
    "underline",
    "item",
    "row",
    "quote",
    "rule",
    "marks",
    "fence",
    "code",
    "fence end",
]
"""What a line is. "paragraph" begins one, and "text" goes on a paragraph, an item or a quote; "underline" makes a heading of
the line above it; "code" is a line between "fence" and "fence end"."""

BlockKind = Literal["front matter", "heading", "paragraph", "item", "row", "quote", "rule", "code"]

LONGEST_HEADING = 200
"""`heading_text` cuts a heading to so many characters."""

CODE_SPAN = r"(?<!`)(?P<ticks>`++)[^\n\r\f\u2028\u2029]*?(?<!`)(?P=ticks)(?!`)"
"""A pattern for code within a line: between two runs of equally many backticks (CommonMark 6.1, there over several lines)."""

_LINE = re.compile(r"([^\n\r\f\u2028\u2029]*)(?:\r\n|[\n\r\f\u2028\u2029]|\Z)")
# Most lines begin with a letter: one look tells that they are text.
_FIRST = re.compile(r"([ \t]*)(?:([#>|`~])|[-=*_+\u2022\u2023\u25aa\u25cf\u00b7]|\d{1,9}[.)]|[A-Za-z]\))")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]|\Z)")
_CLOSING = re.compile(r"(?:^|[ \t]+)#+$")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*\Z")
_RULE = re.compile(r" {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})\Z")
_MARKS = re.compile(r"[ \t]{0,3}(?:=[= \t]*|-[- \t]*|\*[* \t]*|_[_ \t]*)\Z")
_ITEM = re.compile(
    r"[ \t]*(?:[-*+]|(\d{1,9})[.)]|([\u2022\u2023\u25aa\u25cf\u00b7]|[A-Za-z]\)))(?:(?=[ \t]*\Z)|([ \t]+)(?=\S))"
)
_UNDECIDED = re.compile(
    r"[ \t]*(?:(?:[-*+\u2022\u2023\u25aa\u25cf\u00b7]|\d{1,9}[.)]|[A-Za-z]\))[ \t]+)?"
    r"(?:\d{0,9}[.)]?|[A-Za-z]\)?|[-*+\u2022\u2023\u25aa\u25cf\u00b7]|`{1,2}|~{1,2}|(?:`{3}|~{3}).*)\Z"
)
_CLOSES = re.compile(r"[ \t]*(?:\Z|[`~])")
_LINK = re.compile(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
_ATTRIBUTES = re.compile(r"[ \t]*\{[^{}]*\}$")
_EMPHASIS = re.compile(r"(\*\*|__|`)(?=\S)(.+?)(?<=\S)\1")

_FRONT_MATTER: dict[str, tuple[tuple[str, ...], re.Pattern[str]]] = {
    "---": (("---", "..."), re.compile(r"\s|#|- |[\w\"'][^:]*:(?:\s|$)|$")),
    "+++": (("+++",), re.compile(r"\s|#|\[|[\w\"'][^=]*=|[\]}]|$")),
}
"""What opens front matter, what closes it, and how each line in it begins."""


@dataclass(frozen=True, slots=True)
class Block:
    """The lines `text[start:end]` that belong together, without the last one's end; `level` is that of a heading, else 0."""

    kind: BlockKind
    start: int
    end: int
    level: int = 0


_TEXT = frozenset(("title", "text", "item", "number", "quote"))
"""What is above a line of text that goes on."""


class Scanner:
    """Tells of one line after the other what it is.

    >>> scanner = Scanner()
    >>> [scanner.kind(line) for line in ["Use", "===", "- run:", "  ```sh", "  # now", "  ```", "Done."]]
    ['paragraph', 'underline', 'item', 'fence', 'code', 'fence end', 'paragraph']
    """

    __slots__ = ("_above", "_columns", "_deepest", "_fence")

    def __init__(self) -> None:
        # A kind, or "title" for a line of text that may be underlined, "number" for a numbered item, "" for an empty one.
        self._above = "blank"
        # Where the text of each open list item begins, the outermost first.
        self._columns: list[int] = []
        # What opened the code, and how far the line that closes it may be indented.
        self._fence = ""
        self._deepest = 0

    def kind(self, line: str) -> Kind:
        """What the next line is, given without what ends it."""
        if self._fence:
            if not self._closes(line):
                return "code"
            self._fence, self._above = "", "fence end"
            return "fence end"
        if line:
            first = _FIRST.match(line)
            if first is not None:
                return self._marked(line, first)
            if not line.isspace():
                return self._text(line)
        if not self._above:
            self._columns.pop()  # nothing belongs to an empty item behind a blank line
        self._above = "blank"
        return "blank"

    @property
    def fenced(self) -> bool:
        """Whether the next line is code, or closes it."""
        return bool(self._fence)

    def undecided(self, begun: str) -> bool:
        """Whether a line that begins so, and goes on, may still turn out to open a fence, or to close it."""
        return (_CLOSES if self._fence else _UNDECIDED).match(begun) is not None

    def _marked(self, line: str, first: re.Match[str]) -> Kind:
        kind: Kind
        sign = first[2]
        if sign is None:
            item = _ITEM.match(line)
            # What may be a rule too goes the longer way: "- - -", "* * *".
            if (
                item is not None
                and item[3] is not None
                and line[item.end()] not in "-*_"
                and self._begins(item, first.end(1))
            ):
                return self._item(line, first.end(1), item)
            if self._above == "title" and _UNDERLINE.match(line):
                kind = "underline"
            elif _RULE.match(line):
                kind = "rule"
            elif item is not None and self._begins(item, first.end(1)):
                return self._item(line, first.end(1), item)
            else:
                kind = self._text(line)
                return "marks" if _MARKS.match(line) else kind
        elif sign == "#" and _ATX.match(line):
            kind = "heading"
        elif sign == "|":
            kind = "row"
        elif sign == ">" and (self._columns or _column(first[1]) < 4):
            kind = "quote"
        elif sign in "`~" and self._opens(line, _column(first[1]), first.end(1)):
            kind = "fence"
        else:
            return self._text(line)
        if kind == "heading" or kind == "underline":
            self._columns.clear()
        elif self._columns:
            self._leave(first[1])
        self._above = kind
        return kind

    def _text(self, line: str) -> Kind:
        if self._above in _TEXT:
            self._above = "text"
            return "text"
        if self._columns:
            self._leave(line[: len(line) - len(line.lstrip(" \t"))])
        self._above = "text" if self._columns else "title"
        return "paragraph"

    def _leave(self, indent: str) -> None:
        """A line that goes on no text ends the list that it is not indented into."""
        if _column(indent) < self._columns[0]:
            self._columns.clear()

    def _begins(self, item: re.Match[str], indent: int) -> bool:
        """Whether what looks like an item is one below the line above it."""
        _, number, letter, gap = item.group(0, 1, 2, 3)
        if self._above not in ("title", "text"):
            year = number is not None and len(number) > 3 and self._above in ("item", "quote")
            return not year and (gap is not None or letter is None)
        if gap is None:
            return letter is None and bool(self._columns) and indent < self._columns[-1]  # the text is that of an item
        if number is not None:
            return len(number) < 4
        other = letter is not None and letter.endswith(")") and letter not in ("a)", "A)")
        return not other or bool(self._columns)

    def _item(self, line: str, indent: int, item: re.Match[str]) -> Kind:
        begin, end = item.span(3) if item[3] is not None else (item.end(), item.end())
        if "\t" in line[:end]:
            indent, begin, end = (_column(line[:place]) for place in (indent, begin, end))
        column = end if 0 < end - begin <= 4 else begin + 1
        if self._columns and self._columns[-1] > indent:
            self._columns = [one for one in self._columns if one <= indent]
        self._columns.append(column)
        if item[3] is None:
            self._above = ""
            return "item"
        self._above = "item" if item[1] is None else "number"
        if line[item.end()] in "`~":
            self._opens(line, column, item.end())
        return "item"

    def _opens(self, line: str, indent: int, at: int) -> bool:
        mark = _FENCE.match(line, at)
        if mark is None or (mark[1][0] == "`" and "`" in line[mark.end() :]):
            return False
        base = max((column for column in self._columns if column <= indent), default=0)
        if indent - base > 3:
            return False
        self._fence, self._deepest = mark[1], base + 3
        return True

    def _closes(self, line: str) -> bool:
        mark = _FENCE.match(line)
        return (
            mark is not None
            and mark[1].startswith(self._fence)
            and not line[mark.end() :].strip()
            and _column(line[: mark.start(1)]) <= self._deepest
        )


def lines(text: str, start: int = 0) -> Iterator[tuple[Kind, int, str]]:
    """Each line from `start` on: what it is, where it begins, and its characters, without what ends it.

    Front matter is not looked for.

    >>> list(lines("# A\\r\\n\\nb\\n"))
    [('heading', 0, '# A'), ('blank', 5, ''), ('paragraph', 6, 'b')]
    """
    kind = Scanner().kind
    for found in _LINE.finditer(text, start):
        line = found[1]
        if line or found[0]:  # behind the last end of a line there is none
            yield kind(line), found.start(), line


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a whole text, in order; only blank lines and the ends of lines lie between them.

    A heading has its underline with it, code its fences, an item and a quote the lines of text right below; a row of a table is
    a block of its own. What comes after the first blank line in a list item is a block like any other.

    >>> text = "---\\ntitle: T\\n---\\nUse\\n---\\n1. Run\\n   it.\\n\\n~~~\\n# x\\n~~~"
    >>> [(block.kind, text[block.start:block.end]) for block in blocks(text)]  # doctest: +NORMALIZE_WHITESPACE
    [('front matter', '---\\ntitle: T\\n---'), ('heading', 'Use\\n---'), ('item', '1. Run\\n   it.'),
     ('code', '~~~\\n# x\\n~~~')]
    """
    start = front_matter(text)
    if start:
        begin = 1 if text.startswith("\ufeff") else 0
        yield Block("front matter", begin, begin + len(text[begin:start].rstrip()))
    held: Block | None = None
    above: Kind = "blank"
    for kind, begin, line in lines(text, start):
        end = begin + len(line)
        if held is not None and _goes_on(held, kind, above, text):
            level = (1 if "=" in line else 2) if kind == "underline" else 0
            held = Block("heading" if level else held.kind, held.start, end, level)
        else:
            if held is not None:
                yield held
            level = heading_level(line) if kind == "heading" else 0
            held = None if kind == "blank" else Block(_KINDS[kind], begin, end, level)
        above = kind
    if held is not None:
        yield held


_KINDS: dict[Kind, BlockKind] = {
    "paragraph": "paragraph",
    "text": "paragraph",
    "marks": "paragraph",
    "heading": "heading",
    "item": "item",
    "row": "row",
    "quote": "quote",
    "rule": "rule",
    "fence": "code",
}


def _goes_on(block: Block, kind: Kind, above: Kind, text: str) -> bool:
    if kind == "quote":
        return block.kind == "quote"
    if kind == "marks":
        empty = block.kind == "item" and item_text(text, block.start, block.end) == block.end
        return block.kind in ("paragraph", "item", "quote") and above != "fence end" and not empty
    return kind in ("text", "code", "fence end", "underline")


def heading_level(line: str) -> int:
    """The level of a heading with #, 1 to 6, 0 where the line is none.

    >>> heading_level("## Install"), heading_level("#7")
    (2, 0)
    """
    found = _ATX.match(line)
    return len(found[1]) if found else 0


def heading_text(line: str) -> str:
    """What a heading says, without the marks of Markdown; of an underlined one, the line above.

    >>> heading_text("## The `run` [command](#run) ## ")
    'The run command'
    """
    text = _CLOSING.sub("", _ATX.sub("", line[: 4 * LONGEST_HEADING], count=1).strip())
    text = _EMPHASIS.sub(r"\2", _LINK.sub(r"\1", _ATTRIBUTES.sub("", text)))
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_HEADING else text[:LONGEST_HEADING].rsplit(" ", 1)[0] + "\u2026"


def item_text(text: str, start: int, end: int) -> int:
    """Where the text of a list item begins, given the span of its line: behind the marker.

    >>> item_text("- [ ] Buy flour", 0, 15), item_text("  a) salt", 0, 9)
    (2, 5)
    """
    found = _ITEM.match(text, start, end)
    return found.end() if found else start


def front_matter(text: str) -> int:
    """Where the text begins behind its front matter (YAML between ---, TOML between +++), 0 where it has none.

    It has to look like it: a rule at the very beginning is a rule.

    >>> front_matter("---\\ntitle: A\\n---\\nText"), front_matter("---\\nText\\n---\\n")
    (17, 0)
    """
    found = _LINE.finditer(text, 1 if text.startswith("\ufeff") else 0)
    closing, allowed = _FRONT_MATTER.get(next(found)[1].rstrip(), ((), _LINE))
    for line in found if closing else ():
        if line[1].rstrip() in closing:
            return line.end()
        if line.start() == line.end() or not allowed.match(line[1]):
            return 0
    return 0


def _column(text: str) -> int:
    """How many columns a text takes that stands at the beginning of a line, tabs to the next fourth."""
    return len(text.expandtabs(4)) if "\t" in text else len(text)
