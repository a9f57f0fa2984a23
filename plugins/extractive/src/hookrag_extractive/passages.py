"""Which pieces of a chunk can be quoted in an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hookrag import Chunk
from hookrag_text.markdown import Kind, Scanner, item_text, lines
from hookrag_text.sentences import spans

_ENDED = re.compile(
    r"[.!\u2026\u3002\uff01\uff61\uff0e\u0964\u0965\u06d4\u0589\u1362\u17d4\u104b][^\w\s]*(?:\[\d{1,4}\])*$"
)
_QUESTION = re.compile(r"[?\uff1f\u061f][^\w\s]*$")
_SYMBOL = re.compile(r'[][{}<>=|\\;$_"]')
_POINTS_BACK = re.compile(r"(?:It|Its|He|His|She|Her|They|Their|This|These|That|Those|Such)\b")
_SHORTEST = 8
_LONG_LINE = 30
"""A line without an end is a heading or a label if it is shorter, and a statement if it is not."""
_SYMBOLS = 0.08
"""Text has fewer brackets, quotes and signs among its characters than code and markup."""
_ITEMS = 8
_NOT_TEXT: frozenset[Kind] = frozenset(("heading", "underline", "row", "rule", "marks", "fence", "code", "fence end"))


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a chunk, `chunk.text[start:end]`; `plain` if it is a statement that can stand in an answer.

    `lead` is where the sentence before begins, if this one needs it ("It was completed in 1889."), else `start`.
    """

    chunk: Chunk
    start: int
    end: int
    plain: bool
    lead: int

    @property
    def quote(self) -> str:
        return self.chunk.text[self.start : self.end]


def passages(chunk: Chunk) -> Iterator[Passage]:
    """The sentences of the chunk, each once, in order; one that introduces a list ("The steps are:") has its items with it.

    Not plain are headings and other short lines without an end, questions, code, tables, markup, what is left of a sentence
    that the chunk's beginning cuts off, and what is very short.
    """
    text = chunk.text
    found = spans(text)
    kinds = _kinds(text)
    taken = 0
    before: Passage | None = None
    for index, (start, end) in enumerate(found):
        if index < taken:
            continue
        kind = _kind(text, start, end, kinds)
        item = kind == "item" and (behind := item_text(text, start, end)) < end
        if item:
            start, kind = behind, _read(text, behind, end)
        listed = index + 1
        if text[end - 1] in ":\uff1a":
            while listed < len(found) and listed <= index + _ITEMS and _kind(text, *found[listed], kinds) == "item":
                listed += 1
        if listed > index + 1:
            end, taken = found[listed - 1][1], listed
        torn = index == 0 and chunk.start > 0 and text[start].islower()
        plain = not torn and kind not in _NOT_TEXT and _is_plain(text[start:end], item, listed > index + 1)
        needs = before and before.plain and _POINTS_BACK.match(text, start) and "\n\n" not in text[before.end : start]
        before = Passage(chunk, start, end, plain, before.start if before and needs else start)
        yield before


def _kinds(text: str) -> dict[int, Kind]:
    """What each line is, by where its first character is that is not white space."""
    found: dict[int, Kind] = {}
    above = 0
    for kind, start, line in lines(text):
        if kind == "underline":
            found[above] = "heading"
        above = start + len(line) - len(line.lstrip())
        found[above] = kind
    return found


def _kind(text: str, start: int, end: int, kinds: Mapping[int, Kind]) -> Kind:
    """What a sentence begins with: its line says it, or where there are no lines ("... done. - Next: ..."), it by itself."""
    line = kinds.get(start)
    if line is not None and line not in ("paragraph", "text"):
        return line
    read = _read(text, start, end)
    return line if line is not None and read == "item" else read


def _read(text: str, start: int, end: int) -> Kind:
    stop = text.find("\n", start, end)
    return Scanner().kind(text[start : end if stop < 0 else stop])


def _is_plain(quote: str, item: bool, introduces: bool) -> bool:
    last = quote[-_SHORTEST:]
    if len(quote) < _SHORTEST or _QUESTION.search(last):
        return False
    if len(_SYMBOL.findall(quote)) > _SYMBOLS * len(quote):
        return False
    return introduces or item or len(quote) >= _LONG_LINE or _ENDED.search(last) is not None
