"""Citations in an answer: [1], [1, 2] and [1][2] found, also while it is written, and checked against what they cite."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hookrag import Chunk, Citation, CitationStatus
from hookrag_text.sentences import spans

from hookrag_citations.alignment import Alignment, align, length, numbers, quotations

MARKER = re.compile(r"\[(\d{1,3}(?:[ \t]*[,;][ \t]*\d{1,3})*)\]")
# Code is left alone: a[1] is not a citation there.
_CODE = r"```.*?(?:```|\Z)|``[^\n]+?``|`[^`\n]+`"
_RUN = rf"(?P<run>{MARKER.pattern}(?:[ \t]*{MARKER.pattern})*)"
_CODE_OR_RUN = re.compile(rf"{_CODE}|{_RUN}", re.DOTALL)
_UNDECIDED = re.compile(rf"(?:`[^\n]*|[ \t]*(?:{MARKER.pattern}[ \t]*)*(?:\[[\d \t,;]*)?)\Z")
_STOPS = frozenset(".!?\u2026\u3002\uff01\uff1f")
# A shorter sentence repeats a source by accident ("Yes.").
_LEAST = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of an answer, `text[start:end]`, and the numbers of the passages that it cites, in order."""

    start: int
    end: int
    numbers: tuple[int, ...]


class Markers:
    """Takes out of a text, as it is written, the numbers that no passage has: of `[2, 9]` with 3 passages, `[2]` is left.

    A number glued to an English word or a number (`list[9]`) may be an index: it stays, and is no citation. `dropped`
    counts both. What could still become a marker is held back, so that what was given out never changes.

    >>> markers = Markers(3)
    >>> [markers.feed("So it is [2, "), markers.feed("9]. And [7"), markers.feed("]."), markers.end()]
    ['So it is', ' [2]. And', '.', '']
    >>> markers.dropped
    2
    """

    def __init__(self, passages: int) -> None:
        self.dropped = 0
        self._passages = passages
        self._held = ""
        self._fenced = False
        self._last = ""

    def feed(self, piece: str) -> str:
        """The text that is decided now."""
        self._held += piece
        return "".join(self._decided())

    def end(self) -> str:
        """The rest."""
        held, self._held = self._held, ""
        return held if self._fenced else self._clean(held)

    def _decided(self) -> Iterator[str]:
        while True:
            fence = self._held.find("```")
            if fence < 0:
                break
            before, self._held = self._held[:fence], self._held[fence + 3 :]
            yield before if self._fenced else self._clean(before)
            yield "```"
            self._last = "`"
            self._fenced = not self._fenced
        if self._fenced:
            ready = len(self._held.rstrip("`"))
        else:
            decided = 0
            for found in _CODE_OR_RUN.finditer(self._held):
                if found["run"] is None:
                    decided = found.end()
            undecided = _UNDECIDED.search(self._held, decided)
            ready = undecided.start() if undecided else len(self._held)
        before, self._held = self._held[:ready], self._held[ready:]
        yield before if self._fenced else self._clean(before)

    def _clean(self, text: str) -> str:
        pieces: list[str] = []
        start = 0
        for found in _CODE_OR_RUN.finditer(text):
            if found["run"] is None:
                continue
            dropped = self.dropped
            kept = MARKER.sub(self._existing, found["run"])
            before = text[found.start() - 1] if found.start() else self._last
            glued = before.isascii() and (before.isalnum() or before == "_")
            if self.dropped == dropped or (glued and "[" not in kept):
                continue
            pieces.append(text[start : found.start()])
            if "[" in kept:
                pieces.append(kept.strip(" \t"))
            else:
                pieces[-1] = pieces[-1].rstrip(" \t")
            start = found.end()
        pieces.append(text[start:])
        if text:
            self._last = text[-1]
        return "".join(pieces)

    def _existing(self, marker: re.Match[str]) -> str:
        given = _listed(marker[1])
        kept = [number for number in given if 1 <= number <= self._passages]
        self.dropped += len(given) - len(kept)
        if len(kept) == len(given):
            return marker[0]
        return f"[{', '.join(map(str, kept))}]" if kept else ""


