"""An index in a folder of its own: everything of a store but its searches."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Generic

from hookrag import Card, Filter, HookragError, IdentityError, Row, RowKey
from hookrag_stores.rows import new_card

from hookrag_segments import writer
from hookrag_segments.content import Content, View
from hookrag_segments.reader import Reader
from hookrag_segments.snapshot import Snapshot
from hookrag_segments.writer import Writer

CACHE_BYTES = 64 << 20
"""So many bytes of chunks that were found stay in memory, unless a store says otherwise."""


class Index(Generic[View]):
    """Keeps rows in the files of a folder; a store hands its calls on to one.

    One process writes at a time; any number read, without a lock, and see each commit whole. What `sync` acknowledged
    survives a kill and a power cut. Reading sees what was synced. Chunks that were found stay in memory, about `cache_bytes`
    of them.
    """

    def __init__(self, path: Path, content: Content[View], *, cache_bytes: int = CACHE_BYTES) -> None:
        self._path = path
        self._content = content
        self._cache_bytes = cache_bytes
        self._reader: Reader[View] | None = None
        self._writer: Writer | None = None
        self._writing = RLock()

    def open(self) -> None:
        """Make an empty index where there is none. Raises IdentityError where the rows' columns were made otherwise."""
        with self._files("open"):
            writer.create(self._path, new_card(), self._content)
            reader = Reader(self._path, self._content, self._cache_bytes)
            manifest = reader.current().manifest
        expected = self._content.identity()
        for name in {**expected, **manifest.identity} if manifest.parts else ():
            if (made := manifest.identity.get(name)) != (value := expected.get(name)):
                raise IdentityError(
                    f"{self._path} was made with {name} = {made!r}, expected {value!r}: go back to it, or make the index anew "
                    "with hookrag reindex PATH...; where the store has a `path`, give it another one and run hookrag index "
                    "--rebuild NAME PATH..."
                )
        self._reader = reader

    def close(self) -> None:
        """End writing and let go of the files. What was put or dropped since the last `sync` is forgotten."""
        with self._writing:
            if self._writer is not None:
                self._writer.close()
            self._writer = None
            self._reader = None

    def card(self) -> Card:
        return self.snapshot().manifest.card

    def stamp(self, card: Card) -> None:
        """Save the card at once, without what was put or dropped since the last `sync`."""
        uuid = self.card().uuid
        if card.uuid != uuid:
            raise HookragError(f"{self._path}: its card has uuid {uuid}, got {card.uuid}: a card belongs to one store")
        with self._writing, self._files("write"):
            self._taken().stamp(card)

    def put(self, rows: Sequence[Row]) -> Mapping[str, str]:
        """Take rows; {chunk id: reason} for those that cannot be kept. Raises IndexLocked while another process writes."""
        with self._writing, self._files("write"):
            return self._taken().put(rows)

    def drop(self, chunk_ids: Sequence[str]) -> None:
        """Delete rows. Raises IndexLocked while another process writes."""
        with self._writing, self._files("write"):
            self._taken().drop(chunk_ids)

    def sync(self) -> None:
        """Commit what was put and dropped: all of it, or nothing where it raises; it may be called again then."""
        with self._writing, self._files("write"):
            if self._writer is not None:
                self._writer.commit()

    def scan(self) -> Iterator[list[RowKey]]:
        return self.snapshot().scan()

    def fetch(self, chunk_ids: Sequence[str], *, vectors: bool) -> list[Row | None]:
        return self.snapshot().fetch(chunk_ids, self._content.with_vectors if vectors else None)

    def count(self, where: Filter | None) -> int:
        return self.snapshot().count(where)

    def verify(self) -> None:
        """Read every file and raise HookragError for the first whose content is not what was written."""
        self.snapshot().verify(self._path)

    def snapshot(self) -> Snapshot:
        """The committed state of this moment."""
        return self._read().current()

    def view(self) -> View:
        """What searches the committed state of this moment."""
        return self._read().view()

    def _read(self) -> Reader[View]:
        if self._reader is None:
            raise HookragError(f"{self._path} is not open: call open() first")
        return self._reader

    def _taken(self) -> Writer:
        if self._writer is None:
            self._writer = Writer(self._path, self._read(), self._content)
        return self._writer

    @contextmanager
    def _files(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            todo = (
                "free some space"
                if error.errno in {errno.ENOSPC, errno.EDQUOT}
                else "make the folder readable and writable"
            )
            raise HookragError(
                f"cannot {doing} the index in {self._path}: {error.strerror or error}: {todo}, then try again; what was synced "
                "is safe"
            ) from error
