"""Rows on their way into a segment: what `put` collects in memory and `flush` writes."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import Any

import numpy as np
from hookrag import Row
from numpy.typing import NDArray

from hookrag_lexical.analysis import Analyzer
from hookrag_lexical.files import Array, ArrayWriter, File
from hookrag_lexical.segment import ID_BYTES, hashed, layout, offsets

NO_TERM = -1


class Rejected(Exception):
    """A row that cannot be kept; the message says why."""


class _Numbers(dict[str, int]):
    """The number of each word's term, by order of appearance, found once a word; -1 for words without one."""

    def __init__(self, chain: Analyzer) -> None:
        super().__init__()
        self._chain = chain
        self.terms: dict[str, int] = {}

    def __missing__(self, word: str) -> int:
        term = self._chain.term(word)
        number = self.terms.setdefault(term, len(self.terms)) if term else NO_TERM
        self[word] = number
        return number


class Buffer:
    """Rows in memory, in the order in which they came. `bytes` is about what they take."""

    def __init__(self, chain: Analyzer, *, sparse: bool) -> None:
        self._chain = chain
        self._sparse = sparse
        self.rows: dict[bytes, int] = {}
        self.dead: dict[bytes, int] = {}
        self.bytes = 0
        self._ids: list[bytes] = []
        self._keys: list[bytes] = []
        self._bodies: list[bytes] = []
        self._context = array("i")
        self._start = array("q")
        self._end = array("q")
        self._extras: list[bytes] = []
        self._owners: dict[str, int] = {}
        self._owner = array("i")
        self._metas: dict[bytes, int] = {}
        self._meta = array("i")
        self._numbers = _Numbers(chain)
        self._tokens = array("i")
        self._token_count = array("i")
        self._vectors: list[tuple[NDArray[np.int32], NDArray[np.float32]] | None] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, name: bytes, row: Row) -> None:
        """Take a row that neither is nor was there. Raises Rejected, and is then as it was before."""
        chunk = row.chunk
        vector = self._checked_vector(row)
        meta = self._checked_metadata(dict(chunk.metadata))
        if not -(2**63) <= chunk.start <= chunk.end < 2**63:
            raise Rejected(f"its span {chunk.start}:{chunk.end} is not one of 64-bit integers, start first")
        context = chunk.context.encode("utf-8", "surrogatepass")
        body = context + chunk.text.encode("utf-8", "surrogatepass")
        extra = b"" if chunk.parent is None and not chunk.sources else _json([chunk.parent, chunk.sources])
        key = f"{row.check} {chunk.document_id}".encode("utf-8", "surrogatepass")
        tokens = list(map(self._numbers.__getitem__, self._chain.split(chunk.input)))
        self.rows[name] = len(self._ids)
        self._ids.append(name)
        self._keys.append(key)
        self._bodies.append(body)
        self._context.append(len(context))
        self._start.append(chunk.start)
        self._end.append(chunk.end)
        self._extras.append(extra)
        self._owner.append(self._owners.setdefault(row.owner, len(self._owners)))
        self._meta.append(self._metas.setdefault(meta, len(self._metas)))
        self._tokens.extend(tokens)
        self._token_count.append(len(tokens))
        self._vectors.append(vector)
        self.bytes += len(body) + len(extra) + len(meta) + len(key) + 4 * len(tokens) + 500
        if vector is not None:
            self.bytes += 16 * len(vector[0])

    def drop(self, name: bytes) -> None:
        """Forget a row: it is written, and dead from the start. A segment has each id once, so it cannot be added again."""
        self.dead[name] = self.rows.pop(name)

    def _checked_metadata(self, metadata: dict[str, Any]) -> bytes:
        try:
            meta = _json(metadata)
        except (TypeError, ValueError, RecursionError) as error:
            raise Rejected(f"its metadata is not JSON: {error}") from None
        if meta not in self._metas and json.loads(meta) != metadata:
            raise Rejected("its metadata would come back changed: JSON has no tuples, NaN or keys that are not strings")
        return meta

    def _checked_vector(self, row: Row) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
        if row.dense is not None or row.multi is not None:
            raise Rejected(
                f"it has a {'multi' if row.dense is None else 'dense'} vector, which a lexical store does not keep"
            )
        if row.sparse is None:
            return None
        if not self._sparse:
            raise Rejected("it has a sparse vector, but the store has no embedder that makes them")
        dims, values = np.array(row.sparse[0], dtype=np.int32), np.array(row.sparse[1], dtype=np.float32)
        if dims.shape != values.shape or dims.ndim != 1:
            raise Rejected(f"its sparse vector has {dims.shape} indices and {values.shape} values")
        if len(dims) and (dims[0] < 0 or (np.diff(dims) <= 0).any() or not np.isfinite(values).all()):
            raise Rejected("its sparse vector needs ascending indices from 0 and finite values")
        return dims, values

    def write(self, path: Path) -> File:
        """Write all rows, dead ones too, to a segment that is durable when this returns."""
        n = len(self._ids)
        terms, term_at, rows, tf = self._postings()
        vec_at, dims_of, values = self._packed_vectors()
        by_dim = _transposed(vec_at, dims_of, values)
        meta_hash = np.array([hashed(meta) for meta in self._metas], dtype="S16")
        meta_order = np.argsort(meta_hash)
        metas = list(self._metas)
        metas = [metas[at] for at in meta_order]
        codes = np.empty(len(metas), dtype=np.int32)
        codes[meta_order] = np.arange(len(metas), dtype=np.int32)
        ids = np.array(self._ids, dtype=f"S{max(map(len, self._ids), default=1)}")
        sizes = {
            "n": n, "m": len(metas), "v": len(terms), "p": len(rows), "q": len(dims_of), "d": len(by_dim[0]),
            "r": len(by_dim[2]), "keys": sum(map(len, self._keys)), "bodies": sum(map(len, self._bodies)),
            "extras": sum(map(len, self._extras)), "metas": sum(map(len, metas)),
        }  # fmt: skip
        with ArrayWriter(path, layout(sizes, id_bytes=ids.dtype.itemsize, tf=tf.dtype.str)) as file:
            file.append("ids", ids)
            file.append("order", np.argsort(ids, kind="stable"))
            for bounds, name, pieces in (
                ("key_at", "keys", self._keys),
                ("body_at", "bodies", self._bodies),
                ("extra_at", "extras", self._extras),
                ("meta_at", "metas", metas),
            ):
                file.append(bounds, offsets(list(map(len, pieces))))
                file.append(name, np.frombuffer(b"".join(pieces), dtype=np.uint8))
            for name, numbers in (
                ("context", self._context), ("start", self._start), ("end", self._end), ("owner", self._owner),
            ):  # fmt: skip
                file.append(name, np.array(numbers))
            file.append("meta", codes[np.array(self._meta)] if n else codes)
            file.append("meta_hash", meta_hash[meta_order])
            file.append("length", self._lengths())
            file.append("has", np.array([vector is not None for vector in self._vectors], dtype=np.uint8))
            columns: dict[str, Array] = {
                "terms": terms, "term_at": term_at, "term_rows": rows, "tf": tf,
                "vec_at": vec_at, "vec_dims": dims_of, "vec_values": values,
                "dims": by_dim[0], "dim_at": by_dim[1], "dim_rows": by_dim[2], "dim_values": by_dim[3],
            }  # fmt: skip
            for name, column in columns.items():
                file.append(name, column)
            return file.finish({"owners": list(self._owners)})

    def _token_rows(self) -> NDArray[np.int64]:
        """The row of each token."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.array(self._token_count, dtype=np.int64))

    def _lengths(self) -> NDArray[np.int64]:
        """How many tokens of each row became terms."""
        kept = np.array(self._tokens, dtype=np.int64) != NO_TERM
        return np.bincount(self._token_rows()[kept], minlength=len(self))

    def _postings(self) -> tuple[NDArray[np.bytes_], NDArray[np.int64], NDArray[np.int64], NDArray[np.unsignedinteger]]:
        tokens = np.array(self._tokens, dtype=np.int64)
        kept = tokens != NO_TERM
        names = np.array([hashed(term.encode("utf-8", "surrogatepass")) for term in self._numbers.terms], dtype="S16")
        order = np.argsort(names)
        rank = np.empty(len(names), dtype=np.int64)
        rank[order] = np.arange(len(names))
        width = max(len(self), 1)
        pairs, counts = np.unique(rank[tokens[kept]] * width + self._token_rows()[kept], return_counts=True)
        per_term = np.bincount(pairs // width, minlength=len(names))
        tf = counts.astype(np.min_scalar_type(int(counts.max(initial=0))))
        return names[order], offsets(per_term), pairs % width, tf

    def _packed_vectors(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        present = [vector for vector in self._vectors if vector is not None]
        bounds = offsets([0 if vector is None else len(vector[0]) for vector in self._vectors])
        dims = np.concatenate([np.empty(0, dtype=np.int32), *(vector[0] for vector in present)])
        values = np.concatenate([np.empty(0, dtype=np.float32), *(vector[1] for vector in present)])
        return bounds, dims, values


def _transposed(
    bounds: NDArray[np.int64], dims: NDArray[np.int32], values: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Rows of sparse vectors by dimension, without their zeros: the dimensions, where each begins, rows, values."""
    kept = values != 0
    rows = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))[kept]
    order = np.argsort(dims[kept], kind="stable")
    present, counts = np.unique(dims[kept], return_counts=True)
    return present, offsets(counts), rows[order], values[kept][order]


def encoded_id(chunk_id: str) -> bytes:
    """A chunk id as the index keeps it. Raises Rejected for one that it cannot keep."""
    try:
        name = chunk_id.encode()
    except UnicodeEncodeError:
        raise Rejected("its chunk id has a lone surrogate, which no store keeps") from None
    if not name or len(name) > ID_BYTES or b"\0" in name:
        raise Rejected(f"its chunk id has {len(name)} bytes, expected 1 to {ID_BYTES} and no NUL")
    return name


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
