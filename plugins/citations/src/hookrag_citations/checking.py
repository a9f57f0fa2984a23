"""Citations in an answer: [1], [1, 2] and [1][2] found, also while it is written, and checked against what they cite."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hookrag import Chunk, Citation, CitationStatus
from hookrag_text.markdown import CODE_SPAN, Kind, Scanner, lines
from hookrag_text.sentences import spans

from hookrag_citations.alignment import Alignment, align, length, numbers, quotations

MARKER = re.compile(r"\[(\d{1,3}(?:[ \t]*[,;][ \t]*\d{1,3})*)\]")
_RUN = rf"(?P<run>{MARKER.pattern}(?:[ \t]*{MARKER.pattern})*)"
# Code is left alone: a[1] is not a citation there.
_CODE_OR_RUN = re.compile(rf"{CODE_SPAN}|{_RUN}")
_CODE_OR_TICK = re.compile(rf"{CODE_SPAN}|`")
_UNDECIDED = re.compile(rf"[ \t]*(?:{MARKER.pattern}[ \t]*)*(?:\[[\d \t,;]*)?\Z")
_NEWLINE = re.compile(r"\r\n|\r(?!\Z)|[\n\f\u2028\u2029]")
_BEHIND_FENCE = re.compile(rf"([ \t]*(?:`{{3,}}+|~{{3,}}+)[ \t]*){_RUN}[ \t]*\Z")
_LATE_FENCE = re.compile(r"(?=\s*[^`\s])[^`]*+(`{3,}[\w+#.-]*[ \t]*)\Z")
_CODE: frozenset[Kind] = frozenset(("fence", "code"))
_STOPS = ".!?\u2026\u3002\uff01\uff1f"
# A shorter sentence repeats a source by accident ("Yes.").
_LEAST = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of an answer, or the code of a block (`code`), and the numbers of the passages that it cites, in order.

    It is `text[start:end]` of the answer.
    """

    start: int
    end: int
    numbers: tuple[int, ...]
    code: bool = False


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
        self._lines = _Lines()
        self._begun = ""  # what was decided of the line that has not ended
        self._held = ""
        self._last = ""

    def feed(self, piece: str) -> str:
        """The text that is decided now."""
        self._held += piece
        return "".join(self._decided())

    def end(self) -> str:
        """The rest."""
        held, self._held = self._held, ""
        return self._ended(held, "") if held else ""

    def _decided(self) -> Iterator[str]:
        start = 0
        for found in _NEWLINE.finditer(self._held):
            yield self._ended(self._held[start : found.start()], found[0])
            start = found.end()
        self._held = self._held[start:]
        ready = self._ready()
        text, self._held = self._held[:ready], self._held[ready:]
        self._begun += text
        yield self._given(text, self._lines.fenced)

    def _ended(self, rest: str, newline: str) -> str:
        """The rest of a line, and what ends it."""
        line, self._begun = self._begun + rest, ""
        return self._given(rest + newline, self._lines.kind(line) in _CODE)

    def _ready(self) -> int:
        """How much of what is held, within a line, cannot become anything else."""
        if not self._begun and self._lines.undecided(self._held):
            return 0
        end = len(self._held) - self._held.endswith("\r")  # which may be the first half of the line's end
        if self._lines.fenced:
            return end
        decided = 0
        for found in _CODE_OR_TICK.finditer(self._held):
            if found["ticks"] is None or found.end() == len(self._held):
                return found.start()  # code may end later, or its last backtick be the first of several
            decided = found.end()
        undecided = _UNDECIDED.search(self._held, decided, end)
        return undecided.start() if undecided else end

    def _given(self, text: str, code: bool) -> str:
        given = text if code else self._clean(text)
        self._last = text[-1:] or self._last
        return given

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


class _Lines:
    """The scanner of Markdown, and what models write besides: code that opens behind text in its line ("Run: ```sh"), and is
    cited behind the fence that closes it, which would then not close it."""

    def __init__(self) -> None:
        self._scanner = Scanner()
        self.undecided = self._scanner.undecided

    @property
    def fenced(self) -> bool:
        return self._scanner.fenced

    def kind(self, line: str) -> Kind:
        fenced = self.fenced
        cited = _BEHIND_FENCE.match(line)
        kind = self._scanner.kind(line if cited is None else cited[1])
        if not (fenced or self.fenced) and (late := _LATE_FENCE.match(line)) is not None:
            self._scanner.kind(late[1])
        return kind


