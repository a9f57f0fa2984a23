"""Which of the scored passages make up the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hookrag_extractive.passages import Passage

_WORD = re.compile(r"\w+")
SAME = 0.9
"""Two passages say the same where this part of the shorter one's words is in the other."""
NEAR, FAR = 0.5, 0.8
"""What part of the best one's lead over the threshold another passage needs, if it is from the same chunk or from another."""


def choose(scored: Sequence[tuple[Passage, float]], *, most: int, threshold: float) -> list[Passage]:
    """The passages to quote, at most `most`, in the order to quote them; `scored` is ordered best first.

    The best is quoted if it has the threshold. Another is, if it comes near enough (NEAR, FAR) and does not say the same as
    one that is quoted. Passages that are not plain are taken only if no plain one has the threshold. Those of the chunk with
    the best one are first, and those of one chunk in the order of its text.
    """
    reach = [one for one in scored if one[1] >= threshold]
    reach = [one for one in reach if one[0].plain] or reach
    chosen: list[Passage] = []
    for passage, score in reach:
        if len(chosen) == most:
            break
        near = NEAR if passage.chunk.id == reach[0][0].chunk.id else FAR
        close = score - threshold >= near * (reach[0][1] - threshold)
        if close and not any(_says_the_same(passage.quote, other.quote) for other in chosen):
            chosen.append(passage)
    chunks = list(dict.fromkeys(passage.chunk.id for passage in chosen))
    return sorted(chosen, key=lambda passage: (chunks.index(passage.chunk.id), passage.start))


def _says_the_same(one: str, other: str) -> bool:
    """Whether SAME of the words of the one with fewer are the other's.

    >>> _says_the_same("It has 366 days.", "A leap year: it has 366 days.")
    True
    >>> _says_the_same("It has 366 days.", "It has 12 months.")
    False
    """
    first, second = (set(_WORD.findall(text.casefold())) for text in (one, other))
    return len(first & second) >= SAME * min(len(first), len(second))
