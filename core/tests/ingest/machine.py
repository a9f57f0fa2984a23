"""Histories of an index, as a state machine over the real ingest: what users, disks and networks do to it, in any order.

`World` is the real journal and the real session over two stores in memory. A run may die, or be stopped by an error, at any
journal or store call and between any two rows; what was under way may arrive later, and what was not synced may be lost.
`Histories` draws what happens; after every step the invariants of the protocol are checked, and at the end every store has to
hold exactly what a fresh index would.
"""

from __future__ import annotations

import copy
import os
import random
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hookrag import Document, IdentityError, IngestRefused
from hookrag.ingest import Given, Ingest, IngestOptions, IngestStopped, Item
from hookrag.ingest.rows import check_of
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from .fakes import Died, FakeStore, Letters, Words, target

NAMES = ("terms", "vectors")
# The files of one source, in two folders, one of them with two documents; and the document of another source.
FILES = ("a/x", "b/z")
OTHERS = ("e",)
PARTS = ("one", "one", "one/a", "two")
TEXTS = ("a\nb", "a\nc", "c", "a\nb\nc", "b", "", "a\nPOISON", "b\nBAD", None)


class Store(FakeStore):
    """A store whose rows are lost if they were not synced, and that may let older writes pass newer ones."""

    def __init__(self, name: str, world: World, *, fenced: bool) -> None:
        super().__init__(name, chunker=world.chunker, embedders={"dense": Letters()} if name == "vectors" else None)
        self.saved = type(self.saved)(uuid=f"{name}-{next(world.numbers)}")
        self.world = world
        self.fenced = fenced
        self.fault = world.step
        self.refuses = lambda row: "bad" if row.chunk.document_id in world.bad and name == "vectors" else ""
        self.kept: tuple[dict, dict] = ({}, {})

    def apply(self, what, id, row, version):
        super().apply(what, id, row, version if self.fenced else 1)

    def sync(self):
        super().sync()
        self.kept = dict(self.rows), dict(self.versions)

    def dies(self) -> None:
        """With the process: a server goes on, what an engine in the process has not synced is gone or not."""
        if self.fenced and self.rng.random() < 0.5:
            self.rows, self.versions = map(dict, self.kept)
            self.late = []

    def copied(self) -> Store:
        other = copy.copy(self)
        other.rows, other.versions, other.late = dict(self.rows), dict(self.versions), []
        other.kept = dict(self.rows), dict(self.versions)
        other.refuses = lambda row: "bad" if row.chunk.document_id in self.world.bad and self.name == "vectors" else ""
        return other


