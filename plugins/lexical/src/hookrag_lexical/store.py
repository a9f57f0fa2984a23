"""The store `lexical`: a BM25 index in files of its own, which keeps sparse vectors too."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from uuid import uuid4

from hookrag import (
    Card,
    Chunker,
    Embedder,
    Filter,
    Hit,
    HookragError,
    IdentityError,
    Row,
    RowKey,
    ScoreKind,
    SparseRows,
)

from hookrag_lexical import analysis, writer
from hookrag_lexical.analysis import AnalyzerName
from hookrag_lexical.reader import Reader
from hookrag_lexical.scoring import Bm25, Norms
from hookrag_lexical.snapshot import Snapshot
from hookrag_lexical.writer import Writer


class Lexical:
    """Ranks rows by the words of their context and text (BM25), exactly, over rows that lie in files under `path`.

    With an embedder of sparse vectors it keeps those too and ranks by their inner products. `k1`, `b` and `norms` may change
    at any time; another `analyzer` needs the rows to be indexed again. `norms = "lucene"` takes lengths as Lucene's one byte
    remembers them, which gives the published figures of Lucene; "exact" is what most other libraries compute.

    One process writes at a time; any number read, without a lock, and see each commit whole. What `sync` acknowledged
    survives a kill and a power cut. `fetch`, `scan`, `count` and searches see what was synced.
    """

    version = 1
    fenced = True  # there is no server that a late write could reach

    def __init__(
        self,
        *,
        chunker: Chunker,
        embedder: Embedder | None = None,
        path: Path,
        k1: float = 0.9,
        b: float = 0.4,
        norms: Norms = "exact",
        analyzer: AnalyzerName = "lucene-english",
    ) -> None:
        if not 0 <= k1 < float("inf"):
            raise ValueError(f"k1 must be a number from 0, got {k1}")
        if not 0 <= b <= 1:
            raise ValueError(f"b must be in [0, 1], got {b}")
        if embedder is not None and "sparse" not in embedder.outputs:
            given = ", ".join(sorted(embedder.outputs))
            raise ValueError(
                f"embedder must give sparse vectors, got one that gives {given}: keep those in another store"
            )
        self.chunker = chunker
        self.embedder = embedder
        self.embedders = {} if embedder is None else {"sparse": embedder}
        self.path = path
        self.k1 = k1
        self.b = b
        self.norms = norms
        self.analyzer = analyzer
        self._bm25 = Bm25(k1, b, norms)
        self._chain = analysis.analyzer(analyzer)
        self._reader: Reader | None = None
        self._writer: Writer | None = None
        self._writing = RLock()

    def open(self) -> None:
        """Make an empty index where there is none. Raises IdentityError where another analyzer made the terms."""
        with self._files("open"):
            writer.create(self.path, Card(uuid4().hex), self._chain)
            reader = Reader(self.path)
            manifest = reader.current().manifest
        mine = self._chain.identity()
        for name, value in mine.items():
            if manifest.parts and manifest.analyzer.get(name) != value:
                raise IdentityError(
                    f"{self.path} was made with {name} = {manifest.analyzer.get(name)!r}, expected {value!r}: open it as "
                    "it was made, or index again into another path"
                )
        self._reader = reader

    def close(self) -> None:
        """End writing and let go of the files. What was put or dropped since the last `sync` is forgotten."""
        with self._writing:
            if self._writer is not None:
                self._writer.close()
            self._writer = None
            self._reader = None

    def identity(self) -> Mapping[str, str | int | float | bool | None]:
        """What the rows depend on besides chunker and embedder: the analyzer. k1, b and norms are of the query only."""
        return dict(self._chain.identity())

    def card(self) -> Card:
        return self._snapshot().manifest.card

    def stamp(self, card: Card, /) -> None:
        """Save the card at once, without what was put or dropped since the last `sync`."""
        uuid = self.card().uuid
        if card.uuid != uuid:
            raise HookragError(f"{self.path}: its card has uuid {uuid}, got {card.uuid}: a card belongs to one store")
        with self._writing, self._files("write"):
            self._taken().stamp(card)

    def put(self, rows: Sequence[Row], /, *, version: int) -> Mapping[str, str]:
        """Take rows. One process writes, in order, so versions are not compared: the store is not fenced and needs no fence.

        Raises IndexLocked while another process writes.
        """
        with self._writing, self._files("write"):
            return self._taken().put(rows)

    def drop(self, chunk_ids: Sequence[str], /, *, version: int) -> None:
        """Delete rows; as in `put`, versions are not compared. Raises IndexLocked while another process writes."""
        with self._writing, self._files("write"):
            self._taken().drop(chunk_ids)

    def sync(self) -> None:
        """Commit what was put and dropped: all of it, or nothing where it raises; it may be called again then."""
        with self._writing, self._files("write"):
            if self._writer is not None:
                self._writer.commit()

    def scan(self) -> Iterator[list[RowKey]]:
        return self._snapshot().scan()

    def fetch(self, chunk_ids: Sequence[str], /, *, vectors: bool = False) -> list[Row | None]:
        return self._snapshot().fetch(chunk_ids, vectors=vectors)

    def count(self, where: Filter | None = None, /) -> int:
        return self._snapshot().count(where)

    def verify(self) -> None:
        """Read every file and raise HookragError for the first whose content is not what was written."""
        self._snapshot().verify(self.path)

    @property
    def text_kind(self) -> ScoreKind:
        return ScoreKind("bm25")

    def search_text(self, texts: Sequence[str], /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        """The k best rows for each text by BM25 (`scoring.Bm25`); none for a text without a term of the index."""
        queries = [Counter(analysis.terms(self._chain, text)) for text in texts]
        return self._snapshot().search_text(queries, self._bm25, k, where)

    def matching_terms(self, text: str, chunk_ids: Sequence[str], /) -> list[tuple[str, ...]]:
        """The analyzed terms of `text` that each of these rows contains, in the order of the text."""
        return self._snapshot().matching(list(dict.fromkeys(analysis.terms(self._chain, text))), chunk_ids)

    def search_sparse(self, vectors: SparseRows, /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        """The k best rows for each vector by inner product, among those that share a dimension with it."""
        if self.embedder is None:
            raise HookragError(f"{self.path} keeps no sparse vectors: give the store an embedder of sparse vectors")
        return self._snapshot().search_sparse(vectors, k, where)

    def _snapshot(self) -> Snapshot:
        if self._reader is None:
            raise HookragError(f"{self.path} is not open: call open() first")
        return self._reader.current()

    def _taken(self) -> Writer:
        if self._reader is None:
            raise HookragError(f"{self.path} is not open: call open() first")
        if self._writer is None:
            self._writer = Writer(self.path, self._reader, self._chain, sparse=self.embedder is not None)
        return self._writer

    @contextmanager
    def _files(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            todo = (
                "free some space"
                if error.errno in {errno.ENOSPC, errno.EDQUOT}
                else "make the folder readable and writable"
            )
            raise HookragError(
                f"cannot {doing} the index in {self.path}: {error.strerror or error}: {todo}, then try again; what was synced "
                "is safe"
            ) from error
