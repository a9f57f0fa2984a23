"""What the journal of an index says, read without the lock and without asking a store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hookrag.disk.lock import writer
from hookrag.errors import IdentityError
from hookrag.ingest import formats
from hookrag.ingest.journal import JOURNAL
from hookrag.ingest.reading import reading
from hookrag.ingest.report import Problem, Status, StoreStatus

_DOCUMENTS = """
SELECT s.name, (
    SELECT count(*) FROM item i JOIN document d ON d.item = i.n
    WHERE i.source = s.n AND EXISTS (SELECT 1 FROM placed p WHERE p.document = d.n))
FROM source s ORDER BY s.name
"""
_STORES = """
SELECT name, (SELECT count(*) FROM placed p WHERE p.store = s.n),
    (SELECT count(*) FROM placed p JOIN row USING (document, store, v) WHERE p.store = s.n),
    (SELECT count(*) FROM owed o WHERE o.store = s.n), epoch
FROM store s ORDER BY name
"""
_FAILED = "SELECT f.id, i.locator, f.reason FROM failed f JOIN item i ON i.n = f.item ORDER BY f.id"
_LAST = """
SELECT outcome, datetime(coalesce(finished, heartbeat), 'unixepoch', 'localtime'), pid FROM run ORDER BY n DESC LIMIT 1
"""


def status(folder: Path) -> Status:
    """What the journal of the index in a folder says; an index that was never written is empty."""
    with reading(folder) as db:
        if db is None:
            return Status(documents={}, stores=(), failed=(), unfinished=0, writer=writer(folder), last="")
        db.execute("BEGIN")
        (found,) = db.execute("PRAGMA user_version").fetchone()
        if found < formats.newest():
            path = folder / JOURNAL
            raise IdentityError(f"the journal {path} has the old format {found}: hookrag verify brings it up to date")
        return _status(db, folder)


def _status(db: sqlite3.Connection, folder: Path) -> Status:
    documents = db.execute(_DOCUMENTS).fetchall()
    stores = db.execute(_STORES).fetchall()
    failed = db.execute(_FAILED).fetchall()
    (unfinished,) = db.execute("SELECT count(DISTINCT document) FROM planned").fetchone()
    outcome, ended, pid = db.execute(_LAST).fetchone() or ("", "", 0)
    holder = writer(folder)
    if outcome == "interrupted" and holder.startswith(f"pid {pid} "):
        outcome = "running"
    return Status(
        documents=dict(documents),
        stores=tuple(StoreStatus(*row) for row in stores),
        failed=tuple(Problem(*row) for row in failed),
        unfinished=unfinished,
        writer=holder,
        last=f"{outcome} at {ended}" if outcome else "",
    )
