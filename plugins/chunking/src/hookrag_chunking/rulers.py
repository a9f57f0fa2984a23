"""What a chunk may be long: in words, in characters, or in the tokens of the embedder that will read it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Literal, Protocol

from hookrag import HookragError, TokenizingEmbedder
from hookrag_text.graphemes import last_break, next_break

from hookrag_chunking.meters import Characters, Meter, token_units, word_units
from hookrag_chunking.spans import Span, words

UnitName = Literal["words", "characters", "tokens"]

SIZES = {"words": 200, "characters": 1000}
"""What `size` is where it is left out; in tokens it is what the embedder reads."""

_SLICE = 100_000
_TEXTS = 256


@dataclass(frozen=True, slots=True)
class Room:
    """The context that a chunk gets, the most units that its text may have, and how many of them it may repeat."""

    context: str
    size: int
    overlap: int


@dataclass(frozen=True, slots=True)
class Draft:
    """What will be a chunk: a span of a text without outer white space, and the room that it was cut for."""

    text: str
    span: Span
    room: Room

    @property
    def input(self) -> str:
        """What the embedder will read: see `hookrag.Chunk.input`."""
        return f"{self.room.context} {self.text[slice(*self.span)]}".strip()


class Ruler(Protocol):
    """Measures the texts of one call."""

    def meters(self, texts: Sequence[str]) -> Iterator[Meter]:
        """A meter for each text, in order."""
        ...

    def rooms(self, contexts: Iterable[str]) -> dict[str, Room]:
        """What is left for the text beside each context."""
        ...

    def fitted(self, drafts: Sequence[Draft]) -> list[Draft]:
        """The drafts, those that are too long in truth cut further."""
        ...


class Plain:
    """Words or characters: the same size whatever the context."""

    def __init__(self, make: Callable[[str], Meter], size: int, overlap: int) -> None:
        self._make = make
        self._size = size
        self._overlap = overlap

    def meters(self, texts: Sequence[str]) -> Iterator[Meter]:
        return map(self._make, texts)

    def rooms(self, contexts: Iterable[str]) -> dict[str, Room]:
        return {context: Room(context, self._size, self._overlap) for context in contexts}

    def fitted(self, drafts: Sequence[Draft]) -> list[Draft]:
        return list(drafts)


class Tokens:
    """The embedder's tokens. What it reads of a chunk, `context + " " + text`, stays within its window.

    room = the embedder's room for a document - tokens of the context, and no more than `size`; a context that takes more than
    half of the window is cut to that half.
    """

    def __init__(self, embedder: TokenizingEmbedder, size: int | None, overlap: int) -> None:
        self._embedder = embedder
        self._size = size
        self._overlap = overlap
        self._window = embedder.room("document")
        if self._window <= overlap:
            raise HookragError(
                f"overlap = {overlap} must be less than the {self._window} tokens of a document that the embedder reads: lower "
                f"overlap, or give the embedder a wider window"
            )

    def meters(self, texts: Sequence[str]) -> Iterator[Meter]:
        batch: list[str] = []
        for text in texts:
            if len(text) > _SLICE or len(batch) == _TEXTS:
                yield from self._read(batch)
                batch = []
            if len(text) > _SLICE:
                yield token_units(text, self._sliced(text))
            else:
                batch.append(text)
        yield from self._read(batch)

    def rooms(self, contexts: Iterable[str]) -> dict[str, Room]:
        distinct = list(dict.fromkeys(contexts))
        return {
            context: self._room(context, tokens)
            for context, tokens in zip(distinct, self._tokens(distinct), strict=True)
        }

    def fitted(self, drafts: Sequence[Draft]) -> list[Draft]:
        """A span may read as more tokens than the same characters did within the whole text: such a one is halved."""
        kept = [(draft, False) for draft in drafts]
        while not all(fits for _, fits in kept):
            told = self._tokens(draft.input for draft, fits in kept if not fits)
            kept = [
                one for draft, fits in kept for one in ([(draft, True)] if fits else self._checked(draft, next(told)))
            ]
        return [draft for draft, _ in kept]

    def _checked(self, draft: Draft, tokens: Sequence[Span]) -> list[tuple[Draft, bool]]:
        before = len(draft.input) - (draft.span[1] - draft.span[0])
        own = len(tokens) - bisect_right(tokens, before, key=itemgetter(1))
        if len(tokens) <= self._window and own <= draft.room.size:
            return [(draft, True)]
        parts = _halved(draft, tear=len(tokens) > self._window)
        return [(part, len(parts) == 1) for part in parts]

    def _room(self, context: str, tokens: Sequence[Span]) -> Room:
        half = self._window // 2
        if len(tokens) > half:
            context, tokens = context[: tokens[half - 1][1]].rstrip() if half else "", tokens[:half]
        left = self._window - len(tokens)
        if self._size is not None and self._size <= left:
            return Room(context, self._size, self._overlap)
        return Room(context, left, min(self._overlap, left // 2))

    def _read(self, texts: Sequence[str]) -> Iterator[Meter]:
        return map(token_units, texts, self._tokens(texts))

    def _sliced(self, text: str) -> Iterator[Span]:
        # Tokenizers keep much more than the text itself, so that they get a long one piece by piece.
        start = 0
        while start < len(text):
            end = min(start + _SLICE, len(text))
            if end < len(text):
                blank = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
                end = blank if blank > start else end
            for first, last in self._embedder.tokens([text[start:end]])[0]:
                yield start + first, start + last
            start = end

    def _tokens(self, texts: Iterable[str]) -> Iterator[list[Span]]:
        batch: list[str] = []
        for text in texts:
            batch.append(text)
            if len(batch) == _TEXTS:
                yield from self._embedder.tokens(batch)
                batch = []
        if batch:
            yield from self._embedder.tokens(batch)


def _halved(draft: Draft, *, tear: bool) -> list[Draft]:
    """The draft in two, between words or else between grapheme clusters; as it is where it is one cluster not to be torn."""
    text, (start, end) = draft.text, draft.span
    found = words(text[start:end])
    if len(found) > 1:
        stop, begin = start + found[len(found) // 2 - 1][1], start + found[len(found) // 2][0]
    else:
        middle = (start + end) // 2
        stop = last_break(text, start, middle)
        if stop == start:
            stop = next_break(text, start, middle, end)
        if stop == end and tear:
            stop = middle
        begin = stop
    if not start < stop < end:
        return [draft]
    return [replace(draft, span=(start, stop)), replace(draft, span=(begin, end))]


MakeRuler = Callable[[TokenizingEmbedder | None], Ruler]
"""Makes the ruler of a call with the embedder that the chunker has then: a pipeline puts another in the place of the first."""


def ruler(units: UnitName, size: int | None, overlap: int, embedder: TokenizingEmbedder | None) -> MakeRuler:
    """Makes rulers. Raises ValueError where the options do not go together."""
    if units != "tokens" and embedder is not None:
        raise ValueError(f'embedder is for units = "tokens", got units = "{units}"')
    most = SIZES.get(units) if size is None else size
    if most is not None and overlap >= most:
        raise ValueError(f"overlap must be in [0, size), which is [0, {most}), got {overlap}")
    if units == "tokens":
        if embedder is None:
            raise ValueError('units = "tokens" needs an embedder, whose tokens are counted')
        return lambda now: Tokens(now or embedder, size, overlap)
    assert most is not None
    make: Callable[[str], Meter] = word_units if units == "words" else Characters
    return lambda now: Plain(make, most, overlap)
