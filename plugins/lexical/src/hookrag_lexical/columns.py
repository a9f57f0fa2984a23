"""The columns that this store has besides those of every segment, and how rows in memory become them.

| array | | |
|---|---|---|
| length | int32[n] | terms in the row |
| length 0, length 1, ... | int32[n] | terms in each field, in the order of their names; none where there is one field |
| terms, term_at, term_rows, tf | S16[v], int64[v + 1], int32[p], unsigned[p] | postings, by ascending digest of the term |
| has, vec_at, vec_dims, vec_values | uint8[n], int64[n + 1], int32[q], float32[q] | sparse vectors as they were put |
| dims, dim_at, dim_rows, dim_values | int32[d], int64[d + 1], int32[r], float32[r] | their values other than 0, by dimension |

A term is known by 128 bits of its blake2b: digests have one width, so that the dictionary is searched, mapped and merged as
an array, without an object for each term. Terms of a named field are known by name, NUL and term. The rows of a posting ascend.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from hookrag import ItemRejected, Row
from hookrag_segments.content import Columns
from hookrag_segments.files import Array, Layout
from hookrag_segments.segment import Segment, hashed, offsets, positions
from numpy.typing import NDArray

from hookrag_lexical.analysis import Analyzer, Known
from hookrag_lexical.fields import Field
from hookrag_lexical.words import pieces

TERM_BYTES = 130
"""About what a term takes in memory that no row had before."""

SparseRow = tuple[NDArray[np.int32], NDArray[np.float32]]


def length_columns(fields: Sequence[Field]) -> dict[str, str]:
    """The column that has the lengths of each field."""
    if not fields[0].name:
        return {"": "length"}
    return {field.name: f"length {at}" for at, field in enumerate(fields)}


def layout(sizes: Mapping[str, int], *, tf: str, fields: Sequence[Field]) -> Layout:
    """Types and counts of the columns, from the counts that the table above names n, v, p, q, d and r."""
    n, v, d = sizes["n"], sizes["v"], sizes["d"]
    return {
        **dict.fromkeys(("length", *length_columns(fields).values()), ("<i4", n)),
        "terms": ("S16", v), "term_at": ("<i8", v + 1), "term_rows": ("<i4", sizes["p"]), "tf": (tf, sizes["p"]),
        "has": ("u1", n), "vec_at": ("<i8", n + 1), "vec_dims": ("<i4", sizes["q"]), "vec_values": ("<f4", sizes["q"]),
        "dims": ("<i4", d), "dim_at": ("<i8", d + 1), "dim_rows": ("<i4", sizes["r"]), "dim_values": ("<f4", sizes["r"]),
    }  # fmt: skip


def term_hashes(terms: Iterable[str]) -> NDArray[np.bytes_]:
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


class _Tokens:
    """The tokens of one field, row by row, as numbers of pieces of text: a piece is analyzed once, however often it comes."""

    def __init__(self, chain: Analyzer, field: Field, terms: dict[str, int]) -> None:
        self.field = field
        self._chain = chain
        self._terms = terms
        self._numbers = Known(self._number)
        self._piece_terms = array("i")
        self._piece_counts = array("i")
        self._pieces = array("i")
        self._row_counts = array("i")

    def _number(self, piece: str) -> int:
        found = self._chain.terms_of_piece(piece)
        prefix, terms = self.field.prefix, self._terms
        self._piece_terms.extend([terms.setdefault(prefix + term, len(terms)) for term in found])
        self._piece_counts.append(len(found))
        return len(self._piece_counts) - 1

    def take(self, texts: Sequence[str]) -> int:
        """Keep the texts of the next row and return how many bytes that takes."""
        before = len(self._pieces)
        for text in texts:
            self._pieces.extend(map(self._numbers.__getitem__, pieces(text)))
        self._row_counts.append(len(self._pieces) - before)
        return 4 * self._row_counts[-1]

    def tokens(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The number of each token's term, and its row."""
        counts, chosen = np.array(self._piece_counts, dtype=np.int64), np.array(self._pieces, dtype=np.int64)
        lengths = counts[chosen]
        ends = np.cumsum(lengths)
        within = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - lengths, lengths)
        tokens = np.array(self._piece_terms, dtype=np.int64)[np.repeat(offsets(counts)[chosen], lengths) + within]
        rows = np.repeat(np.arange(len(self._row_counts)), np.array(self._row_counts, dtype=np.int64))
        return tokens, np.repeat(rows, lengths)


class PendingTerms:
    """The terms and sparse vectors of rows in memory."""

    def __init__(self, chain: Analyzer, fields: Sequence[Field], *, sparse: bool) -> None:
        self._fields = fields
        self._sparse = sparse
        self._terms: dict[str, int] = {}
        self._tokens = [_Tokens(chain, field, self._terms) for field in fields]
        self._vectors: list[SparseRow | None] = []

    def take(self, row: Row, /) -> int:
        """Keep the row's terms and vector. Raises ItemRejected for a vector that the store does not keep."""
        checked = self._checked_vector(row)
        before = len(self._terms)
        taken = sum(tokens.take(tokens.field.texts(row.chunk)) for tokens in self._tokens)
        taken += TERM_BYTES * (len(self._terms) - before)
        self._vectors.append(checked)
        return taken + (0 if checked is None else 16 * len(checked[0]))

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
        n = len(self._vectors)
        found = [tokens.tokens() for tokens in self._tokens]
        lengths = [np.bincount(rows, minlength=n) for _, rows in found]
        terms, term_at, rows, tf = self._postings(*map(np.concatenate, zip(*found, strict=True)))
        vec_at, dims_of, values = self._packed_vectors()
        dims, dim_at, dim_rows, dim_values = _transposed(vec_at, dims_of, values)
        arrays: dict[str, Array] = {
            **dict(zip(length_columns(self._fields).values(), lengths, strict=True)), "length": np.sum(lengths, axis=0),
            "terms": terms, "term_at": term_at, "term_rows": rows, "tf": tf,
            "has": np.array([vector is not None for vector in self._vectors], dtype=np.uint8),
            "vec_at": vec_at, "vec_dims": dims_of, "vec_values": values,
            "dims": dims, "dim_at": dim_at, "dim_rows": dim_rows, "dim_values": dim_values,
        }  # fmt: skip
        sizes = {"n": n, "v": len(terms), "p": len(rows), "q": len(dims_of), "d": len(dims)}
        return Columns(layout({**sizes, "r": len(dim_rows)}, tf=tf.dtype.str, fields=self._fields), arrays.items())

    def _postings(
        self, tokens: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.bytes_], NDArray[np.int64], NDArray[np.int64], NDArray[np.unsignedinteger]]:
        names = term_hashes(self._terms)
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
