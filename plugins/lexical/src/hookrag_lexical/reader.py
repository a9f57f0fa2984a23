"""Finding the newest committed state, without a lock."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock

from hookrag import Filter

from hookrag_lexical import manifest as manifests
from hookrag_lexical.cache import Bounded
from hookrag_lexical.files import File, damaged
from hookrag_lexical.manifest import Manifest
from hookrag_lexical.snapshot import MASK_BYTES, Mask, Opened, Snapshot, open_dead, open_part


class Reader:
    """Gives the newest snapshot of a folder; what two snapshots share is opened once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()
        self._masks: Bounded[tuple[Filter, str], Mask] = Bounded(MASK_BYTES)
        self._seen: tuple[int, int, int] | None = None
        self._snapshot: Snapshot | None = None

    def current(self) -> Snapshot:
        """The committed state of this moment. Costs one look at the manifest's time while nothing has changed."""
        with self._lock:
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
        manifest = manifests.read(self._folder)
        while True:
            try:
                return Snapshot(manifest, self._opened(manifest, held), self._masks)
            except FileNotFoundError as error:
                # A commit has replaced the file; where none has, it is lost.
                newer = manifests.read(self._folder)
                if newer == manifest:
                    damaged(Path(error.filename), "no such file", f"a file of commit {manifest.commit}")
                manifest = newer

    def _opened(self, manifest: Manifest, held: dict[File, Opened]) -> list[Opened]:
        opened: list[Opened] = []
        for part in manifest.parts:
            before = held.get(part.segment)
            if before is None:
                opened.append(open_part(self._folder, part))
            elif before.part == part:
                opened.append(before)
            else:
                opened.append(Opened(part, before.segment, open_dead(self._folder, part, len(before.segment))))
        return opened
