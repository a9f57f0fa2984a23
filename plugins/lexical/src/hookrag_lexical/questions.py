"""From a question to the terms that are looked for, and how much each counts."""

from __future__ import annotations

import re
from collections import Counter

from hookrag_lexical.analysis import Analyzer

# "term^2.5" with white space around: anything else that has a ^ is text, a negative or an unbounded number too.
_BOOSTED = re.compile(r"(?<!\S)(\S*[^\s^])\^([0-9]{1,4}(?:\.[0-9]{1,4})?)(?!\S)")


def plain(chain: Analyzer, text: str) -> dict[str, float]:
    """Each term as often as it is there.

    >>> from hookrag_lexical.analysis import analyzer
    >>> plain(analyzer("lucene-english"), "a heart is a heart^3 of gold")
    {'heart': 2, '3': 1, 'gold': 1}
    """
    return dict(Counter(chain.terms(text)))


def boosted(chain: Analyzer, text: str) -> dict[str, float]:
    """The same, where "word^number" counts so many times; by 0, not at all.

    >>> from hookrag_lexical.analysis import analyzer
    >>> boosted(analyzer("lucene-english"), "heart^2.5 attack gold^0 heart 2^-1")
    {'heart': 3.5, 'attack': 1.0, '2': 1.0, '1': 1.0}
    """
    weights: dict[str, float] = {}
    parts = _BOOSTED.split(text)  # text, word, number, text, word, number, ..., text
    for at, part in enumerate(parts):
        if at % 3 == 2:
            continue
        number = float(parts[at + 1]) if at % 3 == 1 else 1.0
        for term in chain.terms(part):
            weights[term] = weights.get(term, 0.0) + number
    return {term: weight for term, weight in weights.items() if weight > 0}
