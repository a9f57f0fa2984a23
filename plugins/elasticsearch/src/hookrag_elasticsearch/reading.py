"""Rows and hits as they come back from the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import TypeVar

import numpy as np
from hookrag import Hit, HookragError, best
from hookrag.filters import Filter
from hookrag_stores.batches import parts
from hookrag_stores.nearest import nearest
from numpy.typing import NDArray

from hookrag_elasticsearch import searching
from hookrag_elasticsearch.connection import PAGE, Connection, Json
from hookrag_elasticsearch.errors import answered
from hookrag_elasticsearch.index import Metric
from hookrag_elasticsearch.rows import BYTES, chunk_from, decoded, is_id

T = TypeVar("T")

_SEARCHES = 100  # in one request
_HITS = 5_000  # in one answer, which holds the chunks
_IDS = 1_000
_TERMS = 500
_EXACT_PAGE = 2_000


def sources(connection: Connection, chunk_ids: Sequence[str], *, vectors: bool) -> Iterator[Json]:
    """The documents of those of the rows that are there, each once, also of rows that no search sees yet."""
    ids = [chunk_id for chunk_id in dict.fromkeys(chunk_ids) if is_id(chunk_id)]
    hidden = None if vectors else list(BYTES)
    for some in parts(ids, _IDS):
        answer = connection.call(
            "fetch",
            lambda: connection.client.mget(index=connection.target, ids=some, source_excludes=hidden),  # noqa: B023
        )
        for one in answer["docs"]:
            if "error" in one:
                raise answered(one["error"].get("status", 500), one["error"], f"{connection.where}: fetch failed")
            if one["found"]:
                yield one["_source"]


def hits(
    connection: Connection, bodies: Sequence[Json], keys: Sequence[bytes], k: int, score: Callable[[float], float]
) -> list[list[Hit]]:
    """The k best rows for each search; `score` makes mathematical scores of the server's.

    A search goes to the copy of a shard that its key chooses, always the same one while it lives, because copies that hold
    other deleted rows give other scores.
    """
    if k > PAGE:
        raise HookragError(
            f"{connection.where}: got k = {k}, expected at most {PAGE:,}, which the server returns at once"
        )
    if k < 1:
        return [[] for _ in bodies]
    preference = [f"q{blake2b(key, digest_size=8).hexdigest()}" for key in keys]
    at_once = max(1, min(_SEARCHES, _HITS // k))
    found: list[list[Hit]] = []
    for start in range(0, len(bodies), at_once):
        end = start + at_once
        for one in connection.search("search", bodies[start:end], preference=preference[start:end]):
            found.append(list(best((Hit(chunk_from(hit["_source"]), score(hit["_score"])) for hit in one), k)))
    return found


def exact(
    connection: Connection, queries: NDArray[np.float32], k: int, where: Filter | None, metric: Metric
) -> list[list[Hit]]:
    """The k nearest rows for each of float32[n, d], out of the vectors of all that match."""
    pages = (
        (
            [hit["_id"] for hit in page],
            np.stack([decoded(hit["_source"]["dense_bytes"]) for hit in page]).astype(np.float64),
        )
        for page in connection.pages("search", searching.rows(where), {"source": ["dense_bytes"]}, size=_EXACT_PAGE)
    )
    scored = nearest(queries.astype(np.float64), pages, k, metric)
    ids = list(dict.fromkeys(name for pairs in scored for name, _ in pairs))
    chunks = {source["id"]: chunk_from(source) for source in sources(connection, ids, vectors=False)}
    # A row that was deleted since it was found has no chunk any more.
    return [[Hit(chunks[name], score) for name, score in pairs if name in chunks] for pairs in scored]


def matching(connection: Connection, text: str, chunk_ids: Sequence[str]) -> list[tuple[str, ...]]:
    """The analyzed terms of `text` that each of the rows contains, in the order of the text."""
    analyzed = connection.call(
        "analyze", lambda: connection.client.indices.analyze(index=connection.target, field="input", text=text)
    )
    terms = list(dict.fromkeys(token["token"] for token in analyzed["tokens"]))
    found: dict[str, set[int]] = {chunk_id: set() for chunk_id in chunk_ids if is_id(chunk_id)}
    for ids in parts(list(found), _IDS):
        for some in parts(list(enumerate(terms)), _TERMS):
            (named,) = connection.search("search", [searching.terms_body(ids, some)])
            for hit in named:
                found[hit["_id"]].update(map(int, hit["matched_queries"]))
    return [tuple(terms[number] for number in sorted(found.get(chunk_id, ()))) for chunk_id in chunk_ids]
