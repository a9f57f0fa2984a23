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
    {'attack': 1.0, 'heart': 3.5, '2': 1.0, '1': 1.0}
    """
    weights: dict[str, float] = dict(Counter(chain.terms(_BOOSTED.sub(" ", text))))
    for word, number in _BOOSTED.findall(text):
        for term in chain.terms(word):
            weights[term] = weights.get(term, 0.0) + float(number)
    return {term: float(weight) for term, weight in weights.items() if weight > 0}
