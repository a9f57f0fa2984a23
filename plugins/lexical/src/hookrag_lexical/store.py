"""The store `lexical`: a BM25 index in files of its own, which keeps sparse vectors too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from hookrag import (
    AtLeast,
    Between,
    Card,
    Chunk,
    Chunker,
    Embedder,
    Filter,
    Finite,
    Hit,
    HookragError,
    Row,
    RowKey,
    ScoreKind,
    SparseRows,
    checked,
)
from hookrag_segments.index import Index
from hookrag_stores.settings import check_gives

from hookrag_lexical import analysis
from hookrag_lexical.analysis import AnalyzerName
from hookrag_lexical.content import Terms
from hookrag_lexical.feedback import Rm3
from hookrag_lexical.fields import fields_of
from hookrag_lexical.questions import boosted, plain
from hookrag_lexical.scoring import Method, Norms, formula

K1 = 0.9
B = 0.4
FEEDBACK = Rm3(documents=10, terms=10, original_weight=0.5)
KINDS = {"lucene": "bm25", "robertson": "bm25-robertson", "atire": "bm25-atire"}


class Lexical:
    """Ranks rows by the words of their context and text (BM25), exactly, over rows that lie in files under `path`.

    `method` is the formula, with `k1`, `b` and, for those that have one, `delta` (`scoring.Formula`). `norms = "lucene"` takes
    lengths as Lucene's one byte remembers them, which gives the published figures of Lucene; "exact" is what most other
    libraries compute. With `fields` = {name: weight}, words are counted by field and `b` may be a table, too (BM25F): `title`
    is the chunk's context (its title or the path of its sections), `text`, and `metadata.KEY`. `boosts` lets a question say
    "word^2.5". `feedback = "rm3"` asks again with words of the first rows (`feedback.Rm3`).

    All that may change at any time but for `analyzer`, a name or a list of steps (`analysis.Analyzer`), and the set of fields:
    those need the rows to be indexed again. `cache_mb` is how much of the chunks that were found stays in memory.

    With an embedder of sparse vectors it keeps those too and ranks by their inner products. One process writes at a time; any
    number read, without a lock, and see each commit whole. What `sync` acknowledged survives a kill and a power cut. `fetch`,
    `scan`, `count` and searches see what was synced.
    """

    version = 1
    fenced = True  # there is no server that a late write could reach

    @checked
    def __init__(
        self,
        *,
        chunker: Annotated[Chunker, "cuts the documents"],
        embedder: Annotated[Embedder | None, 'its sparse vectors are kept, for a retriever `use = "sparse"`'] = None,
        path: Annotated[Path, "a folder that belongs to this store"],
        method: Annotated[Method, "the formula"] = "lucene",
        k1: Annotated[float, Finite(), AtLeast(0), "how soon more occurrences of a word count no more"] = K1,
        b: Annotated[
            Annotated[float, Between(0, 1)] | dict[str, Annotated[float, Between(0, 1)]],
            "how far the length of a row matters; with `fields` it may be a table with a number for each",
        ] = B,
        delta: Annotated[float | None, "for `bm25+`, `bm25l` and `tf-idf` only; without it, that of the method"] = None,
        norms: Annotated[
            Norms,
            "`lucene`: lengths as Lucene's one byte has them, for parity with Lucene, Elasticsearch and published figures",
        ] = "exact",
        analyzer: Annotated[
            AnalyzerName | list[str], "a name or a list of steps; another one means making the index anew"
        ] = "lucene-english",
        fields: Annotated[
            dict[str, Annotated[float, Finite(), AtLeast(0)]] | None,
            "`{ text = 1.0, title = 2.0 }`: weights by field (BM25F); another set of fields means making the index anew",
        ] = None,
        boosts: Annotated[bool, "a question may say `heart^2.5 attack`"] = False,
        feedback: Annotated[Literal["none", "rm3"], "`rm3`: ask again with words of the first rows"] = "none",
        feedback_documents: Annotated[int, AtLeast(1), "for `rm3`: so many rows"] = FEEDBACK.documents,
        feedback_terms: Annotated[int, AtLeast(1), "for `rm3`: so many words of them"] = FEEDBACK.terms,
        original_weight: Annotated[
            float, Between(0, 1), "for `rm3`: the share of the words that were asked"
        ] = FEEDBACK.original_weight,
        cache_mb: Annotated[
            int,
            AtLeast(0),
            "so much of the chunks that were found stays in memory, with their metadata; 0 for none",
        ] = 64,
    ) -> None:
        if embedder is not None:
            check_gives(embedder, "sparse")
        if method == "tf-idf" and k1 != K1:
            raise ValueError(f"k1 has no meaning for method = 'tf-idf', got {k1}: leave it out")
        self.chunker = chunker
        self.embedder = embedder
        self.embedders = {} if embedder is None else {"sparse": embedder}
        self.path = path
        self.method = method
        self.k1 = k1
        self.b = b
        self.delta = delta
        self.norms = norms
        self.analyzer = analyzer
        self.fields = fields
        self.boosts = boosts
        self.feedback = feedback
        self.feedback_documents = feedback_documents
        self.feedback_terms = feedback_terms
        self.original_weight = original_weight
        self.cache_mb = cache_mb
        self._formula = formula(method, k1, delta, norms, fields_of(fields, b, B))
        model = Rm3(feedback_documents, feedback_terms, original_weight)
        if feedback == "none" and model != FEEDBACK:
            raise ValueError(
                "feedback_documents, feedback_terms and original_weight have no meaning without feedback = 'rm3': "
                "leave them out"
            )
        self._rm3 = model if feedback == "rm3" else None
        self._chain = analysis.analyzer(analyzer)
        self._content = Terms(self._chain, self._formula, sparse=embedder is not None)
        self._index = Index(path, self._content, cache_bytes=cache_mb << 20)

    def open(self) -> None:
        """Make an empty index where there is none. Raises IdentityError where another analyzer made the terms."""
        self._index.open()

    def close(self) -> None:
        """End writing and let go of the files. What was put or dropped since the last `sync` is forgotten."""
        self._index.close()

    def identity(self) -> Mapping[str, str | int | float | bool | None]:
        """What the rows depend on besides chunker and embedder: the analyzer and the set of fields."""
        return dict(self._content.identity())

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
        """ "bm25" or what else the formula is, "of fields" where there are several, and "rm3" with feedback."""
        name = KINDS.get(self.method, self.method) + ("" if self.fields is None else " of fields")
        return ScoreKind(name if self._rm3 is None else f"{name} rm3")

    def search_text(self, texts: Sequence[str], /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        """The k best rows for each text by the formula; none for a text without a term of the index."""
        queries = [self._query(text) for text in texts]
        view = self._index.view()
        if self._rm3 is None:
            return view.search_text(queries, k, where)
        return view.search_with_feedback(queries, self._rm3, self._terms_of, k, where)

    def matching_terms(self, text: str, chunk_ids: Sequence[str], /) -> list[tuple[str, ...]]:
        """The analyzed terms of `text` that each of these rows contains, in the order of the text; none that feedback added."""
        return self._index.view().matching(list(self._query(text)), chunk_ids)

    def _query(self, text: str) -> dict[str, float]:
        return boosted(self._chain, text) if self.boosts else plain(self._chain, text)

    def _terms_of(self, chunk: Chunk) -> dict[str, float]:
        """How often each term is in a row, times the weights of the fields."""
        found: dict[str, float] = {}
        for field in self._formula.fields:
            for text in field.texts(chunk):
                for term in self._chain.terms(text):
                    found[term] = found.get(term, 0.0) + field.weight
        return found

    def search_sparse(self, vectors: SparseRows, /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        """The k best rows for each vector by inner product, among those that share a dimension with it."""
        if self.embedder is None:
            raise HookragError(f"{self.path} keeps no sparse vectors: give the store an embedder of sparse vectors")
        return self._index.view().search_sparse(vectors, k, where)
