"""From the characters of a page and their places to text: lines, columns, paragraphs and words that were hyphenated."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

HYPHEN = "\x02"
_GAP = 1.5
"""Words further apart than so many heights of a line stand in different columns."""
_LEADING = 1.35
"""Lines further apart than so many times the usual distance begin a paragraph."""
_COLUMN_LINES = 5
_END = re.compile(r"[.!?:;\u3002\uff01\uff1f][\"'\u201d\u2019\u00bb)\]]*$")
_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60]")


@dataclass(slots=True)
class Piece:
    """Characters that stand beside each other on one line, in points from the bottom left.

    `hyphen`: its last word goes on; `row`: it was put together of parts that stand far from each other.
    """

    text: str
    left: float
    right: float
    bottom: float
    top: float
    hyphen: bool = False
    row: bool = False

    @property
    def height(self) -> float:
        return max(self.top - self.bottom, 0.1)


Word = tuple[str, float, float, float, float]
"""A word, and its left, bottom, right and top; the end of a line, or HYPHEN for one inside a word, has no place."""


def pieces(words: Iterable[Word]) -> list[Piece]:
    """The pieces of a page in the order in which it draws them."""
    found: list[Piece] = []
    piece: Piece | None = None
    for word, left, bottom, right, top in words:
        if word in "\r\n" or word == HYPHEN:
            if piece is not None:
                piece.hyphen = word == HYPHEN
            piece = None
        elif piece is None or left - piece.right > _GAP * max(piece.height, 1.0):
            piece = Piece(word, left, right, bottom, top)
            found.append(piece)
        else:
            piece.text += f" {word}"
            piece.left, piece.right = min(piece.left, left), max(piece.right, right)
            piece.bottom, piece.top = min(piece.bottom, bottom), max(piece.top, top)
    return found


def page_text(found: Sequence[Piece]) -> str:
    """The paragraphs of a page, parted by blank lines.

    A line's end is kept where the next word would still have fitted, for then somebody meant it.
    """
    ordered = _lines(in_columns(found))
    distances = [a.bottom - b.bottom for a, b in pairwise(ordered) if _below(a, b)]
    usual = statistics.median(distances) if distances else 0.0
    margins = _margins(ordered)
    out: list[str] = []
    for at, piece in enumerate(ordered):
        if at:
            before, after = ordered[at - 1], ordered[at + 1] if at + 1 < len(ordered) else None
            out.append(_between(before, piece, after, usual, margins[at - 1]))
        out.append(piece.text)
    return "".join(out)


def _between(before: Piece, piece: Piece, after: Piece | None, usual: float, margin: float) -> str:
    """What stands between two pieces."""
    if before.hyphen and piece.text[:1].islower():
        return ""
    joint = "-" if before.hyphen else ""
    if not _below(before, piece):  # the next column, or somewhere else
        goes_on = not _END.search(before.text) and piece.text[:1].islower() and _alike(before, piece)
        return joint or (" " if goes_on else "\n\n")
    height = max(before.height, piece.height)
    far = before.bottom - piece.bottom > _LEADING * usual
    indented = piece.left > before.left + 0.8 * height and (after is None or after.left < piece.left - 0.8 * height)
    if far or not _alike(before, piece) or (indented and not joint):
        return joint or "\n\n"
    word = piece.text.split(" ", 1)[0]
    width = (piece.right - piece.left) / max(len(piece.text), 1) * (len(word) + 1)
    if joint or before.row or piece.row or before.right + width <= margin:
        return joint or "\n"
    return "" if _WIDE.match(before.text[-1]) and _WIDE.match(word) else " "


def _lines(ordered: Iterable[Piece]) -> list[Piece]:
    """What stands beside each other made one piece."""
    lines: list[Piece] = []
    for piece in ordered:
        if lines and _beside(lines[-1], piece):
            line = lines[-1]
            bottom, top = min(line.bottom, piece.bottom), max(line.top, piece.top)
            gap = "-" if line.hyphen else " "
            far = line.row or piece.left - line.right > _GAP * piece.height
            lines[-1] = Piece(f"{line.text}{gap}{piece.text}", line.left, piece.right, bottom, top, piece.hyphen, far)
        else:
            lines.append(piece)
    return lines


def _below(before: Piece, piece: Piece) -> bool:
    """Whether it is one of the next lines of the same column."""
    distance = before.bottom - piece.bottom
    overlap = min(before.right, piece.right) - max(before.left, piece.left)
    return 0.3 * piece.height < distance < 4 * max(before.height, piece.height) and overlap > 0


def _beside(before: Piece, piece: Piece) -> bool:
    overlap = min(before.top, piece.top) - max(before.bottom, piece.bottom)
    return overlap > 0.5 * min(before.height, piece.height) and piece.left >= before.right - 0.5 * piece.height


def _alike(before: Piece, piece: Piece) -> bool:
    """Whether they are of about the same size of letters."""
    return max(before.height, piece.height) < 1.25 * min(before.height, piece.height)


def _margins(ordered: Sequence[Piece]) -> list[float]:
    """For each piece the right end of the longest line in the run of lines that it belongs to."""
    margins = [0.0] * len(ordered)
    start = 0
    for at in range(1, len(ordered) + 1):
        if at == len(ordered) or not _below(ordered[at - 1], ordered[at]):
            right = max((piece.right for piece in ordered[start:at]), default=0.0)
            margins[start:at] = [right] * (at - start)
            start = at
    return margins


def in_columns(found: Sequence[Piece]) -> list[Piece]:
    """The pieces with columns of text that were drawn line by line across the page put one after the other.

    That is done where five lines or more in a row have two pieces with one gap between all of them, and the pieces fill
    their columns, as running text does and the cells of a table do not.
    """
    ordered: list[Piece] = []
    run: list[tuple[Piece, Piece]] = []
    at = 0
    while at < len(found):
        pair = (found[at], found[at + 1]) if at + 1 < len(found) and _beside(found[at], found[at + 1]) else None
        third = pair is not None and at + 2 < len(found) and _beside(found[at + 1], found[at + 2])
        fits = pair is not None and not third and _parts([*run, pair])
        if not fits and run:
            ordered += _unrolled(run)
            run = []
            continue
        if fits and pair is not None:
            run.append(pair)
            at += 2
        else:
            ordered.append(found[at])
            at += 1
    return ordered + list(_unrolled(run))


def _parts(run: Sequence[tuple[Piece, Piece]]) -> bool:
    """Whether the last pair has its gap where the first has, and below the pair before."""
    (left, right), (first, second) = run[-1], run[0]
    return (
        left.right < min(right.left, second.left)
        and first.right < right.left
        and (len(run) == 1 or _below(run[-2][0], left))
    )


def _unrolled(run: Sequence[tuple[Piece, Piece]]) -> Iterator[Piece]:
    columns = ([left for left, _ in run], [right for _, right in run])
    if len(run) >= _COLUMN_LINES and all(map(_filled, columns)):
        for column in columns:
            yield from column
    else:
        for pair in run:
            yield from pair


def _filled(column: Sequence[Piece]) -> bool:
    width = max(piece.right for piece in column) - min(piece.left for piece in column)
    lines = [(piece.right - piece.left) / max(width, 1.0) for piece in column]
    return statistics.fmean(lines) > 0.7 and statistics.fmean(len(piece.text) for piece in column) > 15
