"""A journal opened for reading, without the lock: a run may be writing to it, and its folder may be read only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hookrag.errors import IngestStopped
from hookrag.ingest import formats
from hookrag.ingest.journal import JOURNAL, failure


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection | None]:
    """The journal in the folder of a generation; None where nothing was ever indexed, or it is just being made.

    Raises IdentityError where its format is newer than this hookrag, IngestStopped where it cannot be read.
    """
    path = folder / JOURNAL
    if not path.exists():
        yield None
        return
    db = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        if not _readable(db, path):
            db.close()
            db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
        db.execute("PRAGMA query_only = 1")
        (found,) = db.execute("PRAGMA user_version").fetchone()
        formats.refuse_newer(found, path)
        yield db if found else None
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
