"""Rankings over the kit's documents, as a retriever would give them: what fusers, rerankers and generators are fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from zlib import crc32

from hookrag.testing.samples import QUERIES, chunks
from hookrag.values import Hit, Part, Query, Ranking, ScoreKind, best

KIND = ScoreKind("inner product", "hookrag.testing")
"""One kind for all legs, so that fusers of raw scores take them."""


def ranking(query: Query, source: str, size: int = 6) -> Ranking:
    """A ranking of `size` of the kit's chunks, others for every query and source; the scores are positive and distinct."""
    own = chunks()
    start = crc32(f"{query.id} {source}".encode()) % len(own)
    chosen = (own[start:] + own[:start])[:size]
    # The steps differ, so that no two sums of normalised scores are equal by accident.
    hits = [
        Hit(chunk, round(9.0 / (place + 1.3) + len(source) / 100, 6), (Part("first", KIND, place + 1, 1.0),))
        for place, chunk in enumerate(chosen)
    ]
    return Ranking(query, best(hits, size), source, KIND)


def rankings(source: str = "dense", size: int = 6) -> list[Ranking]:
    """One ranking for each of the kit's queries."""
    return [ranking(query, source, size) for query in QUERIES]


def relevant(size: int = 4) -> list[Ranking]:
    """Rankings whose first hit shares words with the query, as far as the kit's documents do."""
    made = []
    for query in QUERIES:
        words = set(query.text.lower().split())
        hits = [Hit(c, float(len(words & set(c.text.lower().split()))) + 1 / (i + 2)) for i, c in enumerate(chunks())]
        made.append(Ranking(query, best(hits, size), "dense", KIND))
    return made


def emptied(rankings_: Sequence[Ranking]) -> list[Ranking]:
    """The same rankings without hits."""
    return [replace(one, hits=()) for one in rankings_]


def ids(one: Ranking) -> list[str]:
    """The chunk ids in order."""
    return [hit.chunk.id for hit in one.hits]
