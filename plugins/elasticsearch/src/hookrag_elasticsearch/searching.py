"""The searches as the server is asked for them, and their scores as mathematics has them."""

from __future__ import annotations

from collections.abc import Sequence

from hookrag.filters import Filter

from hookrag_elasticsearch.connection import Json
from hookrag_elasticsearch.index import ROWS, Metric
from hookrag_elasticsearch.where import query

# Rows of equal scores come in another order from each copy of a shard, unless their ids order them.
_ORDER = [{"_score": "desc"}, {"id": "asc"}]
_CHUNK = {"excludes": ["dense_bytes", "sparse_bytes"]}


def rows(where: Filter | None) -> Json:
    """The query for the rows that match."""
    return ROWS if where is None else {"bool": {"filter": [ROWS, query(where)]}}


def text_body(text: str, k: int, selected: Json | None) -> Json:
    """The k best rows by BM25 of the words of `text`, which is analyzed and nothing more: it has no operators."""
    return _body(k, query=_filtered({"match": {"input": {"query": text}}}, selected))


def sparse_body(weights: dict[str, float], k: int, selected: Json | None) -> Json:
    """The k best rows by inner product. No weight is left out, which newer servers do unless they are told."""
    vector = {"field": "sparse", "query_vector": weights, "prune": False}
    return _body(k, query=_filtered({"sparse_vector": vector}, selected))


def dense_body(vector: Sequence[float], k: int, candidates: int, selected: Json | None) -> Json:
    """The k nearest of as many candidates, so that rows of equal scores are cut by their ids and not by the graph."""
    knn: Json = {"field": "dense", "query_vector": vector, "k": candidates, "num_candidates": candidates}
    if selected is not None:
        knn["filter"] = selected
    return _body(k, knn=knn)


def terms_body(ids: Sequence[str], terms: Sequence[tuple[int, str]]) -> Json:
    """For each of the rows the numbers of the terms that it has, as the names of queries."""
    named = [{"term": {"input": {"value": term, "_name": str(number)}}} for number, term in terms]
    matched = {"bool": {"filter": [{"ids": {"values": list(ids)}}], "should": named, "minimum_should_match": 1}}
    return {"query": matched, "size": len(ids), "_source": False, "track_total_hits": False}


def _filtered(scored: Json, selected: Json | None) -> Json:
    return scored if selected is None else {"bool": {"must": [scored], "filter": [selected]}}


def _body(k: int, **searched: Json) -> Json:
    return {**searched, "size": k, "sort": _ORDER, "_source": _CHUNK, "track_total_hits": False}


def similarity(score: float, metric: Metric) -> float:
    """The cosine or inner product of which the server made a positive score.

    It makes (1 + cosine) / 2 of a cosine, and of an inner product 1 + p, or 1 / (1 - p) where p is negative.

    >>> similarity(0.75, "COSINE"), similarity(3.5, "IP"), similarity(0.25, "IP")
    (0.5, 2.5, -3.0)
    """
    if metric == "COSINE":
        return min(1.0, max(-1.0, 2 * score - 1))
    return score - 1 if score >= 1 else 1 - 1 / score
