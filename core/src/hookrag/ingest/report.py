"""What an ingest did, as values for people and programs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

T = TypeVar("T")
Phase = Literal["read", "chunk", "embed", "write", "journal"]


def source_name(name: str, part: str = "") -> str:
    """A source, or a part of it, as people read it."""
    if name in ("", "."):
        return part or (
            "the folder of the configuration" if name else "no known source, from a store that was taken over"
        )
    return f"{part} of {name}" if part else name


@dataclass(frozen=True, slots=True)
class Problem:
    """A document that failed or an item that was not read: its id, where it is, and why."""

    id: str
    locator: str
    reason: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: items of the source that were looked at, documents of each fate, chunks, and vectors made.

    `total` is how many items there are, 0 where that is not known; `pending_bytes` how much text was read and is not yet
    confirmed by every store.
    """

    phase: Phase
    items: int
    new: int
    changed: int
    unchanged: int
    failed: int
    chunks: int
    embedded: int
    seconds: float
    total: int = 0
    pending_bytes: int = 0


@dataclass(slots=True)
class Estimate:
    """What one embedder would have to embed: the texts that are not in a store already, and their tokens.

    `exact` tokens were counted by the embedder's own tokenizer, without the special tokens and prompts that it adds; others
    are a quarter of the characters. `truncated` texts are longer than it reads. `price` is the embedder's, in US dollars for a
    million tokens, where it knows one.
    """

    embedder: str
    texts: int = 0
    tokens: int = 0
    truncated: int = 0
    exact: bool = False
    price: float | None = None

    @property
    def dollars(self) -> float | None:
        """What the tokens cost; None where the embedder knows no price."""
        return None if self.price is None else self.tokens * self.price / 1e6

    def to_json(self) -> dict[str, Any]:
        """The estimate as JSON values; dollars are rounded to a millionth."""
        dollars = None if self.dollars is None else round(self.dollars, 6)
        return {
            "embedder": self.embedder,
            "texts": self.texts,
            "tokens": self.tokens,
            "truncated": self.truncated,
            "exact": self.exact,
            "dollars": dollars,
        }


@dataclass(slots=True)
class Report:
    """What a run did. Documents are new, changed, unchanged, failed, or failed before and not tried; items unread or skipped.

    `chunks` counts the chunks of new and changed documents, `written` the rows put and `kept` those left as they were, over all
    stores; `embedded` texts were embedded and for `reused` rows the vectors were found in the store. `truncated` texts were
    longer than an embedder reads, which left `tokens_cut` tokens at their ends unread. `empty` documents have no chunk.
    `surrogates` characters were replaced. `held` documents are gone from the source but stay, because something could not be
    read or removing them was refused (`refused` says why; only a dry run returns it, others raise it). In stores that are
    `lacking`, so many documents are not as they should be: those of other sources after a rebuild, or those of which a repair
    found rows missing. Indexing their sources brings them. `to_embed` is what a dry run would have embedded, by embedder.
    `seconds` were spent in each phase; the phases overlap, and the run took `took` seconds in all.
    """

    source: str = ""
    dry_run: bool = False
    items: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    held: int = 0
    failed_before: int = 0
    failed: list[Problem] = field(default_factory=list)
    unread: list[Problem] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    chunks: int = 0
    written: int = 0
    kept: int = 0
    embedded: int = 0
    reused: int = 0
    truncated: int = 0
    tokens_cut: int = 0
    empty: int = 0
    surrogates: int = 0
    refused: str = ""
    lacking: dict[str, int] = field(default_factory=dict)
    to_embed: list[Estimate] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    took: float = 0.0

    @contextmanager
    def timed(self, phase: Phase) -> Iterator[None]:
        """Add the time inside to the phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start

    def each(self, phase: Phase, entries: Iterator[T]) -> Iterator[T]:
        """The entries, with the time that it takes to get them added to the phase."""
        while True:
            with self.timed(phase):
                try:
                    entry = next(entries)
                except StopIteration:
                    return
            yield entry

    @property
    def indexed(self) -> int:
        """Documents that were brought into the index by this run."""
        return self.new + self.changed

    def progress(self, phase: Phase, *, seconds: float, total: int, pending_bytes: int) -> Progress:
        """The state of the run as it is now."""
        return Progress(
            phase=phase,
            items=self.items,
            new=self.new,
            changed=self.changed,
            unchanged=self.unchanged,
            failed=len(self.failed),
            chunks=self.chunks,
            embedded=self.embedded,
            seconds=seconds,
            total=total,
            pending_bytes=pending_bytes,
        )

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values; seconds are rounded to milliseconds."""
        made: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "took"}
        for name in ("failed", "unread"):
            made[name] = [{"id": one.id, "locator": one.locator, "reason": one.reason} for one in made[name]]
        made["to_embed"] = [one.to_json() for one in self.to_embed]
        made["seconds"] = {name: round(value, 3) for name, value in self.seconds.items()}
        return made


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """What was found in one store, compared with the journal.

    `missing`: rows that should be there (of a sample: at least so many); `unexpected`: rows of this index that should not;
    `wrong`: rows with another check; `doubled`: ids the scan met more than once; `foreign`: rows of other owners, which are
    left alone. `compared` rows were fetched: of those, `damaged` have a text or vectors that were not sent, and to `drifted`
    the embedder gives other vectors than those that were. `examples` names a few of each. `files` says what the store found
    in checking its own files, or in opening them: then nothing of it was compared. `rebuild`: so much is damaged or has
    drifted that only filling the store again mends it. `card` says why an ingest would refuse the store, "" if it would not;
    `incomplete` why the findings cannot be trusted.
    """

    name: str
    rows: int = 0
    expected: int = 0
    compared: int = 0
    missing: int = 0
    unexpected: int = 0
    wrong: int = 0
    damaged: int = 0
    drifted: int = 0
    doubled: int = 0
    foreign: int = 0
    pending: int = 0
    repaired: bool = False
    rebuild: bool = False
    card: str = ""
    incomplete: str = ""
    files: str = ""
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether store and journal agree."""
        counts = (self.missing, self.unexpected, self.wrong, self.damaged, self.drifted, self.doubled)
        return not (any(counts) or self.card or self.incomplete or self.files)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` found, store by store; `ok` where all of them agree with the journal."""

    stores: Sequence[StoreCheck]

    @property
    def ok(self) -> bool:
        return all(store.ok for store in self.stores)

    def to_json(self) -> dict[str, Any]:
        """The findings as JSON values."""
        return {
            "ok": self.ok,
            "stores": [{**{one.name: getattr(s, one.name) for one in fields(s)}, "ok": s.ok} for s in self.stores],
        }


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What the journal knows of one store."""

    name: str
    documents: int
    rows: int
    owed: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Status:
    """What the journal says, without asking any store.

    `documents` by source; `unfinished` documents were being written when a run was cut off; `writer` is who writes now, ""
    for nobody; `last` is how the last run ended and when, "interrupted at ..." where it was cut off, "running at ..."
    while it goes on, "" if there was none.
    """

    documents: dict[str, int]
    stores: Sequence[StoreStatus]
    failed: Sequence[Problem]
    unfinished: int
    writer: str
    last: str

    def to_json(self) -> dict[str, Any]:
        """The status as JSON values."""
        return {
            "documents": self.documents,
            "stores": [{one.name: getattr(s, one.name) for one in fields(s)} for s in self.stores],
            "failed": [{"id": one.id, "locator": one.locator, "reason": one.reason} for one in self.failed],
            "unfinished": self.unfinished,
            "writer": self.writer,
            "last": self.last,
        }
