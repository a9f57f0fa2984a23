"""Components that break their word, and what their users read: the table's name, what came, and what was due."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hookrag import (
    Answer,
    Chunk,
    Citation,
    ComponentError,
    ContractError,
    DenseStore,
    Document,
    Embedder,
    Hit,
    HookragError,
    Pipeline,
    Query,
    Ranking,
    Reranker,
    Retriever,
    ScoreKind,
    Vectors,
    chunk_of,
)
from hookrag.components.fused import Fused
from hookrag.components.reranked import Reranked
from hookrag.components.search import Dense, Text
from hookrag.testing.fakes import FirstHit, HashEmbedder, ListRetriever, MemoryStore, WordChunker
from hookrag.values import Output, Role

DOCUMENTS = [
    Document("a", "one two three", metadata={"lang": "en"}),
    Document("b", "two three four", metadata={"lang": "de"}),
]
KIND = ScoreKind("place")
CHUNK = chunk_of(DOCUMENTS[0], 0, 3)
OTHER = chunk_of(DOCUMENTS[1], 0, 3)


class Acme:
    """A retriever that returns what the test wants."""

    def __init__(self, *, make: Callable[[Sequence[Query], int], Any]) -> None:
        self.make: Any = make

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        made: list[Ranking] = self.make(queries, k)
        return made


def ranking(query: Query, *hits: Hit) -> Ranking:
    return Ranking(query, hits, "acme", KIND)


RETRIEVERS: dict[str, tuple[Callable[[Sequence[Query], int], Any], str]] = {
    "too few rankings": (
        lambda queries, k: [ranking(queries[0])],
        "returned 1 for 2 queries: one ranking each, in their order",
    ),
    "no list": (
        lambda queries, k: None,
        "returned NoneType from retrieve(): a list with one ranking for each of the queries",
    ),
    "a list of hits": (
        lambda queries, k: [[], []],
        "returned list for query '1': a hookrag.Ranking",
    ),
    "wrong order of queries": (
        lambda queries, k: [ranking(query) for query in reversed(queries)],
        "returned the ranking of query '2' in the place of query '1': keep the order",
    ),
    "more than k": (
        lambda queries, k: [ranking(q, Hit(CHUNK, 2.0), Hit(OTHER, 1.0)) for q in queries],
        "returned 2 hits for query '1': at most k = 1",
    ),
    "not a number": (
        lambda queries, k: [ranking(q, Hit(CHUNK, float("nan"))) for q in queries],
        "returned the score nan for query '1': scores are finite numbers",
    ),
}


def text(error: BaseException) -> str:
    return str(error).removeprefix("[retrievers.acme] (use = 'acme') ")


@pytest.mark.parametrize("name", RETRIEVERS)
def test_retriever(name: str, tmp_path: Path) -> None:
    make, expected = RETRIEVERS[name]
    with Pipeline(retriever=Acme(make=make), folder=tmp_path) as pipeline, pytest.raises(ContractError) as raised:
        pipeline.retrieve(["x", "y"], k=1)
    assert str(raised.value) == f"[retrievers.acme] (use = 'acme') {expected}"


def test_retriever_that_sorts_upwards(tmp_path: Path) -> None:
    upwards = Acme(make=lambda queries, k: [ranking(q, Hit(CHUNK, 1.0), Hit(OTHER, 2.0)) for q in queries])
    with Pipeline(retriever=upwards, folder=tmp_path) as pipeline, pytest.raises(ContractError) as raised:
        pipeline.retrieve(["x"], k=2)
    assert text(raised.value) == (
        f"returned hits out of order for query '1': 1 ({CHUNK.id}) before 2 ({OTHER.id}): "
        "order by score, highest first, then by chunk id; hookrag.best() does"
    )


def test_retriever_that_finds_a_chunk_twice(tmp_path: Path) -> None:
    twice = Acme(make=lambda queries, k: [ranking(q, Hit(CHUNK, 2.0), Hit(CHUNK, 1.0)) for q in queries])
    with Pipeline(retriever=twice, folder=tmp_path) as pipeline, pytest.raises(ContractError) as raised:
        pipeline.retrieve(["x"], k=2)
    assert text(raised.value) == "returned a chunk twice for query '1': each chunk at most once"


def test_retriever_that_ignores_the_filter(tmp_path: Path) -> None:
    deaf = Acme(make=lambda queries, k: [ranking(q, Hit(OTHER, 1.0)) for q in queries])
    with Pipeline(retriever=deaf, folder=tmp_path, fields={"lang": "keyword"}) as pipeline:
        with pytest.raises(ContractError) as raised:
            pipeline.retrieve(["x"], where='lang == "en"')
        assert text(raised.value) == "returned a chunk of document 'b' for query '1' outside its filter lang == \"en\""
        with pytest.raises(ContractError) as raised:
            pipeline.scoped('lang == "en"').retrieve(["x"])
        assert text(raised.value) == "returned a chunk of document 'b' for query '1' outside its scope lang == \"en\""


def test_retriever_that_raises(tmp_path: Path) -> None:
    def fail(queries: Sequence[Query], k: int) -> Any:
        raise KeyError("host")

    with Pipeline(retriever=Acme(make=fail), folder=tmp_path) as pipeline, pytest.raises(ComponentError) as raised:
        pipeline.retrieve(["x"])
    assert str(raised.value) == "[retrievers.acme] (use = 'acme') failed in retrieve: KeyError: 'host'"
    assert isinstance(raised.value.__cause__, KeyError)


class Inventive:
    """A reranker that knows better."""

    def rerank(self, rankings: Sequence[Ranking], /, *, k: int) -> list[Ranking]:
        return [Ranking(r.query, (Hit(OTHER, 9.0),), "inventive", KIND) for r in rankings]


def test_reranker_that_adds_a_chunk(tmp_path: Path) -> None:
    retriever = Reranked(retriever=ListRetriever(texts=["one"]), reranker=Inventive())
    with Pipeline(retriever=retriever, folder=tmp_path) as pipeline, pytest.raises(ContractError) as raised:
        pipeline.retrieve(["x"])
    assert str(raised.value) == (
        f"[rerankers.inventive] (use = 'inventive') returned the chunk {OTHER.id} for query '1', which it was not given: "
        "only hits that came in"
    )


class Forgetful:
    """A fuser that drops a query."""

    def fuse(self, legs: Sequence[Sequence[Ranking]], /, *, k: int) -> list[Ranking]:
        return list(legs[0])[1:]


def test_fuser_that_drops_a_query(tmp_path: Path) -> None:
    retriever = Fused(retrievers=[ListRetriever(texts=["one"])], fuser=Forgetful())
    with Pipeline(retriever=retriever, folder=tmp_path) as pipeline, pytest.raises(ContractError) as raised:
        pipeline.retrieve(["x", "y"])
    assert str(raised.value) == (
        "[fusers.forgetful] (use = 'forgetful') returned 1 for 2 queries: one ranking each, in their order"
    )


class Doubled(HashEmbedder):
    """An embedder that returns what is asked of it, changed by a function."""

    def __init__(self, *, change: Any) -> None:
        super().__init__()
        self.change = change

    def embed(self, texts: Sequence[str], /, *, role: Role, outputs: Collection[Output]) -> Vectors:
        made: Vectors = self.change(super().embed(texts, role=role, outputs=outputs))
        return made


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda v: Vectors(dense=v.dense.astype(np.float64)),
            "returned dense vectors float64[1, 64] for 1 texts: float32[1, width]",
        ),
        (
            lambda v: Vectors(dense=v.dense * np.float32("nan")),
            "returned a dense vector that is not finite (text 0): no NaN and no infinity",
        ),
        (lambda v: Vectors(), "returned the outputs []: exactly ['dense'] were asked for"),
        (
            lambda v: Vectors(dense=np.concatenate([v.dense, v.dense])),
            "returned dense vectors float32[2, 64] for 1 texts: float32[1, width]",
        ),
    ],
)
def test_embedder(change: Any, expected: str, tmp_path: Path) -> None:
    store = MemoryStore(chunker=WordChunker(), embedder=HashEmbedder())
    bad: Embedder = Doubled(change=change)
    with Pipeline(retriever=Dense(store=store, embedder=bad), folder=tmp_path) as pipeline:
        with pytest.raises(ContractError) as raised:
            pipeline.retrieve(["x"])
    assert str(raised.value) == f"[embedders.doubled] (use = 'doubled') {expected}"


class Shifty:
    """A chunker whose spans are off by one."""

    def chunk(self, documents: Sequence[Document], /) -> list[list[Chunk]]:
        return [[replace(chunk_of(d, 0, 3), end=4)] for d in documents]


def test_chunker_whose_spans_are_wrong(tmp_path: Path) -> None:
    store = MemoryStore(chunker=Shifty(), embedder=HashEmbedder())
    with Pipeline(retriever=Text(store=store), folder=tmp_path) as pipeline:
        report = pipeline.index(DOCUMENTS)
    assert report.indexed == 0
    assert [problem.id for problem in report.failed] == ["a", "b"]
    assert report.failed[0].reason.startswith(
        "[chunkers.shifty] (use = 'shifty') returned a chunk of document 'a' whose text is not its span 0:4: "
        "a chunk is an exact span of its document; use chunk_of()"
    )


class Leaky(MemoryStore):
    """A store that forgets to filter."""

    def search_text(self, texts: Sequence[str], /, *, k: int, where: Any) -> list[list[Hit]]:
        return super().search_text(texts, k=k, where=None)


def test_store_that_forgets_to_filter(tmp_path: Path) -> None:
    store = Leaky(chunker=WordChunker(), embedder=HashEmbedder())
    with Pipeline(retriever=Text(store=store), folder=tmp_path, fields={"lang": "keyword"}) as pipeline:
        pipeline.index(DOCUMENTS)
        with pytest.raises(ContractError) as raised:
            pipeline.retrieve(["two"], where='lang == "en"')
    assert str(raised.value) == (
        "[stores.leaky] (use = 'leaky') returned a chunk of document 'b' for query 0 outside its filter lang == \"en\""
    )


class Fabulist:
    """A generator that makes up its sources."""

    def __init__(self, *, how: str = "chunk") -> None:
        self.how = how

    def generate(self, rankings: Sequence[Ranking], /) -> list[Answer]:
        hits = rankings[0].hits
        citation = {
            "chunk": Citation(0, 2, OTHER),
            "span": Citation(0, 99, hits[0].chunk),
            "quote": Citation(0, 2, hits[0].chunk, "never said"),
        }[self.how]
        return [Answer(ranking.query, "so", (citation,), hits) for ranking in rankings]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("chunk", f"cites the chunk {OTHER.id}, which is not in the answer's context: list it there"),
        ("span", "cites the span 0:99 of an answer of 2 characters"),
        ("quote", "calls the quote 'never said' exact, which its chunk does not contain"),
    ],
)
def test_generator_that_makes_up_its_sources(how: str, expected: str, tmp_path: Path) -> None:
    with Pipeline(retriever=ListRetriever(texts=["one"]), generator=Fabulist(how=how), folder=tmp_path) as pipeline:
        with pytest.raises(ContractError) as raised:
            pipeline.answer(["x"])
    assert str(raised.value) == f"[generators.fabulist] (use = 'fabulist') {expected}"


def test_component_that_cannot_be_opened_says_so_each_time(tmp_path: Path) -> None:
    class Shut(Acme):
        def open(self) -> None:
            raise OSError("no such host")

    with Pipeline(retriever=Shut(make=lambda queries, k: []), folder=tmp_path) as pipeline:
        for _ in range(2):
            with pytest.raises(
                ComponentError, match=r"^\[retrievers.shut\] \(use = 'shut'\) failed in open: OSError: no such host$"
            ):
                pipeline.retrieve(["x"])


def test_option_that_a_component_does_not_know(tmp_path: Path) -> None:
    class Plain:
        def __init__(self) -> None:
            self.window = 10

        def complete(self, prompts: Sequence[Any], /) -> list[Any]:
            return []

        def count(self, texts: Sequence[str], /) -> list[int]:
            return []

    from hookrag.config.objects import Adoption
    from hookrag.runtime.proxies import LLMProxy
    from hookrag.runtime.shared import Shared

    proxy = Adoption(Shared()).adopt("llm", Plain())
    assert isinstance(proxy, LLMProxy)
    assert proxy.complete([]) == []
    with pytest.raises(ContractError) as raised:
        proxy.complete([], schema={"type": "object"})
    assert str(raised.value) == (
        "[llms.plain] (use = 'plain'): its complete() does not take 'schema', and without it the result would be another; "
        "leave schema out or use another llm"
    )


def test_query_embedder_of_another_space(tmp_path: Path) -> None:
    store: DenseStore = MemoryStore(chunker=WordChunker(), embedder=HashEmbedder())
    with Pipeline(retriever=Dense(store=store, embedder=HashEmbedder(prefix="x")), folder=tmp_path) as pipeline:
        with pytest.raises(
            HookragError, match="the queries' embedder and the store's give dense vectors of different spaces"
        ):
            pipeline.retrieve(["x"])


def test_object_that_hides_a_parameter(tmp_path: Path) -> None:
    class Hidden:
        def __init__(self, *, retriever: Retriever, reranker: Reranker | None = None) -> None:
            self.inner = retriever

        def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
            return self.inner.retrieve(queries, k=k)

    with pytest.raises(HookragError) as raised:
        Pipeline(retriever=Hidden(retriever=ListRetriever(texts=[])), folder=tmp_path)
    assert str(raised.value) == (
        "Hidden keeps its parameter 'retriever' neither as self.retriever nor as self._retriever, so a pipeline cannot see it: "
        "name it so, or describe the pipeline by a configuration"
    )


@pytest.mark.parametrize("bad", [{"retriever": FirstHit()}, {"retriever": ListRetriever(texts=[]), "generator": 3}])
def test_object_of_the_wrong_kind(bad: Mapping[str, Any], tmp_path: Path) -> None:
    with pytest.raises(HookragError, match=r"is no (retriever|generator): it has no (retrieve|generate)\(\)"):
        Pipeline(**bad, folder=tmp_path)
