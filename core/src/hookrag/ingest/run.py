"""The ingest of an index: its entry points, the lock around them, and how each run ends."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from hookrag.disk.lock import locked
from hookrag.errors import HookragError, IdentityError, IngestRefused, IngestStopped, JournalDamaged
from hookrag.filters import FieldType
from hookrag.ingest import plans, verify
from hookrag.ingest.failures import Streaks
from hookrag.ingest.journal import JOURNAL, Journal, failure
from hookrag.ingest.options import Given, IngestOptions
from hookrag.ingest.prepare import LocalPreparer, Preparer
from hookrag.ingest.report import Report, Status, VerifyReport
from hookrag.ingest.session import Session, claimed
from hookrag.ingest.status import status
from hookrag.ingest.stores import Stores
from hookrag.ingest.target import Target

T = TypeVar("T")


class Ingest:
    """Brings documents into stores so that nothing is lost, doubled or left behind, whenever a run is cut off.

    `folder` holds the journal and the lock. `fields` are the metadata fields that can be filtered on: a document whose value
    is of another type fails. At most three times `batch_bytes` characters of text are on their way: a mebibyte unless given,
    or what takes an embedder some seconds. A failure that may pass is tried again for `patience` seconds. `preparer` cuts and
    embeds, in this process unless given. `fault` is called with a name before, inside and after each transaction, and
    around each call of a store, for tests.
    """

    def __init__(
        self,
        folder: Path,
        targets: Sequence[Target],
        *,
        fields: Mapping[str, FieldType] | None = None,
        batch_bytes: int | None = None,
        patience: float = 120.0,
        preparer: Preparer | None = None,
        fault: Callable[[str], None] = lambda point: None,
    ) -> None:
        if not targets:
            raise ValueError("an ingest needs at least one store")
        self._folder = folder
        self._targets = tuple(targets)
        self._fields = dict(fields or {})
        self._batch_bytes = batch_bytes or _batch_bytes(self._targets)
        self._patience = patience
        self._preparer = preparer or LocalPreparer(patience)
        self._fault = fault

    def run(self, given: Given, options: IngestOptions | None = None) -> Report:
        """Make the stores hold the documents of a source as they are now, and return what that took.

        Documents of the source that did not appear are removed where it was given completely and nothing was unread; of
        items that were read, also otherwise. Removing is refused where nothing was found at all, where the root lies on
        another device than before, or where more than ten documents and a tenth are gone, unless the options allow it.

        Raises IndexLocked while another process writes; IngestRefused or IdentityError before anything is written;
        RemovalRefused, an IngestRefused, at the end instead of removing; IngestStopped where the run cannot go on.
        Whatever ends it, even KeyboardInterrupt or a loss of power: the same call goes on where it was.
        """
        options = options or IngestOptions()
        documents = _from_source(given.documents)
        given = replace(given, documents=documents, under=given.under.strip("/"))
        with self._writing(dry_run=options.dry_run) as journal:
            return self._run(given, options, journal)

    def _run(self, given: Given, options: IngestOptions, journal: Journal) -> Report:
        stores = Stores(self._targets, patience=self._patience, fault=self._fault)
        report, streaks = Report(source=given.source, dry_run=options.dry_run), Streaks()
        started = time.perf_counter()
        try:
            if not options.dry_run:
                journal.begin_run(given.source)
            numbers, source = claimed(journal, stores, given, options)
            Session(
                given,
                options,
                journal,
                stores,
                self._preparer,
                numbers=numbers,
                source=source,
                fields=self._fields,
                limit=self._batch_bytes,
                report=report,
                streaks=streaks,
            ).run()
        except KeyboardInterrupt as error:
            error.add_note(_resumable("interrupted", report))
            raise
        except (IngestRefused, IdentityError):
            if not options.dry_run:
                journal.end_run("refused")
            raise
        except (IngestStopped, sqlite3.Error) as error:
            stopped = _stopped(error, journal, report)
            if not options.dry_run:
                _forgive(journal, streaks)
            raise stopped from error
        except HookragError as error:
            error.add_note(_resumable("stopped", report))
            raise
        finally:
            report.took = time.perf_counter() - started
        if not options.dry_run:
            journal.end_run("finished")
        return report

    def verify(self, *, sample: int | None = None, deep: bool = False, repair: bool = False) -> VerifyReport:
        """Compare every row of every store with the journal.

        With `deep`, every row is also fetched and its text and vectors compared with its check, and a store that can checks its
        files. With `sample`, no store is scanned: so many rows of each, chosen at random, are fetched and embedded again, and
        a vector that the embedder would not give today (a cosine under 0.9999) is found.

        With `repair`, rows of this index that should not be there and rows that are wrong are deleted, and documents with
        missing rows are marked, so that the next run writes those rows again. A store that is at another epoch than
        the journal (one of the two was restored) is brought into step. Nothing is repaired after a scan that was cut short, in
        a store that is not this index's, or where most of the rows that were looked at are damaged or have drifted: such a
        store has to be rebuilt, and so has one that cannot be opened; the others are compared and repaired all the same. Raises
        IndexLocked while another process writes; IngestStopped where the journal cannot be read.
        """
        if sample is not None and (deep or not isinstance(sample, int) or not 1 <= sample < 2**63):
            raise ValueError(
                f"sample must be a whole number from 1 to 2**63 - 1 and not be combined with deep, got {sample!r}"
            )
        options = verify.VerifyOptions(sample=sample, deep=deep, repair=repair, patience=self._patience)
        with self._writing() as journal:
            return verify.verify(journal, Stores(self._targets, patience=self._patience, fault=self._fault), options)

    def status(self) -> Status:
        """What the journal says, without the lock and without asking a store."""
        return status(self._folder)

    @contextmanager
    def _writing(self, *, dry_run: bool = False) -> Iterator[Journal]:
        path = self._folder / JOURNAL
        # A dry run leaves no empty journal behind.
        transient = dry_run and not path.exists()
        with nullcontext() if transient else locked(self._folder):
            journal = Journal(path, transient=transient, fault=self._fault)
            try:
                yield journal
            finally:
                journal.close()


def _batch_bytes(targets: Sequence[Target]) -> int:
    """So little that a run that is cut off loses some seconds of embedding; the vectors of every token take much room, too."""
    if any("multi" in target.embed_key for target in targets):
        return 2**16
    return 2**18 if any(target.embed_key for target in targets) else 2**20


def _from_source(documents: Iterable[T]) -> Iterator[T]:
    """The documents; what SQLite says of a database that they come from is not taken for the journal's."""
    try:
        yield from documents
    except sqlite3.Error as error:
        raise IngestStopped(f"the source of the documents failed: {error}") from error


def _resumable(how: str, report: Report) -> str:
    return (
        f"indexing was {how}: {report.new} new and {report.changed} changed documents are in the index, "
        f"nothing is lost; run the same command again to go on"
    )


def _stopped(error: Exception, journal: Journal, report: Report) -> IngestStopped:
    if isinstance(error, sqlite3.Error):
        error = failure(journal.path, "used", error)
    if isinstance(error, JournalDamaged):  # the same command again would stop again
        stopped: IngestStopped = JournalDamaged(str(error))
    else:
        stopped = IngestStopped(f"{error}\n{_resumable('stopped', report)}")
    stopped.report = report
    return stopped


def _forgive(journal: Journal, streaks: Streaks) -> None:
    """Take back what was noted as failures of documents and was not their fault, unless the journal itself is the cause."""
    try:
        plans.forgive(journal, streaks.documents())
        journal.end_run("stopped")
    except (IngestStopped, sqlite3.Error):
        return
