"""A parser's events to light Markdown: what lxml calls a target. It keeps no tree, so depth costs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lxml import etree  # type: ignore[import-untyped]  # lxml ships no types


def _tags(names: str) -> frozenset[str]:
    return frozenset(names.split())


_UNSEEN = _tags(
    """annotation audio button canvas datalist dialog embed iframe input noscript object optgroup option rp rt script select
    style svg template textarea video"""
)
_CONTENT = _tags("article blockquote main section")
_ASIDE_ROLES = _tags("banner complementary contentinfo menu menubar navigation search")
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_BLOCKS = _tags(
    """address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure footer form h1 h2
    h3 h4 h5 h6 header hgroup hr legend li main menu nav ol p pre section summary table tbody tfoot thead tr ul"""
)
_SOFT = _tags("p div center address tbody section")
"""Blocks that do not end a table's row where they stand in a cell."""

_LINE, _PARAGRAPH, _CELL = "\x1d", "\x1e", "\x1f"
_MARKS = re.compile("[\x1d-\x1f]")
_SPACE = re.compile(r"[ \t\n\r\f\xa0]+")
_BLANK = re.compile(r"\n{3,}")
_TICKS = re.compile(r"`{3,}")
_NONE = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_PERMALINKS = frozenset("#\xa7\xb6\U0001f517")
_DEEPEST = 8
_WIDEST_CELL = 500
"""A row with a longer cell lays out the page: its cells are paragraphs."""


@dataclass(slots=True)
class _Block:
    """A paragraph, item, row, heading or code block; two of one `run` are parted by a line's end, others by a blank line."""

    kind: str
    prefix: str
    run: str
    main: bool
    aside: bool
    pieces: list[str] = field(default_factory=list)

    def text(self) -> str:
        joined = "".join(self.pieces)
        if self.kind == "code":
            code = joined.strip("\r\n")
            longest = max((len(run) for run in _TICKS.findall(code)), default=2)
            fence = "`" * (longest + 1)
            return f"{fence}\n{code}\n{fence}" if code.strip() else ""
        if self.kind == "row":
            return _row(joined)
        text = _lines(joined, _LINE)
        return self.prefix + text if text else ""


def _row(joined: str) -> str:
    cells = [_SPACE.sub(" ", cell.replace(_PARAGRAPH, " ")).strip() for cell in joined.split(_CELL)]
    if sum(map(bool, cells)) > 1 and max(map(len, cells)) <= _WIDEST_CELL:
        return f"| {' | '.join(cells)} |"
    return _BLANK.sub("\n\n", _lines(joined.replace(_CELL, _PARAGRAPH), _PARAGRAPH).replace("\n", "\n\n"))


def _lines(joined: str, mark: str) -> str:
    lines = (_SPACE.sub(" ", line).strip() for line in joined.split(mark))
    return _BLANK.sub("\n\n", "\n".join(lines)).strip("\n")


