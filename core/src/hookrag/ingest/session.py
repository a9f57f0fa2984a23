"""One run: what the source yields is compared with the journal, and what differs is written batch by batch."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextvars import copy_context
from dataclasses import dataclass, replace
from threading import Event

from hookrag.ingest import claims, plans, removal
from hookrag.ingest.estimate import Estimator
from hookrag.ingest.failures import Streaks
from hookrag.ingest.intake import Batch, Entry, Intake, timed
from hookrag.ingest.journal import Journal
from hookrag.ingest.plans import Failure, Planned, Settled
from hookrag.ingest.prepare import Prepared, Preparer, Work
from hookrag.ingest.report import Phase, Problem, Report
from hookrag.ingest.settings import Settings
from hookrag.ingest.stores import Stores
from hookrag.ingest.target import Target
from hookrag.runtime.request import current_request, serving

TELL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Embedding:
    """A batch whose vectors are being made."""

    batch: Batch
    prepared: Prepared
    future: Future[None]


class Session:
    """A run under the lock, with the journal open; `report` says how far it came, also when it was stopped.

    Three batches are on their way at most: one is read and cut while the vectors of another are made in a thread of their own,
    and one is written. The journal and the stores belong to this thread, and one batch at a time is planned.
    """

    def __init__(self, settings: Settings, journal: Journal, stores: Stores) -> None:
        self._settings = settings
        self._journal = journal
        self._stores = stores
        self.report = Report(source=settings.source, dry_run=settings.dry_run)
        self.streaks = Streaks()
        self._embedding: _Embedding | None = None
        self._pending = 0
        self._told = time.monotonic()
        self._estimator = Estimator(settings.patience)
        self.report.to_embed = self._estimator.estimates
        self._numbers: dict[str, int] = {}
        self._source = 0

    def run(self, entries: Iterable[Entry]) -> None:
        """Everything, from the stores' cards to the removals."""
        self._begin()
        (before,) = self._journal.one("SELECT coalesce(max(n), 0) FROM document")
        gone = Event()
        # Whatever ends the run ends the thread: it begins no call of an embedder any more.
        with (
            serving(replace(current_request(), cancelled=gone)),
            ThreadPoolExecutor(1, thread_name_prefix="hookrag-embed") as self._thread,
        ):
            try:
                for entry in timed(self.report, iter(entries)):
                    self._intake.take(entry)
                    if time.monotonic() - self._told >= TELL_SECONDS:
                        self._tell("read")
                self._intake.flush()
                self._finish_embedding()
            finally:
                gone.set()
        removal.remove_gone(self._journal, self._settings, self.report, self._source, before)
        if not self._settings.dry_run:
            if self._intake.shrunk and not self.report.held:
                plans.settle(self._journal, Settled(items=self._intake.shrunk))
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
                stores.settle()
            with journal.transaction("source"):
                self._source = journal.source(settings.source)
        self._preparer = Preparer(
            journal, stores, self._numbers, fields=settings.fields, patience=settings.patience, report=self.report,
            fail=self._fail, streaks=self.streaks,
        )  # fmt: skip
        self._intake = Intake(
            journal, stores.targets, self._numbers, source=self._source, retry_failed=settings.retry_failed,
            limit=settings.batch_bytes or _batch_bytes(stores.targets), report=self.report, full=self._full,
        )  # fmt: skip

    def _tell(self, phase: Phase) -> None:
        if self._settings.progress is not None:
            pending = self._intake.size + self._pending
            self._settings.progress(replace(self.report.progress(phase), pending_bytes=pending))
        self._told = time.monotonic()

    # A batch.

    def _full(self, batch: Batch) -> None:
        """Cut the documents of a batch and have their vectors made; meanwhile the batch before is written."""
        if self._settings.dry_run:
            self._estimator.add(self._preparer.begin(batch.works).needs)
            self._count(batch.works)
            return
        self._pending += batch.size
        prepared = self._preparer.begin(batch.works)
        future = self._thread.submit(copy_context().run, self._preparer.embed, prepared)
        self._finish_embedding()
        self._embedding = _Embedding(batch, prepared, future)

    def _finish_embedding(self) -> None:
        """Write the batch whose vectors are being made, as soon as they are."""
        embedding, self._embedding = self._embedding, None
        if embedding is None:
            return
        while not wait_for([embedding.future], TELL_SECONDS).done:
            self._tell("embed")
        embedding.future.result()
        self._store(embedding.batch, self._preparer.finish(embedding.prepared))

    def _fail(self, work: Work, reason: str) -> None:
        if not work.reason:
            work.reason = reason or "no reason given"
            self.report.failed.append(Problem(work.document.id, work.item.locator, work.reason))
            work.settled.failures.append(Failure(work.item, work.document.id, work.key, work.reason))
            work.item.failed.append(work.document.id)

    def _store(self, batch: Batch, works: list[Work]) -> None:
        """Plan, write and confirm a batch, and pay what it owes."""
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
        with self.report.timed("journal"):
            if planned:
                failed = {work.document.id: work.reason for work in works if work.reason}
                plans.confirm(self._journal, planned, failed, batch.settled)
            elif batch.settled:
                plans.settle(self._journal, batch.settled)
        self._count(batch.works)
        self._pending -= batch.size
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
                        self._fail(work, reason)
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


def _batch_bytes(targets: Sequence[Target]) -> int:
    """So little that a run that is cut off loses some seconds of embedding; the vectors of every token take much room, too."""
    if any("multi" in target.embed_key for target in targets):
        return 2**16
    return 2**18 if any(target.embed_key for target in targets) else 2**20
