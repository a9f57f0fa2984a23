"""A retriever that prefers recent documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Annotated

from hookrag import Above, AtLeast, Hit, NotEmpty, Query, Ranking, Retriever, ScoreKind, best, checked, note


class Recency:
    """Takes `depth` hits of a retriever and lets their ranks fade with age: 1 / (60 + rank) * 0.5 ** (days / half_life).

    The age is read from the metadata `field`, an ISO date; a document without one counts as one half-life old. `today` is for
    tests and for asking as of another day.
    """

    @checked
    def __init__(
        self,
        *,
        retriever: Annotated[Retriever, "finds the candidates"],
        field: Annotated[str, NotEmpty(), "the metadata field with an ISO date"] = "date",
        half_life: Annotated[float, Above(0, "days"), "days after which a hit counts half"] = 365.0,
        depth: Annotated[int, AtLeast(1), "candidates; as many as are wanted, if that is more"] = 100,
        today: Annotated[str | None, "an ISO date to ask as of; without it, the day of the question"] = None,
    ) -> None:
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
