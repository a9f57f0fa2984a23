"""The journal's file: durable, versioned, and quick however much is in it."""

from __future__ import annotations

import re
import time

import pytest
from hookrag.ingest import plans
from hookrag.ingest.journal import Journal


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
