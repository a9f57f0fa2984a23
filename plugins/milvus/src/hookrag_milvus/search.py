"""The k nearest rows: by the engine's index, and by exact scores where that would miss some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from hookrag import Chunk, Hit, best, note
from hookrag_stores.batches import halves
from hookrag_stores.nearest import nearest
from numpy.typing import NDArray

from hookrag_milvus.connection import RETRIES, Connection
from hookrag_milvus.errors import TooLarge
from hookrag_milvus.index import MAX_K, Options
from hookrag_milvus.rows import CHUNK_FIELDS, chunk_from

Chunks = Callable[[Iterable[str]], Mapping[str, Chunk]]
"""The chunks of these ids, without those that are not there."""

_WHOLE = 1_000


def search(
    connection: Connection, options: Options, queries: NDArray[np.float32], k: int, selected: str, chunks: Chunks
) -> list[list[Hit]]:
    """The k best of the rows that the expression `selected` ("" for all) selects, for each query; min(k, rows) of them.

    What an approximate index falls short of is scored exactly: a graph loses its way where few of its rows are selected.
    """
    hits: list[list[Hit]] = []
    at_once = _at_once(connection, options, k)
    for start in range(0, len(queries), at_once):
        hits += _asked(connection, options, queries[start : start + at_once], k, selected, chunks)
    fewest = min(map(len, hits))
    if fewest < k and fewest < connection.count(selected):
        return _exact(connection, options, queries, k, selected, chunks)
    return hits


def _at_once(connection: Connection, options: Options, k: int) -> int:
    """How many queries a call takes: as many as may be, for Milvus Lite walks all its rows once a call."""
    if connection.is_lite and options.metric == "L2":
        return 1  # of n queries it makes n differences with every row at once: 20 GB for 64 queries and 100,000 rows
    return max(1, MAX_K // k)


def _asked(
    connection: Connection, options: Options, queries: NDArray[np.float32], k: int, selected: str, chunks: Chunks
) -> list[list[Hit]]:
    fields = CHUNK_FIELDS if len(queries) > 1 or k <= _WHOLE else ("pk",)

    def operation() -> list[list[dict[str, Any]]]:
        found: list[list[dict[str, Any]]] = connection.client.search(
            connection.collection,
            data=list(queries),
            anns_field="dense",
            filter=selected,
            limit=k,
            output_fields=list(fields),
            search_params={"metric_type": options.metric, "params": options.search(k, filtered=bool(selected))},
            **RETRIES,
        )
        return found

    try:
        answers = connection.call("search", operation)
    except TooLarge:
        if len(queries) == 1:
            raise
        return [hits for half in halves(queries) for hits in _asked(connection, options, half, k, selected, chunks)]
    scored = [[(one["pk"], options.score(one["distance"])) for one in answer] for answer in answers]
    if fields is not CHUNK_FIELDS:
        return _hits(scored, chunks, k)
    entities = {one["pk"]: one["entity"] for answer in answers for one in answer}
    return _hits(scored, lambda _: {pk: chunk_from({"pk": pk, **entity}) for pk, entity in entities.items()}, k)


def _exact(
    connection: Connection, options: Options, queries: NDArray[np.float32], k: int, selected: str, chunks: Chunks
) -> list[list[Hit]]:
    note(exact=len(queries))
    pages = (
        ([one["pk"] for one in page], np.asarray([one["dense"] for one in page], dtype=np.float32))
        for page in connection.pages(selected, ["pk", "dense"])
    )
    return _hits(nearest(queries, pages, k, options.metric), chunks, k)


def _hits(scored: Sequence[Sequence[tuple[str, float]]], chunks: Chunks, k: int) -> list[list[Hit]]:
    found = chunks(dict.fromkeys(pk for answer in scored for pk, _ in answer))
    # A row that was deleted since it was found has no chunk any more.
    return [list(best((Hit(found[pk], score) for pk, score in answer if pk in found), k)) for answer in scored]
