"""Spans of a text, as pure functions: every span is (start, end) in characters, end exclusive."""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Iterator, Sequence
from operator import methodcaller
from typing import overload

from hookrag_text.sentences import spans as sentences

Span = tuple[int, int]
Piece = tuple[int, int, int]
"""Start, end, and how many words."""

LONGEST = 100
"""A run of more characters than this without white space (a URL, base64) counts as several words."""

# Thai, Lao; Myanmar; Khmer; kana, Bopomofo and Han with their extensions; their marks stay with the letter before
_SCRIPTS = "\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u3096\u309d-\u30fa\u30fd-\u312f\u3400-\u4dbf"
_UNSPACED = _SCRIPTS + "\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af"
_MARKS = "\u0300-\u036f\u3099\u309a\ufe00-\ufe0f"
_MARKS += "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u17b4-\u17d3"
_START = methodcaller("start")
_WORD = re.compile(rf"[{_UNSPACED}][{_MARKS}]{{0,{LONGEST}}}|[^\s{_UNSPACED}]{{1,{LONGEST}}}")


def words(text: str) -> list[Span]:
    """The words: runs without white space; in scripts that set none between words, each character is one.

    Every character that is not white space lies in one.

    >>> words("to be, 你好")
    [(0, 2), (3, 6), (7, 8), (8, 9)]
    """
    return [found.span() for found in _WORD.finditer(text)]


def word_starts(text: str, start: int = 0, end: int = sys.maxsize) -> Iterator[int]:
    """Where each of the words of a span begins."""
    return map(_START, _WORD.finditer(text, start, end))


class WordSpans(Sequence[Span]):
    """The same as `words`, in eight bytes a word and not a hundred and twenty: a cell of a table may have millions.

    >>> found = WordSpans("to be, 你好")
    >>> len(found), found[1], found[-2:]
    (4, (3, 6), [(7, 8), (8, 9)])
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = array("q", word_starts(text))

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, at: int) -> Span: ...
    @overload
    def __getitem__(self, at: slice) -> list[Span]: ...
    def __getitem__(self, at: int | slice) -> Span | list[Span]:
        if isinstance(at, slice):
            return [self._span(start) for start in self._starts[at]]
        return self._span(self._starts[at])

    def _span(self, start: int) -> Span:
        found = _WORD.match(self._text, start)
        assert found is not None
        return found.span()


def windows(units: Sequence[Span], *, size: int, overlap: int) -> list[Span]:
    """Spans of `size` units, each beginning with the last `overlap` units of the one before; the last may be shorter.

    >>> windows([(0, 2), (3, 6), (7, 8), (8, 9)], size=2, overlap=1)
    [(0, 6), (3, 8), (7, 9)]
    """
    found = []
    for first in range(0, len(units), size - overlap):
        last = min(first + size, len(units)) - 1
        found.append((units[first][0], units[last][1]))
        if last == len(units) - 1:
            break
    return found


def packed(text: str, *, size: int, overlap: int) -> list[Span]:
    """Spans of whole sentences, as many as fit into `size` words; a longer sentence is cut into pieces of `size` words.

    Each span begins with the last `overlap` sentences of the one before, or as many of them as leave room for one.

    >>> text = "One two. Three. Four five six seven."
    >>> [text[start:end] for start, end in packed(text, size=3, overlap=1)]
    ['One two. Three.', 'Four five six', 'seven.']
    >>> [text[start:end] for start, end in packed(text, size=5, overlap=1)]
    ['One two. Three.', 'Three. Four five six seven.']
    """
    return joined(sentence_pieces(text, size), size=size, overlap=overlap)


def sentence_pieces(text: str, size: int) -> list[Piece]:
    """The sentences, a longer one in pieces of `size` words.

    >>> sentence_pieces("One two. Three four five.", 2)
    [(0, 8, 2), (9, 19, 2), (20, 25, 1)]
    """
    pieces: list[Piece] = []
    for start, end in sentences(text):
        inside = [(start + first, start + last) for first, last in words(text[start:end])]
        for at in range(0, len(inside), size):
            part = inside[at : at + size]
            pieces.append((part[0][0], part[-1][1], len(part)))
    return pieces


def joined(pieces: Sequence[Piece], *, size: int, overlap: int) -> list[Span]:
    """Spans of whole pieces, as many as fit into `size` words, each with the last `overlap` pieces of the one before."""
    found: list[Span] = []
    first, total = 0, 0
    for here, (_, _, count) in enumerate(pieces):
        if total + count > size:
            found.append((pieces[first][0], pieces[here - 1][1]))
            first = max(first + 1, here - overlap)
            total = sum(piece[2] for piece in pieces[first:here])
            while total + count > size:
                total -= pieces[first][2]
                first += 1
        total += count
    if pieces:
        found.append((pieces[first][0], pieces[-1][1]))
    return found
