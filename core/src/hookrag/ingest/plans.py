"""The transactions of the ingest protocol: plans written ahead, debts paid later.

R2, T1, T2 and T3 are steps of the table in `hookrag.ingest`, which has the invariants, too. One batch is planned at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from hookrag.ingest.journal import Journal
from hookrag.ingest.work import Batch, ItemWork, Work

# CROSS JOIN keeps the order: from the few that are planned to the many that are there.
_OWE_REST_OF_PLANS = """
INSERT OR REPLACE INTO owed SELECT n.store, n.chunk, ?1 FROM planned p CROSS JOIN row n USING (document, store, v)
WHERE {which} NOT EXISTS (
    SELECT 1 FROM placed l JOIN row o USING (document, store, v)
    WHERE l.document = n.document AND l.store = n.store AND o.chunk = n.chunk)
"""
_DROP_PLANS = "DELETE FROM row WHERE (document, store, v) IN (SELECT document, store, v FROM planned {which})"
_OWE_REST_OF_LIVE = """
INSERT OR REPLACE INTO owed SELECT o.store, o.chunk, ?1
FROM planned p CROSS JOIN placed l USING (document, store)
CROSS JOIN row o ON o.document = l.document AND o.store = l.store AND o.v = l.v
WHERE NOT EXISTS (
    SELECT 1 FROM row n WHERE n.document = p.document AND n.store = p.store AND n.v = p.v AND n.chunk = o.chunk)
"""
_DROP_LIVE = """
DELETE FROM row WHERE (document, store, v) IN (
    SELECT l.document, l.store, l.v FROM planned p CROSS JOIN placed l USING (document, store))
"""
_DROP_UNPLACED = """
DELETE FROM document WHERE n = ?1 AND NOT EXISTS (SELECT 1 FROM placed WHERE document = ?1)
"""


def recover(journal: Journal) -> bool:
    """R2: make every unfinished plan a debt; whether there was one, or a debt from before."""
    with journal.transaction("R2") as version:
        db = journal.db
        (found,) = journal.one("SELECT EXISTS (SELECT 1 FROM planned) OR EXISTS (SELECT 1 FROM owed)")
        documents = db.execute("SELECT DISTINCT document FROM planned").fetchall()
        if documents:
            db.execute(_OWE_REST_OF_PLANS.format(which=""), (version,))
            db.execute(_DROP_PLANS.format(which=""))
            db.execute("DELETE FROM planned")
            db.executemany(_DROP_UNPLACED, documents)
    return bool(found)


def plan(journal: Journal, works: Sequence[Work]) -> int:
    """T1: write down what the stores are going to get, and return the version; what they owed has been paid."""
    with journal.transaction("T1") as version:
        db = journal.db
        for work in works:
            _unsettle(journal, work.item)
            if work.n == 0:
                sql = "INSERT INTO document (id, item) VALUES (?, ?)"
                work.n = db.execute(sql, (work.document.id, work.item.n)).lastrowid or 0
        pairs = [(work.n, made) for work in works for made in work.versions.values()]
        db.executemany("INSERT INTO planned VALUES (?, ?, ?, ?)", [(n, m.store, version, m.key) for n, m in pairs])
        db.executemany(
            "INSERT INTO row VALUES (?, ?, ?, ?, ?, ?)",
            ((n, made.store, version, chunk, *about) for n, made in pairs for chunk, about in made.rows.items()),
        )
    return version


def confirm(journal: Journal, works: Sequence[Work], batch: Batch) -> None:
    """T2: make the planned versions live, and debts of what they replace; of a work that failed, of the plan everywhere.

    `works` are those of the batch that were planned.
    """
    with journal.transaction("T2") as version:
        db = journal.db
        failed = [(work.n,) for work in works if work.reason]
        for which in failed:
            db.execute(_OWE_REST_OF_PLANS.format(which="p.document = ?2 AND"), (version, *which))
            db.execute(_DROP_PLANS.format(which="WHERE document = ?"), which)
            db.execute("DELETE FROM planned WHERE document = ?", which)
        db.executemany(_DROP_UNPLACED, failed)
        db.execute(_OWE_REST_OF_LIVE, (version,))
        db.execute(_DROP_LIVE)
        db.execute("INSERT OR REPLACE INTO placed SELECT * FROM planned")
        db.execute("DELETE FROM planned")
        done = [(work.item.n, work.document.id) for work in works if not work.reason]
        db.executemany("DELETE FROM failed WHERE item = ? AND id = ?", done)
        _settle(journal, batch)


def settle(journal: Journal, batch: Batch) -> None:
    """Write failures, settled items and moves where no document is to be confirmed."""
    with journal.transaction("settle"):
        _settle(journal, batch)


def _number(journal: Journal, item: ItemWork) -> None:
    if item.n == 0:
        item.n = journal.add_item(item.source, item.id, item.locator)


def _unsettle(journal: Journal, item: ItemWork) -> None:
    """Forget the item's key: otherwise an item that goes back to an earlier form would seem unchanged."""
    _number(journal, item)
    journal.db.execute("UPDATE item SET key = NULL WHERE n = ?", (item.n,))


