"""Where words begin and end: Unicode Standard Annex 29, section 4, as rules over the Word_Break property.

What is kept of the segments are those with a letter, a digit, an ideograph, a kana, a Hangul syllable or an emoji, as Lucene's
StandardTokenizer does; like it, a run of Thai, Lao, Khmer or Myanmar letters, which the annex leaves to dictionaries, is one
word, and each ideograph and hiragana is one.
"""

from __future__ import annotations

import re
from itertools import pairwise

import regex

_TAIL = r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]*+"  # WB4: marks belong to what they follow
_LETTER = rf"(?:[\p{{WB=ALetter}}\p{{WB=Hebrew_Letter}}]{_TAIL})"
_DIGIT = rf"(?:[\p{{WB=Numeric}}]{_TAIL})"
_KATAKANA = rf"(?:[\p{{WB=Katakana}}]{_TAIL})"
_JOINER = rf"(?:[\p{{WB=ExtendNumLet}}]{_TAIL})"  # _ and its kin, WB13a and b
_IN_WORD = rf"[\p{{WB=MidLetter}}\p{{WB=MidNumLet}}']{_TAIL}"  # WB6, WB7: can't
_IN_NUMBER = rf"[\p{{WB=MidNum}}\p{{WB=MidNumLet}}']{_TAIL}"  # WB11, WB12: 3,141.5
_HEBREW = rf"(?:\p{{WB=Hebrew_Letter}}{_TAIL})"

_LETTERS = (
    rf"(?:{_LETTER}(?:(?:{_IN_WORD})?{_LETTER}|(?<=\p{{WB=Hebrew_Letter}}{_TAIL})\"{_TAIL}(?={_HEBREW}){_LETTER})*+)"
)
_DIGITS = rf"(?:{_DIGIT}(?:(?:{_IN_NUMBER})?{_DIGIT})*+)"
_RUN = rf"(?:(?:{_LETTERS}|{_DIGITS})++|{_KATAKANA}++)"
_WORD = rf"{_JOINER}*+{_RUN}(?:{_JOINER}++{_RUN})*+{_JOINER}*+"
_EMOJI = (
    r"\p{Regional_Indicator}{2}|[0-9#*]\uFE0F?\u20E3"
    rf"|\p{{Extended_Pictographic}}{_TAIL}(?:(?<=\u200D)\p{{Extended_Pictographic}}{_TAIL})*+"
)
_SINGLE = rf"[\p{{Script=Han}}\p{{Script=Hiragana}}]{_TAIL}"
_DICTIONARY = rf"(?:\p{{Line_Break=SA}}{_TAIL})++"
# Scripts written without spaces: \p{Line_Break=SA} is Thai, Lao, Khmer, Myanmar and their neighbours.
_UNSPACED = rf"(?:[\p{{Script=Han}}\p{{Script=Hiragana}}\p{{WB=Katakana}}\p{{Line_Break=SA}}]{_TAIL})++"

_WORDS = regex.compile(rf"{_EMOJI}|{_DICTIONARY}|{_WORD}|{_SINGLE}")
_WORDS_AND_RUNS = regex.compile(rf"{_EMOJI}|{_UNSPACED}|{_WORD}")
_RUN_ALONE = regex.compile(_UNSPACED)
_CHARACTER = regex.compile(rf".{_TAIL}", regex.DOTALL)
# The same rules where every character is ASCII: the standard library's engine does them several times as fast. A space or a
# line feed ends a word by any rule: only what stands between two of them, with another character in it, goes the slow way.
_ASCII_RUN = r"(?:[A-Za-z]+(?:['.:][A-Za-z]+)*|[0-9]+(?:['.,;][0-9]+)*)+"
_ASCII = re.compile(rf"_*{_ASCII_RUN}(?:_+{_ASCII_RUN})*_*")
_BREAKS = (
    "-",
    "(",
    ")",
    "/",
    ". ",
    ", ",
)  # the frequent ones: the fewer different pieces, the less there is to analyze
_BLANKS = re.compile("[ \t\n\r]+")
NARROW_SPACE = "\u202f"
_NOT_ASCII = re.compile(r"(?<![^ \n])[^ \n\x80-\U0010ffff]*+[^\x00-\x7f][^ \n]*")


def words(text: str) -> list[str]:
    """The words of a text, in order.

    >>> words("It's 3,141.5 m/s, e.g. in a_b. (O'Neill's na\u00efvet\u00e9)")
    ["It's", '3,141.5', 'm', 's', 'e.g', 'in', 'a_b', "O'Neill's", 'na\u00efvet\u00e9']
    """
    if text.isascii():
        return _ASCII.findall(text)
    found: list[str] = []
    done = 0
    for match in _NOT_ASCII.finditer(text):
        found += _ASCII.findall(text, done, match.start())
        found += _WORDS.findall(match[0])
        done = match.end()
    return found + _ASCII.findall(text, done)


def words_and_runs(text: str) -> list[str]:
    """The words of a text, where a run in scripts without spaces is one word, whatever of them it is written in.

    >>> words_and_runs("BM25\u662f\u597d\u7684 \u4e2d")
    ['BM25', '\u662f\u597d\u7684', '\u4e2d']
    """
    if text.isascii():
        return _ASCII.findall(text)
    found: list[str] = []
    done = 0
    for match in _NOT_ASCII.finditer(text):
        found += _ASCII.findall(text, done, match.start())
        found += [part[0] for part in _WORDS_AND_RUNS.finditer(match[0])]
        done = match.end()
    return found + _ASCII.findall(text, done)


def bigrams(word: str) -> list[str]:
    """The overlapping pairs of the characters of a run in scripts without spaces; any other word, or one character, itself.

    A character is taken with the marks on it, so that no pair begins with a bare vowel sign.

    >>> bigrams("\u662f\u597d\u7684"), bigrams("\u4e2d"), bigrams("BM25")
    (['\u662f\u597d', '\u597d\u7684'], ['\u4e2d'], ['BM25'])
    """
    if word.isascii() or not _RUN_ALONE.fullmatch(word):
        return [word]
    characters = _CHARACTER.findall(word)
    return [first + second for first, second in pairwise(characters)] if len(characters) > 1 else [word]


def pieces(text: str) -> list[str]:
    """The text cut where a word ends whatever surrounds it; its words are those of the pieces, in order.

    That is at white space, hyphens, brackets and slashes, and between a full stop or a comma and a blank. The narrow no-break
    space is one of the letters of a word for the annex: a text that has it is cut at blanks and lines only.

    >>> pieces("TNF-alpha (e.g. 3,141.5), twice.")
    ['TNF', 'alpha', 'e.g', '3,141.5', 'twice.']
    """
    for mark in _BREAKS:
        text = text.replace(mark, " ")
    return text.split() if NARROW_SPACE not in text else _BLANKS.split(text)


def unicode_version() -> str:
    """The newest version of Unicode whose letters these rules know, told by one letter that each version since 14 added."""
    letters = {
        "14.0": "\U00012f90",
        "15.0": "\U00011f04",
        "15.1": "\U0002ebf0",
        "16.0": "\U00010d4a",
        "17.0": "\U00010940",
    }
    return max((version for version, letter in letters.items() if _WORDS.match(letter)), default="13.0")
