"""BM25: hookrag-lexical, by itself and in a pipeline, beside bm25s (as installed, and with numba) and tantivy.

    .venv-bench/bin/python benchmarks/bm25.py [--rounds 5] [--documents N] [--queries 300]

Each side gives back the texts of what it found: ours as chunks, bm25s from the list of dictionaries that it was given, tantivy
from its stored field. All have k1 = 1.2 and b = 0.75, which tantivy cannot change, English stop words, and a stemmer: Porter's
for hookrag and bm25s, its successor for tantivy, which has no other. One thread each.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import collection
import run
from harness import Line, Side, Table, alternated, batches, seconds
from options import Options

K1, B = 1.2, 0.75
BATCH = 64
Found = list[list[tuple[str, str]]]  # ids and texts, for each query


class _Bm25:
    """The texts, and a new folder for each index."""

    def __init__(self, options: Options) -> None:
        held = collection.read(options)
        self.documents = dict(held.documents)
        self.queries = list(held.queries.values())
        self._folder = options.folder
        self._made = 0

    def _new(self) -> Path:
        """An empty folder; the one before is gone."""
        shutil.rmtree(self._folder / f"index{self._made}", ignore_errors=True)
        self._made += 1
        folder = self._folder / f"index{self._made}"
        folder.mkdir()
        return folder

    @property
    def folder(self) -> Path:
        return self._folder / f"index{self._made}"

    def find(self, queries: Sequence[str], k: int) -> Found:
        raise AssertionError("each side has its own")

    def ask(self, k: int, batch: int, count: int) -> float:
        """Queries a second: the first `count`, in batches of that size, as often as fit into a third of a second."""
        parts = batches(self.queries[:count], batch)
        asked, took = 0, 0.0
        while took < 1 / 3:
            took += seconds(lambda: [self.find(part, k) for part in parts])
            asked += min(count, len(self.queries))
        return asked / took

    def find_some(self, k: int, batch: int) -> None:
        self.find(self.queries[:batch], k)

    def top(self, k: int, count: int) -> list[list[str]]:
        return [[name for name, _ in found] for found in self.find(self.queries[:count], k)]


class Store(_Bm25):
    """The store by itself: rows put and committed to the disk, texts searched."""

    def __init__(self, options: Options) -> None:
        from hookrag import Document, Row, chunk_of
        from hookrag_lexical.store import Lexical

        super().__init__(options)
        self._class = Lexical
        documents = [Document(name, text) for name, text in self.documents.items()]
        self._rows = [Row(chunk_of(document, 0, len(document.text)), "", 0) for document in documents]
        self._store: Any = None

    def index(self) -> float:
        if self._store is not None:
            self._store.close()
        self._store = self._opened(self._new())
        return seconds(self._fill)

    def _opened(self, folder: Path) -> Any:
        store = self._class(chunker=None, path=folder / "terms", k1=K1, b=B)  # type: ignore[arg-type] # rows are ready
        store.open()
        return store

    def _fill(self) -> None:
        for rows in batches(self._rows, 1000):
            self._store.put(rows, version=1)
        self._store.sync()

    def reopen(self) -> float:
        """Seconds until a store that was just opened has answered all queries, one by one."""
        self._store.close()

        def do() -> None:
            self._store = self._opened(self.folder)
            for query in self.queries:
                self.find([query], 10)

        return seconds(do)

    def find(self, queries: Sequence[str], k: int) -> Found:
        found = self._store.search_text(queries, k=k, where=None)
        return [[(hit.chunk.document_id, hit.chunk.text) for hit in hits] for hits in found]


class Ours(_Bm25):
    """The same in a pipeline: a journaled, checked ingest; every result checked."""

    def __init__(self, options: Options) -> None:
        from hookrag import Document

        super().__init__(options)
        self._given = [Document(name, text) for name, text in self.documents.items()]
        self._pipeline: Any = None

    def index(self) -> float:
        from hookrag import Pipeline

        if self._pipeline is not None:
            self._pipeline.close()
        config = {
            "pipelines": {"default": {"retriever": "bm25"}},
            "index": {"path": str(self._new())},
            "chunkers": {"whole": {"use": "document"}},
            "stores": {"terms": {"use": "lexical", "chunker": "whole", "k1": K1, "b": B}},
            "retrievers": {"bm25": {"use": "text", "store": "terms"}},
        }
        self._pipeline = Pipeline.from_config(config)
        return seconds(lambda: self._pipeline.index(self._given))

    def find(self, queries: Sequence[str], k: int) -> Found:
        rankings = self._pipeline.retrieve(list(queries), k)
        return [[(hit.chunk.document_id, hit.chunk.text) for hit in ranking.hits] for ranking in rankings]


class Bm25s(_Bm25):
    """bm25s as its README has it, with the corpus as dictionaries."""

    backend = "numpy"

    def __init__(self, options: Options) -> None:
        import bm25s
        import Stemmer

        super().__init__(options)
        self._library: Any = bm25s
        self._stemmer = Stemmer.Stemmer("porter")
        self._corpus = [{"id": name, "text": text} for name, text in self.documents.items()]
        self._index: Any = None

    def _tokens(self, texts: Sequence[str]) -> Any:
        pattern = r"(?u)\b\w+\b"
        return self._library.tokenize(
            list(texts), stopwords="en", stemmer=self._stemmer, token_pattern=pattern, show_progress=False
        )

    def _fill(self) -> None:
        self._index = self._library.BM25(corpus=self._corpus, method="lucene", k1=K1, b=B, backend=self.backend)
        self._index.index(self._tokens([one["text"] for one in self._corpus]), show_progress=False)

    def index(self) -> float:
        """In memory."""
        return seconds(self._fill)

    def index_saved(self) -> float:
        """And on the disk, with its corpus."""
        folder = self._new()

        def do() -> None:
            self._fill()
            self._index.save(folder, corpus=self._corpus, show_progress=False)

        return seconds(do)

    def reopen(self) -> float:
        def do() -> None:
            self._index = self._library.BM25.load(self.folder, load_corpus=True)
            for query in self.queries:
                self.find([query], 10)

        took = seconds(do)
        self._index.corpus = self._corpus  # in memory again, and not read from the disk, for what follows
        return took

    def find(self, queries: Sequence[str], k: int) -> Found:
        k = min(k, len(self._corpus))
        results = self._index.retrieve(self._tokens(queries), k=k, show_progress=False)
        return [[(one["id"], one["text"]) for one in found] for found in results.documents]


class Bm25sNumba(Bm25s):
    """The same, compiled by numba, which is installed besides and asked for."""

    backend = "numba"


class Tantivy(_Bm25):
    """tantivy's Python bindings, on the disk."""

    def __init__(self, options: Options) -> None:
        import tantivy

        super().__init__(options)
        self._library: Any = tantivy
        self._index: Any = None

    def _opened(self, folder: Path) -> Any:
        tantivy = self._library
        fields = tantivy.SchemaBuilder()
        fields.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
        fields.add_text_field("text", stored=True, tokenizer_name="english", index_option="freq")
        index = tantivy.Index(fields.build(), path=str(folder))
        chain = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).filter(tantivy.Filter.lowercase())
        chain = chain.filter(tantivy.Filter.stopword("english")).filter(tantivy.Filter.stemmer("english"))
        index.register_tokenizer("english", chain.build())
        return index

    def index(self) -> float:
        folder = self._new()

        def do() -> None:
            self._index = self._opened(folder)
            writer = self._index.writer(num_threads=1)
            for name, text in self.documents.items():
                writer.add_document(self._library.Document(id=name, text=text))
            writer.commit()
            writer.wait_merging_threads()

        took = seconds(do)
        self._search()
        return took

    def _search(self) -> None:
        self._index.reload()
        self._searcher = self._index.searcher()

    def reopen(self) -> float:
        def do() -> None:
            self._index = self._opened(self.folder)
            self._search()
            for query in self.queries:
                self.find([query], 10)

        return seconds(do)

    def find(self, queries: Sequence[str], k: int) -> Found:
        found = []
        for query in queries:
            words = re.sub(r"\W+", " ", query).lower()  # so that nothing in it is an operator or a phrase
            parsed, _ = self._index.parse_query_lenient(words, ["text"])
            documents = [self._searcher.doc(at) for _, at in self._searcher.search(parsed, k, count=False).hits]
            found.append([(document["id"][0], document["text"][0]) for document in documents])
        return found


