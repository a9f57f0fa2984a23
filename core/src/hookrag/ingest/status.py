"""What the journal of an index says, read without the lock and without asking a store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hookrag.disk.lock import writer
from hookrag.errors import IdentityError, IngestStopped
from hookrag.ingest import formats
from hookrag.ingest.journal import JOURNAL, failure
from hookrag.ingest.report import Problem, Status, StoreStatus


def status(folder: Path) -> Status:
    """What the journal of the index in a folder says; an index that was never written is empty."""
    path = folder / JOURNAL
    if not path.exists():
        return Status({}, (), (), 0, writer(folder), "")
    db = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        if not _readable(db, path):
            db.close()
            db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
        db.execute("PRAGMA query_only = 1")
        db.execute("BEGIN")
        (found,) = db.execute("PRAGMA user_version").fetchone()
        formats.check(found, path)
        if found == 0:  # it is just being made
            return Status({}, (), (), 0, writer(folder), "")
        if found < formats.newest():
            raise IdentityError(f"the journal {path} has the old format {found}: hookrag verify brings it up to date")
        documents = db.execute(
            """SELECT s.name, (SELECT count(*) FROM item i JOIN document d ON d.item = i.n WHERE i.source = s.n
               AND EXISTS (SELECT 1 FROM placed p WHERE p.document = d.n)) FROM source s ORDER BY s.name"""
        ).fetchall()
        stores = db.execute(
            """SELECT name, (SELECT count(*) FROM placed p WHERE p.store = s.n),
               (SELECT count(*) FROM placed p JOIN row USING (document, store, v) WHERE p.store = s.n),
               (SELECT count(*) FROM owed o WHERE o.store = s.n), epoch FROM store s ORDER BY name"""
        ).fetchall()
        failed = db.execute(
            "SELECT f.id, i.locator, f.reason FROM failed f JOIN item i ON i.n = f.item ORDER BY f.id"
        ).fetchall()
        (unfinished,) = db.execute("SELECT count(DISTINCT document) FROM planned").fetchone()
        when = "datetime(coalesce(finished, heartbeat), 'unixepoch', 'localtime')"
        last = db.execute(f"SELECT outcome, {when}, pid FROM run ORDER BY n DESC LIMIT 1").fetchone()
        outcome, ended, pid = last or ("", "", 0)
        holder = writer(folder)
        if outcome == "interrupted" and holder.startswith(f"pid {pid} "):
            outcome = "running"
        return Status(
            dict(documents), tuple(StoreStatus(*row) for row in stores), tuple(Problem(*row) for row in failed), unfinished,
            holder, f"{outcome} at {ended}" if outcome else "",
        )  # fmt: skip
    except sqlite3.DatabaseError as error:
        raise failure(path, "read", error) from error
    finally:
        db.close()


def _readable(db: sqlite3.Connection, path: Path) -> bool:
    """Whether SQLite has what it needs beside the journal to read it; False where it needs none, because nothing is in its log.

    On a read-only file system it cannot make the files by which processes that read and write know of each other.
    """
    log = path.with_name(f"{path.name}-wal")
    try:
        db.execute("PRAGMA user_version")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CANTOPEN:
            raise
        if log.exists() and log.stat().st_size:
            raise IngestStopped(
                f"the journal {path} cannot be read: {error}. What was written last is still in {log}, which is read only "
                f"where {path.parent} can be written: make that folder writable, or copy it to where it can"
            ) from error
        return False
    return True
