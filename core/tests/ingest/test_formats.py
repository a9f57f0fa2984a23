"""Formats of the journal: files of every release open and verify, older ones are migrated whole or not at all."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hookrag import IdentityError
from hookrag.ingest import Ingest, IngestStopped, formats, status
from hookrag.ingest.journal import Journal

from .fakes import FakeStore, run, target

KEPT = Path(__file__).parent / "formats"
DOCUMENTS = [("a", "one\nzwei"), ("b", "three"), ("c", ""), ("é", "naïve\nBAD")]  # as in formats/keep.py


def restored(folder, found):
    """The journal and the store that a release with this format left."""
    with closing(sqlite3.connect(folder / "journal.sqlite3")) as db:
        db.executescript((KEPT / f"journal-{found}.sql").read_text(encoding="utf-8"))
    return FakeStore(path=Path(shutil.copy(KEPT / f"store-{found}.jsonl", folder)))


def dump(path):
    with closing(sqlite3.connect(path)) as db:
        return list(db.iterdump()), db.execute("PRAGMA user_version").fetchone()


def widen(db):
    """A migration as a release might have one."""
    db.execute("ALTER TABLE failed ADD COLUMN stage TEXT NOT NULL DEFAULT ''")
    db.execute("UPDATE failed SET stage = 'chunking'")


def opened(folder):
    Journal(folder / "journal.sqlite3", fault=lambda place: None).close()


@pytest.mark.parametrize("found", range(1, formats.newest() + 1))
def test_what_a_release_left_opens_verifies_and_goes_on(found, tmp_path):
    store = restored(tmp_path, found)
    ingest = Ingest(tmp_path, [target(store)], patience=0.1)
    (checked,) = ingest.verify().stores
    assert (checked.ok, checked.rows, checked.expected, checked.pending) == (True, 6, 5, 2)
    told = status(tmp_path)
    assert (told.documents, told.unfinished) == ({"docs": 4, "other": 1}, 1)
    assert [problem.id for problem in told.failed] == ["é"]
    report = run(tmp_path, [store], DOCUMENTS)
    # Keys, recipes and ids are what they were: only the plan that was cut off is made again.
    assert (report.unchanged, report.changed, report.new, report.removed, report.failed_before) == (2, 1, 0, 1, 1)
    assert store.texts == ["a:one", "a:zwei", "b:three", "x:five"]
    assert ingest.verify(deep=True).ok


def test_a_newer_format_is_refused_and_nothing_is_touched(tmp_path):
    store = restored(tmp_path, 1)
    path = tmp_path / "journal.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    said = f"^the journal {path} has format 99, this hookrag knows up to {formats.newest()}: use a newer hookrag$"
    for action in (
        lambda: run(tmp_path, [store], DOCUMENTS),
        Ingest(tmp_path, [target(store)]).verify,
        lambda: status(tmp_path),
    ):
        with pytest.raises(IdentityError, match=said):
            action()
    assert path.read_bytes() == before


def test_an_older_format_is_copied_and_then_migrated(tmp_path, monkeypatch):
    restored(tmp_path, 1)
    path, copy = tmp_path / "journal.sqlite3", tmp_path / "journal.sqlite3.format-1.bak"
    (tmp_path / f"{copy.name}.part").write_text("half of a copy that was cut off")
    before = dump(path)
    monkeypatch.setattr(formats, "MIGRATIONS", (widen, lambda db: db.execute("CREATE TABLE third (n INTEGER)")))
    with pytest.raises(IdentityError, match=r"has the old format 1: hookrag verify brings it up to date$"):
        status(tmp_path)
    opened(tmp_path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)
        assert db.execute("SELECT id, stage FROM failed").fetchall() == [("é", "chunking")]
        assert db.execute("SELECT count(*) FROM third").fetchone() == (0,)
    assert dump(copy) == before
    assert sorted(one.name for one in tmp_path.iterdir()) == [path.name, copy.name, "store-1.jsonl"]
    copy.unlink()
    opened(tmp_path)
    assert not copy.exists(), "what is up to date is not copied again"


def test_a_migration_that_fails_leaves_the_journal_as_it_was(tmp_path, monkeypatch):
    restored(tmp_path, 1)
    before = dump(tmp_path / "journal.sqlite3")
    monkeypatch.setattr(formats, "MIGRATIONS", (widen, lambda db: db.execute("UPDATE nowhere SET x = 1")))
    with pytest.raises(IngestStopped, match=r"journal\.sqlite3 cannot be opened: no such table: nowhere$"):
        opened(tmp_path)
    assert dump(tmp_path / "journal.sqlite3") == before


KILLED = """
import os, signal, sys
from pathlib import Path
from hookrag.ingest import formats
from hookrag.ingest.journal import Journal

def widen(db):
    db.execute("ALTER TABLE failed ADD COLUMN stage TEXT NOT NULL DEFAULT ''")
    fault("half")
    db.execute("UPDATE failed SET stage = 'chunking'")

def fault(place):
    if place == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

formats.MIGRATIONS = (widen,)
Journal(Path(sys.argv[1]), fault=fault)
"""


@pytest.mark.parametrize("place", ["migrate: copied", "half", "migrate: inside", "migrate: after"])
def test_killed_while_migrating_it_is_as_it_was_or_migrated(place, tmp_path, monkeypatch):
    store = restored(tmp_path, 1)
    path, copy = tmp_path / "journal.sqlite3", tmp_path / "journal.sqlite3.format-1.bak"
    before = dump(path)
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), place], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert dump(copy) == before
    assert (dump(path) == before) == (place != "migrate: after")
    monkeypatch.setattr(formats, "MIGRATIONS", (widen,))
    opened(tmp_path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT id, stage FROM failed").fetchall() == [("é", "chunking")]
    assert dump(copy) == before
    assert Ingest(tmp_path, [target(store)], patience=0.1).verify().ok
