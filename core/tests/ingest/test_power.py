"""A loss of power: what was written to the journal and not forced to the disk is gone, or half of it, in any order.

The journal runs over a recording shim under SQLite (a virtual file system of the package apsw): every write, truncation and
fsync is noted. A cut at any moment leaves of each file what was forced to the disk, and a random part of the blocks written
since. The stores keep what they synced and stamped, and all or nothing of what came after. Then the journal has to open, the
invariants have to hold, and one more run has to make the index whole.
"""

from __future__ import annotations

import os
import random
import sqlite3
from pathlib import Path

import apsw
import pytest

from .machine import Quick, World

BLOCK = 512


class Disk:
    """What is in each file as its process sees it, what of that is on the disk, and the blocks that were written since."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.files: dict[str, bytearray] = {}
        self.safe: dict[str, bytes] = {}
        self.loose: dict[str, list[tuple[int, bytes]]] = {}
        self.synced = 0

    def write(self, name: str, data: bytes, offset: int) -> None:
        file = self.files.setdefault(name, bytearray())
        file.extend(bytes(max(0, offset + len(data) - len(file))))
        file[offset : offset + len(data)] = data
        blocks = range(offset // BLOCK, (offset + len(data) - 1) // BLOCK + 1) if data else ()
        self.loose.setdefault(name, []).extend((n, bytes(file[n * BLOCK : (n + 1) * BLOCK])) for n in blocks)

    def truncate(self, name: str, size: int) -> None:
        file = self.files.setdefault(name, bytearray())
        del file[size:]
        file.extend(bytes(size - len(file)))
        self.loose.setdefault(name, []).append((-1, size.to_bytes(8, "little")))

    def sync(self, name: str) -> None:
        self.safe[name] = bytes(self.files.get(name, b""))
        self.loose[name] = []
        self.synced += 1

    def delete(self, name: str) -> None:
        for kept in (self.files, self.loose, self.safe):
            kept.pop(name, None)

    def after_power(self) -> dict[str, bytes]:
        """The files as they are found: a file that was never forced is not there, or is, at random."""
        found = {}
        share = self.rng.choice([0.0, 0.5, 0.9, 1.0])
        for name in self.files:
            if name not in self.safe and self.rng.random() >= share:
                continue
            content = bytearray(self.safe.get(name, b""))
            for n, data in self.loose.get(name, []):
                if self.rng.random() >= share:
                    continue
                if n < 0:
                    del content[int.from_bytes(data, "little") :]
                    continue
                content.extend(bytes(max(0, n * BLOCK - len(content))))
                content[n * BLOCK : n * BLOCK + len(data)] = data
            found[name] = bytes(content)
        return found


class File:
    """A file of SQLite on the recording disk."""

    def __init__(self, disk: Disk, name: str) -> None:
        self.disk, self.name = disk, name
        disk.files.setdefault(name, bytearray())

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self.disk.files[self.name][offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        self.disk.write(self.name, bytes(data), offset)

    def xTruncate(self, size: int) -> None:
        self.disk.truncate(self.name, size)

    def xSync(self, flags: int) -> None:
        self.disk.sync(self.name)

    def xFileSize(self) -> int:
        return len(self.disk.files[self.name])

    def xClose(self) -> None: ...
    def xLock(self, level: int) -> None: ...
    def xUnlock(self, level: int) -> None: ...

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return BLOCK

    def xDeviceCharacteristics(self) -> int:
        return 0


class System(apsw.VFS):
    """SQLite's view of the recording disk; of a disk that a process leaves behind, its connections are the last users."""

    def __init__(self) -> None:
        self.disk = Disk(random.Random(0))
        super().__init__("recording", "", 0, maxpathname=1024)

    def xOpen(self, name, flags):
        return File(self.disk, name.filename() if isinstance(name, apsw.URIFilename) else name or f"temp{id(flags)}")

    def xAccess(self, name, flags):
        return name in self.disk.files

    def xDelete(self, name, sync):
        self.disk.delete(name)

    def xFullPathname(self, name):
        return os.path.abspath(name)


