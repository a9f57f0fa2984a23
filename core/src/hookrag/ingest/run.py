"""The ingest of an index: its entry points, the lock around them, and how each run ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

from hookrag.disk.lock import locked
from hookrag.errors import HookragError, IdentityError, IngestRefused, IngestStopped, JournalDamaged
from hookrag.filters import FieldType
from hookrag.ingest import plans, verify
from hookrag.ingest.items import Item, Skipped, Unread
from hookrag.ingest.journal import JOURNAL, Journal, failure
from hookrag.ingest.report import Progress, Report, Status, VerifyReport
from hookrag.ingest.session import Session
from hookrag.ingest.settings import Settings
from hookrag.ingest.status import status
from hookrag.ingest.stores import Stores
from hookrag.ingest.target import Target
from hookrag.values import Document

T = TypeVar("T")


class Ingest:
    """Brings documents into stores so that nothing is lost, doubled or left behind, whenever a run is cut off.

    `folder` holds the journal and the lock. `fields` are the metadata fields that can be filtered on: a document whose value
    is of another type fails. At most three times `batch_bytes` characters of text are on their way: a mebibyte unless given,
    or what takes an embedder some seconds. A failure that may pass is tried again for `patience` seconds. `fault` is called
    with a name before and after each transaction and each call of a store, for tests.
    """

    def __init__(
        self,
        folder: Path,
        targets: Sequence[Target],
        *,
        fields: Mapping[str, FieldType] | None = None,
        progress: Callable[[Progress], None] | None = None,
        batch_bytes: int | None = None,
        patience: float = 120.0,
        fault: Callable[[str], None] = lambda place: None,
    ) -> None:
        if not targets:
            raise ValueError("an ingest needs at least one store")
        self._folder = folder
        self._targets = tuple(targets)
        self._fields = dict(fields or {})
        self._progress = progress
        self._batch_bytes = batch_bytes
        self._patience = patience
        self._fault = fault

    def run(
        self,
        documents: Iterable[Document | Item | Unread | Skipped],
        *,
        source: str,
        complete: bool,
        under: str = "",
        root: Path | None = None,
        prune: bool = False,
        retry_failed: bool = False,
        dry_run: bool = False,
        take_over: bool = False,
        rebuild: Collection[str] = (),
    ) -> Report:
        """Make the stores hold the documents of `source` as they are now, and return what that took.

        Documents of the source that did not appear are removed where `complete` says that all of it was yielded and nothing
        was unread; of items that were read, also otherwise. `under` narrows the source to the item of that id and those
        whose ids begin with it and a slash, so that parts of a folder can be indexed by themselves. Removing is refused
        where nothing was found at all, where `root` lies on another device than before, or where more than ten documents and
        a tenth are gone; `prune` allows it, and removes what a taken-over store held of no known source, too.
        `retry_failed` tries documents again that failed in their present form. `dry_run` reads and cuts but writes nothing.
        `rebuild` names stores whose rows are made anew; `take_over` makes stores of another journal this one's: with a new
        journal their rows are kept, otherwise made anew.

        Raises IndexLocked while another process writes; IngestRefused or IdentityError before anything is written;
        RemovalRefused, an IngestRefused, at the end instead of removing; IngestStopped where the run cannot go on.
        Whatever ends it, even KeyboardInterrupt or a loss of power: the same call goes on where it was.
        """
        if dry_run and (take_over or rebuild):
            raise ValueError("dry_run cannot be combined with take_over or rebuild: they change stores")
        settings = Settings(
            source, complete, under.strip("/"), root, prune, retry_failed, dry_run, take_over, frozenset(rebuild),
            self._fields, self._batch_bytes, self._patience, self._progress,
        )  # fmt: skip
        with self._writing(dry_run=dry_run) as journal:
            return self._run(settings, journal, documents)

    def _run(
        self, settings: Settings, journal: Journal, documents: Iterable[Document | Item | Unread | Skipped]
    ) -> Report:
        stores = Stores(self._targets, patience=self._patience, fault=self._fault)
        session = Session(settings, journal, stores)
        try:
            if not settings.dry_run:
                journal.begin_run(settings.source)
            session.run(_given(documents))
        except KeyboardInterrupt as error:
            error.add_note(_resumable("interrupted", session.report))
            raise
        except (IngestRefused, IdentityError):
            if not settings.dry_run:
                journal.end_run("refused")
            raise
        except (IngestStopped, sqlite3.Error) as error:
            stopped = _stopped(error, journal, session)
            _forgive(journal, session)
            raise stopped from error
        except HookragError as error:
            error.add_note(_resumable("stopped", session.report))
            raise
        if not settings.dry_run:
            journal.end_run("finished")
        return session.report

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
        how = verify.How(sample, deep, repair, self._patience)
        with self._writing() as journal:
            return verify.verify(journal, Stores(self._targets, patience=self._patience, fault=self._fault), how)

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


def _given(documents: Iterable[T]) -> Iterator[T]:
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


def _stopped(error: Exception, journal: Journal, session: Session) -> IngestStopped:
    if isinstance(error, sqlite3.Error):
        error = failure(journal.path, "used", error)
    if isinstance(error, JournalDamaged):  # the same command again would stop again
        stopped: IngestStopped = JournalDamaged(str(error))
    else:
        stopped = IngestStopped(f"{error}\n{_resumable('stopped', session.report)}")
    stopped.report = session.report
    return stopped


def _forgive(journal: Journal, session: Session) -> None:
    """Take back what was noted as failures of documents and was not their fault, unless the journal itself is the cause."""
    try:
        plans.forgive(journal, session.streaks.documents())
        journal.end_run("stopped")
    except (IngestStopped, sqlite3.Error):
        return
