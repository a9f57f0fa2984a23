"""A retriever whose first hits are scored anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from hookrag.options import AtLeast, checked
from hookrag.protocols import Reranker, Retriever
from hookrag.values import Hit, Part, Query, Ranking


class Reranked:
    """Takes `depth` hits of the retriever (k, if that is more) and keeps the k that the reranker likes best."""

    @checked
    def __init__(
        self,
        *,
        retriever: Annotated[Retriever, "finds the candidates"],
        reranker: Annotated[Reranker, "scores them anew"],
        depth: Annotated[int, AtLeast(1), "candidates; as many as are wanted, if that is more"] = 50,
    ) -> None:
        self.retriever = retriever
        self.reranker = reranker
        self.depth = depth

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        found = self.retriever.retrieve(queries, k=max(self.depth, k))
        reranked = self.reranker.rerank([_remembering(ranking) for ranking in found], k=k)
        return [Ranking(one.query, one.hits, "reranked", one.kind, one.notes, one.outside) for one in reranked]


def _remembering(ranking: Ranking) -> Ranking:
    """The ranking with its own word on every hit appended to the hit's parts, which a reranker keeps."""
    hits = []
    for rank, hit in enumerate(ranking.hits, 1):
        own = Part(ranking.stage, ranking.kind, rank, hit.score)
        parts = hit.parts
        if parts and (parts[-1].stage, parts[-1].rank, parts[-1].score) == (own.stage, rank, own.score):
            own, parts = parts[-1], parts[:-1]  # a text search that was explained has said it already, with its terms
        hits.append(Hit(hit.chunk, hit.score, (*parts, own)))
    return Ranking(ranking.query, tuple(hits), ranking.stage, ranking.kind, ranking.notes, ranking.outside)
