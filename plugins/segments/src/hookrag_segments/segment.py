"""A segment: some rows in one file that never changes. These are the columns that every store has.

| array | | |
|---|---|---|
| ids, order | S[n], int32[n] | chunk ids, and the rows in the order of their ids |
| key_at, keys | int64[n + 1], bytes | of each row "check document-id" |
| body_at, bodies, context | int64[n + 1], bytes, int32[n] | of each row context and text, and how many bytes the context has |
| start, end | int64[n] | of the span |
| extra_at, extras | int64[n + 1], bytes | the JSON list [parent, sources], nothing where a row has neither |
| owner | int32[n] | index into the fact `owners` |
| meta, meta_hash, meta_at, metas | int32[n], S16[m], int64[m + 1], bytes | each different metadata once, by ascending digest |
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from sys import getsizeof
from typing import Any, Literal

import numpy as np
from hookrag import Chunk, ItemRejected, Row, RowKey
from numpy.typing import NDArray

from hookrag_segments.files import Array, Arrays, File, Layout, open_arrays
from hookrag_segments.frozen import frozen, instances

ID_BYTES = 255
PAGE = 5000
CHUNK_BYTES = 600
"""About what a chunk takes in memory besides its texts, metadata and sources."""
Ints = NDArray[np.intp]
_NEITHER: tuple[None, tuple[str, ...]] = (None, ())


def hashed(data: bytes) -> bytes:
    """The 16 bytes that stand for metadata, or for whatever else has to have one width."""
    return blake2b(data, digest_size=16).digest()


def encoded_id(chunk_id: str) -> bytes:
    """A chunk id as an index keeps it. Raises ItemRejected for one that it cannot keep."""
    try:
        name = chunk_id.encode()
    except UnicodeEncodeError:
        raise ItemRejected("its chunk id has a lone surrogate, which no store keeps") from None
    if not name or len(name) > ID_BYTES or b"\0" in name:
        raise ItemRejected(f"its chunk id has {len(name)} bytes, expected 1 to {ID_BYTES} and no NUL")
    return name


def row_layout(sizes: Mapping[str, int], *, id_bytes: int) -> Layout:
    """Types and counts of the columns above, from the counts n and m and those of the bytes."""
    n, m = sizes["n"], sizes["m"]
    return {
        "ids": (f"S{id_bytes}", n), "order": ("<i4", n),
        "key_at": ("<i8", n + 1), "keys": ("u1", sizes["keys"]),
        "body_at": ("<i8", n + 1), "bodies": ("u1", sizes["bodies"]), "context": ("<i4", n),
        "start": ("<i8", n), "end": ("<i8", n),
        "extra_at": ("<i8", n + 1), "extras": ("u1", sizes["extras"]),
        "owner": ("<i4", n),
        "meta": ("<i4", n), "meta_hash": ("S16", m), "meta_at": ("<i8", m + 1), "metas": ("u1", sizes["metas"]),
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

    def chunks(self, rows: Ints) -> list[Chunk]:
        """The chunks of some rows. Their metadata, which rows may share, cannot be changed."""
        bodies, bounds = self["bodies"].data, self["body_at"]
        starts, ends = bounds[rows], bounds[rows + 1]
        middles = starts + self["context"][rows]
        extras = [json.loads(bytes(piece)) if piece else _NEITHER for piece in self._pieces("extra_at", "extras", rows)]
        return instances(
            Chunk,
            len(rows),
            map(bytes.decode, self["ids"][rows].tolist()),
            [_text(piece).partition(" ")[2] for piece in self._pieces("key_at", "keys", rows)],
            [_text(bodies[at:end]) for at, end in _pairs(middles, ends)],
            self["start"][rows].tolist(),
            self["end"][rows].tolist(),
            [_text(bodies[at:end]) if at < end else "" for at, end in _pairs(starts, middles)],
            [parent for parent, _ in extras],
            [tuple(sources) for _, sources in extras],
            self._metadata_of(rows),
        )

    def _metadata_of(self, rows: Ints) -> Iterator[dict[str, Any]]:
        """The metadata of each row; what several have is read once."""
        codes, places = np.unique(self["meta"][rows], return_inverse=True)
        read = [frozen(_metadata(piece)) for piece in self._pieces("meta_at", "metas", codes)]
        return map(read.__getitem__, places.tolist())

    def costs(self, rows: Ints, chunks: Sequence[Chunk]) -> NDArray[np.int64]:
        """About how many bytes each of these chunks, those of the rows, takes in memory: as many as if it shared nothing."""
        texts = [getsizeof(one.text) + getsizeof(one.context) + getsizeof(one.document_id) for one in chunks]
        costs = np.array(texts, dtype=np.int64) + CHUNK_BYTES
        codes, places = np.unique(self["meta"][rows], return_inverse=True)
        costs += self._json_bytes("meta_at", "metas", codes)[places]
        costs += self._json_bytes("extra_at", "extras", rows)
        return costs

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

    def rows(self, rows: Ints) -> list[Row]:
        """Some rows as they were put, without their vectors."""
        found = zip(self.chunks(rows), self.keys(rows), strict=True)
        return [Row(chunk, key.owner, key.check) for chunk, key in found]

    def _json_bytes(self, bounds: str, blob: str, rows: Array) -> NDArray[np.int64]:
        """About how many bytes each of some JSON values takes in memory: CPython needs some for each text, item and group."""
        costs = np.zeros(len(rows), dtype=np.int64)
        filled = np.flatnonzero(self[bounds][rows + 1] - self[bounds][rows] > len("{}"))
        costs[filled] = [_decoded_bytes(piece) for piece in self._pieces(bounds, blob, rows[filled])]
        return costs

    def _pieces(self, bounds: str, blob: str, rows: Array) -> list[memoryview]:
        data, at = self[blob].data, self[bounds]
        return [data[start:end] for start, end in _pairs(at[rows], at[rows + 1])]


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


def _decoded_bytes(piece: memoryview) -> int:
    text = bytes(piece)
    texts, items, groups = text.count(b'"') // 2, text.count(b","), text.count(b"{") + text.count(b"[")
    return len(text) * (1 if text.isascii() else 4) + 60 * texts + 40 * items + 100 * groups


def _text(piece: memoryview) -> str:
    return str(piece, "utf-8", "surrogatepass")
