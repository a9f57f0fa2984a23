"""Rows on their way into a segment: what `put` collects in memory and a flush writes."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from hookrag import ItemRejected, Row

from hookrag_segments.content import Columns, Pending
from hookrag_segments.files import Array, ArrayWriter, File
from hookrag_segments.segment import hashed, offsets, row_layout

ROW_BYTES = 500
"""About what a row takes in memory besides its texts and vectors."""


class Buffer:
    """Rows in memory, in the order in which they came. `bytes` is about what they take."""

    def __init__(self, pending: Pending) -> None:
        self._pending = pending
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

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, name: bytes, row: Row) -> None:
        """Take a row that neither is nor was there. Raises ItemRejected, and is then as it was before."""
        chunk = row.chunk
        meta = self._checked_metadata(dict(chunk.metadata))
        if not -(2**63) <= chunk.start <= chunk.end < 2**63:
            raise ItemRejected(f"its span {chunk.start}:{chunk.end} is not one of 64-bit integers, start first")
        context = chunk.context.encode("utf-8", "surrogatepass")
        body = context + chunk.text.encode("utf-8", "surrogatepass")
        extra = b"" if chunk.parent is None and not chunk.made_of else _json([chunk.parent, chunk.made_of])
        key = f"{row.check} {chunk.document_id}".encode("utf-8", "surrogatepass")
        self.bytes += self._pending.take(row) + len(body) + len(extra) + len(meta) + len(key) + ROW_BYTES
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

    def drop(self, name: bytes) -> None:
        """Forget a row: it is written, and dead from the start. A segment has each id once, so it cannot be added again."""
        self.dead[name] = self.rows.pop(name)

    def _checked_metadata(self, metadata: dict[str, Any]) -> bytes:
        if not metadata:
            return b"{}"
        try:
            meta = _json(metadata)
        except (TypeError, ValueError, RecursionError) as error:
            raise ItemRejected(f"its metadata is not JSON: {error}") from None
        if json.loads(meta) != metadata:
            raise ItemRejected(
                "its metadata would come back changed: JSON has no tuples, NaN or keys that are not strings"
            )
        return meta

    def write(self, path: Path) -> File:
        """Write all rows, dead ones too, to a segment that is durable when this returns."""
        rows, own = self._columns(), self._pending.columns()
        with ArrayWriter(path, {**rows.layout, **own.layout}) as file:
            for name, piece in chain(rows.pieces, own.pieces):
                file.append(name, piece)
            return file.finish({**rows.facts, **own.facts})

    def _columns(self) -> Columns:
        meta_hash = np.array([hashed(meta) for meta in self._metas], dtype="S16")
        meta_order = np.argsort(meta_hash)
        metas = list(self._metas)
        metas = [metas[at] for at in meta_order]
        codes = np.empty(len(metas), dtype=np.int32)
        codes[meta_order] = np.arange(len(metas), dtype=np.int32)
        ids = np.array(self._ids, dtype=f"S{max(map(len, self._ids), default=1)}")
        sizes = {
            "n": len(ids), "m": len(metas),
            "keys": sum(map(len, self._keys)), "bodies": sum(map(len, self._bodies)),
            "extras": sum(map(len, self._extras)), "metas": sum(map(len, metas)),
        }  # fmt: skip

        def pieces() -> Iterator[tuple[str, Array]]:
            yield "ids", ids
            yield "order", np.argsort(ids, kind="stable")
            for bounds, name, parts in (
                ("key_at", "keys", self._keys),
                ("body_at", "bodies", self._bodies),
                ("extra_at", "extras", self._extras),
                ("meta_at", "metas", metas),
            ):
                yield bounds, offsets(list(map(len, parts)))
                yield name, np.frombuffer(b"".join(parts), dtype=np.uint8)
            yield "context", np.array(self._context)
            yield "start", np.array(self._start)
            yield "end", np.array(self._end)
            yield "owner", np.array(self._owner)
            yield "meta", codes[np.array(self._meta)] if len(ids) else codes
            yield "meta_hash", meta_hash[meta_order]

        layout = row_layout(sizes, id_bytes=ids.dtype.itemsize)
        return Columns(layout, pieces(), {"owners": list(self._owners)})


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
