"""A document's way through an ingest, and what is known of it at each stage.

    what the source yields
      |  Intake.batches      what the journal knows in this form already goes no further
    taken                    a Work with a Version for each store that lacks it
      |  RowMaker.cut        the chunkers; rows that are live are kept, vectors of equal texts are reused
    cut                      `rows` are those kept, `fresh` those ready to be put, `lacking` the chunks without vectors
      |  RowMaker.embed      the embedders, in a thread of their own; then RowMaker.join, in the ingest's thread
    prepared                 `rows` and `fresh` are whole, nothing is lacking
      |  plans.plan          T1: the journal knows each row before a store does
    planned
      |  Session._write      W and B: the fresh rows are put, and each store has synced them
    written
      |  plans.confirm       T2: the new version is live, what it replaces is owed
    confirmed

A document that is refused anywhere between taken and written has failed: `reason` says why, no later stage looks at it, and
confirming its batch owes what was planned for it and notes the failure. The documents of a batch go through together. T1 and
the other names of steps are those of `hookrag.ingest`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hookrag.values import Chunk, Document, Row


@dataclass(slots=True)
class ItemWork:
    """An item on its way: `n` is 0 until the journal knows it, `key` what it will be known by when it is settled.

    `failed` lists those of its documents that fail in their present form.
    """

    source: int
    id: str
    key: bytes
    locator: str
    n: int = 0
    failed: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Version:
    """The next version of a document in the store of the number `store`, and what is still to be done for it.

    `rows` maps each of its chunk ids to the check and the hash of the input; `fresh` are the rows among them that the store
    lacks; `lacking` are chunks that become rows when they have vectors. Its number is given when the batch is planned.
    """

    store: int
    key: bytes
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)
    fresh: list[Row] = field(default_factory=list)
    lacking: list[Chunk] = field(default_factory=list)


@dataclass(slots=True)
class Work:
    """A document that some stores lack: `versions`, by the names of the stores.

    `n` is the journal's number of the document, 0 for a new one until it is planned. `key` stands for the document and
    everything that would be made of it.
    """

    document: Document
    item: ItemWork
    n: int
    key: bytes
    versions: dict[str, Version]
    new: bool
    reason: str = ""

    def fail(self, reason: str) -> None:
        """The document is refused; what is said first counts."""
        if not self.reason:
            self.reason = reason or "no reason given"
            self.item.failed.append(self.document.id)


@dataclass(frozen=True, slots=True)
class Failure:
    """A document that failed in the form that `key` names."""

    item: ItemWork
    id: str
    key: bytes
    reason: str


@dataclass(slots=True)
class Batch:
    """Documents that are planned and confirmed together, the characters of their texts, and what is settled with them.

    `refused` are documents that failed before they were taken; `items` those all of whose documents are settled then; `moves`
    the numbers of documents that change their item.
    """

    works: list[Work] = field(default_factory=list)
    size: int = 0
    refused: list[Failure] = field(default_factory=list)
    items: list[ItemWork] = field(default_factory=list)
    moves: list[tuple[int, ItemWork]] = field(default_factory=list)

    @property
    def alive(self) -> list[Work]:
        """The documents that have not failed."""
        return [work for work in self.works if not work.reason]

    @property
    def failures(self) -> Iterator[Failure]:
        """The documents that have failed, those first that were never taken."""
        yield from self.refused
        for work in self.works:
            if work.reason:
                yield Failure(work.item, work.document.id, work.key, work.reason)

    @property
    def settling(self) -> int:
        """How much a confirmation writes besides the documents."""
        return len(self.refused) + len(self.items) + len(self.moves)
