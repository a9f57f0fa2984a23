"""Where a Markdown text may be cut: sections with the path of their headings, blocks, and their parts."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hookrag_text.markdown import Kind, front_matter, heading_level, heading_text, lines

from hookrag_chunking.recursive import Cuts, Level


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

    Lines are what `hookrag_text.markdown` says they are. A heading with nothing but deeper headings below it belongs to the
    section of the first of them.

    >>> [(it.start, it.path) for it in outline("# Guide\\n## Install ##\\nRun it.\\n\\nUse\\n===\\nx").sections]
    [(0, ('Guide', 'Install')), (31, ('Use',))]
    """
    start = front_matter(text)
    found = _Places(depth)
    for kind, begin, line in lines(text, start):
        found.line(kind, begin, line)
    return Outline(list(_sections(text, start, found.headings)), found.blocks, found.parts)


@dataclass(frozen=True, slots=True)
class _Heading:
    start: int
    end: int
    level: int
    text: str


class _Places:
    """Collects where sections, blocks and their parts begin, line by line."""

    def __init__(self, depth: int) -> None:
        self.headings: list[_Heading] = []
        self.blocks = array("q")
        self.parts = array("q")
        self._depth = depth
        self._above: tuple[Kind, int, str] = ("blank", 0, "")
        self._headed = False  # only blank lines are between here and a heading
        self._listed = False

    def line(self, kind: Kind, start: int, line: str) -> None:
        above, title, text = self._above
        self._above = kind, start, line
        if kind in _NO_PLACE or (above in _TEXT and kind in ("marks", "quote")):
            return
        inside = self._listed and line[:1] in (" ", "\t")
        if kind == "item":
            self._begin(start, inside=self._listed)
            self._listed = True
        elif kind == "code" or kind == "fence end":
            self.parts.append(start)
        elif kind == "heading":
            self._begin(start, inside=False)
            self._heading(start, start + len(line), heading_level(line), line)
        elif kind == "underline":
            self._heading(title, start + len(line), 1 if "=" in line else 2, text)
        elif kind == "rule":
            self._begin(start, inside=False)
        else:
            self._begin(start, inside=inside or (kind == above == "row"))

    def _heading(self, start: int, end: int, level: int, line: str) -> None:
        if level <= self._depth:
            self.headings.append(_Heading(start, end, level, heading_text(line)))
        self._headed, self._listed = True, False

    def _begin(self, start: int, *, inside: bool) -> None:
        """A block begins, or a part of one."""
        if inside:
            self.parts.append(start)
        else:
            self._listed = False
            if not self._headed:
                self.blocks.append(start)
        self._headed = False


_NO_PLACE: frozenset[Kind] = frozenset(("blank", "text"))
_TEXT: frozenset[Kind] = frozenset(("paragraph", "text", "marks", "quote", "item"))


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
