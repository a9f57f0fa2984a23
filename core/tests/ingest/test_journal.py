"""The journal's file: durable, versioned, and quick however much is in it."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing

import pytest
from hookrag import IdentityError
from hookrag.ingest import Given, Ingest, IngestStopped, check_identity, plans, status
from hookrag.ingest.coverage import known_stores
from hookrag.ingest.journal import Journal

from .fakes import FakeStore, run, target


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path / "journal.sqlite3", fault=lambda place: None)
    yield made
    made.close()


def test_what_is_committed_survives_a_loss_of_power(journal):
    assert journal.db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert journal.db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal.db.execute("PRAGMA user_version").fetchone() == (1,)


def test_versions_rise_and_a_lost_journal_goes_on_above(journal, tmp_path):
    given = []
    for _ in range(100):
        with journal.transaction("any") as version:
            given.append(version)
    assert sorted(set(given)) == given
    assert given[-1] <= time.time_ns() // 1000
    other = Journal(tmp_path / "other.sqlite3", fault=lambda place: None)
    with other.transaction("any") as version:
        assert version > given[-1]
    other.close()


def test_a_transaction_that_fails_leaves_nothing(journal):
    def failing():
        with journal.transaction("any"):
            journal.source("docs")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert journal.find_source("docs") == 0


@pytest.mark.parametrize(
    "sql",
    [
        plans._OWE_REST_OF_PLANS.format(which=""),
        plans._OWE_REST_OF_PLANS.format(which="p.document = 1 AND"),
        plans._DROP_PLANS.format(which=""),
        plans._OWE_REST_OF_LIVE,
        plans._DROP_LIVE,
        "SELECT v, chunk FROM owed WHERE store = 1 ORDER BY v LIMIT 1",
    ],
)
def test_what_a_batch_costs_does_not_grow_with_the_index(journal, sql):
    """Only the table of what is planned is read from end to end, and nothing is sorted."""
    steps = [row[3] for row in journal.db.execute(f"EXPLAIN QUERY PLAN {sql.replace('?1', '1')}")]
    assert [step for step in steps if re.match("SCAN (?!p$)|USE TEMP", step)] == []


WAY_OUT = (
    "Its file is damaged. Move it away, with the files beside it that begin with its name, then have it made anew from the "
    "stores: hookrag index --take-over PATH..."
)


def overwrite(path, table, column=None):
    """Bend the pages of a table, or a text of it so that it is none."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        if column:
            db.execute(f"UPDATE {table} SET {column} = CAST(X'61FF' AS TEXT) WHERE n = 1")
            return
        pages = [n for (n,) in db.execute("SELECT rootpage FROM sqlite_schema WHERE tbl_name = ?", (table,))]
        (size,) = db.execute("PRAGMA page_size").fetchone()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * size)
            file.write(b"\xff" * size)


@pytest.mark.parametrize(
    ("table", "column", "ways"),
    [
        ("meta", None, {"verify": "read", "run": "written"}),
        ("placed", None, {"verify": "compared with [stores.s]", "run": "used", "status": "read"}),
        ("row", None, {"verify": "read", "run": "used", "status": "read"}),
        ("document", "id", {"verify": "compared with [stores.s]"}),
        ("store", "name", {"status": "read"}),
    ],
)
def test_a_journal_that_is_damaged_is_named_with_the_way_out(table, column, ways, tmp_path):
    store, path = FakeStore(), tmp_path / "journal.sqlite3"
    run(tmp_path, [store], [(f"d{n}", f"line {n}") for n in range(9)])
    del store.rows[min(store.rows)]
    before = dict(store.rows)
    overwrite(path, table, column)
    calls = {
        "verify": Ingest(tmp_path, [target(store)], patience=0.1).verify,
        "status": lambda: status(tmp_path),
        "run": lambda: run(tmp_path, [store], [("d0", "line 0, changed")]),
    }
    for way, doing in ways.items():
        with pytest.raises(IngestStopped) as stopped:
            calls[way]()
        first, second = str(stopped.value).split("\n")
        assert first.startswith(f"the journal {path} cannot be {doing}: "), way
        assert second == WAY_OUT, "and not that the same command goes on"
    assert store.rows == before


def test_what_another_database_says_is_not_taken_for_the_journals(tmp_path):
    (tmp_path / "mine.db").write_text("not a database, but long enough to be looked at as one" * 40)

    def documents():
        with closing(sqlite3.connect(tmp_path / "mine.db")) as db:
            yield from db.execute("SELECT * FROM pages")

    with pytest.raises(IngestStopped) as stopped:
        Ingest(tmp_path, [target(FakeStore())]).run(Given(documents(), "mine", complete=True))
    assert str(stopped.value).startswith(
        "the source of the documents failed: file is not a database\nindexing was stopped"
    )
    assert str(tmp_path) not in str(stopped.value)


def test_status_of_an_index_where_no_file_can_be_made(tmp_path):
    run(tmp_path, [FakeStore()], [("a", "one"), ("b", "two")])
    path = tmp_path / "journal.sqlite3"
    # In its way where SQLite makes the file that it needs to read beside writers, as a read-only file system is.
    (tmp_path / "journal.sqlite3-shm").symlink_to("nowhere")
    assert status(tmp_path).documents == {"docs": 2}
    (tmp_path / "journal.sqlite3-wal").write_bytes(b"")
    assert status(tmp_path).documents == {"docs": 2}
    # Whoever else only reads it reads it in the same way.
    assert known_stores(tmp_path) == {"s": True}
    with pytest.raises(IdentityError, match=r"^\[stores.s\] is empty, but the journal in "):
        check_identity(tmp_path, [target(FakeStore())])
    (tmp_path / "journal.sqlite3-wal").write_bytes(b"what was written last")
    with pytest.raises(IngestStopped) as error:
        status(tmp_path)
    assert str(error.value) == (
        f"the journal {path} cannot be read: unable to open database file. What was written last is still in {path}-wal, "
        f"which is read only where {tmp_path} can be written: make that folder writable, or copy it to where it can"
    )