class World:
    """An index, the sources it is made of, and its backup."""

    def __init__(self, folder: Path, *, fenced: bool) -> None:
        self.folder = folder
        self.fenced = fenced
        self.numbers = iter(range(10**9))
        self.rng = random.Random(0)
        self.chunker = Words()
        self.stores = {name: self.new(name) for name in NAMES}
        self.sources: dict[str, dict[str, str]] = {"one": {}, "two": {}}
        self.bad: set[str] = set()
        self.left: int | None = None
        self.how = "dies"
        self.backup: dict[str, Store] | None = None
        self.stale = False
        self.cuts = range(10, 70)

    def new(self, name: str) -> Store:
        return Store(name, self, fenced=self.fenced or name == "terms")

    @property
    def journal(self) -> Path:
        return self.folder / "journal.sqlite3"

    # What cuts a run off.

    def step(self, place: str) -> None:
        if self.left is None:
            return
        self.left -= 1
        if self.left >= 0:
            return
        if self.how == "dies":
            raise Died(place)
        if "row" in place or place.startswith(NAMES):
            self.left = None
            raise RuntimeError(f"disk full at {place}")
        if place.endswith("before"):
            self.left = None
            raise sqlite3.OperationalError(f"disk full at {place}")

    @contextmanager
    def cut(self, after: int | None, how: str, seed: int) -> Iterator[None]:
        """A process that ends after so many steps, if it does."""
        self.left, self.how = after, how
        self.rng = random.Random(seed)
        for store in self.stores.values():
            store.rng = self.rng
        try:
            yield
        except Died:
            for store in self.stores.values():
                store.dies()
        except (IngestStopped, sqlite3.OperationalError, RuntimeError) as error:
            if "disk full" not in str(error):
                raise
        finally:
            self.left = None

    # What people do.

    def edit(self, edits: Mapping[str, str | None]) -> None:
        for id, text in edits.items():
            source = self.sources["two" if id in OTHERS else "one"]
            source.pop(id, None)
            if text is not None:
                source[id] = text

    def ingest(self) -> Ingest:
        context = self.chunker.context
        targets = [
            target(store, recipe=context, fenced=store.fenced, chunker=context) for store in self.stores.values()
        ]
        return Ingest(self.folder, targets, batch_bytes=3, patience=0.01, fault=self.step)

    def entries(self, part: str) -> list[Document | Item]:
        source, _, under = part.partition("/")
        found = {id: text for id, text in self.sources[source].items() if id.startswith(under)}
        made = [made_of(id, text) for id, text in found.items()]
        self.rng.shuffle(made)
        return made

    def index(self, part: str, *, rebuild: tuple[str, ...] = (), retry: bool = False) -> None:
        """A run; where it is refused, what the message says, and again."""
        source, _, under = part.partition("/")
        wipe, take_over = set(rebuild), False
        for _ in range(8):
            try:
                given = Given(self.entries(part), source, under=under, complete=True)
                self.ingest().run(
                    given, IngestOptions(prune=True, retry_failed=retry, rebuild=wipe, take_over=take_over)
                )
            except (IngestRefused, IdentityError) as refused:
                message = str(refused)
            else:
                self.stale = False
                return
            told = re.search(r"hookrag (verify --repair|index( --take-over)?( --rebuild (\w+))?)", message)
            assert told, message
            take_over = take_over or bool(told[2])
            wipe |= {told[4]} if told[4] else set()
            if told[1] == "verify --repair":
                self.ingest().verify(repair=True)
        raise AssertionError(f"what the messages say does not help: {message}")

    def indexed(self, edits: Mapping[str, str | None]) -> None:
        """Edits and a whole run, after which everything is as it should be."""
        self.edit(edits)
        self.index("one")
        self.check()
        self.check_end()

    def cut_off(self, edits: Mapping[str, str | None], after: int) -> None:
        """Edits and a run that dies after so many steps."""
        self.edit(edits)
        with self.cut(after, "dies", 1):
            self.index("one")
        self.check()

    def settles(self) -> None:
        """Time passes: what was under way to a server is there."""
        for store in self.stores.values():
            store.arrive()

    def back_up(self) -> None:
        self.backup = {name: store.copied() for name, store in self.stores.items()}
        (self.folder / "copy").unlink(missing_ok=True)
        if self.journal.exists():
            shutil.copy(self.journal, self.folder / "copy")

    def put_back(self, name: str) -> None:
        """A store or the journal as it was, while the rest stays."""
        if name == "journal":
            self.delete_journal()
            if (self.folder / "copy").exists():
                shutil.copy(self.folder / "copy", self.journal)
            return
        if self.backup is not None:
            self.stores[name] = self.backup[name].copied()
            self.stale = True

    def delete_journal(self) -> None:
        for file in self.folder.glob("journal.sqlite3*"):
            file.unlink()
        # Another journal cannot know what was under way: only a later verify would find that.
        for store in self.stores.values():
            store.late = []
        self.stale = True

    # What has to hold.

    def query(self, sql: str, *values: object) -> set:
        db = sqlite3.connect(self.journal)
        try:
            return {row[0] if len(row) == 1 else row for row in db.execute(sql, values)}
        finally:
            db.close()

    def check(self) -> None:
        """The three invariants, for every store that is the one the journal knows."""
        if self.stale or not self.journal.exists():
            return
        for n, name, uuid in self.query("SELECT n, name, uuid FROM store WHERE NOT wiping"):
            rows = set(self.stores[name].rows)
            if uuid != self.stores[name].saved.uuid:
                continue
            joined = "SELECT chunk FROM {} JOIN row USING (document, store, v) WHERE store = ?"
            live, planned = (self.query(joined.format(table), n) for table in ("placed", "planned"))
            owed = self.query("SELECT chunk FROM owed WHERE store = ?", n)
            assert rows <= live | planned | owed, f"{name}: a row that nobody knows"
            assert live <= rows, f"{name}: a live row is missing"
            assert not owed & (live | planned), f"{name}: a row is owed and wanted"

    def check_end(self) -> None:
        documents = [document for part in ("one", "two") for one in self.entries(part) for document in _documents(one)]
        letters = Letters()
        for name, store in self.stores.items():
            expected = {
                (chunk.id, check_of(chunk, letters.embed([chunk.input], role="document", outputs=["dense"]).dense[0]
                                    if name == "vectors" else None, None, None))
                for chunks in self.chunker.chunk(documents) for chunk in chunks
            }  # fmt: skip
            got = {(row.chunk.id, row.check) for row in store.rows.values()}
            assert got == expected, f"{name}: lost {len(expected - got)} rows, {len(got - expected)} left over"
        for table in ("planned", "owed", "failed"):
            assert self.query(f"SELECT count(*) FROM {table}") == {0}, table
        assert self.query("SELECT id FROM document") == {document.id for document in documents}
        stray = "SELECT count(*) FROM row WHERE (document, store, v) NOT IN (SELECT document, store, v FROM placed)"
        assert self.query(stray) == {0}
        assert self.ingest().verify().ok


