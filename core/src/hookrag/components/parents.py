"""The larger chunks that hits lie in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from hookrag.filters import matches
from hookrag.options import AtLeast, checked
from hookrag.protocols import Retriever, Store
from hookrag.runtime.trace import note
from hookrag.values import Chunk, Hit, Query, Ranking, best


class Parents:
    """Lifts hits to their parents, which `store` holds; a parent's score is its best child's, a chunk without one stays.

    Asks the retriever for more until there are k parents or no more hits.
    """

    @checked
    def __init__(
        self,
        *,
        retriever: Annotated[Retriever, "finds the children"],
        store: Annotated[Store, "holds their parents"],
        depth: Annotated[
            int, AtLeast(1), "children that are looked at first; more where they have too few parents"
        ] = 50,
    ) -> None:
        self.retriever = retriever
        self.store = store
        self.depth = depth

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        lifted: list[Ranking | None] = [None] * len(queries)
        open_ = list(range(len(queries)))
        depth = max(self.depth, k)
        while open_:
            found = self.retriever.retrieve([queries[i] for i in open_], k=depth)
            parents = self._fetch(found)
            short = []
            for index, ranking in zip(open_, found, strict=True):
                whole = self._lift(ranking, parents)
                lifted[index] = replace(whole, hits=best(whole.hits, k))
                if len(whole.hits) < k and len(ranking.hits) >= depth:
                    short.append(index)
            open_, depth = short, depth * 2
        return [ranking for ranking in lifted if ranking is not None]

    def _fetch(self, rankings: Sequence[Ranking]) -> dict[str, Chunk]:
        wanted = list(dict.fromkeys(h.chunk.parent for r in rankings for h in r.hits if h.chunk.parent is not None))
        rows = self.store.fetch(wanted) if wanted else []
        found = {row.chunk.id: row.chunk for row in rows if row is not None}
        if len(found) < len(wanted):
            note(parents_missing=len(wanted) - len(found))
        return found

    def _lift(self, ranking: Ranking, parents: dict[str, Chunk]) -> Ranking:
        lifted: dict[str, Hit] = {}
        where = ranking.query.where
        for hit in ranking.hits:  # best first, so the first child of a parent gives its score
            chunk = hit.chunk
            if chunk.parent is not None:
                found = parents.get(chunk.parent)
                if found is None or (where is not None and not matches(where, found.metadata)):
                    continue
                chunk = found
            if chunk.id not in lifted:
                lifted[chunk.id] = Hit(chunk, hit.score, hit.parts)
        return replace(ranking, hits=tuple(lifted.values()), stage="parents")
