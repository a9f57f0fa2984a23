"""From a text to the terms that the index keeps."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Generic, Literal, TypeVar, get_args

from hookrag_lexical import words
from hookrag_lexical.steps import WORDS, Step, after_words, applied, digest, step

AnalyzerName = Literal[
    "lucene-english", "unicode", "arabic", "danish", "dutch", "english", "finnish", "french", "german", "hungarian", "italian",
    "norwegian", "portuguese", "romanian", "russian", "spanish", "swedish", "turkish",
]  # fmt: skip
V = TypeVar("V")

KNOWN = 1 << 17
KNOWN_LENGTH = 40
_GENERAL = ("nfkc-casefold", "arabic-marks", "unicode-words", "bigrams")
_BEFORE = {"turkish": ("lowercase:turkish",)}
_AFTER = {
    "english": ("possessive",),
    "french": ("elision:french",),
    "italian": ("elision:italian",),
    "turkish": ("apostrophe",),
}
# As the cards of indexes have had it since there are these two.
_DESCRIBED = {
    "lucene-english": "uax29 possessive lower stop stem",
    "unicode": "nfkc fold arabic-marks uax29 bigrams",
}


class Known(dict[str, V], Generic[V]):
    """What a function gives for short strings, found out once for each of the last so many."""

    def __init__(self, function: Callable[[str], V], limit: int = KNOWN) -> None:
        super().__init__()
        self._function = function
        self._limit = limit

    def __missing__(self, text: str) -> V:
        value = self._function(text)
        if len(text) <= KNOWN_LENGTH:
            if len(self) >= self._limit:
                self.clear()
            self[text] = value
        return value


class Analyzer:
    """Steps that make terms of a text: some on the text, one that splits it into words, some on each word.

    Whatever the steps are, a word ends at white space: the pieces between are analyzed by themselves, each different one once.
    """

    def __init__(self, name: str, steps: Sequence[str], described: str) -> None:
        self.name = name
        self._described = described
        self._steps = _made(steps)
        cut = [one.name for one in self._steps].index(WORDS)
        self._before = [one.change for one in self._steps[:cut] if one.change is not None]
        self._words = words.words_and_runs if "bigrams" in steps else words.words
        self._after = self._steps[cut + 1 :]
        self._of_word = Known(self._terms_of_word)
        self._known = Known(self.terms_of_piece)

    def terms(self, text: str) -> list[str]:
        """The terms of a text, in order, repeated where they repeat.

        >>> analyzer("lucene-english").terms("The fox's hopping, possibly")
        ['fox', 'hop', 'possibl']
        >>> analyzer("german").terms("Die Häuser der Straße")
        ['haus', 'strass']
        """
        return list(chain.from_iterable(map(self._known.__getitem__, words.pieces(text))))

    def terms_of_piece(self, piece: str) -> tuple[str, ...]:
        """The terms of a text without white space."""
        for change in self._before:
            piece = change(piece)
        found = self._words(piece)
        if len(found) == 1:
            return self._of_word[found[0]]
        return tuple(chain.from_iterable(map(self._of_word.__getitem__, found)))

    def _terms_of_word(self, word: str) -> tuple[str, ...]:
        return tuple(applied(self._after, word))

    def identity(self) -> Mapping[str, str]:
        """Everything that decides which terms a text gets: two analyzers of equal identity agree on every text."""
        stops = [one.stop_words for one in self._steps if one.stop_words]
        return {
            "analyzer": self.name,
            "analyzer_chain": self._described,
            "analyzer_stop_words": " ".join(map(digest, stops)) or "0 words",
            "analyzer_stemmer": " ".join(one.stemmer for one in self._steps if one.stemmer),
            "analyzer_unicode": f"{unicodedata.unidata_version} letters, {words.unicode_version()} words",
        }


def analyzer(chosen: AnalyzerName | Sequence[str]) -> Analyzer:
    """The analyzer of that name, or of those steps. Raises ValueError where it makes no sense.

    >>> analyzer(["lowercase", "unicode-words", "ascii-folding", "min-length:2"]).terms("Él vio A Coruña")
    ['el', 'vio', 'coruna']
    """
    if not isinstance(chosen, str):
        return Analyzer("own", chosen, " ".join(chosen))
    if chosen == "lucene-english":
        steps: tuple[str, ...] = ("unicode-words", "possessive", "lowercase", "stop:english", "stem:lucene-porter")
    elif chosen == "unicode":
        steps = _GENERAL
    elif chosen in get_args(AnalyzerName):
        steps = (*_BEFORE.get(chosen, ()), *_GENERAL, *_AFTER.get(chosen, ()), f"stop:{chosen}", f"stem:{chosen}")
    else:
        raise ValueError(
            f"analyzer must be a list of steps or one of {', '.join(get_args(AnalyzerName))}, got {chosen!r}"
        )
    return Analyzer(chosen, steps, _DESCRIBED.get(chosen, " ".join(steps)))


def _made(names: Sequence[str]) -> list[Step]:
    if list(names).count(WORDS) != 1:
        raise ValueError(f"analyzer must have the step {WORDS!r} once, got {list(names)}")
    steps: list[Step] = []
    for name in names:
        made = step(name, steps)
        if after_words(name) and name != WORDS and not any(one.name == WORDS for one in steps):
            raise ValueError(
                f"analyzer has {name!r} before {WORDS!r}, got {list(names)}: it is a step for words, put it after"
            )
        steps.append(made)
    return steps
