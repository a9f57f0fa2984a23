"""Cutting by separators, the coarsest first: a piece is torn by the next separator only where it is too long."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from hookrag_text.graphemes import whole
from hookrag_text.sentences import spans as sentences

from hookrag_chunking.meters import Meter, skipped, trimmed
from hookrag_chunking.spans import Span, word_starts

Cuts = Callable[[str, int, int], Iterable[int]]
"""The places within (start, end) of a text where it may be cut, ascending."""


@dataclass(frozen=True, slots=True)
class Level:
    """Where a text may be cut. What a `tight` one cuts off the front of a piece is too little to stand with what is before."""

    cuts: Cuts
    tight: bool = False


_NEWLINE = r"(?:\r\n|[\n\r\x85\u2028])"
_BLANKS = r"[^\S\n\r\x85\u2028\u2029]*"
# Each begins with a class of characters, which re looks for quickly; \r\n is one newline.
_PARAGRAPH = re.compile(rf"[\n\r\x85\u2028\u2029](?:(?<=\u2029)|(?:(?<=\r)\n)?+(?:{_BLANKS}{_NEWLINE})+)")
_LINE = re.compile(r"[\n\r\v\f\x85\u2028\u2029](?:(?<=\r)\n)?")
_AROUND = 4
"""So many characters before a place are looked at to tell whether a separator ends there."""


def paragraph_cuts(text: str, start: int, end: int) -> Iterator[int]:
    """After each run of blank lines, and after each paragraph separator (U+2029)."""
    return (found.end() for found in _PARAGRAPH.finditer(text, start, end))


def line_cuts(text: str, start: int, end: int) -> Iterator[int]:
    """After each end of a line, whichever character it is (\\n, \\r\\n, \\r, a form feed, U+0085, U+2028, U+2029)."""
    return (found.end() for found in _LINE.finditer(text, start, end))


def sentence_cuts(text: str, start: int, end: int) -> Iterator[int]:
    """Where each sentence but the first begins, by `hookrag_text.sentences`."""
    return (start + first for first, _ in sentences(text[start:end])[1:])


def word_cuts(text: str, start: int, end: int) -> Iterator[int]:
    """Where each word but the first begins, unless that is within a grapheme cluster."""
    return whole(text, list(word_starts(text, start, end))[1:])


def literal_cuts(separator: str) -> Cuts:
    """Around each occurrence of a text: before it where it begins with white space ("\\ndef "), else after it ("; ")."""
    skip = 0 if separator[0].isspace() else len(separator)

    def cuts(text: str, start: int, end: int) -> Iterator[int]:
        found = text.find(separator, start, end)
        while found >= 0:
            yield found + skip
            found = text.find(separator, found + len(separator), end)

    return cuts


NAMED: dict[str, Level] = {
    "paragraph": Level(paragraph_cuts),
    "line": Level(line_cuts),
    "sentence": Level(sentence_cuts),
    "word": Level(word_cuts, tight=True),
}


def levels_of(separators: Sequence[str]) -> tuple[Level, ...]:
    """The separators as levels: "paragraph", "line", "sentence" and "word" by their rules, any other as it stands."""
    return tuple(NAMED[name] if name in NAMED else Level(literal_cuts(name)) for name in separators)


def divided(
    text: str, start: int, end: int, levels: Sequence[Level], meter: Meter, *, size: int, overlap: int
) -> Iterator[Span]:
    """Spans of at most `size` units; each but the first reaches up to `overlap` units back into the one before.

    The text is cut by the first level that has a cut in it, each piece of more than size - overlap units by the next, and what
    no level cuts between units. Then neighbours are joined as long as they have size - overlap units together; the first part
    of a piece that was cut between words or units is not joined to what stands before it. What a span repeats begins at the
    first cut of the coarsest level that has one there, else at a unit.

    >>> from hookrag_chunking.meters import word_units
    >>> text = "One two three. Four five.\\n\\nSix."
    >>> levels = levels_of(["paragraph", "sentence"])
    >>> [text[a:b] for a, b in divided(text, 0, 32, levels, word_units(text), size=3, overlap=0)]
    ['One two three.', 'Four five.\\n\\nSix.']
    >>> [text[a:b] for a, b in divided(text, 0, 32, levels, word_units(text), size=5, overlap=2)]
    ['One two three.', 'two three. Four five.\\n\\nSix.']
    """
    core = _joined(_leaves(text, *trimmed(text, start, end), levels, meter, size - overlap), meter, size - overlap)
    if not overlap:
        yield from core
        return
    before: Span | None = None
    for span in core:
        begin = span[0] if before is None else _repeated(text, before[0], span[0], levels, meter, overlap)
        yield begin, span[1]
        before = span


def _leaves(
    text: str, start: int, end: int, levels: Sequence[Level], meter: Meter, size: int, joins: bool = True
) -> Iterator[tuple[int, int, bool]]:
    """The pieces in order, none of more than `size` units where units allow it, and whether each may join what is before."""
    if start == end:
        return
    if meter.count(start, end) <= size:
        yield start, end, joins
        return
    for depth, level in enumerate(levels, 1):
        if level.cuts is word_cuts and (places := list(word_cuts(text, start, end))):
            yield from _by_words(text, start, end, places, levels[depth:], meter, size)
            return
        first = start
        for cut in level.cuts(text, start, end):
            if first < cut < end:
                loose = first > start or (joins and not level.tight)
                yield from _leaves(text, *trimmed(text, first, cut), levels[depth:], meter, size, loose)
                first = cut
        if first > start:
            yield from _leaves(text, *trimmed(text, first, end), levels[depth:], meter, size)
            return
    first = start
    while first < end:
        stop = meter.step(first, end, size)
        yield *trimmed(text, first, stop), first > start
        first = skipped(text, stop)


def _by_words(
    text: str, start: int, end: int, places: Sequence[int], levels: Sequence[Level], meter: Meter, size: int
) -> Iterator[tuple[int, int, bool]]:
    """A piece cut at words, as many at a time as fit: they would be joined one by one to the same spans."""
    first = start
    while first < end:
        limit = meter.step(first, end, size)
        after = bisect_right(places, limit)
        if limit < end and after < len(places) and trimmed(text, first, places[after])[1] <= limit:
            after += 1  # only the white space before it is too much
        stop = end if limit == end else places[after - 1] if after else first
        if stop <= first or meter.count(*trimmed(text, first, stop)) > size:
            stop = places[after] if after < len(places) else end
            yield from _leaves(text, *trimmed(text, first, stop), levels, meter, size, first > start)
        else:
            yield *trimmed(text, first, stop), first > start
        first = skipped(text, stop)


def _joined(pieces: Iterable[tuple[int, int, bool]], meter: Meter, size: int) -> Iterator[Span]:
    held: Span | None = None
    for start, end, joins in pieces:
        if held is not None and joins and meter.count(held[0], end) <= size:
            held = held[0], end
            continue
        if held is not None:
            yield held
        held = start, end
    if held is not None:
        yield held


def _repeated(text: str, before: int, start: int, levels: Sequence[Level], meter: Meter, overlap: int) -> int:
    """Where the span that has its own text from `start` begins, if it may repeat `overlap` units of the one before."""
    earliest, _ = trimmed(text, meter.back(before, start, overlap), start)
    for level in levels:
        for cut in level.cuts(text, max(earliest - _AROUND, before), start):
            place, end = trimmed(text, cut, start)
            if earliest <= place < end:
                return place
    return min(earliest, start)
