"""Small deterministic components without models, servers or files: for testing one's own against something."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Annotated, Literal
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from hookrag.chunks import chunk_of
from hookrag.filters import Filter, matches
from hookrag.options import AtLeast, checked
from hookrag.protocols import Chunker, Embedder, Emit
from hookrag.values import (
    Answer,
    Card,
    Chunk,
    Citation,
    Completion,
    Document,
    Event,
    Hit,
    Identity,
    Message,
    Output,
    Query,
    Ranking,
    Role,
    Row,
    RowKey,
    ScoreKind,
    SparseRows,
    Usage,
    Vectors,
    best,
)

_WORD = re.compile(r"\w+")


class WordChunker:
    """Every `size` words are a chunk."""

    @checked
    def __init__(self, *, size: Annotated[int, AtLeast(1), "words of a chunk"] = 20) -> None:
        self.size = size

    def chunk(self, documents: Sequence[Document], /) -> list[list[Chunk]]:
        made = []
        for document in documents:
            words = list(re.finditer(r"\S+", document.text))
            groups = [words[i : i + self.size] for i in range(0, len(words), self.size)]
            made.append([chunk_of(document, group[0].start(), group[-1].end()) for group in groups])
        return made


def word_hash(word: str, width: int) -> int:
    """The place of a word in a vector of this width, the same in every process."""
    return int.from_bytes(blake2b(word.lower().encode(), digest_size=4).digest(), "little") % width


class HashEmbedder:
    """Counts hashed words: texts that share words are near each other. Gives dense, sparse and multi vectors."""

    @checked
    def __init__(
        self,
        *,
        width: Annotated[int, AtLeast(1), "numbers of a vector"] = 64,
        prefix: Annotated[str, "put before each word"] = "",
    ) -> None:
        self.width = width
        self.prefix = prefix
        self.outputs: Collection[Output] = frozenset({"dense", "sparse", "multi"})

    def identity(self) -> Identity:
        told: Mapping[str, str | int] = {"weights": "hash", "width": self.width, "prefix": self.prefix}
        return Identity(told, told)

    def embed(self, texts: Sequence[str], /, *, role: Role, outputs: Collection[Output]) -> Vectors:
        places = [[word_hash(self.prefix + word, self.width) for word in _WORD.findall(text)] for text in texts]
        counts = np.zeros((len(texts), self.width), dtype=np.float32)
        for row, found in enumerate(places):
            np.add.at(counts[row], found, 1.0)
        dense = counts + np.float32(1e-3)  # no vector is zero, so that every text has a direction
        dense /= np.linalg.norm(dense, axis=1, keepdims=True)
        rows = [np.flatnonzero(row).astype(np.int32) for row in counts]
        lengths = np.array([0, *(len(row) for row in rows)], dtype=np.int64)
        sparse = SparseRows(
            np.cumsum(lengths),
            np.concatenate(rows) if rows else np.zeros(0, np.int32),
            np.concatenate([counts[i, row] for i, row in enumerate(rows)]) if rows else np.zeros(0, np.float32),
            self.width,
        )
        eye = np.eye(self.width, dtype=np.float32)
        multi = tuple(eye[found] if found else np.zeros((0, self.width), np.float32) for found in places)
        return Vectors(
            dense if "dense" in outputs else None,
            sparse if "sparse" in outputs else None,
            multi if "multi" in outputs else None,
        )


class MemoryStore:
    """Rows in a dictionary, searched one by one: every kind of search, exactly."""

    def __init__(
        self, *, chunker: Chunker, embedder: Embedder | None = None, outputs: list[Output] | None = None
    ) -> None:
        self.chunker = chunker
        self.embedder = embedder
        self.outputs = outputs
        wanted: list[Output] = ["dense"] if outputs is None else outputs
        self.embedders: Mapping[Output, Embedder] = {} if embedder is None else dict.fromkeys(wanted, embedder)
        self.rows: dict[str, Row] = {}
        self._card = Card(uuid4().hex)

    def card(self) -> Card:
        return self._card

    def stamp(self, card: Card, /) -> None:
        self._card = card

    def put(self, rows: Sequence[Row], /, *, version: int) -> Mapping[str, str]:
        self.rows.update((row.chunk.id, row) for row in rows)
        return {}

    def drop(self, chunk_ids: Sequence[str], /, *, version: int) -> None:
        for chunk_id in chunk_ids:
            self.rows.pop(chunk_id, None)

    def sync(self) -> None:
        """Everything is visible at once."""

    def scan(self) -> Iterator[list[RowKey]]:
        keys = [RowKey(row.chunk.id, row.chunk.document_id, row.owner, row.check) for row in self.rows.values()]
        for start in range(0, len(keys), 100):
            yield keys[start : start + 100]

    def fetch(self, chunk_ids: Sequence[str], /, *, vectors: bool = False) -> list[Row | None]:
        found = [self.rows.get(chunk_id) for chunk_id in chunk_ids]
        return found if vectors else [row and replace(row, dense=None, sparse=None, multi=None) for row in found]

    def count(self, where: Filter | None = None, /) -> int:
        return len(self._matching(where))

    @property
    def dense_kind(self) -> ScoreKind:
        return ScoreKind("cosine")

    @property
    def text_kind(self) -> ScoreKind:
        return ScoreKind("shared words")

    def search_dense(self, vectors: NDArray[np.float32], /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        rows = [(row.chunk, row.dense) for row in self._matching(where) if row.dense is not None]
        return [_best(((chunk, float(dense @ query)) for chunk, dense in rows), k) for query in vectors]

    def search_sparse(self, vectors: SparseRows, /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        rows, found = self._matching(where), []
        for i in range(len(vectors)):
            span = slice(vectors.indptr[i], vectors.indptr[i + 1])
            query = dict(zip(vectors.indices[span].tolist(), vectors.values[span].tolist(), strict=True))
            found.append([hit for hit in _best(((row.chunk, _inner(row, query)) for row in rows), k) if hit.score])
        return found

    def search_text(self, texts: Sequence[str], /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        chunks, found = [row.chunk for row in self._matching(where)], []
        for text in texts:
            words = _words(text)
            scored = ((chunk, float(len(words & _words(chunk.input)))) for chunk in chunks)
            found.append([hit for hit in _best(scored, k) if hit.score])
        return found

    def matching_terms(self, text: str, chunk_ids: Sequence[str], /) -> list[tuple[str, ...]]:
        return [tuple(sorted(_words(text) & _words(self.rows[chunk_id].chunk.input))) for chunk_id in chunk_ids]

    def search_multi(
        self, vectors: Sequence[NDArray[np.float32]], /, *, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        rows = [(r.chunk, r.multi) for r in self._matching(where) if r.multi is not None and len(r.multi)]
        return [_best(((c, float((query @ m.T).max(axis=1).sum())) for c, m in rows), k) for query in vectors]

    def _matching(self, where: Filter | None) -> list[Row]:
        return [row for row in self.rows.values() if where is None or matches(where, row.chunk.metadata)]


def _best(scored: Iterable[tuple[Chunk, float]], k: int) -> list[Hit]:
    return list(best((Hit(chunk, score) for chunk, score in scored), k))


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}


def _inner(row: Row, query: Mapping[int, float]) -> float:
    if row.sparse is None:
        return 0.0
    return sum(float(value) * query.get(int(index), 0.0) for index, value in zip(*row.sparse, strict=True))


class ListRetriever:
    """Finds the given texts for every query, in their order."""

    def __init__(self, *, texts: list[str], name: str = "list") -> None:
        self.texts = texts
        self.name = name

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        made = [chunk_of(Document(f"{self.name}-{i}", text), 0, len(text)) for i, text in enumerate(self.texts)]
        hits = [Hit(chunk, float(len(made) - i)) for i, chunk in enumerate(made)]
        kept = [
            tuple(hit for hit in hits if query.where is None or matches(query.where, hit.chunk.metadata))
            for query in queries
        ]
        return [
            Ranking(query, found[:k], self.name, ScoreKind("place")) for query, found in zip(queries, kept, strict=True)
        ]


class RankFuser:
    """Sums 1 / rank."""

    def __init__(self) -> None:
        pass

    def fuse(self, legs: Sequence[Sequence[Ranking]], /, *, k: int) -> list[Ranking]:
        fused = []
        for rankings in zip(*legs, strict=True):
            scores: dict[str, Hit] = {}
            for ranking in rankings:
                for rank, hit in enumerate(ranking.hits, 1):
                    before = scores.get(hit.chunk.id)
                    scores[hit.chunk.id] = Hit(hit.chunk, 1 / rank + (before.score if before else 0.0))
            fused.append(Ranking(rankings[0].query, best(scores.values(), k), "fused", ScoreKind("inverse rank")))
        return fused


class OverlapReranker:
    """Scores by the share of the query's words that the chunk has."""

    def __init__(self) -> None:
        pass

    def rerank(self, rankings: Sequence[Ranking], /, *, k: int) -> list[Ranking]:
        made = []
        for ranking in rankings:
            words = _words(ranking.query.text)
            scored = [
                replace(hit, score=len(words & _words(hit.chunk.input)) / (len(words) or 1)) for hit in ranking.hits
            ]
            made.append(Ranking(ranking.query, best(scored, k), "overlap", ScoreKind("overlap")))
        return made


