"""Random histories against the real code: whatever dies, arrives late, fails, or is put back, nothing is lost or left behind.

The histories of the model that the protocol was designed with: edits and removals, also A -> B -> A, over two stores that apply
batches row by row; death at any journal or store call; what was under way arrives later or never; documents that one
store refuses; stores that are emptied, and besides stores and journals that are put back from a copy.
"""

from __future__ import annotations

import contextlib
import copy
import os
import random
import re
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hookrag import Document, IngestRefused
from hookrag.ingest import Given, Ingest, IngestOptions

from .fakes import Died, FakeStore, Letters, Words, run, target

TEXTS = ("a\nb", "a\nc", "c", "a\nb\nc", "b", "")


class World:
    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng = rng
        self.folder = folder
        self.chunker = Words()
        self.stores = {}
        for name in ("terms", "vectors"):
            self.new_store(name)
        self.source: dict[str, str] = {}
        self.bad: set[str] = set()
        self.budget: int | None = None
        self.copies: dict[str, FakeStore] = {}
        self.stale: set[str] = set()

    def new_store(self, name: str) -> None:
        embedders = {"dense": Letters()} if name == "vectors" else None
        store = FakeStore(name, chunker=self.chunker, embedders=embedders)
        store.saved = type(store.saved)(uuid=f"{name}-{self.rng.random()}")
        self.stores[name] = self.ready(store)

    def ready(self, store: FakeStore) -> FakeStore:
        store.rng = self.rng
        store.fault = self.step
        store.refuses = lambda row: "bad" if store.name == "vectors" and row.chunk.document_id in self.bad else ""
        return store

    def step(self, place: str) -> None:
        if self.budget is not None:
            if self.budget <= 0:
                raise Died(place)
            self.budget -= 1

    def ingest(self) -> Ingest:
        return Ingest(self.folder, [target(store) for store in self.stores.values()], batch_bytes=3, fault=self.step)

    def index(self, *, complete: bool = True, retry_failed: bool = False) -> None:
        """A run; where it is refused, first what the message says."""
        documents = [Document(id, text) for id, text in self.source.items()]
        self.rng.shuffle(documents)
        rebuild: set[str] = set()
        for _ in range(6):
            try:
                given = Given(documents, "docs", complete=complete)
                self.ingest().run(given, IngestOptions(prune=True, retry_failed=retry_failed, rebuild=rebuild))
            except IngestRefused as refused:
                message = str(refused)
            else:
                self.stale.clear()
                return
            told = re.search(r"hookrag (verify --repair|index --rebuild (\w+))", message)
            assert told, message
            if told[2]:
                rebuild.add(told[2])
            else:
                self.ingest().verify(repair=True)
        raise AssertionError("what the messages say does not help")

    def disturb(self) -> None:
        rng = self.rng
        if rng.random() < 0.06:
            self.new_store(rng.choice(list(self.stores)))
        if rng.random() < 0.15:
            self.copies = {name: copy.copy(store) for name, store in self.stores.items()}
            for name, store in self.copies.items():
                store.rows, store.versions = dict(store.rows), dict(store.versions)
                assert store.name == name
        if self.copies and rng.random() < 0.06:
            name = rng.choice(list(self.stores))
            back = copy.copy(self.copies[name])
            if back.saved.uuid == self.stores[name].saved.uuid and back.saved != self.stores[name].saved:
                back.rows, back.versions, back.late = dict(back.rows), dict(back.versions), []
                self.stores[name] = self.ready(back)
                self.stale.add(name)
        journal = self.folder / "journal.sqlite3"
        if journal.exists() and rng.random() < 0.1:
            shutil.copy(journal, self.folder / "copy")
        elif (self.folder / "copy").exists() and rng.random() < 0.06:
            for one in self.folder.glob("journal.sqlite3*"):
                one.unlink()
            shutil.copy(self.folder / "copy", journal)
            self.stale |= set(self.stores)
            # A journal that was put back cannot know what was under way: only the next verify finds that.
            for store in self.stores.values():
                store.late = []

    def journal(self) -> sqlite3.Connection:
        return sqlite3.connect(self.folder / "journal.sqlite3")

    def check(self) -> None:
        """The three invariants, for every store that is the one the journal knows."""
        if self.stale or not (self.folder / "journal.sqlite3").exists():
            return
        db = self.journal()
        try:
            records = db.execute("SELECT n, name, uuid, wiping FROM store").fetchall()
            for n, name, uuid, wiping in records:
                store = self.stores[name]
                if uuid != store.saved.uuid or wiping:
                    continue
                live, planned = (
                    {
                        c
                        for (c,) in db.execute(
                            f"SELECT chunk FROM {table} JOIN row USING (document, store, v) WHERE store = ?", (n,)
                        )
                    }
                    for table in ("placed", "planned")
                )
                owed = {c for (c,) in db.execute("SELECT chunk FROM owed WHERE store = ?", (n,))}
                assert set(store.rows) <= live | planned | owed, "a row that nobody knows"
                assert live <= set(store.rows), "a live row is missing"
                assert not owed & (live | planned), "a row is owed and wanted"
        finally:
            db.close()

    def check_end(self) -> None:
        with tempfile.TemporaryDirectory() as fresh:
            ideal = {
                name: FakeStore(name, chunker=self.chunker, embedders=s.embedders) for name, s in self.stores.items()
            }
            run(Path(fresh), list(ideal.values()), list(self.source.items()))
        for name, store in self.stores.items():
            got = {(row.chunk.id, row.check) for row in store.rows.values()}
            assert got == {(row.chunk.id, row.check) for row in ideal[name].rows.values()}
        db = self.journal()
        try:
            for table in ("planned", "owed", "failed"):
                assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
            assert {id for (id,) in db.execute("SELECT id FROM document")} == set(self.source)
            stray = "SELECT count(*) FROM row WHERE (document, store, v) NOT IN (SELECT document, store, v FROM placed)"
            assert db.execute(stray).fetchone() == (0,)
        finally:
            db.close()
        assert self.ingest().verify().ok


