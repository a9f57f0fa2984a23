"""A retriever that prefers recent documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from hookrag import Hit, Query, Ranking, Retriever, ScoreKind, best, note


class Recency:
    """Takes `depth` hits of a retriever and lets their ranks fade with age: 1 / (60 + rank) * 0.5 ** (days / half_life).

    The age is read from the metadata `field`, an ISO date; a document without one counts as one half-life old. `today` is for
    tests and for asking as of another day.
    """

    def __init__(
        self,
        *,
        retriever: Retriever,
        field: str = "date",
        half_life: float = 365.0,
        depth: int = 100,
        today: str | None = None,
    ) -> None:
        if half_life <= 0:
            raise ValueError(f"half_life must be above 0 days, got {half_life}")
        self.retriever = retriever
        self.field = field
        self.half_life = half_life
        self.depth = depth
        self.today = today

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        today = date.fromisoformat(self.today) if self.today else date.today()
        found = self.retriever.retrieve(queries, k=max(k, self.depth))
        return [self._faded(ranking, today, k) for ranking in found]

    def _faded(self, ranking: Ranking, today: date, k: int) -> Ranking:
        hits = [
            replace(hit, score=0.5 ** self._half_lives(hit, today) / (60 + rank))
            for rank, hit in enumerate(ranking.hits, 1)
        ]
        return Ranking(ranking.query, best(hits, k), "recency", ScoreKind("recency"))

    def _half_lives(self, hit: Hit, today: date) -> float:
        try:
            made = date.fromisoformat(hit.chunk.metadata[self.field])
        except (KeyError, TypeError, ValueError):
            note(undated=1)
            return 1.0
        return max(0, (today - made).days) / self.half_life
