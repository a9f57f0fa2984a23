"""The time that a call spends in the framework: the same components called by hand, through a pipeline, and with middleware.

    .venv/bin/python benchmarks/overhead.py

The components do next to nothing, so that what is measured is everything around them. Medians over many calls, in one run.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from hookrag import Call, Chunk, Hit, Pipeline, Proceed, Query, Ranking, ScoreKind, tracing
from hookrag.components.fused import Fused
from hookrag.components.reranked import Reranked
from hookrag.ordering import best

CHUNKS = [Chunk(f"{i:032x}", f"d{i}", "text", 0, 4) for i in range(100)]
HITS = tuple(Hit(chunk, 100.0 - i) for i, chunk in enumerate(CHUNKS))
KIND = ScoreKind("place")


class Ready:
    """Has its hits ready."""

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        return [Ranking(query, HITS[:k], "ready", KIND) for query in queries]


class First:
    """The first leg as it is."""

    def fuse(self, legs: Sequence[Sequence[Ranking]], /, *, k: int) -> list[Ranking]:
        return [Ranking(ranking.query, ranking.hits[:k], "first", KIND) for ranking in legs[0]]


class Same:
    """The hits as they are."""

    def rerank(self, rankings: Sequence[Ranking], /, *, k: int) -> list[Ranking]:
        return [Ranking(ranking.query, best(ranking.hits, k), "same", KIND) for ranking in rankings]


class Through:
    """Middleware that does nothing."""

    def around(self, call: Call, proceed: Proceed, /) -> Any:
        return proceed(call)


def median(call: Callable[[], object], repeats: int) -> float:
    """Microseconds."""
    times = []
    for _ in range(repeats):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return statistics.median(times) * 1e6


def hybrid() -> Reranked:
    """Two legs of 100 hits, fused, 50 reranked."""
    return Reranked(retriever=Fused(retrievers=[Ready(), Ready()], fuser=First()), reranker=Same(), depth=50)


def main() -> None:
    """Print a table of microseconds a query."""
    print(
        f"{'one retriever, 10 hits':<42}{'by hand':>10}{'pipeline':>10}{'3 middleware':>14}{'traced':>10}   us a query"
    )
    for size in (1, 64):
        queries = [Query(str(i), "q") for i in range(size)]
        row(f"  batch of {size}", lambda: Ready(), queries, k=10)
    print("two legs of 100 hits, fused, 50 reranked, 10 kept")
    for size in (1, 64):
        queries = [Query(str(i), "q") for i in range(size)]
        row(f"  batch of {size}", hybrid, queries, k=10)


def row(name: str, make: Callable[[], Any], queries: list[Query], *, k: int) -> None:
    repeats = 2000 if len(queries) == 1 else 200
    plain = make()
    by_hand = median(lambda: plain.retrieve(queries, k=k), repeats)
    with tempfile.TemporaryDirectory() as folder:
        with Pipeline(retriever=make(), folder=Path(folder)) as pipeline:
            through = median(lambda: pipeline.retrieve(queries, k), repeats)

            def traced() -> None:
                with tracing():
                    pipeline.retrieve(queries, k)

            with_trace = median(traced, repeats)
        with Pipeline(retriever=make(), middleware=[Through() for _ in range(3)], folder=Path(folder)) as pipeline:
            wrapped = median(lambda: pipeline.retrieve(queries, k), repeats)
    each = [value / len(queries) for value in (by_hand, through, wrapped, with_trace)]
    print(f"{name:<42}{each[0]:>10.1f}{each[1]:>10.1f}{each[2]:>14.1f}{each[3]:>10.1f}")


if __name__ == "__main__":
    main()