def _read(text: str) -> Iterator[tuple[Kind, int, int, list[re.Match[str]]]]:
    """Each line: what it is, its place, and the runs of markers in it."""
    read = _Lines()
    for _, start, line in lines(text):
        kind, end = read.kind(line), start + len(line)
        found = () if kind in _CODE else _CODE_OR_RUN.finditer(text, start, end)
        yield kind, start, end, [one for one in found if one["run"] is not None]


def _masked(text: str, runs: Iterable[re.Match[str]], stops: str = "") -> str:
    """The text, of equal length, without the markers: with spaces for them, or letters where one of `stops` follows."""
    pieces, at = [], 0
    for run in runs:
        letter = "x" if text[run.end() : run.end() + 1] in tuple(stops) else " "
        pieces += [text[at : run.start()], letter * len(run[0])]
        at = run.end()
    return "".join([*pieces, text[at:]])


def claims(text: str, passages: int) -> list[Claim]:
    """The sentences that cite, in order; a number above `passages` cites nothing.

    A marker belongs to the sentence that it stands in or behind; before the first sentence of a line it belongs to that
    one; alone on a line, to the sentence before; behind the fence that closes code, or alone below it, to the code. Lines are
    read one by one: the claims of whole lines do not change when more of them follow.

    >>> text = "It is old. [1] It is tall [2, 3]. Who knows?\\n[1] So it is."
    >>> [(text[claim.start:claim.end], claim.numbers) for claim in claims(text, 3)]
    [('It is old.', (1,)), ('It is tall [2, 3].', (2, 3)), ('So it is.', (1,))]
    """
    read = list(_read(text))
    # Before a full stop, a marker stands for a word, since a stop behind white space seldom ends a sentence.
    masked = _masked(text, [run for *_, runs in read for run in runs], _STOPS)
    found_claims: list[Claim] = []
    last: tuple[int, int] | None = None
    code: tuple[int, int] | None = None
    for kind, start, end, runs in read:
        if kind == "code":
            if text[start:end].strip():
                last = code = (start if code is None else code[0]), end
            continue
        closes = kind == "fence end"
        sentences = [] if closes or kind == "fence" else _sentences(masked, start, end)
        owners: dict[tuple[int, int], list[int]] = {}
        for found in (marker for run in runs for marker in MARKER.finditer(text, *run.span())):
            owner = _owner(found.start(), sentences, last)
            if owner is not None:
                given = owners.setdefault(owner, [])
                given += [n for n in _listed(found[1]) if 1 <= n <= passages and n not in given]
        found_claims += [Claim(*owner, tuple(given), owner == code) for owner, given in owners.items() if given]
        if sentences:
            last, code = sentences[-1], None
        elif kind == "fence":
            code = None
    return found_claims


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


def citations(text: str, passages: Sequence[Chunk]) -> tuple[Citation, ...]:
    """The checked citations of an answer, in order, where `[1]` cites `passages[0]`: what `check` says of each of its claims.

    A number that no passage has cites nothing: `Markers` takes it out of the text, also while that is written.

    >>> chunk = Chunk("c", "d", "It was finished in March 1889.", 0, 30)
    >>> [(c.start, c.end, c.status) for c in citations("It was finished in March 1889 [1]. It is tall [1].", [chunk])]
    [(0, 34, 'exact'), (35, 50, 'unverified')]
    """
    plain = _plain(text)
    return tuple(citation for claim in claims(text, len(passages)) for citation in _checked(plain, claim, passages))


def check(text: str, claim: Claim, passages: Sequence[Chunk]) -> list[Citation]:
    """The citations of one claim, one for each passage that it cites, with what was verified.

    - exact or repaired: the sentence quotes, each of its quotations is found in a passage that it cites, and one in this;
      or it does not quote, or is code, and is as a whole found in this passage. `quote` is then the passage's own text.
    - unverified: all else, also where a number in the sentence is in none of the passages that it cites (titles included).

    >>> chunk = Chunk("c", "d", "It was finished in March 1889.", 0, 30)
    >>> text = 'It was "finished in march 1889" [1]. It took 3 years [1].'
    >>> [(c.status, c.quote) for claim in claims(text, 1) for c in check(text, claim, [chunk])]
    [('repaired', 'finished in March 1889'), ('unverified', '')]
    """
    return _checked(_plain(text), claim, passages)


def _plain(text: str) -> str:
    return _masked(text, (run for *_, runs in _read(text) for run in runs))


def _checked(plain: str, claim: Claim, passages: Sequence[Chunk]) -> list[Citation]:
    body = plain[claim.start : claim.end]
    cited = [passages[number - 1] for number in claim.numbers]
    quoted = [] if claim.code else [body[start:end] for start, end in quotations(body)]
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
