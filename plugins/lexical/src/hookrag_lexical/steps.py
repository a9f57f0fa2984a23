"""The steps of an analyzer, by the names that a configuration gives them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import blake2b

import regex

from hookrag_lexical import words
from hookrag_lexical.porter import quick_stem
from hookrag_lexical.snowball import LANGUAGES, LONGEST, described, stem_words
from hookrag_lexical.stopwords import STOP_WORDS

Change = Callable[[str], str]
Split = Callable[[str], list[str]]

WORDS = "unicode-words"

# Harakat, superscript alef, Koranic signs, and tatweel, which only stretches a word.
_ARABIC_MARKS = re.compile("[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]")
_APOSTROPHES = ("'", "\u2019", "\uff07")
_POSSESSIVES = tuple(f"{mark}{letter}" for mark in _APOSTROPHES for letter in "sS")
_CUT_AT_APOSTROPHE = re.compile("['\u2019\uff07].*", re.DOTALL)
_ELISIONS = {
    "french": "l|m|t|qu|n|s|j|d|c|jusqu|quoiqu|lorsqu|puisqu",
    "italian": "c|l|all|dall|dell|nell|sull|coll|pell|gl|agl|dagl|degl|negl|sugl|un|m|t|s|v|d",
}
_LATIN_LETTER = regex.compile(r"\p{Script=Latin}\p{M}*+")
# Latin letters that Unicode does not decompose.
_LATIN = str.maketrans(
    {"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d",
     "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "TH", "ı": "i", "ħ": "h", "Ħ": "H"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a change of a text or a word, "" where nothing of it is kept, or a splitting into several.

    `stop_words` and `stemmer` are what it depends on besides its name.
    """

    name: str
    change: Change | None = None
    split: Split | None = None
    stop_words: frozenset[str] = frozenset()
    stemmer: str = ""


def applied(steps: Sequence[Step], text: str) -> list[str]:
    """What some steps make of a text."""
    for at, step in enumerate(steps):
        if step.change is not None:
            text = step.change(text)
            if not text:
                return []
        elif step.split is not None:
            rest = steps[at + 1 :]
            return [found for part in step.split(text) for found in applied(rest, part)]
    return [text]


def step(name: str, before: Sequence[Step]) -> Step:
    """The step of that name, to stand after some others. Raises ValueError for a name that there is none of."""
    kind, _, argument = name.partition(":")
    if name == WORDS:
        return Step(name)
    if name in _CHANGES:
        return Step(name, _CHANGES[name])
    if name == "bigrams":
        return Step(name, split=words.bigrams)
    if kind == "elision" and argument in _ELISIONS:
        return Step(name, _elision(_ELISIONS[argument]))
    if kind == "stop" and argument in STOP_WORDS:
        # A word of the list is met as the steps before have left it ("daß" as "dass").
        changes = [one for one in before if one.change is not None]
        listed = frozenset(form for word in STOP_WORDS[argument] for form in applied(changes, word))
        return Step(name, lambda word: "" if word in listed else word, stop_words=listed)
    if name == "stem:lucene-porter":
        return Step(name, quick_stem(), stemmer="porter")
    if kind == "stem" and argument in LANGUAGES:
        stem = stem_words(argument)
        return Step(name, lambda word: stem(word) if len(word) <= LONGEST else word, stemmer=described(argument))
    if kind == "min-length" and argument.isascii() and argument.isdigit():
        least = int(argument)
        if least < 1:
            raise ValueError(f"analyzer has {name!r}: N must be at least 1 in min-length:N")
        return Step(name, lambda word: word if len(word) >= least else "")
    raise ValueError(_unknown(name))


def after_words(name: str) -> bool:
    """Whether a step makes sense on words only, and not on a text that is not split yet."""
    return name not in _CHANGES or name in ("possessive", "apostrophe")


def digest(listed: frozenset[str]) -> str:
    """How many stop words there are, and a hash of them."""
    return f"{len(listed)} words, {blake2b(' '.join(sorted(listed)).encode(), digest_size=8).hexdigest()}"


def _unknown(name: str) -> str:
    plain = [WORDS, *_CHANGES, "bigrams", *(f"elision:{one}" for one in _ELISIONS), "stem:lucene-porter"]
    known = [*plain, "min-length:2", *(f"{kind}:{language}" for kind in ("stop", "stem") for language in LANGUAGES)]
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return (
        f"analyzer has the unknown step {name!r}: {hint}There are {', '.join(plain)}, min-length:N, and stop:LANGUAGE and "
        f"stem:LANGUAGE for {', '.join(LANGUAGES)}"
    )


def _nfkc_casefold(text: str) -> str:
    if text.isascii():
        return text.lower()
    # Folding can leave a text that is not normal any more, which a second normalisation mends.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _arabic_marks(text: str) -> str:
    return text if text.isascii() else _ARABIC_MARKS.sub("", text)


def _possessive(word: str) -> str:
    return word[:-2] if word.endswith(_POSSESSIVES) else word


def _turkish_lower(text: str) -> str:
    return text.replace("I\u0307", "i").replace("\u0130", "i").replace("I", "\u0131").lower()


def _ascii_folding(text: str) -> str:
    """Latin letters without their marks; letters of other scripts, whose marks are vowels, as they are."""
    if text.isascii():
        return text
    return _LATIN_LETTER.sub(_folded, unicodedata.normalize("NFC", text))


def _folded(match: regex.Match[str]) -> str:
    whole = unicodedata.normalize("NFKD", match[0])
    return "".join(filter(str.isalnum, whole)).translate(_LATIN)


def _elision(articles: str) -> Change:
    begin = re.compile(rf"(?:{articles})['\u2019\uff07](?=.)", re.IGNORECASE)
    return lambda word: begin.sub("", word, count=1) if begin.match(word) else word


_CHANGES: Mapping[str, Change] = {
    "nfkc": lambda text: text if text.isascii() else unicodedata.normalize("NFKC", text),
    "nfkc-casefold": _nfkc_casefold,
    "lowercase": str.lower,
    "lowercase:turkish": _turkish_lower,
    "arabic-marks": _arabic_marks,
    "ascii-folding": _ascii_folding,
    "possessive": _possessive,
    "apostrophe": lambda word: _CUT_AT_APOSTROPHE.sub("", word),
}