SIDES = {"store": Store, "pipeline": Ours, "bm25s": Bm25s, "bm25s, numba": Bm25sNumba, "tantivy": Tantivy}


def agreement(ours: Sequence[Sequence[str]], theirs: Sequence[Sequence[str]]) -> float:
    """The share of our documents that are theirs too, over all queries.

    >>> agreement([["a", "b"]], [["b", "c"]])
    0.5
    """
    return sum(len(set(a) & set(b)) for a, b in zip(ours, theirs, strict=True)) / max(sum(map(len, ours)), 1)


def measure(options: Options) -> list[Table]:
    """Indexing, a fresh index, queries by k and batch; the store's lines and the pipeline's in one table."""
    options = options.sized(documents=0, queries=300)
    opened = [Side(__file__, name, options, threads=1) for name in SIDES]
    try:
        return [_table(options, *opened)]
    finally:
        for side in opened:
            side.close()


def _table(options: Options, store: Side, pipeline: Side, bm25s: Side, numba: Side, tantivy: Side) -> Table:
    lines = []

    def line(what: str, unit: str, calls: dict[str, Callable[[], float]]) -> None:
        lines.append(Line(what, unit, alternated(options.rounds, calls)))

    saved = {"bm25s, saved": bm25s.asking("index_saved"), "tantivy": tantivy.asking("index")}
    line("index, the store", "s", {"ours": store.asking("index"), "bm25s, in memory": bm25s.asking("index"), **saved})
    line("index, a pipeline's ingest", "s", {"ours": pipeline.asking("index"), **saved})
    line("open it, ask all one by one", "s", {side.name: side.asking("reopen") for side in (store, bm25s, tantivy)})
    numba.ask("index")
    others = (bm25s, numba, tantivy)
    for k, count in ((10, 300), (100, 300), (1000, 60)):
        for batch in (1, BATCH):
            sides = (store, pipeline, *others)
            for side in sides:
                side.ask("find_some", k=k, batch=batch)  # what a first call sets up is not counted
            calls = {side.name: side.asking("ask", k=k, batch=batch, count=count) for side in sides}
            figures = alternated(options.rounds, calls)
            asked = f"k = {k}, " + ("one by one" if batch == 1 else f"in batches of {batch}")
            for ours in ("store", "pipeline"):
                chosen = {name: figures[name] for name in (ours, *(side.name for side in others))}
                lines.append(Line(f"{asked}, the {ours}", "queries/s", chosen, more=True))
    lines.append(Line("memory", "MB", {side.name: [side.peak()] for side in (store, *others)}))
    tops = {side.name: side.ask("top", k=10, count=options.queries) for side in (store, *others)}
    agreed = ", ".join(f"{agreement(tops['store'], tops[side.name]):.1%} with {side.name}" for side in others)
    notes = [f"{len(tops['store'])} queries (60 at k = 1000), one thread. The first ten agree to {agreed}."]
    return Table("BM25", notes, lines)


if __name__ == "__main__":
    run.alone(measure, SIDES)
