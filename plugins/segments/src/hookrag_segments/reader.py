"""Finding the newest committed state, without a lock."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock
from typing import Generic

from hookrag import Filter

from hookrag_segments import manifest as manifests
from hookrag_segments.cache import Bounded
from hookrag_segments.chunks import Chunks
from hookrag_segments.content import Content, View
from hookrag_segments.files import damaged
from hookrag_segments.snapshot import MASK_BYTES, Mask, Opened, Snapshot, open_part


class Reader(Generic[View]):
    """Gives the newest snapshot of a folder, and the store's view of it; what two snapshots share is opened once."""

    def __init__(self, folder: Path, content: Content[View], cache_bytes: int) -> None:
        self._folder = folder
        self._content = content
        self._lock = Lock()
        self._masks: Bounded[tuple[Filter, str], Mask] = Bounded(MASK_BYTES)
        self._chunks = Chunks(cache_bytes)
        self._seen: tuple[int, int, int] | None = None
        self._snapshot: Snapshot | None = None
        self._view: View | None = None
        self._viewed: Snapshot | None = None

    def current(self) -> Snapshot:
        """The committed state of this moment. Costs one look at the manifest's time while nothing has changed."""
        with self._lock:
            return self._current()

    def view(self) -> View:
        """What searches the committed state of this moment."""
        with self._lock:
            snapshot = self._current()
            if self._view is None or self._viewed is not snapshot:
                self._view = self._content.view(snapshot, self._view)
                self._viewed = snapshot
            return self._view

    def _current(self) -> Snapshot:
        seen = self._look()
        if self._snapshot is None or seen != self._seen:
            self._snapshot = self._load()
            # Of before the load: a manifest that came meanwhile differs from it, and is read the next time.
            self._seen = seen
        return self._snapshot

    def _look(self) -> tuple[int, int, int]:
        path = self._folder / manifests.NAME
        try:
            state = os.stat(path)
        except FileNotFoundError:
            damaged(path, "no such file", "the list of the files that make up the index")
        return state.st_ino, state.st_mtime_ns, state.st_size

    def _load(self) -> Snapshot:
        held = {} if self._snapshot is None else {part.segment.file: part for part in self._snapshot.opened}
        manifest = manifests.read(self._folder, self._content.kind)
        while True:
            try:
                opened: list[Opened] = [
                    open_part(self._folder, part, held.get(part.segment)) for part in manifest.parts
                ]
                return Snapshot(manifest, opened, self._masks, self._chunks)
            except FileNotFoundError as error:
                # A commit has replaced the file; where none has, it is lost.
                newer = manifests.read(self._folder, self._content.kind)
                if newer == manifest:
                    damaged(Path(error.filename), "no such file", f"a file of commit {manifest.commit}")
                manifest = newer
