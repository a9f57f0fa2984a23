"""From a text to the terms that the index keeps."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Literal, Protocol, assert_never

from hookrag_lexical import words
from hookrag_lexical.porter import stem

AnalyzerName = Literal["unicode", "lucene-english"]

STOP_WORDS = frozenset(
    {
        "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not", "of", "on",
        "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was", "will", "with",
    }
)  # fmt: skip
"""The 33 words that Lucene's EnglishAnalyzer leaves out."""

_POSSESSIVES = ("'s", "\u2019s", "\uff07s", "'S", "\u2019S", "\uff07S")
# Harakat, superscript alef, Koranic signs, and tatweel, which only stretches a word.
_ARABIC_MARKS = re.compile("[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]")


class Analyzer(Protocol):
    """Two steps, so that the second is done once for each different word."""

    def split(self, text: str, /) -> list[str]:
        """The words of a text, in order, as they stand there."""
        ...

    def term(self, word: str, /) -> str:
        """What the index keeps of a word, "" where it keeps nothing."""
        ...

    def identity(self) -> Mapping[str, str]:
        """Everything that decides which terms a text gets: two analyzers of equal identity agree on every text."""
        ...


def analyzer(name: AnalyzerName) -> Analyzer:
    """The analyzer of that name."""
    match name:
        case "lucene-english":
            return LuceneEnglish()
        case "unicode":
            return Unicode()
    assert_never(name)


def terms(chain: Analyzer, text: str) -> list[str]:
    """The terms of a text, in order, repeated where they repeat.

    >>> terms(analyzer("lucene-english"), "The fox's hopping, possibly")
    ['fox', 'hop', 'possibl']
    """
    return [term for word in chain.split(text) if (term := chain.term(word))]


class LuceneEnglish:
    """Lucene's EnglishAnalyzer: words of UAX #29, no possessive 's, lower case, no stop words, Porter's stems."""

    def __init__(self) -> None:
        self._term = lru_cache(maxsize=1 << 16)(_lucene_term)

    def split(self, text: str, /) -> list[str]:
        return words.words(text)

    def term(self, word: str, /) -> str:
        return self._term(word)

    def identity(self) -> Mapping[str, str]:
        stops = blake2b(" ".join(sorted(STOP_WORDS)).encode(), digest_size=8).hexdigest()
        return {
            "analyzer": "lucene-english",
            "analyzer_chain": "uax29 possessive lower stop stem",
            "analyzer_stop_words": f"{len(STOP_WORDS)} words, {stops}",
            "analyzer_stemmer": "porter",
            **_versions(),
        }


def _lucene_term(word: str) -> str:
    lower = (word[:-2] if word.endswith(_POSSESSIVES) else word).lower()
    return "" if lower in STOP_WORDS else stem(lower)


class Unicode:
    """For any language: NFKC, case folded, words of UAX #29, bigrams in scripts without spaces, Arabic without its marks."""

    def split(self, text: str, /) -> list[str]:
        if text.isascii():
            return words.words_and_bigrams(text.lower())
        # Folding can leave a text that is not normal any more, which a second normalisation mends.
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        return words.words_and_bigrams(_ARABIC_MARKS.sub("", folded))

    def term(self, word: str, /) -> str:
        return word

    def identity(self) -> Mapping[str, str]:
        return {
            "analyzer": "unicode",
            "analyzer_chain": "nfkc fold arabic-marks uax29 bigrams",
            "analyzer_stop_words": "0 words",
            "analyzer_stemmer": "",
            **_versions(),
        }


def _versions() -> dict[str, str]:
    return {"analyzer_unicode": f"{unicodedata.unidata_version} letters, {words.unicode_version()} words"}