def history(rng: random.Random, folder: Path, *, restore: bool) -> None:
    world = World(rng, folder)
    for _ in range(rng.randint(2, 9)):
        for id in ("d0", "d1", "d2"):
            chance = rng.random()
            if chance < 0.5:
                world.source[id] = rng.choice(TEXTS)
            elif chance < 0.6:
                world.source.pop(id, None)
        world.bad = {id for id in ("d0", "d1", "d2") if rng.random() < 0.1}
        if restore:
            world.disturb()
        world.budget = rng.randint(0, 90) if rng.random() < 0.8 else None
        with contextlib.suppress(Died):
            world.index(complete=rng.random() < 0.8, retry_failed=rng.random() < 0.3)
        world.budget = None
        world.check()
        for store in world.stores.values():
            store.arrive(0.5)
        world.check()
    world.bad = set()
    world.index(retry_failed=True)
    for store in world.stores.values():
        store.arrive()
    world.check()
    world.check_end()


@pytest.fixture
def quick_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk: these processes only pretend to die."""
    connect = sqlite3.connect

    class Quick(sqlite3.Connection):
        def execute(self, sql, *arguments):  # type: ignore[override]
            return super().execute(sql.replace("synchronous = FULL", "synchronous = OFF"), *arguments)

    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, factory=Quick, **k))


# `make soak` asks for thousands.
HISTORIES = int(os.environ.get("HOOKRAG_HISTORIES", "60"))


def test_a_rebuilt_store_is_not_taken_for_the_one_that_an_older_journal_filled(quick_commits, tmp_path):
    history(random.Random(443), tmp_path / "443", restore=True)


@pytest.mark.parametrize("restore", [False, True], ids=["", "restore"])
@pytest.mark.parametrize("first", range(0, HISTORIES, 20))
def test_random_histories_lose_nothing_and_leave_nothing(quick_commits, tmp_path, restore, first):
    for seed in range(first, first + 20):
        folder = tmp_path / str(seed)
        try:
            history(random.Random(seed), folder, restore=restore)
        except Exception as error:
            error.add_note(f"history {seed}, restore={restore}")
            raise
