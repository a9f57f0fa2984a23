"""One run: what the source yields is compared with the journal, and what differs is written batch by batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hookrag.errors import BudgetExceeded, DeadlineExceeded, ItemRejected
from hookrag.filters import FieldType
from hookrag.ingest import claims, plans, removal
from hookrag.ingest.calls import Stores
from hookrag.ingest.failures import Streaks
from hookrag.ingest.items import Item, Skipped, Unread, cleaned, content_key, digest, printable, readable
from hookrag.ingest.journal import Journal, Known
from hookrag.ingest.plans import Failure, ItemState, Planned, Settled
from hookrag.ingest.prepare import Preparer, Work
from hookrag.ingest.report import Phase, Problem, Progress, Report
from hookrag.values import Document

T = TypeVar("T")

DOCUMENTS_AT_ONCE = 2000
SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run was asked to do."""

    source: str
    complete: bool
    under: str
    root: Path | None
    prune: bool
    retry_failed: bool
    dry_run: bool
    take_over: bool
    rebuild: Collection[str]
    fields: Mapping[str, FieldType]
    batch_bytes: int
    patience: float
    progress: Callable[[Progress], None] | None


class Session:
    """A run under the lock, with the journal open; `report` says how far it came, also when it was stopped."""

    def __init__(self, settings: Settings, journal: Journal, stores: Stores) -> None:
        self._settings = settings
        self._journal = journal
        self._stores = stores
        self.report = Report(source=settings.source, dry_run=settings.dry_run)
        self.streaks = Streaks()
        self._batch: list[Work] = []
        self._size = 0
        self._settled = Settled()
        self._shrunk: list[ItemState] = []
        self._numbers: dict[str, int] = {}
        self._source = 0
        # The vectors of every token are some hundred times as large as the text.
        multi = any("multi" in target.embed_key for target in stores.targets)
        self._limit = settings.batch_bytes // 16 if multi else settings.batch_bytes

    def run(self, entries: Iterable[Document | Item | Unread | Skipped]) -> None:
        """Everything, from the stores' cards to the removals."""
        self._begin()
        (before,) = self._journal.one("SELECT coalesce(max(n), 0) FROM document")
        for entry in self._timed(iter(entries)):
            self._take(entry)
        self._flush()
        removal.remove_gone(self._journal, self._settings, self.report, self._source, before)
        if not self._settings.dry_run:
            if self._shrunk and not self.report.held:
                plans.settle(self._journal, Settled(items=self._shrunk))
            self._pay()
            self._count_lacking()
        self._tell("write")

    def _count_lacking(self) -> None:
        (documents,) = self._journal.one("SELECT count(*) FROM document")
        for name, number in self._numbers.items():
            sql = "SELECT count(*) FROM placed WHERE store = ? AND key <> X''"
            (placed,) = self._journal.one(sql, (number,))
            if placed < documents:
                self.report.lacking[name] = documents - placed

    def _begin(self) -> None:
        settings, journal, stores = self._settings, self._journal, self._stores
        if settings.dry_run:
            for target in stores.targets:
                error = claims.refusal(journal, target, stores.card(target))
                if error is not None:
                    raise error
                known = journal.store(target.name)
                # A store that is new has nothing placed under any number.
                self._numbers[target.name] = known.n if known else -1 - len(self._numbers)
            self._source = journal.find_source(settings.source)
        else:
            self._numbers = claims.admit(journal, stores, rebuild=settings.rebuild, take_over=settings.take_over)
            if plans.recover(journal):
                self._let_settle()
            with journal.transaction("source"):
                self._source = journal.source(settings.source)
        self._preparer = Preparer(
            journal, stores, self._numbers, fields=settings.fields, patience=settings.patience, report=self.report,
            fail=self._fail_work, streaks=self.streaks, step=lambda: self._tell("embed"),
        )  # fmt: skip

    def _let_settle(self) -> None:
        """Wait until what a run before may have sent has arrived at servers that would not know it for outdated."""
        waiting = [target for target in self._stores.targets if not target.fenced]
        for target in waiting:
            self._stores.sync(target)
        if waiting:
            time.sleep(SETTLE_SECONDS)
        for target in waiting:
            self._stores.sync(target)

    def _tell(self, phase: Phase) -> None:
        if self._settings.progress is not None:
            self._settings.progress(self.report.progress(phase))

    def _timed(self, entries: Iterator[T]) -> Iterator[T]:
        """The same, with the time it takes to get them counted as reading."""
        while True:
            with self.report.timed("read"):
                entry = next(entries, None)
            if entry is None:
                return
            yield entry

    # What the source yields.

    def _take(self, entry: Document | Item | Unread | Skipped) -> None:
        match entry:
            case Unread():
                self._unread(entry.id, entry.locator, entry.reason)
            case Skipped():
                if self._journal.item(self._source, printable(entry.id))[0]:
                    self._unread(entry.id, entry.locator, entry.reason)
                else:
                    self.report.skipped[entry.reason] = self.report.skipped.get(entry.reason, 0) + 1
            case Item():
                self._item(entry)
            case Document():
                self._single(entry)

    def _unread(self, id: str, locator: str, reason: str) -> None:
        self.report.unread.append(Problem(printable(id), printable(locator), printable(reason)))

    def _state(self, id: str, locator: str, key: str | bytes) -> ItemState | None:
        """The item as it has to become; None where it is that already."""
        self.report.items += 1
        recipes = [part for target in self._stores.targets for part in (target.name, target.recipe)]
        wanted = digest(key, *recipes)
        n, found = self._journal.item(self._source, id)
        if found == wanted:
            indexed, failed = self._journal.count(n)
            if not (failed and self._settings.retry_failed):
                self._journal.see_item(n, loaded=False)
                self.report.unchanged += indexed
                self.report.failed_before += failed
                return None
        if n:
            self._journal.see_item(n, loaded=True)
        return ItemState(self._source, id, wanted, locator, n)

    def _single(self, document: Document) -> None:
        try:
            ready, surrogates = cleaned(document)
            content = content_key(ready)
        except ItemRejected as error:
            id = printable(document.id)
            n = self._journal.item(self._source, id)[0]
            if n:
                self._journal.see_item(n, loaded=False)
            self._fail(ItemState(self._source, id, b"", "", n), id, b"", str(error))
            return
        if not self._journal.see(ready.id):
            # Not for the journal: there the item of this id is settled by the first of them.
            self.report.failed.append(Problem(ready.id, "", _twice(ready.id)))
            return
        state = self._state(ready.id, "", content)
        if state is not None:
            self.report.surrogates += surrogates
            self._document(state, ready, content)
            self._finish(state)

    def _item(self, item: Item) -> None:
        id = printable(item.id)
        state = self._state(id, printable(item.locator), item.key)
        if state is None:
            return
        for document in self._timed(_guarded(item, self._limit)):
            if isinstance(document, Unread):
                self._unread(document.id, document.locator, document.reason)
                return
            self._raw(state, document)
        self._finish(state)

    def _raw(self, state: ItemState, document: Document) -> None:
        try:
            ready, surrogates = cleaned(document)
            content = content_key(ready)
        except ItemRejected as error:
            self._fail(state, printable(document.id), b"", str(error))
            return
        self.report.surrogates += surrogates
        if self._journal.see(ready.id):
            self._document(state, ready, content)
        else:
            self._fail(state, ready.id, content, _twice(ready.id))

    def _document(self, state: ItemState, document: Document, content: bytes) -> None:
        journal = self._journal
        known = journal.document(document.id)
        if known is not None and known.item != state.n:
            reason = self._taken(known, document.id)
            if reason:
                self._fail(state, document.id, content, reason)
                return
            self._settled.moves.append((known.n, state))
        placed = journal.placed(known.n) if known else {}
        wanted = {target.name: digest(content, target.recipe) for target in self._stores.targets}
        keys = {name: key for name, key in wanted.items() if placed.get(self._numbers[name]) != key}
        failing = digest(*wanted.values())
        if not keys:
            self.report.unchanged += 1
        elif state.n and not self._settings.retry_failed and journal.failure(state.n, document.id) == failing:
            state.failed.append(document.id)
            self.report.failed_before += 1
        else:
            # Before and not after, so that an item is settled together with the last of its documents.
            if self._size + len(document.text) > self._limit or len(self._batch) >= DOCUMENTS_AT_ONCE:
                self._flush()
            self._batch.append(Work(document, state, known, failing, keys))
            self._size += len(document.text)

    def _taken(self, known: Known, id: str) -> str:
        """Why a document cannot go to another item than the one that gave it before; "" where it can."""
        name, item, locator = self._journal.db.execute(
            "SELECT s.name, i.id, i.locator FROM item i JOIN source s ON s.n = i.source WHERE i.n = ?", (known.item,)
        ).fetchone()
        if name and known.source != self._source:
            return (
                f"document id {id!r} is taken by {locator or item} of the source {name}: ids must be unique in an index"
            )
        if self._journal.met_unchanged(known.item):
            return f"document id {id!r} is taken by {locator or item}: ids must be unique in an index"
        return ""

    def _finish(self, state: ItemState) -> None:
        """All documents of an item were taken: it is settled when they are, and when those it lost are removed."""
        sql = "SELECT EXISTS (SELECT 1 FROM document WHERE item = ? AND id NOT IN (SELECT id FROM temp.seen))"
        shrunk = state.n and self._journal.one(sql, (state.n,))[0]
        (self._shrunk if shrunk else self._settled.items).append(state)
        if len(self._settled) >= DOCUMENTS_AT_ONCE:
            self._flush()

    # Failures.

    def _fail(self, state: ItemState, id: str, key: bytes, reason: str) -> None:
        self.report.failed.append(Problem(id, state.locator, reason))
        self._settled.failures.append(Failure(state, id, key, reason))
        state.failed.append(id)

    def _fail_work(self, work: Work, reason: str) -> None:
        if not work.reason:
            work.reason = reason or "no reason given"
            self._fail(work.item, work.document.id, work.key, work.reason)

    # A batch.

    def _flush(self) -> None:
        batch, self._batch, self._size = self._batch, [], 0
        if self._settings.dry_run:
            self._preparer.chunks(batch)
            self._count(batch)
            self._settled = Settled()
            return
        works = self._preparer.rows(batch)
        planned = [
            Planned(
                work.document.id, work.item, work.n, {self._numbers[name]: made for name, made in work.nexts.items()}
            )
            for work in works
        ]
        if planned:
            with self.report.timed("journal"):
                version = plans.plan(self._journal, planned)
            with self.report.timed("write"):
                self._write(works, version)
        settled, self._settled = self._settled, Settled()
        with self.report.timed("journal"):
            if planned:
                failed = {work.document.id: work.reason for work in works if work.reason}
                plans.confirm(self._journal, planned, failed, settled)
            elif settled:
                plans.settle(self._journal, settled)
        self._count(batch)
        if planned:
            self._pay()
            self._tell("write")

    def _count(self, batch: Iterable[Work]) -> None:
        for work in batch:
            if not work.reason:
                self.report.new += work.known is None
                self.report.changed += work.known is not None

    def _write(self, works: Iterable[Work], version: int) -> None:
        """W and B: put what is not there into each store, then wait until all of it is durable and visible."""
        written = []
        for target in self._stores.targets:
            stage = f"writing to {target}"
            owners = {
                row.chunk.id: work for work in works for row in work.fresh.get(target.name, ()) if not work.reason
            }
            rows = [row for work in works if not work.reason for row in work.fresh.get(target.name, ())]
            for tried, refused in self._stores.put(target, rows, version):
                for row in tried:
                    work = owners[row.chunk.id]
                    if row.chunk.id in refused:
                        reason = f"{target} refused a row: {refused[row.chunk.id]}"
                        self.streaks.failed(stage, work.document.id, reason)
                        self._fail_work(work, reason)
                    else:
                        self.streaks.passed(stage)
                        self.report.written += 1
            if rows:
                written.append(target)
        for target in written:
            self._stores.sync(target)

    def _pay(self) -> None:
        with self.report.timed("write"):
            for target in self._stores.targets:
                self._stores.pay(self._journal, target, self._numbers[target.name])


def _twice(id: str) -> str:
    return f"document id {id!r} was met twice in this run: ids must be unique"


def _guarded(item: Item, limit: int) -> Iterator[Document | Unread]:
    """The documents of an item, and an Unread where there should have been more."""
    try:
        yield from readable(item, limit)
    except (DeadlineExceeded, BudgetExceeded):
        raise
    except Exception as error:
        yield Unread(item.id, item.locator, str(error) or type(error).__name__)