def made_of(id: str, text: str) -> Document | Item:
    """What a source yields: a document, a file with one, or a file with two."""
    if id in OTHERS:
        return Document(id, text)
    documents = [Document(id, text)] if id != "b/z" else [Document("z1", text), Document("z2", f"{text}\nb")]
    return Item(id, text, lambda: iter(documents), id)


def _documents(entry: Document | Item) -> list[Document]:
    return [entry] if isinstance(entry, Document) else list(entry.load())


# Where a run is cut off: never, or after so many steps.
STEPS = st.integers(0, 60)
CUT = st.none() | STEPS
HOW = st.sampled_from(["dies", "stops"])
SEED = st.integers(0, 3)
DISASTERS = (
    "terms replaced", "vectors replaced", "terms put back", "vectors put back", "journal put back", "journal deleted",
    "settings changed",
)  # fmt: skip
EDITS = st.dictionaries(st.sampled_from(FILES + OTHERS), st.sampled_from(TEXTS), max_size=3)


class Histories(RuleBasedStateMachine):
    """What may happen to an index; each rule is one thing."""

    @initialize(fenced=st.booleans())
    def begin(self, fenced: bool) -> None:
        self.whole = True
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self.folder.name), fenced=fenced)
        self.sleep = time.sleep
        time.sleep = lambda seconds: self.world.settles()

    @contextmanager
    def happening(self) -> Iterator[World]:
        """Something happens, and the invariants hold after it."""
        self.whole = False
        yield self.world
        self.world.check()
        self.whole = True

    @rule(edits=EDITS, part=st.sampled_from(PARTS), retry=st.booleans())
    def index(self, edits: Mapping[str, str | None], part: str, retry: bool) -> None:
        with self.happening() as world:
            world.back_up()
            world.edit(edits)
            world.index(part, retry=retry)

    @rule(edits=EDITS, part=st.sampled_from(PARTS), cut=STEPS, how=HOW, seed=SEED)
    def index_cut_off(self, edits: Mapping[str, str | None], part: str, cut: int, how: str, seed: int) -> None:
        with self.happening() as world:
            world.edit(edits)
            with world.cut(cut, how, seed):
                world.index(part)

    # What matters most is drawn more often.
    index_cut_off_again = index_cut_off

    @rule(store=st.sampled_from(NAMES), part=st.sampled_from(PARTS), cut=CUT, how=HOW, seed=SEED)
    def rebuild(self, store: str, part: str, cut: int | None, how: str, seed: int) -> None:
        with self.happening() as world, world.cut(cut, how, seed):
            world.index(part, rebuild=(store,))

    @rule(cut=CUT, how=HOW, seed=SEED)
    def repair(self, cut: int | None, how: str, seed: int) -> None:
        with self.happening() as world, world.cut(cut, how, seed):
            world.ingest().verify(repair=True)

    @rule(store=st.sampled_from(NAMES), seed=SEED)
    def late_writes_arrive(self, store: str, seed: int) -> None:
        with self.happening() as world:
            world.stores[store].rng = random.Random(seed)
            world.stores[store].arrive(0.5)

    @rule(document=st.sampled_from(["a/x", "z1", "e"]))
    def refuse_or_accept(self, document: str) -> None:
        self.world.bad ^= {document}

    @rule(what=st.sampled_from(DISASTERS))
    def disaster(self, what: str) -> None:
        with self.happening() as world:
            match what.split(" ", 1):
                case [("terms" | "vectors") as name, "replaced"]:
                    world.stores[name] = world.new(name)
                case [name, "put back"]:
                    world.put_back(name)
                case ["journal", "deleted"]:
                    world.delete_journal()
                case ["settings", "changed"]:
                    world.chunker.context = "" if world.chunker.context else "x"

    def teardown(self) -> None:
        """All is well again, and one run of each source makes the index whole."""
        try:
            if self.whole:
                self.end()
        finally:
            time.sleep = self.sleep
            self.folder.cleanup()

    def end(self) -> None:
        world = self.world
        world.bad = set()
        for source in world.sources.values():
            source.update({id: "c" for id, text in source.items() if "POISON" in text or "BAD" in text})
        for part in ("one", "two", "one"):
            world.index(part, retry=True)
        world.settles()
        world.check()
        world.check_end()


class Quick(sqlite3.Connection):
    """No waiting for the disk, for these processes only pretend to die; and statements may be changed, for mutants."""

    change: Callable[[str], str] = staticmethod(lambda sql: sql)

    def execute(self, sql, *arguments):  # type: ignore[override]
        return super().execute(self.change(sql.replace("synchronous = FULL", "synchronous = OFF")), *arguments)

    def executemany(self, sql, *arguments):  # type: ignore[override]
        return super().executemany(self.change(sql), *arguments)


HISTORIES = int(os.environ.get("HOOKRAG_HISTORIES", "0"))
