"""A segment: some rows with their postings, in one file that never changes.

| array | | |
|---|---|---|
| ids, order | S[n], int32[n] | chunk ids, and the rows in the order of their ids |
| key_at, keys | int64[n + 1], bytes | of each row "check document-id" |
| body_at, bodies, context | int64[n + 1], bytes, int32[n] | of each row context and text, and how many bytes the context has |
| start, end | int64[n] | of the span |
| extra_at, extras | int64[n + 1], bytes | the JSON list [parent, sources], nothing where a row has neither |
| owner | int32[n] | index into the fact `owners` |
| meta, meta_hash, meta_at, metas | int32[n], S16[m], int64[m + 1], bytes | each different metadata once, by ascending digest |
| length | int32[n] | terms in the row |
| terms, term_at, term_rows, tf | S16[v], int64[v + 1], int32[p], unsigned[p] | postings, by ascending digest of the term |
| has, vec_at, vec_dims, vec_values | uint8[n], int64[n + 1], int32[q], float32[q] | sparse vectors as they were put |
| dims, dim_at, dim_rows, dim_values | int32[d], int64[d + 1], int32[r], float32[r] | their values other than 0, by dimension |

A term is known by 128 bits of its blake2b: digests have one width, so that the dictionary is searched, mapped and merged as
an array, without an object for each term. The rows of a posting ascend.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import numpy as np
from hookrag import Chunk, Row, RowKey
from numpy.typing import NDArray

from hookrag_lexical.files import Array, Arrays, File, Layout, open_arrays
from hookrag_lexical.scoring import Ints

ID_BYTES = 255
PAGE = 5000
SparseRow = tuple[NDArray[np.int32], NDArray[np.float32]]


def hashed(data: bytes) -> bytes:
    """The 16 bytes that stand for a term or for metadata."""
    return blake2b(data, digest_size=16).digest()


def layout(sizes: Mapping[str, int], *, id_bytes: int, tf: str) -> Layout:
    """Types and counts of the arrays of a segment, from the counts that the table above names n, m, v, p, q, d, r and bytes."""
    n, m, v, d = sizes["n"], sizes["m"], sizes["v"], sizes["d"]
    return {
        "ids": (f"S{id_bytes}", n), "order": ("<i4", n),
        "key_at": ("<i8", n + 1), "keys": ("u1", sizes["keys"]),
        "body_at": ("<i8", n + 1), "bodies": ("u1", sizes["bodies"]), "context": ("<i4", n),
        "start": ("<i8", n), "end": ("<i8", n),
        "extra_at": ("<i8", n + 1), "extras": ("u1", sizes["extras"]),
        "owner": ("<i4", n),
        "meta": ("<i4", n), "meta_hash": ("S16", m), "meta_at": ("<i8", m + 1), "metas": ("u1", sizes["metas"]),
        "length": ("<i4", n),
        "terms": ("S16", v), "term_at": ("<i8", v + 1), "term_rows": ("<i4", sizes["p"]), "tf": (tf, sizes["p"]),
        "has": ("u1", n), "vec_at": ("<i8", n + 1), "vec_dims": ("<i4", sizes["q"]), "vec_values": ("<f4", sizes["q"]),
        "dims": ("<i4", d), "dim_at": ("<i8", d + 1), "dim_rows": ("<i4", sizes["r"]), "dim_values": ("<f4", sizes["r"]),
    }  # fmt: skip


def offsets(sizes: Array | Sequence[int]) -> NDArray[np.int64]:
    """Where each of some consecutive pieces begins, and the last ends.

    >>> offsets([2, 0, 3]).tolist()
    [0, 2, 2, 5]
    """
    result = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=result[1:])
    return result


def positions(haystack: Array, needles: Array, order: Array | None = None) -> Ints:
    """Where each needle stands in an ascending array (or in `haystack[order]`), -1 where it does not."""
    if not len(haystack) or not len(needles):
        return np.full(len(needles), -1, dtype=np.intp)
    found = np.minimum(np.searchsorted(haystack, needles, sorter=order), len(haystack) - 1)
    places = found if order is None else order[found].astype(np.intp)
    return np.where(haystack[places] == needles, places, -1)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment opened for reading. Rows are numbers from 0."""

    file: File
    data: Arrays
    owners: tuple[str, ...]

    def __len__(self) -> int:
        return len(self["ids"])

    def __getitem__(self, name: str) -> Array:
        return self.data.arrays[name]

    def find(self, ids: NDArray[np.bytes_]) -> Ints:
        """The rows of some ids, -1 where there is none, deleted rows included."""
        own = self["ids"]
        # Compared as they are, longer needles would make numpy widen a copy of the whole column.
        fits = np.char.str_len(ids) <= own.dtype.itemsize
        rows = np.full(len(ids), -1, dtype=np.intp)
        rows[fits] = positions(own, ids[fits].astype(own.dtype), self["order"])
        return rows

    def below(self, name: bytes) -> int:
        """How many rows have an id before this one."""
        own = self["ids"]
        # Cut to the width of the column, a longer id comes right after what equals its beginning.
        side: Literal["left", "right"] = "left" if len(name) <= own.dtype.itemsize else "right"
        return int(np.searchsorted(own, np.array(name, dtype=own.dtype), side=side, sorter=self["order"]))

    def postings(self, hashes: NDArray[np.bytes_]) -> list[tuple[Array, Array]]:
        """For each digest of a term, the rows that contain it and how often: both empty where none does."""
        bounds = self["term_at"]
        rows, tf = self["term_rows"], self["tf"]
        return [
            (rows[bounds[at] : bounds[at + 1]], tf[bounds[at] : bounds[at + 1]]) if at >= 0 else (rows[:0], tf[:0])
            for at in positions(self["terms"], hashes).tolist()
        ]

    def sparse_postings(self, dims: NDArray[np.int32]) -> list[tuple[Array, Array]]:
        """For each dimension, the rows that have a value there other than 0, and the values."""
        bounds = self["dim_at"]
        rows, values = self["dim_rows"], self["dim_values"]
        return [
            (rows[bounds[at] : bounds[at + 1]], values[bounds[at] : bounds[at + 1]])
            if at >= 0
            else (rows[:0], values[:0])
            for at in positions(self["dims"], dims).tolist()
        ]

    def chunks(self, rows: Ints) -> list[Chunk]:
        """The chunks of some rows."""
        bodies = self["bodies"].data
        bounds = self["body_at"]
        starts, ends = bounds[rows], bounds[rows + 1]
        contexts = [_text(bodies[at:end]) for at, end in _pairs(starts, starts + self["context"][rows])]
        texts = [_text(bodies[at:end]) for at, end in _pairs(starts + self["context"][rows], ends)]
        extras = [
            json.loads(bytes(piece)) if piece else (None, ()) for piece in self._pieces("extra_at", "extras", rows)
        ]
        metas = self._pieces("meta_at", "metas", self["meta"][rows])
        return [
            Chunk(name.decode(), document, text, start, end, context, parent, tuple(sources), _metadata(meta))
            for name, document, text, start, end, context, (parent, sources), meta in zip(
                self["ids"][rows].tolist(),
                [_text(piece).partition(" ")[2] for piece in self._pieces("key_at", "keys", rows)],
                texts,
                self["start"][rows].tolist(),
                self["end"][rows].tolist(),
                contexts,
                extras,
                metas,
                strict=True,
            )
        ]

    def metadata(self) -> Iterator[dict[str, Any]]:
        """Each different metadata, in the order of the codes in `meta`."""
        for start in range(0, len(self["meta_hash"]), PAGE):
            codes = np.arange(start, min(start + PAGE, len(self["meta_hash"])))
            yield from map(_metadata, self._pieces("meta_at", "metas", codes))

    def keys(self, rows: Ints) -> list[RowKey]:
        """What a scan tells about some rows."""
        owners = self["owner"][rows].tolist()
        found = zip(self["ids"][rows].tolist(), owners, self._pieces("key_at", "keys", rows), strict=True)
        result = []
        for name, owner, piece in found:
            check, _, document = _text(piece).partition(" ")
            result.append(RowKey(name.decode(), document, self.owners[owner], int(check)))
        return result

    def rows(self, rows: Ints, *, vectors: bool) -> list[Row]:
        """Some rows as they were put."""
        return [
            Row(chunk, key.owner, key.check, sparse=self._vector(row) if vectors and self["has"][row] else None)
            for row, chunk, key in zip(rows.tolist(), self.chunks(rows), self.keys(rows), strict=True)
        ]

    def _pieces(self, bounds: str, blob: str, rows: Array) -> list[memoryview]:
        data, at = self[blob].data, self[bounds]
        return [data[start:end] for start, end in _pairs(at[rows], at[rows + 1])]

    def _vector(self, row: int) -> SparseRow:
        start, end = self["vec_at"][row : row + 2]
        return self["vec_dims"][start:end].copy(), self["vec_values"][start:end].copy()


def open_segment(folder: Path, file: File) -> Segment:
    """Open a segment. Raises FileNotFoundError, or HookragError where it is damaged."""
    data = open_arrays(folder, file)
    return Segment(file, data, tuple(data.facts["owners"]))


def _pairs(starts: Array, ends: Array) -> Iterator[tuple[int, int]]:
    return zip(starts.tolist(), ends.tolist(), strict=True)


def _metadata(piece: memoryview) -> dict[str, Any]:
    if len(piece) == 2:
        return {}
    metadata: dict[str, Any] = json.loads(bytes(piece))
    return metadata


def _text(piece: memoryview) -> str:
    return str(piece, "utf-8", "surrogatepass")
