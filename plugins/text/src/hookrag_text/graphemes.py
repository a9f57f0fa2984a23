"""Where a text may be cut without tearing a user-perceived character: extended grapheme clusters (UAX #29, section 3)."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

import regex

LONGEST = 1_000
"""A cluster of more characters than this (a letter under a tower of accents) may be torn, so that the time stays linear."""

_CLUSTER = regex.compile(r"\X")
# Characters that join nothing on their right: neither CR, a prefix, a jamo, a flag's half nor a conjunct's consonant.
_PLAIN = (
    r"\t\n\x0b\x0c\x20-\u02ff\u0370-\u0482\u05d0-\u05ea\u0620-\u064a\u0e01-\u0e30\u0e40-\u0e46\u1e00-\u200a\u2010-\u2027"
    r"\u3000-\u3029\u3041-\u3096\u30a0-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff9d"
)
_ODD = re.compile(rf"[^{_PLAIN}]")
# Between the two of such a pair there is a boundary whatever stands around it (rules GB9 and GB9a do not apply).
_SURE = regex.compile(rf"[{_PLAIN}][^\p{{GCB=Extend}}\p{{GCB=ZWJ}}\p{{GCB=SpacingMark}}]", regex.DOTALL)


def last_break(text: str, start: int, at: int) -> int:
    """The last place in [start, at] that lies between two clusters; `start` has to be one. Looks no further than LONGEST back.

    >>> last_break("ae\u0301b", 0, 2), last_break("ae\u0301b", 0, 3)
    (1, 3)
    """
    if at <= start or at >= len(text) or _SURE.match(text, at - 1):
        return at
    floor = max(start, at - LONGEST)
    found = next((place for place in range(at - 1, floor, -1) if _SURE.match(text, place - 1)), floor)
    for cluster in _CLUSTER.finditer(text, found, at + 1):
        if cluster.end() > at:
            break
        found = cluster.end()
    return at if at - found >= LONGEST else found


def next_break(text: str, start: int, at: int, end: int) -> int:
    """The first place in [at, end] that lies between two clusters; `start` <= at and `end` have to be such places.

    >>> next_break("ae\u0301b", 0, 2, 4)
    3
    """
    before = last_break(text, start, at)
    if before == at:
        return at
    cluster = _CLUSTER.match(text, before, end)
    return cluster.end() if cluster else end


def whole(text: str, places: Sequence[int]) -> Iterator[int]:
    """Those of the ascending places that lie between two clusters."""
    before, at = 0, 0
    while at < len(places):
        odd = _ODD.search(text, max(places[at] - 1, 0), places[-1] + 1)
        after = bisect_left(places, odd.start()) if odd else len(places)
        if after > at:
            yield from places[at:after]  # plain characters on both sides of each
            before, at = places[after - 1], after
            continue
        if last_break(text, before, places[at]) == places[at]:
            before = places[at]
            yield before
        at += 1
