"""The columns that this store has besides those of every segment, and how rows in memory become them.

| array | | |
|---|---|---|
| length | int32[n] | terms in the row |
| terms, term_at, term_rows, tf | S16[v], int64[v + 1], int32[p], unsigned[p] | postings, by ascending digest of the term |
| has, vec_at, vec_dims, vec_values | uint8[n], int64[n + 1], int32[q], float32[q] | sparse vectors as they were put |
| dims, dim_at, dim_rows, dim_values | int32[d], int64[d + 1], int32[r], float32[r] | their values other than 0, by dimension |

A term is known by 128 bits of its blake2b: digests have one width, so that the dictionary is searched, mapped and merged as
an array, without an object for each term. The rows of a posting ascend.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping

import numpy as np
from hookrag import ItemRejected, Row
from hookrag_segments.content import Columns
from hookrag_segments.files import Array, Layout
from hookrag_segments.segment import Segment, hashed, offsets, positions
from numpy.typing import NDArray

from hookrag_lexical.analysis import Analyzer

NO_TERM = -1
SparseRow = tuple[NDArray[np.int32], NDArray[np.float32]]


def layout(sizes: Mapping[str, int], *, tf: str) -> Layout:
    """Types and counts of the columns, from the counts that the table above names n, v, p, q, d and r."""
    n, v, d = sizes["n"], sizes["v"], sizes["d"]
    return {
        "length": ("<i4", n),
        "terms": ("S16", v), "term_at": ("<i8", v + 1), "term_rows": ("<i4", sizes["p"]), "tf": (tf, sizes["p"]),
        "has": ("u1", n), "vec_at": ("<i8", n + 1), "vec_dims": ("<i4", sizes["q"]), "vec_values": ("<f4", sizes["q"]),
        "dims": ("<i4", d), "dim_at": ("<i8", d + 1), "dim_rows": ("<i4", sizes["r"]), "dim_values": ("<f4", sizes["r"]),
    }  # fmt: skip


def term_hashes(terms: Mapping[str, int] | list[str]) -> NDArray[np.bytes_]:
    """The digests of some terms."""
    return np.array([hashed(term.encode("utf-8", "surrogatepass")) for term in terms], dtype="S16")


def postings(segment: Segment, hashes: NDArray[np.bytes_]) -> list[tuple[Array, Array]]:
    """For each digest of a term, the rows that contain it and how often: both empty where none does."""
    return _slices(segment, positions(segment["terms"], hashes), "term_at", "term_rows", "tf")


def sparse_postings(segment: Segment, dims: NDArray[np.int32]) -> list[tuple[Array, Array]]:
    """For each dimension, the rows that have a value there other than 0, and the values."""
    return _slices(segment, positions(segment["dims"], dims), "dim_at", "dim_rows", "dim_values")


def _slices(segment: Segment, places: Array, at: str, rows: str, values: str) -> list[tuple[Array, Array]]:
    bounds, left, right = segment[at], segment[rows], segment[values]
    return [
        (left[bounds[place] : bounds[place + 1]], right[bounds[place] : bounds[place + 1]])
        if place >= 0
        else (left[:0], right[:0])
        for place in places.tolist()
    ]


def vector(segment: Segment, row: int) -> SparseRow | None:
    """The sparse vector of a row as it was put, None where it has none."""
    if not segment["has"][row]:
        return None
    start, end = segment["vec_at"][row : row + 2]
    return segment["vec_dims"][start:end].copy(), segment["vec_values"][start:end].copy()


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


class PendingTerms:
    """The terms and sparse vectors of rows in memory."""

    def __init__(self, chain: Analyzer, *, sparse: bool) -> None:
        self._chain = chain
        self._sparse = sparse
        self._numbers = _Numbers(chain)
        self._tokens = array("i")
        self._token_count = array("i")
        self._vectors: list[SparseRow | None] = []

    def take(self, row: Row, /) -> int:
        """Keep the row's terms and vector. Raises ItemRejected for a vector that the store does not keep."""
        checked = self._checked_vector(row)
        tokens = list(map(self._numbers.__getitem__, self._chain.split(row.chunk.input)))
        self._tokens.extend(tokens)
        self._token_count.append(len(tokens))
        self._vectors.append(checked)
        return 4 * len(tokens) + (0 if checked is None else 16 * len(checked[0]))

    def _checked_vector(self, row: Row) -> SparseRow | None:
        if row.dense is not None or row.multi is not None:
            raise ItemRejected(
                f"it has a {'multi' if row.dense is None else 'dense'} vector, which a lexical store does not keep"
            )
        if row.sparse is None:
            return None
        if not self._sparse:
            raise ItemRejected("it has a sparse vector, but the store has no embedder that makes them")
        dims, values = np.array(row.sparse[0], dtype=np.int32), np.array(row.sparse[1], dtype=np.float32)
        if dims.shape != values.shape or dims.ndim != 1:
            raise ItemRejected(f"its sparse vector has {dims.shape} indices and {values.shape} values")
        if len(dims) and (dims[0] < 0 or (np.diff(dims) <= 0).any() or not np.isfinite(values).all()):
            raise ItemRejected("its sparse vector needs ascending indices from 0 and finite values")
        return dims, values

    def columns(self) -> Columns:
        """All columns of the table above."""
        tokens = np.array(self._tokens, dtype=np.int64)
        rows_of = np.repeat(np.arange(len(self._vectors)), np.array(self._token_count, dtype=np.int64))
        kept = tokens != NO_TERM
        terms, term_at, rows, tf = self._postings(tokens[kept], rows_of[kept])
        vec_at, dims_of, values = self._packed_vectors()
        dims, dim_at, dim_rows, dim_values = _transposed(vec_at, dims_of, values)
        arrays: dict[str, Array] = {
            "length": np.bincount(rows_of[kept], minlength=len(self._vectors)),
            "terms": terms, "term_at": term_at, "term_rows": rows, "tf": tf,
            "has": np.array([vector is not None for vector in self._vectors], dtype=np.uint8),
            "vec_at": vec_at, "vec_dims": dims_of, "vec_values": values,
            "dims": dims, "dim_at": dim_at, "dim_rows": dim_rows, "dim_values": dim_values,
        }  # fmt: skip
        sizes = {"n": len(self._vectors), "v": len(terms), "p": len(rows), "q": len(dims_of), "d": len(dims)}
        return Columns(layout({**sizes, "r": len(dim_rows)}, tf=tf.dtype.str), arrays.items())

    def _postings(
        self, tokens: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.bytes_], NDArray[np.int64], NDArray[np.int64], NDArray[np.unsignedinteger]]:
        names = term_hashes(self._numbers.terms)
        order = np.argsort(names)
        rank = np.empty(len(names), dtype=np.int64)
        rank[order] = np.arange(len(names))
        width = max(len(self._vectors), 1)
        pairs, counts = np.unique(rank[tokens] * width + rows, return_counts=True)
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
