"""A row as the server keeps it."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hookrag import Chunk, ItemRejected, Output, Row, RowKey
from hookrag_stores import rows as stored
from hookrag_stores.vectors import Metric, dense_of
from numpy.typing import NDArray

from hookrag_elasticsearch.where import FIELD, facets

CARD_ID = "(card)"
KEY_FIELDS = ("id", "document_id", "owner", "check")
BYTES = ("dense_bytes", "sparse_bytes")
MAX_DIM = 4_096
# What the server refuses of the weights of a sparse vector: a float that is not normal.
_TINY = float(np.finfo(np.float32).tiny)
_MAX_ID = 512


@dataclass(frozen=True, slots=True)
class Operation:
    """One line or two of a bulk request, for the row of this id."""

    id: str
    lines: tuple[bytes, ...]

    @property
    def size(self) -> int:
        return sum(map(len, self.lines))


def is_id(chunk_id: str) -> bool:
    """Whether a chunk of this id can be in a store at all."""
    try:
        return 0 < len(chunk_id.encode("utf-8")) <= _MAX_ID and chunk_id != CARD_ID
    except UnicodeEncodeError:
        return False


def insertion(row: Row, version: int, outputs: Collection[Output], metric: Metric) -> Operation:
    """What inserts the row; ItemRejected says what is wrong with it. To be called within `unwarned`."""
    chunk = row.chunk
    if not is_id(chunk.id):
        raise ItemRejected(
            f"its id {chunk.id[:80]!r} is not 1 to {_MAX_ID} bytes of UTF-8: make chunks with chunk_of()"
        )
    if not -(2**63) <= row.check < 2**63:
        raise ItemRejected(f"its check is {row.check}, expected a signed integer of 64 bits")
    document: dict[str, Any] = {
        "id": chunk.id,
        "document_id": chunk.document_id,
        "owner": row.owner,
        "check": row.check,
        "context": chunk.context,
        "text": chunk.text,
        "chunk": stored.rest_of(chunk, context=False),
        FIELD: facets(chunk.metadata),
    }
    if "dense" in outputs:
        vector = dense_of(row.dense, metric, most=MAX_DIM)
        document["dense"] = vector.tolist()
        document["dense_bytes"] = b64encode(vector.astype("<f4").tobytes()).decode()
    if "sparse" in outputs:
        indices, weights = _sparse(row)
        document["sparse"] = weights_of(indices, weights)
        document["sparse_bytes"] = b64encode(indices.astype("<i4").tobytes() + weights.astype("<f4").tobytes()).decode()
    try:
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ItemRejected("its texts hold half of a surrogate pair, which UTF-8 cannot hold") from error
    return Operation(chunk.id, (_action("index", chunk.id, version), body))


def deletion(chunk_id: str, version: int) -> Operation:
    """What deletes the row of this id."""
    return Operation(chunk_id, (_action("delete", chunk_id, version),))


def _action(name: str, chunk_id: str, version: int) -> bytes:
    # Of two writes the one with the higher version wins, whichever comes first; the server keeps the version of a deleted
    # row too, for index.gc_deletes.
    return json.dumps({name: {"_id": chunk_id, "version": version, "version_type": "external_gte"}}).encode()


def chunk_from(source: Mapping[str, Any]) -> Chunk:
    """The chunk in a document of the index."""
    return stored.chunk_from(
        source["id"], source["document_id"], source["text"], source["chunk"], context=source["context"]
    )


def row_from(source: Mapping[str, Any]) -> Row:
    """The row in a document of the index, with the vectors that were asked for."""
    sparse = None
    if "sparse_bytes" in source:
        data = b64decode(source["sparse_bytes"])
        half = len(data) // 2
        sparse = (
            np.frombuffer(data[:half], "<i4").astype(np.int32),
            np.frombuffer(data[half:], "<f4").astype(np.float32),
        )
    dense = decoded(source["dense_bytes"]) if "dense_bytes" in source else None
    return Row(chunk_from(source), source["owner"], source["check"], dense, sparse)


def decoded(text: str) -> NDArray[np.float32]:
    """The dense vector that was encoded, bit by bit."""
    return np.frombuffer(b64decode(text), "<f4").astype(np.float32)


def key_from(fields: Mapping[str, Sequence[Any]]) -> RowKey:
    """What a scan tells, of a document's KEY_FIELDS."""
    return RowKey(*(fields[name][0] for name in KEY_FIELDS))


def weights_of(indices: NDArray[np.int32], weights: NDArray[np.float32]) -> dict[str, float]:
    """A sparse vector as the server takes it. What is 0 or next to it adds nothing; ItemRejected for a negative weight."""
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ItemRejected(
            "its sparse vector has a weight that is negative or not finite, which Elasticsearch cannot hold"
        )
    return {
        str(index): weight for index, weight in zip(indices.tolist(), weights.tolist(), strict=True) if weight >= _TINY
    }


def _sparse(row: Row) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    if row.sparse is None:
        raise ItemRejected("it has no sparse vector")
    indices, weights = np.asarray(row.sparse[0], np.int32), np.asarray(row.sparse[1], np.float32)
    if indices.ndim != 1 or indices.shape != weights.shape:
        raise ItemRejected(
            f"its sparse vector has {list(indices.shape)} indices and {list(weights.shape)} weights, expected as many of both"
        )
    return indices, weights