def _settle(journal: Journal, batch: Batch) -> None:
    db = journal.db
    for failure in batch.failures:
        _unsettle(journal, failure.item)
        db.execute(
            """INSERT INTO failed VALUES (?, ?, ?, ?, 1)
               ON CONFLICT DO UPDATE SET key = excluded.key, reason = excluded.reason, attempts = attempts + 1""",
            (failure.item.n, failure.id, failure.key, failure.reason),
        )
    for n, item in batch.moves:
        _number(journal, item)
        db.execute("UPDATE item SET key = NULL WHERE n = (SELECT item FROM document WHERE n = ?)", (n,))
        db.execute("UPDATE document SET item = ? WHERE n = ?", (item.n, n))
    for item in batch.items:
        _number(journal, item)
        db.execute("UPDATE item SET key = ?, locator = ? WHERE n = ?", (item.key, item.locator, item.n))
        sql = "DELETE FROM failed WHERE item = ? AND id NOT IN (SELECT value FROM json_each(?))"
        db.execute(sql, (item.n, json.dumps(item.failed)))


def forgive(journal: Journal, documents: Iterable[str]) -> None:
    """Forget failures that were the system's; their items are read again."""
    with journal.transaction("forgive"):
        for id in documents:
            journal.db.execute("UPDATE item SET key = NULL WHERE n IN (SELECT item FROM failed WHERE id = ?)", (id,))
            journal.db.execute("DELETE FROM failed WHERE id = ?", (id,))


def owed(journal: Journal, store: int, size: int) -> Iterator[tuple[int, list[str]]]:
    """The debts of a store in parts of one version each; a part has to be paid before the next is asked for."""
    while True:
        sql = "SELECT v, chunk FROM owed WHERE store = ? ORDER BY v LIMIT ?"
        found = journal.db.execute(sql, (store, size)).fetchall()
        if not found:
            return
        version = found[0][0]
        yield version, [chunk for v, chunk in found if v == version]


def paid(journal: Journal, store: int, version: int, chunks: Sequence[str]) -> None:
    """T3: erase debts that were paid, unless they have been made again since."""
    with journal.transaction("T3"):
        sql = "DELETE FROM owed WHERE store = ? AND chunk = ? AND v = ?"
        journal.db.executemany(sql, [(store, chunk, version) for chunk in chunks])


def remove(journal: Journal, documents: Sequence[int]) -> None:
    """Make every row of the documents a debt, in every store, and forget the documents."""
    with journal.transaction("remove") as version:
        db = journal.db
        one = [(n,) for n in documents]
        db.executemany(
            "INSERT OR REPLACE INTO owed SELECT store, chunk, ?1 FROM row WHERE document = ?2",
            [(version, n) for n in documents],
        )
        # An item that comes back as it was must not seem unchanged.
        db.executemany("UPDATE item SET key = NULL WHERE n = (SELECT item FROM document WHERE n = ?)", one)
        for table in ("row", "placed", "planned"):
            db.executemany(f"DELETE FROM {table} WHERE document = ?", one)
        db.executemany("""DELETE FROM failed WHERE (item, id) IN (SELECT item, id FROM document WHERE n = ?)""", one)
        db.executemany("DELETE FROM document WHERE n = ?", one)
