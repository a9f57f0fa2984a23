"""The one writer of an index: collects what is put and dropped, and commits all of it at once."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hookrag import Card, IndexLocked, ItemRejected, Row
from hookrag.disk.durable import sync_folder
from hookrag.disk.lock import Lock, last_holder, take

from hookrag_segments import manifest as manifests
from hookrag_segments.buffer import Buffer
from hookrag_segments.content import Content
from hookrag_segments.files import ArrayWriter, File, open_arrays
from hookrag_segments.manifest import Manifest, Part
from hookrag_segments.merge import merge
from hookrag_segments.reader import Reader
from hookrag_segments.segment import encoded_id, open_segment
from hookrag_segments.snapshot import Mask, Opened

BUFFER_BYTES = 64 << 20
LOCK_SECONDS = 10.0

_OURS = re.compile(r"[0-9]{8,}-[0-9a-f]{8}\.(?:segment|dead|companion)|manifest\.json\.(?:part|tmp)|write\.pid")


def lock(folder: Path, *, wait: float = 0.0) -> Lock:
    """The lock of the folder's writer, taken. Raises IndexLocked, naming the process that has it."""
    taken = take(folder / "write.lock", wait=wait)
    if taken is None:
        who = last_holder(folder / "write.lock")
        name = f"pid {who.pid}" if who else "another process"
        raise IndexLocked(f"{folder} is being written by {name}: wait until it has finished, or stop it")
    return taken