class ScriptedLLM:
    """Says `reply`, in which {prompt} stands for the last message, word by word when it streams."""

    def __init__(self, *, reply: str = "{prompt}", model: str = "scripted", window: int = 4096) -> None:
        self.reply = reply
        self.model = model
        self.window = window

    def complete(
        self,
        prompts: Sequence[Sequence[Message]],
        /,
        *,
        n: int = 1,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        emit: Callable[[int, str], None] | None = None,
    ) -> list[list[Completion]]:
        made = []
        for index, prompt in enumerate(prompts):
            words = self.reply.format(prompt=prompt[-1].content).split(" ")[:max_tokens]
            for place, word in enumerate(words):
                if emit is not None:
                    emit(index, word if place == 0 else f" {word}")
            usage = Usage(sum(len(turn.content.split()) for turn in prompt), len(words))
            made.append([Completion(" ".join(words), usage=usage)] * n)
        return made

    def count(self, texts: Sequence[str], /) -> list[int]:
        return [len(text.split()) for text in texts]


class FirstHit:
    """Answers with the text of the first hit and cites it; says "nothing found" where there is none."""

    def __init__(self, *, status: Literal["exact", "unverified"] = "exact") -> None:
        self.status: Literal["exact", "unverified"] = status

    def generate(self, rankings: Sequence[Ranking], /, *, emit: Emit | None = None) -> list[Answer]:
        made = []
        for ranking in rankings:
            if not ranking.hits:
                made.append(Answer(ranking.query, "nothing found", known=False))
                continue
            chunk = ranking.hits[0].chunk
            citation = Citation(0, len(chunk.text), chunk, chunk.text, self.status)
            if emit is not None:
                emit(Event(ranking.query.id, "text", chunk.text))
            made.append(Answer(ranking.query, chunk.text, (citation,), ranking.hits))
        return made
