"""A row as Milvus keeps it, checked before it is sent: engines differ in what they refuse, and one accepts NaN."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from hookrag import Chunk, ItemRejected, Row, RowKey

from hookrag_milvus.index import Metric
from hookrag_milvus.where import Facet, facets

KEY_FIELDS = ("pk", "document_id", "owner", "check")
CHUNK_FIELDS = ("pk", "document_id", "text", "chunk")
MAX_ID, MAX_DOCUMENT_ID, MAX_OWNER, MAX_TEXT, MAX_JSON = 64, 512, 128, 65_535, 60_000
MAX_DIM = 32_768
# Of the squared length; the squared distance of two vectors is at most four times the greater of theirs.
_LEAST: Mapping[Metric, float] = MappingProxyType({"COSINE": float(np.finfo(np.float32).tiny), "IP": 0.0, "L2": 0.0})
_GREATEST = float(np.finfo(np.float32).max)
_MOST: Mapping[Metric, float] = MappingProxyType({"COSINE": _GREATEST, "IP": _GREATEST, "L2": _GREATEST / 4})
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_BATCH_ROWS, _BATCH_BYTES = 1_000, 16 * 2**20
# No quote or backslash: pymilvus writes ids into expressions of its own (the cursor of its iterators) as they are.
_ID = re.compile(r"[0-9A-Za-z_.:/-]{1,64}")


@dataclass(frozen=True, slots=True)
class Record:
    """What is sent for one row, and about how many bytes it takes."""

    id: str
    fields: dict[str, Any]
    size: int


def is_id(chunk_id: str) -> bool:
    """Whether a chunk of this id can be in a store at all."""
    return _ID.fullmatch(chunk_id) is not None


def record(row: Row, *, dim: int | None, metric: Metric) -> Record:
    """The row as it is sent; ItemRejected says what is wrong with it.

    `dim` is the width of the collection's vectors, None before there is one. Called with overflow ignored (`unwarned`).
    """
    chunk = row.chunk
    if not is_id(chunk.id):
        raise ItemRejected(
            f"its id {chunk.id[:80]!r} is not 1 to 64 letters, digits and _ . : / -: make chunks with chunk_of()"
        )
    vector = _vector(row, dim=dim, metric=metric)
    sizes = [
        _bytes("document id", chunk.document_id, MAX_DOCUMENT_ID),
        _bytes("owner", row.owner, MAX_OWNER),
        _bytes("text", chunk.text, MAX_TEXT, "make smaller chunks"),
    ]
    rest = _rest(chunk)
    sizes.append(_bytes("context, sources and metadata as JSON", rest, MAX_JSON))
    try:
        filterable = facets(chunk.metadata)
    except ValueError as error:
        raise ItemRejected(f"its metadata hold {error}") from error
    sizes.append(_facets_size(filterable))
    if not -(2**63) <= row.check < 2**63:
        raise ItemRejected(f"its check is {row.check}, expected a signed integer of 64 bits")
    fields = {
        "pk": chunk.id,
        "document_id": chunk.document_id,
        "owner": row.owner,
        "check": row.check,
        "text": chunk.text,
        "chunk": rest,
        "dense": vector,
        **filterable,
    }
    return Record(chunk.id, fields, sum(sizes) + 4 * len(vector) + 100)


def batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """The records in order, in batches of at most 1,000 and 16 MiB."""
    batch: list[Record] = []
    size = 0
    for one in records:
        if batch and (len(batch) == _BATCH_ROWS or size + one.size > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += one.size
    if batch:
        yield batch


def chunk_from(found: Mapping[str, Any]) -> Chunk:
    """The chunk of a row that Milvus returned with CHUNK_FIELDS."""
    rest = json.loads(found["chunk"])
    return Chunk(
        found["pk"],
        found["document_id"],
        found["text"],
        rest["start"],
        rest["end"],
        rest["context"],
        rest["parent"],
        tuple(rest["sources"]),
        rest["metadata"],
    )


def key_from(found: Mapping[str, Any]) -> RowKey:
    """What a scan tells, of a row that Milvus returned with KEY_FIELDS."""
    return RowKey(found["pk"], found["document_id"], found["owner"], found["check"])


def row_from(found: Mapping[str, Any]) -> Row:
    """The row, with its vector if that was asked for."""
    dense = found.get("dense")
    vector = None if dense is None else np.asarray(dense, dtype=np.float32)
    return Row(chunk_from(found), found["owner"], found["check"], vector)


def queries_of(vectors: np.ndarray[Any, Any], *, dim: int, metric: Metric) -> np.ndarray[Any, Any]:
    """The query vectors as float32[n, dim]; ValueError says what is wrong with them."""
    queries = np.ascontiguousarray(vectors, dtype=np.float32)
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise ValueError(
            f"query vectors have the shape {list(queries.shape)}, expected [n, {dim}]: use the embedder of this index"
        )
    with unwarned():
        for number, query in enumerate(queries):
            if wrong := _wrong(query, metric=metric):
                raise ValueError(f"query vector {number} {wrong}")
    return queries


def unwarned() -> AbstractContextManager[Any]:
    """Within it numpy does not warn of what is found wrong and said here. Entered once for many rows, for it is slow."""
    return np.errstate(over="ignore", invalid="ignore")


def _vector(row: Row, *, dim: int | None, metric: Metric) -> np.ndarray[Any, Any]:
    if row.dense is None:
        raise ItemRejected("it has no dense vector")
    vector = np.ascontiguousarray(row.dense, dtype=np.float32)
    if vector.ndim != 1 or not 1 < len(vector) <= MAX_DIM:
        raise ItemRejected(
            f"its dense vector has the shape {list(vector.shape)}, expected [d] with d from 2 to {MAX_DIM}"
        )
    if dim is not None and len(vector) != dim:
        raise ItemRejected(
            f"its dense vector has {len(vector)} dimensions, expected {dim}, those of the rows before it"
        )
    if wrong := _wrong(vector, metric=metric):
        raise ItemRejected(f"its dense vector {wrong}")
    return vector


def _wrong(vector: np.ndarray[Any, Any], *, metric: Metric) -> str:
    """Why the vector has no scores, "" if it has. The engine computes in 32 bits, squared lengths too."""
    square = np.dot(vector, vector)
    if _LEAST[metric] <= square <= _MOST[metric]:
        return ""
    if not np.isfinite(vector).all():
        return "has a value that is not finite"
    if metric == "COSINE" and not vector.any():
        return "is all zeros, which has no cosine with anything"
    return f"has the squared length {square:g}, expected one that 32 bits hold: scale it"


def _rest(chunk: Chunk) -> str:
    if not all(isinstance(field, str) for field in chunk.metadata):
        raise ItemRejected("its metadata have a key that is not a string")
    rest = {
        "context": chunk.context,
        "start": chunk.start,
        "end": chunk.end,
        "parent": chunk.parent,
        "sources": list(chunk.sources),
        "metadata": dict(chunk.metadata),
    }
    try:
        return _json(rest)
    except (TypeError, ValueError, RecursionError) as error:
        raise ItemRejected(f"its metadata are not JSON values: {error}") from error


def _facets_size(filterable: Mapping[str, Facet]) -> int:
    # A character takes at most six bytes (\u0001), a number 25: most rows are far below the limit, and need no JSON.
    most = sum(
        len(name) + 10 + (6 * len(value) if isinstance(value, str) else 25) for name, value in filterable.items()
    )
    return most if most <= MAX_JSON else _bytes("metadata for filters as JSON", _json(filterable), MAX_JSON)


def _bytes(what: str, text: str, limit: int, advice: str = "make it shorter") -> int:
    try:
        size = len(text) if text.isascii() else len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise ItemRejected(f"its {what} holds half of a surrogate pair, which UTF-8 cannot hold") from error
    if size > limit:
        raise ItemRejected(f"its {what} takes {size:,} bytes of UTF-8, expected at most {limit:,}: {advice}")
    return size


def halves(items: Any) -> tuple[Any, Any]:
    """The first half and the rest of a list or an array."""
    middle = len(items) // 2
    return items[:middle], items[middle:]
