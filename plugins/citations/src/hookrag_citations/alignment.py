"""Whether a text repeats a source, by rule: quotations and numbers. Pure functions, no thresholds, no model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hookrag import CitationStatus

# Scripts without spaces between words: each character is a token of its own.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Signs that change what a number or a comparison means are tokens; other punctuation is not.
_TOKEN = re.compile(rf"[^\W{_UNSPACED}]+|\w|[%\u2030$\u20ac\u00a3\u00a5\u00b0<>=\u00b1+\u2039]|(?<!\w)[-\u2212](?=\d)")
_SAME = str.maketrans({"\u2039": "<", "\u2212": "-"})
_GAP = re.compile(r"[\[(]\s*(?:\.\.\.|\u2026)\s*[\])]|\.\.\.|\u2026")
_QUOTED = re.compile(
    r'"([^"\n]+)"|\u201c([^\u201d\n]+)\u201d|\u201e([^\u201c\u201d\n]+)[\u201c\u201d]'
    r"|\u00ab([^\u00bb\n]+)\u00bb|\u00bb([^\u00ab\n]+)\u00ab|\u300c([^\u300d\n]+)\u300d|\u300e([^\u300f\n]+)\u300f"
)
_NUMBER = re.compile(r"\d+(?:[.,']\d+)*")
_ENUMERATOR = re.compile(r"\s*\(?\d{1,3}[.)]\s+")


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where a source says what a quotation says: `source[start:end]`; 0, 0 where it does not."""

    status: CitationStatus
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int
    end: int


def _tokens(text: str, start: int = 0, end: int | None = None) -> list[_Token]:
    return [
        _Token(unicodedata.normalize("NFKC", found[0].translate(_SAME)).casefold(), found.start(), found.end())
        for found in _TOKEN.finditer(text, start, len(text) if end is None else end)
    ]


def length(text: str) -> int:
    """How many words and signs a text has, as `align` counts them.

    >>> length("It grew by 5 %, he said."), length("...")
    (7, 0)
    """
    return len(_tokens(text))


def align(quote: str, source: str) -> Alignment:
    """Find a quotation in its source.

    - exact: the source has it, character by character, from its first word to its last.
    - repaired: it has the same words and signs in the same order; white space, case, punctuation and Unicode variants of
      a character may differ, and an ellipsis in the quotation may leave words out.
    - unverified: neither. A likeness is no match: the one word more or less may be "not".

    >>> align("Built in 1889.", "The tower was built in 1889, by Eiffel.")
    Alignment(status='repaired', start=14, end=27)
    >>> align("built in 1889", "The tower was built in 1889, by Eiffel.").status
    'exact'
    >>> align("The tower ... by Eiffel", "The tower was built in 1889, by Eiffel.").status
    'repaired'
    >>> align("is safe", "It is not safe.").status, align("art", "Start here.").status
    ('unverified', 'unverified')
    """
    segments = [segment for segment in _segments(quote) if segment]
    if not segments:
        return Alignment("unverified")
    words = _tokens(source)
    if len(segments) == 1:
        segment = segments[0]
        written = quote[segment[0].start : segment[-1].end]
        places = list(_occurrences(segment, words, 0))
        for first in places:
            start, end = words[first].start, words[first + len(segment) - 1].end
            if source[start:end] == written:
                return Alignment("exact", start, end)
        if not places:
            return Alignment("unverified")
        return Alignment("repaired", words[places[0]].start, words[places[0] + len(segment) - 1].end)
    begin, after = -1, 0
    for segment in segments:
        found = next(_occurrences(segment, words, after), None)
        if found is None:
            return Alignment("unverified")
        begin = found if begin < 0 else begin
        after = found + len(segment)
    return Alignment("repaired", words[begin].start, words[after - 1].end)


def _segments(quote: str) -> Iterator[list[_Token]]:
    start = 0
    for gap in _GAP.finditer(quote):
        yield _tokens(quote, start, gap.start())
        start = gap.end()
    yield _tokens(quote, start)


def _occurrences(segment: Sequence[_Token], words: Sequence[_Token], after: int) -> Iterator[int]:
    wanted = [token.text for token in segment]
    for first in range(after, len(words) - len(wanted) + 1):
        if all(words[first + offset].text == text for offset, text in enumerate(wanted)):
            yield first


def quotations(text: str) -> list[tuple[int, int]]:
    """The (start, end) characters inside the quotation marks of a line: "...", “...”, „...“, «...», »...«, 「...」, 『...』.

    >>> text = 'He wrote "so it is" and “so be it”.'
    >>> [text[start:end] for start, end in quotations(text)]
    ['so it is', 'so be it']
    """
    return [found.span(found.lastindex or 0) for found in _QUOTED.finditer(text)]


def numbers(text: str) -> set[str]:
    """The numbers in a text, written one way: "1,889" and "1889" are one number, so are "3.50" and "3.5".

    The number that counts an item of a list, at the start of the text, is none of them.

    >>> sorted(numbers("2. In 1,889 it cost 3.50, see version 3.11.7."))
    ['1889', '3.11.7', '3.5']
    """
    text = unicodedata.normalize("NFKC", text)
    enumerator = _ENUMERATOR.match(text)
    return {_canonical(found[0]) for found in _NUMBER.finditer(text, enumerator.end() if enumerator else 0)}


def _canonical(number: str) -> str:
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:'\d{3})+(?:\.\d+)?", number):
        number = number.replace(",", "").replace("'", "")
    if re.fullmatch(r"\d+(?:\.\d+)?", number):
        whole, _, fraction = number.partition(".")
        fraction = fraction.rstrip("0")
        number = (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")
    return number