def _listed(inside: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", inside)]


def claims(text: str, passages: int) -> list[Claim]:
    """The sentences that cite, in order; a number above `passages` cites nothing.

    A marker belongs to the sentence that it stands in or behind; before the first sentence of a line it belongs to that
    one; alone on a line, to the sentence before. Lines are read one by one: the claims of whole lines do not change when
    more of them follow.

    >>> text = "It is old. [1] It is tall [2, 3]. Who knows?\\n[1] So it is."
    >>> [(text[claim.start:claim.end], claim.numbers) for claim in claims(text, 3)]
    [('It is old.', (1,)), ('It is tall [2, 3].', (2, 3)), ('So it is.', (1,))]
    """
    markers = [
        marker
        for found in _CODE_OR_RUN.finditer(text)
        if found["run"] is not None
        for marker in MARKER.finditer(text, *found.span())
    ]
    # Before a full stop, a marker stands for a word, since a stop behind white space seldom ends a sentence.
    masked = _CODE_OR_RUN.sub(
        lambda found: _mask(found, "x" if text[found.end() : found.end() + 1] in _STOPS else " "), text
    )
    found_claims: list[Claim] = []
    last: tuple[int, int] | None = None
    start = 0
    for line in text.splitlines(keepends=True):
        end = start + len(line)
        here = [found for found in markers if start <= found.start() < end]
        if here or line.strip():
            sentences = _sentences(masked, start, end)
            owners: dict[tuple[int, int], list[int]] = {}
            for found in here:
                owner = _owner(found.start(), sentences, last)
                if owner is not None:
                    given = owners.setdefault(owner, [])
                    given += [n for n in _listed(found[1]) if 1 <= n <= passages and n not in given]
            found_claims += [Claim(*owner, tuple(given)) for owner, given in owners.items() if given]
            last = sentences[-1] if sentences else last
        start = end
    return found_claims


def _mask(found: re.Match[str], letter: str) -> str:
    # Of equal length, so that places stay what they are.
    return found[0] if found["run"] is None else letter * len(found[0])


def _sentences(masked: str, start: int, end: int) -> list[tuple[int, int]]:
    """The sentences of one line; what stands in quotation marks is not torn."""
    line = masked[start:end]
    whole: list[tuple[int, int]] = []
    quoted = quotations(line)
    for first, last in spans(line):
        if whole and any(begin < first < stop for begin, stop in quoted):
            first = whole.pop()[0]
        whole.append((first, last))
    return [(start + first, start + last) for first, last in whole]


def _owner(place: int, sentences: Sequence[tuple[int, int]], last: tuple[int, int] | None) -> tuple[int, int] | None:
    before = [sentence for sentence in sentences if sentence[0] <= place]
    if before:
        return before[-1]
    return sentences[0] if sentences else last


def check(text: str, claim: Claim, passages: Sequence[Chunk]) -> list[Citation]:
    """The citations of one claim, one for each passage that it cites, with what was verified.

    - exact or repaired: the sentence quotes, each of its quotations is found in a passage that it cites, and one in this;
      or it does not quote, and is as a whole found in this passage. `quote` is then the passage's own text.
    - unverified: all else, also where a number in the sentence is in none of the passages that it cites (titles included).

    >>> chunk = Chunk("c", "d", "It was finished in March 1889.", 0, 30)
    >>> text = 'It was "finished in march 1889" [1]. It took 3 years [1].'
    >>> [(c.status, c.quote) for claim in claims(text, 1) for c in check(text, claim, [chunk])]
    [('repaired', 'finished in March 1889'), ('unverified', '')]
    """
    body = _CODE_OR_RUN.sub(lambda found: _mask(found, " "), text)[claim.start : claim.end]
    cited = [passages[number - 1] for number in claim.numbers]
    quoted = [body[start:end] for start, end in quotations(body)]
    wanted = quoted or ([body] if length(body) >= _LEAST else [])
    found = [[align(quote, chunk.text) for quote in wanted] for chunk in cited]
    everywhere = all(any(row[at].status != "unverified" for row in found) for at in range(len(wanted)))
    known = set().union(*(numbers(chunk.input) for chunk in cited))
    sound = (everywhere or not quoted) and numbers(body) <= known
    return [_citation(claim, chunk, row, sound) for chunk, row in zip(cited, found, strict=True)]


def _citation(claim: Claim, chunk: Chunk, found: Sequence[Alignment], sound: bool) -> Citation:
    here = [alignment for alignment in found if alignment.status != "unverified"]
    if not here or not sound:
        return Citation(claim.start, claim.end, chunk, "", "unverified")
    longest = max(here, key=lambda alignment: alignment.end - alignment.start)
    status: CitationStatus = "exact" if all(alignment.status == "exact" for alignment in here) else "repaired"
    return Citation(claim.start, claim.end, chunk, chunk.text[longest.start : longest.end], status)
