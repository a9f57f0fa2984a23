"""The journal: what is in which store, what is on its way there, and what is still to be deleted from it.

SQLite with a write-ahead log and `synchronous = FULL`: what a transaction wrote survives a loss of power. The connection
belongs to the thread that opened it. `plans.py` holds the transactions of the protocol; here are the file and the look-ups.

    listing   the device on which a part of a source was when all of it was found
    item      what a source holds under one name; its key is set when all its documents are settled
    document  belongs to the item that gave it
    placed    the live version of a document in a store: every row of it is there; an empty key: to be made again
    planned   the next version, written down before any store is called
    row       the rows of placed and planned versions
    owed      rows that are still to be deleted
    failed    documents that could not be indexed in the form that `key` names

Words: an item or a document is settled when the journal has its new key; `key` is a hash of everything that the rows of an
item, a document or a version depend on; the owner of a row or a store is the journal that wrote it, by its uuid. A version is
a number that only rises: in the table `row` that of the plan, in a store that of the `put` that wrote the row. The live and the
next version of a document are what `placed` and `planned` name.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from hookrag.errors import IngestStopped, JournalDamaged
from hookrag.ingest import formats
from hookrag.ingest.target import Flat

JOURNAL = "journal.sqlite3"
REMADE = "remade: "
"""What begins the names, in the table `meta`, of the commands that make derived sources again."""
_APPLICATION = 0x686F6F6B
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE source (n INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE listing (source INTEGER, under TEXT, device INTEGER, PRIMARY KEY (source, under)) WITHOUT ROWID;
CREATE TABLE item (
    n INTEGER PRIMARY KEY AUTOINCREMENT, source INTEGER NOT NULL, id TEXT NOT NULL, key BLOB, locator TEXT NOT NULL,
    UNIQUE (source, id)
);
CREATE TABLE document (n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, item INTEGER NOT NULL);
CREATE INDEX document_item ON document (item);
CREATE TABLE store (
    n INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, uuid TEXT NOT NULL, epoch INTEGER NOT NULL, pending INTEGER,
    generation INTEGER NOT NULL, identity TEXT NOT NULL, wiping INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE placed (
    document INTEGER, store INTEGER, v INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY (document, store)
) WITHOUT ROWID;
CREATE TABLE planned (
    document INTEGER, store INTEGER, v INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY (document, store)
) WITHOUT ROWID;
CREATE TABLE row (
    document INTEGER, store INTEGER, v INTEGER, chunk TEXT, "check" INTEGER NOT NULL, input INTEGER NOT NULL,
    PRIMARY KEY (document, store, v, chunk)
) WITHOUT ROWID;
CREATE TABLE owed (store INTEGER, chunk TEXT, v INTEGER NOT NULL, PRIMARY KEY (store, chunk)) WITHOUT ROWID;
CREATE INDEX owed_version ON owed (store, v);
CREATE TABLE failed (
    item INTEGER, id TEXT, key BLOB NOT NULL, reason TEXT NOT NULL, attempts INTEGER NOT NULL, PRIMARY KEY (item, id)
) WITHOUT ROWID;
CREATE TABLE run (
    n INTEGER PRIMARY KEY, pid INTEGER NOT NULL, source TEXT NOT NULL, started REAL NOT NULL, heartbeat REAL NOT NULL,
    finished REAL, outcome TEXT NOT NULL
);
"""
# What one run has met: the ids of the documents, and the items with whether they were loaded or found unchanged.
_SEEN = """
CREATE TEMP TABLE seen (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TEMP TABLE seen_item (n INTEGER PRIMARY KEY, loaded INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class StoreRecord:
    """What the journal remembers of a store; `pending` is the epoch that a run was about to give it."""

    n: int
    uuid: str
    epoch: int
    pending: int | None
    wiping: bool


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """A document that the journal knows: its number, its item, and the source of that."""

    n: int
    item: int
    source: int


def failure(path: Path, what: str, error: sqlite3.Error) -> IngestStopped:
    """The error for what SQLite says of the journal at `path` when `what` was tried; a JournalDamaged names the way out."""
    told = f"the journal {path} cannot be {what}: {error}"
    # Python finds texts that are no UTF-8 by itself, and gives no code for them.
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED or "Could not decode to UTF-8" in str(error):
        return JournalDamaged(
            f"{told}.\nIts file is damaged. Move it away, with the files beside it that begin with its name, then have it made "
            f"anew from the stores: hookrag index --take-over PATH..."
        )
    return IngestStopped(told)


class Journal:
    """The open journal of the index in a folder, or one in memory in its place; close it in the thread that opened it."""

    def __init__(self, path: Path, *, fault: Callable[[str], None], transient: bool = False) -> None:
        self.path = path
        self.fault = fault
        self.db = sqlite3.connect(":memory:" if transient else path, isolation_level=None, timeout=10)
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self.db.close()
            raise failure(path, "opened", error) from error
        except BaseException:
            self.db.close()
            raise
        self.run = 0

    def _prepare(self) -> None:
        db = self.db
        (found,) = db.execute("PRAGMA user_version").fetchone()
        formats.refuse_newer(found, self.path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        if found == 0:
            db.execute("BEGIN IMMEDIATE")
            # Not executescript, which commits before it begins.
            for statement in _SCHEMA.split(";")[:-1]:
                db.execute(statement)
            db.execute("INSERT INTO meta VALUES ('uuid', ?), ('version', 0)", (uuid4().hex,))
            db.execute(f"PRAGMA application_id = {_APPLICATION}")
            db.execute(f"PRAGMA user_version = {formats.newest()}")
            db.execute("COMMIT")
        elif found < formats.newest():
            formats.migrate(db, self.path, found, self.fault)
        db.executescript(_SEEN)

    def close(self) -> None:
        """End the connection; the log is written back to the main file."""
        self.db.close()

    @contextmanager
    def transaction(self, name: str) -> Iterator[int]:
        """One transaction with a version of its own: higher than every one before it, also in a journal that was lost."""
        self.fault(f"{name}: before")
        try:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                (last,) = self.one("SELECT value FROM meta WHERE name = 'version'")
                # Microseconds: no two transactions are that close, so versions never run ahead of the clock, and those of a
                # journal that was put back are higher than all that were given since the copy.
                version = max(last + 1, time.time_ns() // 1000)
                self.db.execute("UPDATE meta SET value = ? WHERE name = 'version'", (version,))
                if self.run:
                    self.db.execute("UPDATE run SET heartbeat = ? WHERE n = ?", (time.time(), self.run))
                yield version
                self.fault(f"{name}: inside")
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise
        except sqlite3.DatabaseError as error:
            raise failure(self.path, "written", error) from error
        self.fault(f"{name}: after")

    def one(self, sql: str, parameters: Sequence[object] = ()) -> tuple[int, ...]:
        """The first row of a query that has one."""
        row: tuple[int, ...] = self.db.execute(sql, parameters).fetchone()
        return row

    @property
    def uuid(self) -> str:
        """The owner of the rows that this journal writes."""
        return str(self.one("SELECT value FROM meta WHERE name = 'uuid'")[0])

    @property
    def empty(self) -> bool:
        """Whether it has never known a store."""
        return self.one("SELECT count(*) FROM store")[0] == 0

    # Runs and sources.

    def begin_run(self, source: str) -> None:
        """Note that a run began; later transactions are its heartbeat."""
        now = time.time()
        sql = "INSERT INTO run (pid, source, started, heartbeat, outcome) VALUES (?, ?, ?, ?, 'interrupted')"
        with self.transaction("begin run"):
            self.run = self.db.execute(sql, (os.getpid(), source, now, now)).lastrowid or 0

    def end_run(self, outcome: str) -> None:
        """Note how the run ended."""
        with self.transaction("end run"):
            self.db.execute("UPDATE run SET finished = ?, outcome = ? WHERE n = ?", (time.time(), outcome, self.run))

    def source(self, name: str, remade_by: str = "") -> int:
        """The number of a source, added where it is new, with the command that makes it again; inside a transaction."""
        self.db.execute("INSERT OR IGNORE INTO source (name) VALUES (?)", (name,))
        key = f"{REMADE}{name}"
        if remade_by:
            self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, remade_by))
        else:
            self.db.execute("DELETE FROM meta WHERE name = ?", (key,))
        return self.one("SELECT n FROM source WHERE name = ?", (name,))[0]

    def find_source(self, name: str) -> int:
        """The number of a source, 0 where it is new."""
        row = self.db.execute("SELECT n FROM source WHERE name = ?", (name,)).fetchone()
        return row[0] if row else 0

    # Stores.

    def store(self, name: str) -> StoreRecord | None:
        """What is known of a store; None where it is new."""
        row = self.db.execute("SELECT n, uuid, epoch, pending, wiping FROM store WHERE name = ?", (name,)).fetchone()
        return StoreRecord(row[0], row[1], row[2], row[3], bool(row[4])) if row else None

    def has_rows(self, store: int) -> bool:
        """Whether anything of ours may be in the store."""
        sql = "SELECT EXISTS (SELECT 1 FROM row WHERE store = ?1) OR EXISTS (SELECT 1 FROM owed WHERE store = ?1)"
        return bool(self.one(sql, (store,))[0])

    def save_identity(self, store: int, identity: Flat) -> None:
        """Remember what a store's rows are; inside a transaction."""
        text = json.dumps(dict(identity), sort_keys=True)
        self.db.execute("UPDATE store SET identity = ? WHERE n = ?", (text, store))

    # Items and documents.

    def item(self, source: int, id: str) -> tuple[int, bytes | None]:
        """The number and the key of an item; number 0 where it is new."""
        row = self.db.execute("SELECT n, key FROM item WHERE source = ? AND id = ?", (source, id)).fetchone()
        return (row[0], row[1]) if row else (0, None)

    def add_item(self, source: int, id: str, locator: str) -> int:
        """The number of an item that this run has met, which is added unless it was met twice; inside a transaction."""
        self.db.execute("INSERT OR IGNORE INTO item (source, id, locator) VALUES (?, ?, ?)", (source, id, locator))
        n, _ = self.item(source, id)
        self.see_item(n, loaded=True)
        return n

    def see_item(self, n: int, *, loaded: bool) -> None:
        """Note that this run has met an item."""
        self.db.execute("INSERT OR REPLACE INTO temp.seen_item VALUES (?, ?)", (n, loaded))

    def see(self, id: str) -> bool:
        """Note that this run has met a document; False where it had met it before."""
        return self.db.execute("INSERT OR IGNORE INTO temp.seen VALUES (?)", (id,)).rowcount == 1

    def met_unchanged(self, item: int) -> bool:
        """Whether this run has met the item and had no need to load it."""
        row = self.db.execute("SELECT loaded FROM temp.seen_item WHERE n = ?", (item,)).fetchone()
        return row is not None and not row[0]

    def document(self, id: str) -> KnownDocument | None:
        """The document of that id; None where it is new."""
        sql = "SELECT d.n, d.item, i.source FROM document d JOIN item i ON i.n = d.item WHERE d.id = ?"
        row = self.db.execute(sql, (id,)).fetchone()
        return KnownDocument(*row) if row else None

    def placed(self, document: int) -> dict[int, bytes]:
        """The key of the live version in each store."""
        return dict(self.db.execute("SELECT store, key FROM placed WHERE document = ?", (document,)))

    def live(self, document: int, store: int) -> dict[str, tuple[int, int]]:
        """The rows of the live version: chunk id to (check, hash of the input)."""
        sql = """SELECT r.chunk, r."check", r.input FROM placed p JOIN row r USING (document, store, v)
                 WHERE p.document = ? AND p.store = ?"""
        return {chunk: (check, text) for chunk, check, text in self.db.execute(sql, (document, store))}

    def failure(self, item: int, id: str) -> bytes | None:
        """The key with which a document failed; None where it did not."""
        row = self.db.execute("SELECT key FROM failed WHERE item = ? AND id = ?", (item, id)).fetchone()
        return row[0] if row else None

    def count(self, item: int) -> tuple[int, int]:
        """How many documents of an item are in the index as they are now, and how many failed in their present form."""
        sql = """SELECT (SELECT count(*) FROM document d WHERE d.item = ?1 AND NOT EXISTS
                         (SELECT 1 FROM failed f WHERE f.item = ?1 AND f.id = d.id)),
                        (SELECT count(*) FROM failed WHERE item = ?1)"""
        indexed, failed = self.one(sql, (item,))
        return indexed, failed
