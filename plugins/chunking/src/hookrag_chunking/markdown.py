"""The structure of a Markdown text, as places in it: sections with the path of their headings, blocks, and their parts."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hookrag_chunking.recursive import Cuts, Level

LONGEST_HEADING = 200
"""A heading is cut to so many characters in a path, which goes before every chunk of its section."""

_LINES = re.compile(r"([^\n\r\f\u2028\u2029]*)(?:\r\n|[\n\r\f\u2028\u2029]|\Z)")
_FENCE = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)")
_CLOSING = re.compile(r"(?:^|[ \t]+)#+$")
_SETEXT = re.compile(r" {0,3}(?:=+|-+)[ \t]*$")
_RULE = re.compile(r" {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$")
_ITEM = re.compile(r"[ \t]*(?:[-*+\u2022]|\d{1,9}[.)])(?:[ \t]|$)")
_ROW = re.compile(r"[ \t]*\|")
_LINK = re.compile(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
_ATTRIBUTES = re.compile(r"[ \t]*\{[^{}]*\}$")
_EMPHASIS = re.compile(r"(\*\*|__|`)(?=\S)(.+?)(?<=\S)\1")

_FRONT_MATTER: dict[str, tuple[tuple[str, ...], re.Pattern[str]]] = {
    "---": (("---", "..."), re.compile(r"\s|#|- |[\w\"'][^:]*:(?:\s|$)|$")),
    "+++": (("+++",), re.compile(r"\s|#|\[|[\w\"'][^=]*=|[\]}]|$")),
}
"""What opens front matter, what closes it, and how each line in it begins."""


@dataclass(frozen=True, slots=True)
class Section:
    """The text from a heading to the next that cuts; `path` has the headings above it and its own, the outermost first."""

    start: int
    end: int
    path: tuple[str, ...]


@dataclass(slots=True)
class Outline:
    """`blocks` are where paragraphs, lists, tables and code begin, unless right below a heading; `parts` where list items,
    table rows and lines of code do."""

    sections: list[Section] = field(default_factory=list)
    blocks: array[int] = field(default_factory=lambda: array("q"))
    parts: array[int] = field(default_factory=lambda: array("q"))

    @property
    def levels(self) -> tuple[Level, Level]:
        """Blocks and their parts as places where the text may be cut."""
        return Level(cuts_at(self.blocks)), Level(cuts_at(self.parts), tight=True)


def cuts_at(places: Sequence[int]) -> Cuts:
    """The given ascending places, as separators are given."""

    def cuts(text: str, start: int, end: int) -> Iterator[int]:
        at = bisect_right(places, start)
        while at < len(places) and places[at] < end:
            yield places[at]
            at += 1

    return cuts


def outline(text: str, *, depth: int = 6) -> Outline:
    """The structure of a text; headings deeper than `depth` begin no section. Sections leave nothing out but front matter.

    Headings are those of CommonMark 0.31 (sections 4.2 and 4.3, there of one line), outside code fences (4.5). A heading with
    nothing but deeper headings below it belongs to the section of the first of them.

    >>> [(it.start, it.path) for it in outline("# Guide\\n## Install ##\\nRun it.\\n\\nUse\\n===\\nx").sections]
    [(0, ('Guide', 'Install')), (31, ('Use',))]
    """
    scan = _Scan(depth)
    start = front_matter(text)
    for line in _LINES.finditer(text, start):
        scan.line(line.start(), line[1])
    return Outline(list(_sections(text, start, scan.headings)), scan.blocks, scan.parts)


def front_matter(text: str) -> int:
    """Where the text begins behind its front matter (YAML between ---, TOML between +++), 0 where it has none.

    It has to look like it: a rule at the very beginning is a rule.

    >>> front_matter("---\\ntitle: A\\n---\\nText"), front_matter("---\\nText\\n---\\n")
    (17, 0)
    """
    lines = _LINES.finditer(text, 1 if text.startswith("\ufeff") else 0)
    closing, allowed = _FRONT_MATTER.get(next(lines)[1].rstrip(), ((), _LINES))
    for line in lines if closing else ():
        if line[1].rstrip() in closing:
            return line.end()
        if line.start() == line.end() or not allowed.match(line[1]):
            return 0
    return 0


def heading_text(line: str) -> str:
    """What a heading says, without the marks of Markdown.

    >>> heading_text("## The `run` [command](#run) ## ")
    'The run command'
    """
    text = _CLOSING.sub("", _ATX.sub("", line[: 4 * LONGEST_HEADING], count=1).strip())
    text = _EMPHASIS.sub(r"\2", _LINK.sub(r"\1", _ATTRIBUTES.sub("", text)))
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_HEADING else text[:LONGEST_HEADING].rsplit(" ", 1)[0] + "\u2026"


@dataclass(frozen=True, slots=True)
class _Heading:
    start: int
    end: int
    level: int
    text: str


class _Scan:
    """Reads line by line; `before` says what the line above was."""

    def __init__(self, depth: int) -> None:
        self.headings: list[_Heading] = []
        self.blocks = array("q")
        self.parts = array("q")
        self._depth = depth
        self._fence = ""
        self._before = "blank"
        self._above: tuple[int, str] = (0, "")
        self._listed = False

    def line(self, start: int, line: str) -> None:
        mark = _FENCE.match(line)
        if self._fence:
            self.parts.append(start)
            if mark and mark[1].startswith(self._fence) and not line[mark.end() :].strip():
                self._fence, self._before = "", "code"
            return
        if mark and not (mark[1][0] == "`" and "`" in line[mark.end() :]):
            self._begin(start, inside=self._listed and line[0] in " \t")
            self._fence = mark[1]
        elif not line or line.isspace():
            self._before = "heading" if self._before == "heading" else "blank"
        elif atx := _ATX.match(line):
            self._begin(start, inside=False)
            self._heading(start, start + len(line), len(atx[1]), line)
        elif self._before == "one line" and _SETEXT.match(line):
            self._heading(self._above[0], start + len(line), 1 if "=" in line else 2, self._above[1])
        else:
            self._text(start, line)

    def _heading(self, start: int, end: int, level: int, line: str) -> None:
        if level <= self._depth:
            self.headings.append(_Heading(start, end, level, heading_text(line)))
        self._before, self._listed = "heading", False

    def _text(self, start: int, line: str) -> None:
        before = self._before
        if _RULE.match(line):
            self._begin(start, inside=False)
            self._before = "rule"
        elif _ROW.match(line):
            self._begin(start, inside=before == "row" or (self._listed and line[0] in " \t"))
            self._before = "row"
        elif _ITEM.match(line):
            self._begin(start, inside=self._listed)
            self._before, self._listed = "item", True
        elif before in ("blank", "heading", "code", "row", "rule"):
            inside = self._listed and line[0] in " \t"
            self._begin(start, inside=inside)
            # A heading that is underlined is known by the line below it.
            self._before = "text" if inside else "one line"
            self._above = start, line
        else:
            self._before = "text"

    def _begin(self, start: int, *, inside: bool) -> None:
        """A block begins, or a part of one."""
        if inside:
            self.parts.append(start)
            return
        self._listed = False
        if self._before != "heading":
            self.blocks.append(start)


def _sections(text: str, start: int, headings: Sequence[_Heading]) -> Iterator[Section]:
    path: list[_Heading] = []
    begin = start
    for number, heading in enumerate(headings):
        if number == 0 and not _blank(text, start, heading.start):
            yield Section(start, heading.start, ())
            begin = heading.start
        while path and path[-1].level >= heading.level:
            path.pop()
        path.append(heading)
        after = headings[number + 1] if number + 1 < len(headings) else None
        end = len(text) if after is None else after.start
        if after is not None and after.level > heading.level and _blank(text, heading.end, end):
            continue  # it goes on with the deeper one
        yield Section(begin, end, tuple(one.text for one in path if one.text))
        begin = end
    if not headings:
        yield Section(start, len(text), ())


def _blank(text: str, start: int, end: int) -> bool:
    return not text[start:end].strip()