class Rows:
    """A cursor as the journal uses one."""

    def __init__(self, connection: apsw.Connection, cursor: apsw.Cursor) -> None:
        self.cursor = cursor
        self.lastrowid, self.rowcount = connection.last_insert_rowid(), connection.changes()

    def fetchone(self):
        return next(self.cursor, None)

    def fetchall(self):
        return list(self.cursor)

    def __iter__(self):
        return self.cursor


class Connection:
    """A connection as the journal uses one, over the recording disk; without shared memory, which is never on a disk."""

    def __init__(self, path: object, forced: str) -> None:
        self.forced = forced
        self.db = apsw.Connection(str(path), vfs="recording")
        self.execute("PRAGMA locking_mode = EXCLUSIVE")
        self.execute("PRAGMA temp_store = MEMORY")

    def execute(self, sql: str, values: object = ()) -> Rows:
        sql = sql.replace("synchronous = FULL", f"synchronous = {self.forced}")
        return Rows(self.db, self.db.execute(sql, values))

    def executemany(self, sql: str, values: object) -> Rows:
        return Rows(self.db, self.db.executemany(sql, values))

    def executescript(self, sql: str) -> None:
        self.db.execute(sql)

    @property
    def in_transaction(self) -> bool:
        return self.db.in_transaction

    def close(self) -> None:
        self.db.close()


class Module:
    """What the journal takes for the module sqlite3."""

    DatabaseError = apsw.Error
    OperationalError = apsw.SQLError

    def __init__(self, opened: list[Connection], forced: str) -> None:
        self.opened = opened
        self.forced = forced

    def connect(self, path: object, **options: object) -> Connection:
        self.opened.append(Connection(path, self.forced))
        return self.opened[-1]


class Powered(World):
    """A world whose journal lies on a recording disk, and whose stores note what was done to them since they were synced."""

    def cut_power(self, disk: Disk) -> None:
        """The files and the stores as they are found afterwards."""
        for file in self.folder.glob("journal.sqlite3*"):
            file.unlink()
        for name, content in disk.after_power().items():
            Path(name).write_bytes(content)
        for store in self.stores.values():
            store.late = []
            if self.rng.random() < 0.7:
                store.rows, store.versions = map(dict, store.kept)


@pytest.fixture
def system(monkeypatch):
    made = System()
    yield made
    made.unregister()


TEXTS = ("a\nb", "a\nc", "c", "a\nb\nc", "b", "")


def lives(seeds: range, system: System, monkeypatch: pytest.MonkeyPatch, folder: Path, forced: str = "FULL") -> None:
    """Three runs each, after the second and third of which, at some moment, the power fails."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, factory=Quick, **k))
    for seed in seeds:
        rng = random.Random(seed)
        world = Powered(folder / str(seed), fenced=True)
        world.folder.mkdir()
        for cut in (None, rng.randint(2, 60), rng.randint(2, 60)):
            world.edit({id: rng.choice(TEXTS) for id in ("a/x", "b/z")})
            disk = system.disk = Disk(rng)
            for file in world.folder.glob("journal.sqlite3*"):
                disk.write(str(file), file.read_bytes(), 0)
                disk.sync(str(file))
            opened: list[Connection] = []
            with monkeypatch.context() as patched:
                patched.setattr("hookrag.ingest.journal.sqlite3", Module(opened, forced))
                # When power fails nothing is closed in good order.
                patched.setattr("hookrag.ingest.journal.Journal.close", lambda self: None)
                with world.cut(cut, "dies", seed):
                    world.index("one")
            world.rng = rng
            world.cut_power(disk)
            for connection in opened:
                connection.close()
            if world.journal.exists():
                assert world.query("PRAGMA integrity_check") == {"ok"}
            world.check()
        world.index("one")
        world.check_end()


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_after_a_loss_of_power_at_any_moment_the_next_run_makes_the_index_whole(system, monkeypatch, tmp_path, first):
    lives(range(first, first + 10), system, monkeypatch, tmp_path)


@pytest.mark.parametrize("forced", ["NORMAL", "OFF"])
def test_a_journal_that_forces_less_to_the_disk_is_found(system, monkeypatch, tmp_path, forced):
    with pytest.raises((AssertionError, sqlite3.DatabaseError)):
        lives(range(40), system, monkeypatch, tmp_path, forced)
