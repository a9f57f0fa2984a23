"""How much text there is between two places, in words, characters or tokens: what the other modules cut by."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol

from hookrag_text.graphemes import LONGEST as LONGEST_CLUSTER
from hookrag_text.graphemes import last_break, next_break, whole

from hookrag_chunking.spans import LONGEST, Span, word_starts

_SPACE = re.compile(r"\s*")


class Meter(Protocol):
    """Measures one text. Places that are given lie at a character that is not white space, or at the end."""

    def count(self, start: int, end: int) -> int:
        """How many units the span has; a unit that it has a part of counts whole."""
        ...

    def step(self, start: int, end: int, size: int) -> int:
        """The last place in (start, end] with at most `size` units before it; one unit on where even that is more."""
        ...

    def back(self, start: int, end: int, size: int) -> int:
        """The first place in (start, end] from which there are at most `size` units up to `end`."""
        ...


class Characters:
    """Counts characters (code points) and cuts between grapheme clusters."""

    def __init__(self, text: str) -> None:
        self._text = text

    def count(self, start: int, end: int) -> int:
        return end - start

    def step(self, start: int, end: int, size: int) -> int:
        if start + size >= end:
            return end
        found = last_break(self._text, start, start + size)
        if found > start:
            return found
        return next_break(self._text, start, start + size, min(start + max(size, LONGEST_CLUSTER), end))

    def back(self, start: int, end: int, size: int) -> int:
        return end if size == 0 else next_break(self._text, start, max(end - size, start + 1), end)


class Units:
    """Counts what begins at `starts`; the units before the one at `starts[i]` are `totals[i]` together."""

    def __init__(self, starts: Sequence[int], totals: Sequence[int]) -> None:
        self._starts = starts
        self._totals = totals

    def count(self, start: int, end: int) -> int:
        first = max(bisect_right(self._starts, start) - 1, 0)
        return self._totals[bisect_left(self._starts, end)] - self._totals[first]

    def step(self, start: int, end: int, size: int) -> int:
        first = max(bisect_right(self._starts, start) - 1, 0)
        after = max(bisect_right(self._totals, self._totals[first] + size) - 1, first + 1)
        return min(self._starts[after], end) if after < len(self._starts) else end

    def back(self, start: int, end: int, size: int) -> int:
        after = bisect_left(self._starts, end)
        first = bisect_left(self._totals, self._totals[after] - size)
        first = max(first, bisect_right(self._starts, start))
        return min(self._starts[first], end) if first < len(self._starts) else end


def word_units(text: str) -> Units:
    """Counts the words of `spans.words`; a word that begins inside a grapheme cluster is counted and not cut off.

    >>> word_units("to be or not").count(3, 8), word_units("to be or not").step(3, 12, 2)
    (2, 9)
    """
    starts = array("q", word_starts(text))
    return _units(text, starts, range(len(starts) + 1))


def token_units(text: str, tokens: Iterable[Span]) -> Units:
    """Counts tokens, given by the (start, end) characters of each in order; cuts only where a word of `spans.words` begins.

    A token belongs to the word that its last character lies in or behind. One of more than 100 characters (an unknown word,
    however long) counts as one for every four characters.

    >>> units = token_units("unlikely so", [(0, 2), (2, 8), (8, 11)])
    >>> units.count(0, 11), units.step(0, 11, 2), units.step(0, 11, 1)
    (3, 9, 9)
    """
    starts = array("q", word_starts(text))
    totals, total = array("q", [0]), 0
    for start, end in tokens:
        for place in range(start, end, LONGEST) if end - start > LONGEST else (end - 1,):
            while len(totals) < len(starts) and starts[len(totals)] <= place:
                totals.append(total)
            total += -(-min(LONGEST, end - place) // 4) if end - start > LONGEST else 1
    totals.extend([total] * (len(starts) + 1 - len(totals)))
    return _units(text, starts, totals)


def _units(text: str, starts: Sequence[int], totals: Sequence[int]) -> Units:
    kept = array("q", whole(text, starts))
    if len(kept) < len(starts):
        wanted = chain(kept, (-1,))
        place = next(wanted)
        left = array("q")
        for start, total in zip(starts, totals, strict=False):
            if start == place:
                left.append(total)
                place = next(wanted)
        left.append(totals[-1])
        totals = left
    return Units(kept, totals)


def sliding(text: str, start: int, end: int, meter: Meter, *, size: int, overlap: int) -> Iterator[Span]:
    """Spans of `size` units, each beginning with the last `overlap` units of the one before; without outer white space.

    >>> list(sliding("to be or not to be", 0, 18, word_units("to be or not to be"), size=3, overlap=1))
    [(0, 8), (6, 15), (13, 18)]
    """
    start, end = trimmed(text, start, end)
    while start < end:
        stop = meter.step(start, end, size)
        yield trimmed(text, start, stop)
        if stop == end:
            return
        begin, new = skipped(text, meter.back(start, stop, overlap)), skipped(text, stop)
        # Where a long unit stands next, what is repeated may leave no room for anything new.
        start = begin if begin < stop and meter.step(begin, end, size) > new else new


def skipped(text: str, start: int) -> int:
    """Where the white space at `start` ends."""
    found = _SPACE.match(text, start)
    return found.end() if found else start


def trimmed(text: str, start: int, end: int) -> Span:
    """The span without its outer white space; it is empty where there is nothing else."""
    start = min(skipped(text, start), end)
    return start, start + len(text[start:end].rstrip())
