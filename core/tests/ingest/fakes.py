"""Parts that the tests of the ingest are made with: a store that can die, a chunker, an embedder, and a way to compare."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from hookrag import Card, Chunk, Document, ItemRejected, Row, TransientError, Vectors, chunk_of
from hookrag.ingest import Given, Ingest, IngestOptions, Target
from hookrag.values import RowKey


class Died(BaseException):
    """The process died here: nothing that runs after it may help."""


class Words:
    """A chunk for each line of the text; a document with the line BAD cannot be cut."""

    def __init__(self, context: str = "") -> None:
        self.context = context
        self.calls: list[list[str]] = []

    def chunk(self, documents: Sequence[Document]) -> list[list[Chunk]]:
        self.calls.append([document.id for document in documents])
        return [self._lines(document) for document in documents]

    def _lines(self, document: Document) -> list[Chunk]:
        chunks, start = [], 0
        for line in document.text.split("\n"):
            if line == "BAD":
                raise ValueError("the line BAD cannot be cut")
            if line:
                chunks.append(chunk_of(document, start, start + len(line), context=self.context))
            start += len(line) + 1
        return chunks


class Letters:
    """Vectors that count letters; a text with POISON is refused."""

    outputs = ("dense", "sparse", "multi")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.calls: list[tuple[int, frozenset[str]]] = []

    def embed(self, texts: Sequence[str], *, role: str, outputs: object) -> Vectors:
        from hookrag import SparseRows

        assert role == "document"
        wanted = frozenset(outputs)  # type: ignore[call-overload]  # any collection
        if any("POISON" in text for text in texts):
            raise ItemRejected("a text is poison")
        self.texts += texts
        self.calls.append((len(texts), wanted))
        dense = np.array([[text.count(c) for c in "abcdefgh"] for text in texts], dtype=np.float32).reshape(-1, 8)
        multi = tuple(np.array([[ord(c)] for c in text], dtype=np.float32) for text in texts)
        pairs = [sorted({ord(c) for c in text}) for text in texts]
        sparse = SparseRows(
            np.cumsum([0, *map(len, pairs)]).astype(np.int64),
            np.array([i for row in pairs for i in row], dtype=np.int32),
            np.ones(sum(map(len, pairs)), dtype=np.float32),
            1 << 20,
        )
        return Vectors(
            dense=dense if "dense" in wanted else None,
            sparse=sparse if "sparse" in wanted else None,
            multi=multi if "multi" in wanted else None,
        )


class FakeStore:
    """A fenced store in memory that applies a batch row by row and may die, refuse or stumble at any of them.

    What was under way when it died may arrive later (`late`). With a path, everything is also written to a file.
    """

    def __init__(
        self, name: str = "s", *, chunker: Words | None = None, embedders: object = None, path: Path | None = None
    ) -> None:
        self.name = name
        self.chunker = chunker or Words()
        self.embedders = embedders or {}
        self.rows: dict[str, Row] = {}
        self.versions: dict[str, int] = {}
        self.saved = Card(uuid=f"{name}-{random.randrange(10**12)}")
        self.late: list[tuple[str, str, Row | None, int]] = []
        self.fault: Callable[[str], None] = lambda place: None
        self.refuses: Callable[[Row], str] = lambda row: ""
        self.raises: list[Exception] = []
        self.puts: list[list[str]] = []
        self.drops: list[str] = []
        self.rng = random.Random(0)
        self.path = path
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                self._replay(json.loads(line))

    def _replay(self, entry: dict) -> None:
        if "card" in entry:
            self.saved = Card(**entry["card"])
            return
        row = None
        if entry["row"]:
            chunk = entry["row"].pop("chunk")
            row = Row(chunk=Chunk(**chunk), **entry["row"])
        self.versions[entry["id"]] = entry["version"]
        if entry["what"] == "put":
            assert row is not None
            self.rows.setdefault(entry["id"], row)
        else:
            self.rows.pop(entry["id"], None)

    def _log(self, entry: dict) -> None:
        if self.path is not None:
            with self.path.open("a") as out:
                out.write(json.dumps(entry) + "\n")

    def card(self) -> Card:
        if self.path is not None and not self.path.exists():
            self.stamp(self.saved)
        return self.saved

    def stamp(self, card: Card) -> None:
        self._raise()
        assert card.uuid == self.saved.uuid
        self.saved = card
        self._log(
            {"card": {"uuid": card.uuid, "owner": card.owner, "epoch": card.epoch, "identity": dict(card.identity)}}
        )

    def _raise(self) -> None:
        if self.raises:
            raise self.raises.pop(0)

    def apply(self, what: str, id: str, row: Row | None, version: int) -> None:
        if self.versions.get(id, 0) > version:
            return
        self.versions[id] = version
        if what == "put":
            assert row is not None
            self.rows.setdefault(id, row)
        else:
            self.rows.pop(id, None)
        if self.path is not None:
            kept = None
            if row is not None:
                c = row.chunk
                chunk = {"id": c.id, "document_id": c.document_id, "text": c.text, "start": c.start, "end": c.end}
                kept = {"chunk": chunk, "owner": row.owner, "check": row.check}
            self._log({"what": what, "id": id, "row": kept, "version": version})

    def _io(self, what: str, operations: list[tuple[str, Row | None]], version: int) -> None:
        self.rng.shuffle(operations)
        for n, (id, row) in enumerate(operations):
            try:
                self.fault(f"{self.name} {what} row")
            except BaseException:
                self.late += [(what, i, r, version) for i, r in operations[n:] if self.rng.random() < 0.5]
                raise
            self.apply(what, id, row, version)

    def arrive(self, chance: float = 1.0) -> None:
        """What was under way arrives now."""
        for entry in list(self.late):
            if self.rng.random() < chance:
                self.late.remove(entry)
                self.apply(*entry)

    def put(self, rows: Sequence[Row], *, version: int) -> dict[str, str]:
        self._raise()
        refused = {row.chunk.id: reason for row in rows if (reason := self.refuses(row))}
        self.puts.append([row.chunk.id for row in rows])
        self._io("put", [(row.chunk.id, row) for row in rows if row.chunk.id not in refused], version)
        return refused

    def drop(self, chunk_ids: Sequence[str], *, version: int) -> None:
        self._raise()
        self.drops += chunk_ids
        self._io("drop", [(id, None) for id in chunk_ids], version)

    def sync(self) -> None:
        self._raise()

    def scan(self) -> Iterator[list[RowKey]]:
        self._raise()
        rows = list(self.rows.values())
        for start in range(0, len(rows), 3):
            yield [RowKey(r.chunk.id, r.chunk.document_id, r.owner, r.check) for r in rows[start : start + 3]]

    def fetch(self, chunk_ids: Sequence[str], *, vectors: bool = False) -> list[Row | None]:
        return [self.rows.get(id) for id in chunk_ids]

    def count(self, where: object = None) -> int:
        return len(self.rows)

    @property
    def texts(self) -> list[str]:
        """The texts of the rows, sorted."""
        return sorted(f"{row.chunk.document_id}:{row.chunk.text}" for row in self.rows.values())


def target(
    store: FakeStore, *, recipe: str = "1", key: str = "letters", fenced: bool = True, **identity: object
) -> Target:
    """A target for a store; every output of its embedders has the same key."""
    keys = dict.fromkeys(store.embedders, key)
    return Target(store.name, store, recipe, identity or {"chunker.use": "lines"}, keys, fenced)  # type: ignore[arg-type]  # fakes


def run(folder: Path, stores: Sequence[FakeStore], documents: Sequence[object], **options: object):
    """One run over documents given as (id, text) or as what a source yields."""
    made = {k: options.pop(k) for k in ("fault", "batch_bytes", "fields", "patience", "preparer") if k in options}
    about = {k: options.pop(k) for k in ("source", "complete", "under", "root") if k in options}
    targets = options.pop("targets", None) or [target(store) for store in stores]
    entries = [Document(*one) if isinstance(one, tuple) else one for one in documents]
    given = Given(entries, **{"source": "docs", "complete": True, **about})  # type: ignore[arg-type]  # options
    return Ingest(folder, targets, **{"patience": 0.3, **made}).run(given, IngestOptions(**options))  # type: ignore[arg-type]  # options


__all__ = ["Died", "FakeStore", "Letters", "TransientError", "Words", "run", "target"]
