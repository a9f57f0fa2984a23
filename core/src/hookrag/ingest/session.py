"""One run: what the source yields is compared with the journal, and what differs is written batch by batch."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import closing
from contextvars import copy_context
from dataclasses import replace
from threading import Event

from hookrag.filters import FieldType
from hookrag.ingest import claims, plans, removal
from hookrag.ingest.estimate import Estimator
from hookrag.ingest.failures import RemovalRefused, Streaks
from hookrag.ingest.intake import Intake
from hookrag.ingest.items import Entry
from hookrag.ingest.journal import Journal
from hookrag.ingest.options import Given, IngestOptions
from hookrag.ingest.prepare import Preparer
from hookrag.ingest.report import Phase, Problem, Report
from hookrag.ingest.rows import Embedded, RowMaker, texts_of
from hookrag.ingest.stores import Stores
from hookrag.ingest.work import Batch, Work
from hookrag.runtime.request import current_request, serving

TELL_SECONDS = 0.5


def claimed(journal: Journal, stores: Stores, given: Given, options: IngestOptions) -> tuple[dict[str, int], int]:
    """The journal's numbers of the stores, which are this run's from now on, and of the source: R1 and R2.

    A dry run claims nothing; a store or a source that is new has a number that the journal knows nothing of then.
    """
    if options.dry_run:
        return claims.numbers_unclaimed(journal, stores), journal.find_source(given.source)
    numbers = claims.claim_and_wipe(journal, stores, rebuild=options.rebuild, take_over=options.take_over)
    if plans.recover(journal):
        stores.wait_for_late_writes()
    for (
        target
    ) in stores.targets:  # before T1, which could plan the same rows with vectors that differ in their last bits
        stores.pay(journal, target, numbers[target.name])
    with journal.transaction("source"):
        return numbers, journal.source(given.source, given.remade_by)


class Session:
    """A run under the lock, with the journal open and the stores claimed; `report` is kept up to date with how far it came.

    While the vectors of a batch are made in a thread of their own, this thread writes the one before, then reads and cuts the
    one after: three are held at most, and one at a time is planned. The journal and the stores belong to this thread.
    """

    def __init__(
        self,
        given: Given,
        options: IngestOptions,
        journal: Journal,
        stores: Stores,
        preparer: Preparer,
        *,
        numbers: Mapping[str, int],
        source: int,
        fields: Mapping[str, FieldType],
        limit: int,
        report: Report,
        streaks: Streaks,
    ) -> None:
        self._given = given
        self._options = options
        self._journal = journal
        self._stores = stores
        self._numbers = numbers
        self._source = source
        self._report = report
        self._streaks = streaks
        self._rows = RowMaker(journal, stores, preparer, fields=fields, report=report, streaks=streaks)
        self._intake = Intake(
            journal,
            stores.targets,
            numbers,
            source=source,
            retry_failed=options.retry_failed,
            limit=limit,
            report=report,
        )
        self._total = given.count() if options.progress and given.count else 0
        self._pending = 0
        self._started = time.perf_counter()
        self._told = time.monotonic()

    def run(self) -> None:
        """Write what differs, then remove what is gone and pay what is owed."""
        (before,) = self._journal.one("SELECT coalesce(max(n), 0) FROM document")
        with closing(self._intake.batches(self._entries())) as batches:
            if self._options.dry_run:
                self._estimate(batches)
            else:
                self._write_all(batches)
        try:
            removal.remove_gone(
                self._journal, self._given, self._options, self._report, source=self._source, before=before
            )
        except RemovalRefused:
            self._count_lacking()
            raise
        if not self._options.dry_run:
            if self._intake.shrunk and not self._report.held:
                plans.settle(self._journal, Batch(items=self._intake.shrunk))
            self._pay()
            self._count_lacking()
        self._tell("write")

    def _entries(self) -> Iterator[Entry]:
        for entry in self._report.each("read", iter(self._given.documents)):
            yield entry  # it is taken before the next is asked for
            if time.monotonic() - self._told >= TELL_SECONDS:
                self._tell("read")

    def _estimate(self, batches: Iterable[Batch]) -> None:
        estimator = Estimator(self._stores.patience, self._report.to_embed)
        for batch in batches:
            self._rows.cut(batch)
            estimator.add(texts_of(batch, self._stores.targets))
            self._count(batch)

    def _write_all(self, batches: Iterable[Batch]) -> None:
        """Cut each batch and have it embedded; meanwhile write the one before."""
        gone = Event()
        # Whatever ends the run ends the thread: it begins no call of an embedder any more.
        with (
            serving(replace(current_request(), cancelled=gone)),
            ThreadPoolExecutor(1, thread_name_prefix="hookrag-embed") as thread,
        ):
            try:
                before: tuple[Batch, Future[Embedded]] | None = None
                for batch in batches:
                    self._pending += batch.size
                    self._rows.cut(batch)
                    future = thread.submit(copy_context().run, self._rows.embed, batch)
                    if before is not None:
                        self._finish(*before)
                    before = batch, future
                if before is not None:
                    self._finish(*before)
            finally:
                gone.set()

    def _finish(self, batch: Batch, future: Future[Embedded]) -> None:
        """Plan, write and confirm a batch as soon as its vectors are made, and pay what it owes."""
        while not wait_for([future], TELL_SECONDS).done:
            self._tell("embed")
        works = self._rows.join(batch, future.result())
        if works:
            with self._report.timed("journal"):
                version = plans.plan(self._journal, works)
            with self._report.timed("write"):
                self._write(works, version)
        with self._report.timed("journal"):
            if works:
                plans.confirm(self._journal, works, batch)
            elif batch.works or batch.settling:
                plans.settle(self._journal, batch)
        self._count(batch)
        self._pending -= batch.size
        if works:
            self._pay()
            self._tell("write")

    def _write(self, works: Sequence[Work], version: int) -> None:
        """W and B: put what is not there into each store, then wait until all of it is durable and visible."""
        written = []
        for target in self._stores.targets:
            stage = f"writing to {target}"
            mine = [work for work in works if not work.reason and target.name in work.versions]
            by_row = {row.chunk.id: work for work in mine for row in work.versions[target.name].fresh}
            rows = [row for work in mine for row in work.versions[target.name].fresh]
            for tried, refused in self._stores.put(target, rows, version):
                for row in tried:
                    work = by_row[row.chunk.id]
                    if row.chunk.id in refused:
                        reason = f"{target} refused a row: {refused[row.chunk.id]}"
                        self._streaks.failed(stage, work.document.id, reason)
                        work.fail(reason)
                    else:
                        self._streaks.passed(stage)
                        self._report.written += 1
            if rows:
                written.append(target)
        for target in written:
            self._stores.sync(target)

    def _pay(self) -> None:
        with self._report.timed("write"):
            for target in self._stores.targets:
                self._stores.pay(self._journal, target, self._numbers[target.name])

    # The report.

    def _count(self, batch: Batch) -> None:
        for work in batch.works:
            if work.reason:
                self._report.failed.append(Problem(work.document.id, work.item.locator, work.reason))
            elif work.new:
                self._report.new += 1
            else:
                self._report.changed += 1

    def _count_lacking(self) -> None:
        (documents,) = self._journal.one("SELECT count(*) FROM document")
        for name, number in self._numbers.items():
            sql = "SELECT count(*) FROM placed WHERE store = ? AND key <> X''"
            (placed,) = self._journal.one(sql, (number,))
            if placed < documents:
                self._report.lacking[name] = documents - placed

    def _tell(self, phase: Phase) -> None:
        if self._options.progress is not None:
            self._options.progress(
                self._report.progress(
                    phase,
                    seconds=time.perf_counter() - self._started,
                    total=self._total,
                    pending_bytes=self._intake.size + self._pending,
                )
            )
        self._told = time.monotonic()
