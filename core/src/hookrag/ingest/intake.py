"""What a source yields, compared with the journal: the documents that have to be written, in batches."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

from hookrag.errors import BudgetExceeded, DeadlineExceeded, HookragError, ItemRejected
from hookrag.ingest.items import (
    Entry,
    Item,
    Skipped,
    Unread,
    cleaned,
    content_key,
    digest,
    printable,
    readable,
)
from hookrag.ingest.journal import Journal, KnownDocument
from hookrag.ingest.report import Problem, Report, source_name
from hookrag.ingest.target import Target
from hookrag.ingest.work import Batch, Failure, ItemWork, Version, Work
from hookrag.values import Document

DOCUMENTS_AT_ONCE = 2000


class Intake:
    """Makes batches of what the source of the number `source` yields and the stores lack.

    `limit` is the most characters of a batch that has several documents; `numbers` are the journal's of the stores. Items that
    lost a document are in `shrunk`: they are settled when it was removed.
    """

    def __init__(
        self,
        journal: Journal,
        targets: Sequence[Target],
        numbers: Mapping[str, int],
        *,
        source: int,
        retry_failed: bool,
        limit: int,
        report: Report,
    ) -> None:
        self.shrunk: list[ItemWork] = []
        self._journal = journal
        self._targets = targets
        self._numbers = numbers
        self._source = source
        self._retry_failed = retry_failed
        self._limit = limit
        self._report = report
        self._batch = Batch()
        self._full: list[Batch] = []
        self._entries = 0

    @property
    def size(self) -> int:
        """The characters that were taken and not handed over."""
        return self._batch.size

    def batches(self, entries: Iterable[Entry]) -> Generator[Batch]:
        """Each batch as soon as it is full, then what is left; what an entry needs is found out when it is asked for."""
        for entry in entries:
            self._entries += 1
            match entry:
                case Unread():
                    self._unread(entry.id, entry.locator, entry.reason)
                case Skipped():
                    self._skipped(entry)
                case Item():
                    yield from self._item(entry)
                case Document():
                    self._single(entry)
                case _:
                    raise HookragError(
                        f"got {type(entry).__name__} as entry {self._entries} of the documents: expected a Document, "
                        f"or an Item, Unread or Skipped of a source of files"
                    )
            yield from self._handed_over()
        self._close()
        yield from self._handed_over()

    def _close(self) -> None:
        """What was taken is a batch; the next begins."""
        self._full.append(self._batch)
        self._batch = Batch()

    def _handed_over(self) -> Iterator[Batch]:
        while self._full:
            yield self._full.pop(0)

    def _skipped(self, entry: Skipped) -> None:
        if self._journal.item(self._source, printable(entry.id))[0]:
            self._unread(entry.id, entry.locator, entry.reason)
        else:
            self._report.skipped[entry.reason] = self._report.skipped.get(entry.reason, 0) + 1

    def _unread(self, id: str, locator: str, reason: str) -> None:
        self._report.unread.append(Problem(printable(id), printable(locator), printable(reason)))

    def _state(self, id: str, locator: str, key: str | bytes) -> ItemWork | None:
        """The item as it has to become; None where it is that already."""
        self._report.items += 1
        recipes = [part for target in self._targets for part in (target.name, target.recipe)]
        wanted = digest(key, *recipes)
        n, found = self._journal.item(self._source, id)
        if found == wanted:
            indexed, failed = self._journal.count(n)
            if not (failed and self._retry_failed):
                self._journal.see_item(n, loaded=False)
                self._report.unchanged += indexed
                self._report.failed_before += failed
                return None
        if n:
            self._journal.see_item(n, loaded=True)
        return ItemWork(self._source, id, wanted, locator, n)

    def _single(self, document: Document) -> None:
        try:
            ready, surrogates = cleaned(document)
            content = content_key(ready)
        except ItemRejected as error:
            id = printable(str(document.id))
            n = self._journal.item(self._source, id)[0]
            if n:
                self._journal.see_item(n, loaded=False)
            self._fail(ItemWork(self._source, id, b"", "", n), id, b"", str(error))
            return
        if not self._journal.see(ready.id):
            # Not for the journal: there the item of this id is settled by the first of them.
            self._report.failed.append(Problem(ready.id, "", _twice(ready.id)))
            return
        state = self._state(ready.id, "", content)
        if state is not None:
            self._report.surrogates += surrogates
            self._document(state, ready, content)
            self._finish(state)

    def _item(self, item: Item) -> Iterator[Batch]:
        """Take the documents of an item one by one: it may have more than are held at once."""
        id = printable(item.id)
        state = self._state(id, printable(item.locator), item.key)
        if state is None:
            return
        for document in self._report.each("read", _guarded(item, self._limit)):
            if isinstance(document, Unread):
                self._unread(document.id, document.locator, document.reason)
                return
            self._raw(state, document)
            yield from self._handed_over()
        self._finish(state)

    def _raw(self, state: ItemWork, document: Document) -> None:
        try:
            ready, surrogates = cleaned(document)
            content = content_key(ready)
        except ItemRejected as error:
            self._fail(state, printable(str(document.id)), b"", str(error))
            return
        self._report.surrogates += surrogates
        if self._journal.see(ready.id):
            self._document(state, ready, content)
        else:
            self._fail(state, ready.id, content, _twice(ready.id))

    def _document(self, state: ItemWork, document: Document, content: bytes) -> None:
        journal = self._journal
        known = journal.document(document.id)
        if known is not None and known.item != state.n:
            reason = self._taken(known, document.id)
            if reason:
                self._fail(state, document.id, content, reason)
                return
            self._batch.moves.append((known.n, state))
        placed = journal.placed(known.n) if known else {}
        wanted = {target.name: digest(content, target.recipe) for target in self._targets}
        versions = {
            name: Version(number, key)
            for name, key in wanted.items()
            if placed.get(number := self._numbers[name]) != key
        }
        failing = digest(*wanted.values())
        if not versions:
            self._report.unchanged += 1
        elif state.n and not self._retry_failed and journal.failure(state.n, document.id) == failing:
            state.failed.append(document.id)
            self._report.failed_before += 1
        else:
            # Before and not after, so that an item is settled together with the last of its documents.
            batch = self._batch
            if batch.size + len(document.text) > self._limit or len(batch.works) >= DOCUMENTS_AT_ONCE:
                self._close()
            n = known.n if known else 0
            work = Work(document=document, item=state, n=n, key=failing, versions=versions, new=known is None)
            self._batch.works.append(work)
            self._batch.size += len(document.text)

    def _taken(self, known: KnownDocument, id: str) -> str:
        """Why a document cannot go to another item than the one that gave it before; "" where it can."""
        name, item, locator = self._journal.db.execute(
            "SELECT s.name, i.id, i.locator FROM item i JOIN source s ON s.n = i.source WHERE i.n = ?", (known.item,)
        ).fetchone()
        if name and known.source != self._source:
            source = source_name(name) if name == "." else f"the source {name}"
            return f"document id {id!r} is taken by {locator or item} of {source}: ids must be unique in an index"
        if self._journal.met_unchanged(known.item):
            return f"document id {id!r} is taken by {locator or item}: ids must be unique in an index"
        return ""

    def _finish(self, state: ItemWork) -> None:
        """All documents of an item were taken: it is settled when they are, and when those it lost are removed."""
        sql = "SELECT EXISTS (SELECT 1 FROM document WHERE item = ? AND id NOT IN (SELECT id FROM temp.seen))"
        shrunk = state.n and self._journal.one(sql, (state.n,))[0]
        (self.shrunk if shrunk else self._batch.items).append(state)
        if self._batch.settling >= DOCUMENTS_AT_ONCE:
            self._close()

    def _fail(self, state: ItemWork, id: str, key: bytes, reason: str) -> None:
        self._report.failed.append(Problem(id, state.locator, reason))
        self._batch.refused.append(Failure(state, id, key, reason))
        state.failed.append(id)


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
