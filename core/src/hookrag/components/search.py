"""Retrievers over a store: nearest dense vectors, sparse inner products, matching words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

from hookrag.errors import IdentityError
from hookrag.filters import Filter
from hookrag.protocols import DenseStore, Embedder, SparseStore, TextStore
from hookrag.runtime.request import explaining
from hookrag.values import Hit, Part, Query, Ranking, ScoreKind

_QUERIES = "gives the vectors of questions; without it, the store's own"
Search = Callable[[Sequence[Query], Filter | None], list[list[Hit]]]


def _by_filter(queries: Sequence[Query], search: Search) -> list[list[Hit]]:
    """One search for all queries with the same filter; the results in the order of the queries."""
    groups: dict[Filter | None, list[int]] = {}
    for index, query in enumerate(queries):
        groups.setdefault(query.where, []).append(index)
    found: list[list[Hit]] = [[] for _ in queries]
    for where, indices in groups.items():
        for index, hits in zip(indices, search([queries[i] for i in indices], where), strict=True):
            found[index] = hits
    return found


def _rankings(queries: Sequence[Query], found: list[list[Hit]], stage: str, kind: ScoreKind) -> list[Ranking]:
    return [Ranking(query, tuple(hits), stage, kind) for query, hits in zip(queries, found, strict=True)]


def _same_space(retriever: str, output: str, query: Embedder, document: Embedder) -> None:
    asked, stored = query.identity(), document.identity()
    if asked.space != stored.space or (not asked.space and asked.document != stored.document):
        raise IdentityError(
            f"{retriever}: the queries' embedder and the store's give {output} vectors of different spaces "
            f"({asked.space or dict(asked.document)!r} and {stored.space or dict(stored.document)!r}): "
            f"leave out `embedder` to use the store's"
        )


class Dense:
    """The chunks whose dense vectors are nearest to the query's."""

    def __init__(
        self, *, store: Annotated[DenseStore, "what is searched"], embedder: Annotated[Embedder | None, _QUERIES] = None
    ) -> None:
        self.store = store
        self.embedder = embedder

    def open(self) -> None:
        if self.embedder is not None:
            _same_space("dense", "dense", self.embedder, self.store.embedders["dense"])

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        embedder = self.embedder or self.store.embedders["dense"]

        def search(some: Sequence[Query], where: Filter | None) -> list[list[Hit]]:
            vectors = embedder.embed([query.text for query in some], role="query", outputs={"dense"}).dense
            assert vectors is not None
            return self.store.search_dense(vectors, k=k, where=where)

        return _rankings(queries, _by_filter(queries, search), "dense", self.store.dense_kind)


class Sparse:
    """The chunks whose sparse vectors have the highest inner product with the query's."""

    def __init__(
        self,
        *,
        store: Annotated[SparseStore, "what is searched"],
        embedder: Annotated[Embedder | None, _QUERIES] = None,
    ) -> None:
        self.store = store
        self.embedder = embedder

    def open(self) -> None:
        if self.embedder is not None:
            _same_space("sparse", "sparse", self.embedder, self.store.embedders["sparse"])

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        embedder = self.embedder or self.store.embedders["sparse"]

        def search(some: Sequence[Query], where: Filter | None) -> list[list[Hit]]:
            vectors = embedder.embed([query.text for query in some], role="query", outputs={"sparse"}).sparse
            assert vectors is not None
            return self.store.search_sparse(vectors, k=k, where=where)

        return _rankings(queries, _by_filter(queries, search), "sparse", ScoreKind("inner product", "sparse"))


class Text:
    """The chunks whose words match the query's best."""

    def __init__(self, *, store: Annotated[TextStore, "what is searched"]) -> None:
        self.store = store

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        def search(some: Sequence[Query], where: Filter | None) -> list[list[Hit]]:
            return self.store.search_text([query.text for query in some], k=k, where=where)

        rankings = _rankings(queries, _by_filter(queries, search), "text", self.store.text_kind)
        return [self._explained(ranking) for ranking in rankings] if explaining() else rankings

    def _explained(self, ranking: Ranking) -> Ranking:
        terms = self.store.matching_terms(ranking.query.text, [hit.chunk.id for hit in ranking.hits])
        hits = (
            replace(hit, parts=(Part(ranking.stage, ranking.kind, rank, hit.score, matched),))
            for rank, (hit, matched) in enumerate(zip(ranking.hits, terms, strict=True), 1)
        )
        return replace(ranking, hits=tuple(hits))
