"""The store `lexical`: a BM25 index in files of its own, which keeps sparse vectors too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hookrag import (
    Card,
    Chunker,
    Embedder,
    Filter,
    Hit,
    HookragError,
    Row,
    RowKey,
    ScoreKind,
    SparseRows,
)
from hookrag_segments.index import Index

from hookrag_lexical import analysis
from hookrag_lexical.analysis import AnalyzerName
from hookrag_lexical.content import Terms
from hookrag_lexical.scoring import Bm25, Norms


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
        self._index = Index(path, Terms(self._chain, sparse=embedder is not None))

    def open(self) -> None:
        """Make an empty index where there is none. Raises IdentityError where another analyzer made the terms."""
        self._index.open()

    def close(self) -> None:
        """End writing and let go of the files. What was put or dropped since the last `sync` is forgotten."""
        self._index.close()

    def identity(self) -> Mapping[str, str | int | float | bool | None]:
        """What the rows depend on besides chunker and embedder: the analyzer. k1, b and norms are of the query only."""
        return dict(self._chain.identity())

    def card(self) -> Card:
        return self._index.card()

    def stamp(self, card: Card, /) -> None:
        """Save the card at once, without what was put or dropped since the last `sync`."""
        self._index.stamp(card)

    def put(self, rows: Sequence[Row], /, *, version: int) -> Mapping[str, str]:
        """Take rows. One process writes, in order, so versions are not compared: the store is fenced by its lock.

        Raises IndexLocked while another process writes.
        """
        return self._index.put(rows)

    def drop(self, chunk_ids: Sequence[str], /, *, version: int) -> None:
        """Delete rows; as in `put`, versions are not compared. Raises IndexLocked while another process writes."""
        self._index.drop(chunk_ids)

    def sync(self) -> None:
        """Commit what was put and dropped: all of it, or nothing where it raises; it may be called again then."""
        self._index.sync()

    def scan(self) -> Iterator[list[RowKey]]:
        return self._index.scan()

    def fetch(self, chunk_ids: Sequence[str], /, *, vectors: bool = False) -> list[Row | None]:
        return self._index.fetch(chunk_ids, vectors=vectors)

    def count(self, where: Filter | None = None, /) -> int:
        return self._index.count(where)

    def verify(self) -> None:
        """Read every file and raise HookragError for the first whose content is not what was written."""
        self._index.verify()

    @property
    def text_kind(self) -> ScoreKind:
        return ScoreKind("bm25")

    def search_text(self, texts: Sequence[str], /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        """The k best rows for each text by BM25 (`scoring.Bm25`); none for a text without a term of the index."""
        queries = [Counter(analysis.terms(self._chain, text)) for text in texts]
        return self._index.view().search_text(queries, self._bm25, k, where)

    def matching_terms(self, text: str, chunk_ids: Sequence[str], /) -> list[tuple[str, ...]]:
        """The analyzed terms of `text` that each of these rows contains, in the order of the text."""
        return self._index.view().matching(list(dict.fromkeys(analysis.terms(self._chain, text))), chunk_ids)

    def search_sparse(self, vectors: SparseRows, /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        """The k best rows for each vector by inner product, among those that share a dimension with it."""
        if self.embedder is None:
            raise HookragError(f"{self.path} keeps no sparse vectors: give the store an embedder of sparse vectors")
        return self._index.view().search_sparse(vectors, k, where)