class Page:
    """Collects the blocks of a page in reading order while it is parsed; `text()` puts them together.

    In a `book`, what stands aside (footnotes, boxes) belongs to the text.
    """

    def __init__(self, *, book: bool = False) -> None:
        self.lang = ""
        self._book = book
        self._title: list[str] = []
        self._blocks: list[_Block] = []
        self._current: _Block | None = None
        self._prefix = ""
        self._open: list[tuple[str, tuple[str, ...]]] = []
        self._inside = dict.fromkeys(("unseen", "aside", "main", "content", "pre", "list", "cell", "title"), 0)

    @property
    def title(self) -> str:
        """The page's title, or else its first heading of the first level."""
        told = _SPACE.sub(" ", "".join(self._title)).strip()
        headings = (block.text() for block in self._blocks if block.prefix == "# ")
        return told or next(headings, "")[2:]

    def text(self) -> str:
        """What is inside `main`, or if nothing is, what is not navigation; if nothing is, everything."""
        shown = [(block, text) for block in self._blocks if (text := block.text())]
        body = [one for one in shown if not one[0].aside]
        return "".join(_parted([one for one in body if one[0].main] or body or shown))

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "html":
            self.lang = (attributes.get("lang") or attributes.get("xml:lang") or "").strip()
        places = tuple(self._places(tag, attributes))
        self._open.append((tag, places))
        for place in places:
            self._inside[place] += 1
        if self._inside["unseen"]:
            return
        if tag in ("td", "th"):
            if self._current and self._current.kind == "row":
                self._current.pieces.append(_CELL)
            else:
                self._begin("row")
        elif tag == "br":
            self._mark()
        elif tag in _BLOCKS:
            self._break(tag)
            if tag == "li":
                self._prefix = "  " * (min(max(self._inside["list"], 1), _DEEPEST) - 1) + "- "
            else:
                self._prefix = _HEADINGS.get(tag, self._prefix)

    def end(self, tag: str) -> None:
        if not self._open or self._open[-1][0] != tag:
            return
        for place in self._open.pop()[1]:
            self._inside[place] -= 1
        if tag in _BLOCKS and not self._inside["unseen"]:
            self._break(tag)
            if tag == "li" or tag in _HEADINGS:
                self._prefix = ""

    def data(self, data: str) -> None:
        if self._inside["unseen"]:
            return
        if self._inside["title"]:
            self._title.append(data)
            return
        if self._open and self._open[-1][0] == "a" and data.strip() in _PERMALINKS:
            return
        if self._current is None and not data.isspace():
            self._begin("code" if self._inside["pre"] else "text")
        if self._current is not None:
            self._current.pieces.append(_MARKS.sub(" ", data).replace("\xad", ""))

    def comment(self, text: str) -> None:
        """Comments are not for readers."""

    def pi(self, target: str, data: str | None = None) -> None:
        """Nor are processing instructions."""

    def close(self) -> Page:
        return self

    def _places(self, tag: str, attributes: Mapping[str, str]) -> Iterator[str]:
        """What the element makes of everything inside it."""
        role = attributes.get("role", "")
        hidden = "hidden" in attributes or attributes.get("aria-hidden") == "true"
        if tag in _UNSEEN or hidden or _NONE.search(attributes.get("style", "")):
            yield "unseen"
        footer = tag == "footer" and not self._inside["content"]
        if not self._book and (tag in ("nav", "aside") or role in _ASIDE_ROLES or footer):
            yield "aside"
        if tag == "main" or role == "main":
            yield "main"
        if tag in _CONTENT:
            yield "content"
        if tag in ("ul", "ol", "menu"):
            yield "list"
        if tag in ("td", "th"):
            yield "cell"
        if tag in ("pre", "title"):
            yield tag

    def _begin(self, kind: str) -> None:
        tags = [tag for tag, _ in self._open[-3:]]
        run = (
            "li" if self._prefix.endswith("- ") else "row" if kind == "row" else "d" if {"dt", "dd"} & set(tags) else ""
        )
        here = self._inside
        self._current = _Block(kind, self._prefix, run, here["main"] > 0, here["aside"] > 0)
        self._blocks.append(self._current)
        if kind != "row":
            self._prefix = ""

    def _mark(self) -> None:
        if self._current is not None:
            kind = self._current.kind
            self._current.pieces.append({"code": "\n", "row": _PARAGRAPH}.get(kind, _LINE))

    def _break(self, tag: str) -> None:
        if self._current and self._current.kind == "row" and self._inside["cell"] and tag in _SOFT:
            self._current.pieces.append(_PARAGRAPH)
        elif self._current and self._current.kind == "code" and self._inside["pre"]:
            if not self._current.pieces[-1].endswith("\n"):
                self._current.pieces.append("\n")
        else:
            self._current = None


def _parted(shown: list[tuple[_Block, str]]) -> Iterator[str]:
    before = ""
    for number, (block, text) in enumerate(shown):
        if number:
            yield "\n" if block.run and block.run == before else "\n\n"
        yield text
        before = block.run


class MarkupError(Exception):
    """Something that is no HTML at all."""


def parse(text: str, *, book: bool = False) -> Page:
    """The parsed page; whatever is wrong with the HTML is mended as libxml2 does. Linear in the length of the text."""
    page = Page(book=book)
    # Spelled out again in UTF-8, so that a declaration inside the page cannot speak for the bytes.
    data = text.replace("\0", "").encode("utf-8", "replace")
    if data.strip():
        parser = etree.HTMLParser(target=page, encoding="utf-8", huge_tree=True, no_network=True)
        try:
            etree.fromstring(data, parser)
        except etree.LxmlError as error:
            raise MarkupError(str(error)) from error
    return page