def create(folder: Path, card: Card, content: Content[Any]) -> None:
    """Make an empty index unless there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / manifests.NAME).exists():
        return
    taken = lock(folder, wait=LOCK_SECONDS)
    try:
        if not (folder / manifests.NAME).exists():
            # A folder with segments had a manifest: a new one would make the next commit delete them.
            if any(path.suffix == ".segment" for path in folder.iterdir() if _OURS.fullmatch(path.name)):
                Reader(folder, content, 0).current()
            manifests.write(folder, Manifest(0, card, content.identity()), content.kind)
            sync_folder(folder.parent)
    finally:
        taken.release()


class Writer:
    """Holds the folder's lock from its making to `close`. Not safe from several threads: the index sees to that."""

    def __init__(self, folder: Path, reader: Reader[Any], content: Content[Any]) -> None:
        self._folder = folder
        self._reader = reader
        self._content = content
        self._lock = lock(folder)
        try:
            snapshot = reader.current()
            self._manifest = replace(snapshot.manifest, identity=content.identity())
            self._parts = list(snapshot.opened)
            self._changed: set[str] = set()
            self._dirty = False
            self._buffer = Buffer(content.pending(self._parts))
            self._before: frozenset[str] = frozenset()
            self._clean()
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        """Let go of the lock; what was not committed is forgotten."""
        with suppress(OSError):
            self._clean()
        self._lock.release()

    def put(self, rows: Sequence[Row]) -> dict[str, str]:
        """Take rows; the reasons for those that cannot be kept."""
        refused: dict[str, str] = {}
        named: list[tuple[bytes, Row]] = []
        for row in rows:
            try:
                named.append((encoded_id(row.chunk.id), row))
            except ItemRejected as reason:
                refused[row.chunk.id] = str(reason)
        if any(name in self._buffer.dead for name, _ in named):
            self._flush()
        for (name, row), present in zip(named, self._present([name for name, _ in named]), strict=True):
            if present or name in self._buffer.rows:
                continue
            try:
                self._buffer.add(name, row)
            except ItemRejected as reason:
                refused[row.chunk.id] = str(reason)
                continue
            self._dirty = True
        if self._buffer.bytes >= BUFFER_BYTES:
            self._flush()
        return refused

    def drop(self, chunk_ids: Sequence[str]) -> None:
        """Delete rows, buffered ones too."""
        names: list[bytes] = []
        for chunk_id in chunk_ids:
            with suppress(ItemRejected):
                names.append(encoded_id(chunk_id))
        for name in names:
            if name in self._buffer.rows:
                self._buffer.drop(name)
                self._dirty = True
        if not names:
            return
        ids = np.array(names, dtype=np.bytes_)
        for at, part in enumerate(self._parts):
            rows = part.segment.find(ids)
            rows = rows[rows >= 0]
            if part.dead is not None:
                rows = rows[~part.dead[rows]]
            if len(rows):
                dead = np.zeros(len(part.segment), dtype=np.bool_) if part.dead is None else part.dead.copy()
                dead[rows] = True
                self._parts[at] = replace(part, dead=dead)
                self._changed.add(part.segment.file.name)
                self._dirty = True

    def commit(self) -> None:
        """Make everything that was put and dropped durable and visible, all of it or nothing."""
        if not self._dirty:
            return
        self._flush()
        parts = self._merged([part for part in self._parts if part.live])
        parts = [self._with_dead_file(part) for part in parts]
        self._publish(replace(self._manifest, parts=tuple(part.part for part in parts)))
        self._parts = list(self._reader.current().opened)
        self._changed.clear()
        self._dirty = False
        self._forget()
        self._buffer = Buffer(self._content.pending(self._parts))
        with suppress(OSError):
            self._clean()

    def stamp(self, card: Card) -> None:
        """Commit a card, and nothing of what was put or dropped."""
        self._publish(replace(self._manifest, card=card))

    def _publish(self, manifest: Manifest) -> None:
        """Replace the manifest. Files of the one before stay until the next time: readers may be about to open them."""
        sync_folder(self._folder)
        following = replace(manifest, commit=self._manifest.commit + 1)
        manifests.write(self._folder, following, self._content.kind)
        self._before = self._manifest.names
        self._manifest = following

    def _present(self, names: Sequence[bytes]) -> list[bool]:
        """Whether each row is there, in a segment and not deleted."""
        ids = np.array(names, dtype=np.bytes_)
        present = np.zeros(len(names), dtype=np.bool_)
        for part in self._parts:
            rows = part.segment.find(ids) if names else np.empty(0, dtype=np.intp)
            found = rows >= 0
            if part.dead is not None:
                found &= ~part.dead[rows]
            present |= found
        return present.tolist()

    def _flush(self) -> None:
        """Write the buffer to a segment, which no manifest names yet."""
        if not len(self._buffer):
            return
        file = self._buffer.write(self._new_path("segment"))
        segment = open_segment(self._folder, file)
        dead: Mask | None = None
        if self._buffer.dead:
            dead = np.zeros(len(segment), dtype=np.bool_)
            dead[list(self._buffer.dead.values())] = True
            self._changed.add(file.name)
        self._parts.append(Opened(Part(file), segment, dead))
        self._forget()
        self._buffer = Buffer(self._content.pending(self._parts))

    def _forget(self) -> None:
        """Give back the pages that looking for ids has read: they would grow with the collection."""
        for part in self._parts:
            part.segment.data.forget()

    def _merged(self, parts: list[Opened]) -> list[Opened]:
        """The parts after the merges that are due, with their companions; a merged one stands where its group began."""
        removed: set[int] = set()
        result = dict(enumerate(parts))
        bases: dict[int, Opened] = {}
        for group in self._content.plan(parts):
            chosen = [parts[at] for at in group]
            file = merge(
                self._new_path("segment"),
                [part.segment for part in chosen],
                [part.dead for part in chosen],
                self._content,
            )
            result[group[0]] = Opened(Part(file), open_segment(self._folder, file), None)
            if chosen[0].companion is not None and chosen[0].live == len(chosen[0].segment):
                bases[group[0]] = chosen[0]
            removed.update(group[1:])
        return [self._with_companion(part, bases.get(at)) for at, part in sorted(result.items()) if at not in removed]

    def _with_companion(self, part: Opened, base: Opened | None) -> Opened:
        if part.companion is not None:
            return part
        file = self._content.companion(self._new_path("companion"), part.segment, base)
        if file is None:
            return part
        return replace(part, part=replace(part.part, companion=file), companion=open_arrays(self._folder, file))

    def _with_dead_file(self, part: Opened) -> Opened:
        if part.segment.file.name not in self._changed or part.dead is None:
            return part
        rows = np.flatnonzero(part.dead)
        with ArrayWriter(self._new_path("dead"), {"rows": ("<i4", len(rows))}) as writer:
            writer.append("rows", rows)
            file: File = writer.finish({})
        return replace(part, part=replace(part.part, dead=file))

    def _new_path(self, kind: str) -> Path:
        return self._folder / f"{self._manifest.commit + 1:08}-{secrets.token_hex(4)}.{kind}"

    def _clean(self) -> None:
        """Remove files of ours that neither the last two manifests nor uncommitted rows need: leftovers of crashes too."""
        needed = self._manifest.names | self._before | {part.segment.file.name for part in self._parts}
        for path in self._folder.iterdir():
            if _OURS.fullmatch(path.name) and path.name not in needed:
                # Windows keeps a file that is mapped: it goes another time.
                with suppress(PermissionError):
                    path.unlink(missing_ok=True)
