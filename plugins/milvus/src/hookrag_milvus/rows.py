"""A row as Milvus keeps it, checked before it is sent: engines differ in what they refuse, and one accepts NaN."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from hookrag import Chunk, ItemRejected, Row, RowKey
from hookrag.filters import Value
from hookrag_stores import batches as stores_batches
from hookrag_stores import rows as stored
from hookrag_stores.vectors import Metric, dense_of

from hookrag_milvus.where import facets

KEY_FIELDS = ("pk", "document_id", "owner", "check")
CHUNK_FIELDS = ("pk", "document_id", "text", "chunk")
MAX_ID, MAX_DOCUMENT_ID, MAX_OWNER, MAX_TEXT, MAX_JSON = 64, 512, 128, 65_535, 60_000
MAX_DIM = 32_768
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

    `dim` is the width of the collection's vectors, None before there is one. Called within `unwarned`.
    """
    chunk = row.chunk
    if not is_id(chunk.id):
        raise ItemRejected(
            f"its id {chunk.id[:80]!r} is not 1 to 64 letters, digits and _ . : / -: make chunks with chunk_of()"
        )
    vector = dense_of(row.dense, metric, least=2, most=MAX_DIM, dim=dim)
    sizes = [
        _bytes("document id", chunk.document_id, MAX_DOCUMENT_ID),
        _bytes("owner", row.owner, MAX_OWNER),
        _bytes("text", chunk.text, MAX_TEXT, "make smaller chunks"),
    ]
    rest = stored.rest_of(chunk)
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
    return stores_batches.batches(records, lambda one: one.size, most=_BATCH_ROWS, most_bytes=_BATCH_BYTES)


def chunk_from(found: Mapping[str, Any]) -> Chunk:
    """The chunk of a row that Milvus returned with CHUNK_FIELDS."""
    return stored.chunk_from(found["pk"], found["document_id"], found["text"], found["chunk"])


def key_from(found: Mapping[str, Any]) -> RowKey:
    """What a scan tells, of a row that Milvus returned with KEY_FIELDS."""
    return RowKey(found["pk"], found["document_id"], found["owner"], found["check"])


def row_from(found: Mapping[str, Any]) -> Row:
    """The row, with its vector if that was asked for."""
    dense = found.get("dense")
    vector = None if dense is None else np.asarray(dense, dtype=np.float32)
    return Row(chunk_from(found), found["owner"], found["check"], vector)


def _facets_size(filterable: Mapping[str, Value]) -> int:
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
