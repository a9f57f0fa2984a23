"""Twelve pipelines that the contracts have to carry, on fakes: if one of these bends, the design is wrong, not the test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hookrag import (
    LLM,
    Answer,
    BudgetExceeded,
    Call,
    Chunk,
    Chunker,
    Citation,
    Component,
    ComponentError,
    Document,
    Embedder,
    Emit,
    Event,
    Hit,
    Identity,
    Message,
    MultiStore,
    Pipeline,
    Proceed,
    Query,
    Ranking,
    Reranker,
    Retriever,
    ScoreKind,
    Store,
    TokenizingEmbedder,
    TransientError,
    Vectors,
    best,
    chunk_of,
    derived,
    fan_out,
    hookimpl,
    note,
    tracing,
)
from hookrag.components.fused import Fused
from hookrag.components.parents import Parents
from hookrag.components.reranked import Reranked
from hookrag.components.search import Dense, Text
from hookrag.testing import plugin
from hookrag.testing.fakes import (
    FirstHit,
    HashEmbedder,
    MemoryStore,
    OverlapReranker,
    RankFuser,
    ScriptedLLM,
    WordChunker,
)
from hookrag.values import Output, Role

PLUGINS = {"fakes": plugin}

DOCUMENTS = [
    Document(
        "tower",
        "The Eiffel Tower was completed in 1889. It stands in Paris.",
        "Eiffel Tower",
        {"lang": "en", "tenant": "a"},
    ),
    Document("port", "PostgreSQL listens on port 5432 by default.", "PostgreSQL", {"lang": "en", "tenant": "b"}),
    Document("turm", "Der Eiffelturm steht in Paris.", "Eiffelturm", {"lang": "de", "tenant": "a"}),
    Document("moon", "The Moon orbits the Earth in 27 days.", "Moon", {"lang": "en", "tenant": "a"}),
]

FIELDS = {"lang": "keyword", "tenant": "keyword"}


def toml(folder: Path, text: str) -> Path:
    path = folder / "hookrag.toml"
    path.write_text(text)
    return path


STORE = """
[index.fields]
lang = "keyword"
tenant = "keyword"

[chunkers.words]
use = "fake-words"
size = 8

[embedders.hash]
use = "fake-hash"

[stores.memory]
use = "fake-memory"
chunker = "words"
embedder = "hash"

[retrievers.dense]
use = "dense"
store = "memory"

[retrievers.bm25]
use = "text"
store = "memory"

[fusers.rank]
use = "fake-rank"

[rerankers.overlap]
use = "fake-overlap"

[generators.first]
use = "fake-first"

[llms.model]
use = "fake-llm"
"""


# 1. Hybrid, reranked, lifted to parents, inside CRAG.


class Halves:
    """Cuts a document into its halves, children of the whole."""

    def __init__(self, *, keep: str = "halves") -> None:
        self.keep = keep

    def chunk(self, documents: Sequence[Document], /) -> list[list[Chunk]]:
        made = []
        for document in documents:
            whole = chunk_of(document, 0, len(document.text), level="whole")
            middle = len(document.text) // 2
            halves = [
                chunk_of(document, start, end, level="half", parent=whole.id)
                for start, end in ((0, middle), (middle, len(document.text)))
            ]
            made.append(halves if self.keep == "halves" else [whole])
        return made


class Corrective:
    """CRAG (Yan et al. 2024): when no hit satisfies the evaluator, the question is rewritten and asked elsewhere."""

    def __init__(
        self, *, retriever: Retriever, evaluator: Reranker, llm: LLM, fallback: Retriever, enough: float = 0.5
    ) -> None:
        self.retriever = retriever
        self.evaluator = evaluator
        self.llm = llm
        self.fallback = fallback
        self.enough = enough

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        judged = self.evaluator.rerank(self.retriever.retrieve(queries, k=k), k=k)
        wrong = [i for i, ranking in enumerate(judged) if not ranking.hits or ranking.hits[0].score < self.enough]
        note(corrected=len(wrong))
        rewritten = self.llm.complete([[Message("user", queries[i].text)] for i in wrong], max_tokens=30)
        asked = [replace(queries[i], text=made[0].text) for i, made in zip(wrong, rewritten, strict=True)]
        for i, ranking in zip(wrong, self.fallback.retrieve(asked, k=k), strict=True):
            judged[i] = replace(ranking, query=queries[i])
        return judged


def test_1_hybrid_reranked_parents_inside_crag(tmp_path: Path) -> None:
    text = (
        STORE.replace('use = "fake-words"\nsize = 8', 'use = "halves"')
        + """
[pipelines.default]
retriever = "crag"
generator = "first"

[chunkers.wholes]
use = "halves"
keep = "wholes"

[stores.wholes]
use = "fake-memory"
chunker = "wholes"

[retrievers.hybrid]
use = "fused"
retrievers = ["dense", "bm25"]
fuser = "rank"

[retrievers.reranked]
use = "reranked"
retriever = "hybrid"
reranker = "overlap"

[retrievers.lifted]
use = "parents"
retriever = "reranked"
store = "wholes"

[retrievers.elsewhere]
use = "fake-list"
texts = ["The web says so."]

[retrievers.crag]
use = "crag"
retriever = "lifted"
evaluator = "overlap"
llm = "model"
fallback = "elsewhere"
"""
    )
    with Pipeline.from_config(toml(tmp_path, text), plugins=PLUGINS | {"mine": Mine()}) as pipeline:
        assert pipeline.index(DOCUMENTS).indexed == 4
        with tracing() as trace:
            found, lost = pipeline.retrieve(["Eiffel Tower completed 1889", "zebra zoology xylophone"], k=2)
        assert found.hits[0].chunk.text == DOCUMENTS[0].text
        assert lost.hits[0].chunk.text == "The web says so."
        assert [part.stage for part in found.hits[0].parts][-1:] == ["fused"]
        crag = next(span for span in trace.walk() if span.step and span.step.name == "crag")
        assert crag.notes == {"corrected": 1}
        assert pipeline.answer(["Eiffel Tower completed 1889"])[0].citations[0].quote == DOCUMENTS[0].text


# 2. One store used by a plain and by a HyDE retriever.


class Hyde:
    """Gao et al. 2022: the query's vector is that of a document that a language model imagines."""

    def __init__(self, *, embedder: Embedder, llm: LLM) -> None:
        self.embedder = embedder
        self.llm = llm
        self.outputs: Collection[Output] = frozenset({"dense"})

    def identity(self) -> Identity:
        return self.embedder.identity()

    def embed(self, texts: Sequence[str], /, *, role: Role, outputs: Collection[Output]) -> Vectors:
        if role == "query":
            texts = [made[0].text for made in self.llm.complete([[Message("user", text)] for text in texts])]
        return self.embedder.embed(texts, role="document", outputs=outputs)


HYDE = (
    STORE.replace('use = "fake-llm"', 'use = "fake-llm"\nreply = "PostgreSQL listens on port"')
    + """
[pipelines.default]
retriever = "dense"
[pipelines.hyde]
retriever = "imagined"
[embedders.hyde]
use = "hyde"
embedder = "hash"
llm = "model"
[retrievers.imagined]
use = "dense"
store = "memory"
embedder = "hyde"
"""
)


class Mine:
    """The components of this file as a third party would register them."""

    hookrag_api = 1

    @hookimpl
    def chunkers(self) -> Mapping[str, Component]:
        return {
            name: Component(f"{__name__}:{target}", "")
            for name, target in (("halves", "Halves"), ("windows", "Windows"))
        }

    @hookimpl
    def embedders(self) -> Mapping[str, Component]:
        return {"hyde": Component(f"{__name__}:Hyde", "")}

    @hookimpl
    def retrievers(self) -> Mapping[str, Component]:
        names = {"crag": "Corrective", "routed": "Routed", "graph": "Graph", "slow": "Slow"}
        return {name: Component(f"{__name__}:{target}", "") for name, target in names.items()}


def test_2_one_store_for_a_plain_and_a_hyde_retriever(tmp_path: Path) -> None:
    path = toml(tmp_path, HYDE)
    plugins = PLUGINS | {"mine": Mine()}
    with Pipeline.from_config(path, plugins=plugins) as plain:
        plain.index(DOCUMENTS)
        hyde = plain.override({"pipelines.default.retriever": "imagined"})
        assert hyde.stores[0].instance is plain.stores[0].instance
        question = "which door number does the elephant database use"
        assert hyde.retrieve([question], k=1)[0].hits[0].chunk.document_id == "port"
        assert plain.retrieve(["Moon orbits Earth"], k=1)[0].hits[0].chunk.document_id == "moon"
        hyde.close()
        assert plain.retrieve(["Moon orbits Earth"], k=1)[0].hits  # the shared store is still open


# 3. Overrides of k, filter, tenant and model per request.


def test_3_overrides_for_one_request(tmp_path: Path) -> None:
    text = STORE + '[pipelines.default]\nretriever = "bm25"\ngenerator = "first"\nk = 2\n'
    with Pipeline.from_config(toml(tmp_path, text), plugins=PLUGINS) as pipeline:
        pipeline.index(DOCUMENTS)
        assert len(pipeline.retrieve(["the in"])[0].hits) == 2
        assert len(pipeline.retrieve(["the in"], k=3)[0].hits) == 3
        german = pipeline.retrieve(["in Paris"], k=5, where='lang == "de"')[0]
        assert {hit.chunk.document_id for hit in german.hits} == {"turm"}
        tenant = pipeline.scoped('tenant == "b"')
        assert {h.chunk.document_id for h in tenant.retrieve(["the in on port"], k=9)[0].hits} == {"port"}
        assert not tenant.retrieve(["the in"], k=9, where='tenant == "a"')[0].hits
        small = pipeline.override({"chunkers.words.size": 3, "pipelines.default.k": 1})
        assert small.k == 1
        assert pipeline.k == 2


# 4. Streaming with several questions in a batch.


def test_4_streaming_several_questions(tmp_path: Path) -> None:
    text = STORE + '[pipelines.default]\nretriever = "bm25"\ngenerator = "first"\n'
    with Pipeline.from_config(toml(tmp_path, text), plugins=PLUGINS) as pipeline:
        pipeline.index(DOCUMENTS)
        stream = pipeline.stream([Query("a", "Eiffel Tower"), Query("b", "PostgreSQL port")])
        texts: dict[str, str] = {}
        for event in stream:
            if event.kind == "text":
                texts[event.query_id] = texts.get(event.query_id, "") + event.text
        assert texts == {answer.query.id: answer.text for answer in stream.answers()}
        assert set(texts) == {"a", "b"}

        async def collect() -> list[str]:
            return [event.text async for event in pipeline.astream(["Moon Earth"]) if event.kind == "text"]

        assert "".join(asyncio.run(collect())) == pipeline.answer(["Moon Earth"])[0].text


# 5. A generator that retrieves while it writes.


class Forward:
    """FLARE's shape (Jiang et al. 2023): each sentence is looked up before the next is written."""

    def __init__(self, *, retriever: Retriever, llm: LLM, rounds: int = 2) -> None:
        self.retriever = retriever
        self.llm = llm
        self.rounds = rounds

    def generate(self, rankings: Sequence[Ranking], /, *, emit: Emit | None = None) -> list[Answer]:
        return [self._answer(ranking, emit) for ranking in rankings]

    def _answer(self, ranking: Ranking, emit: Emit | None) -> Answer:
        text, citations, context, question = "", [], {}, ranking.query.text
        for _ in range(self.rounds):
            hit = self.retriever.retrieve([replace(ranking.query, text=question)], k=1)[0].hits[0]
            said = self.llm.complete([[Message("user", hit.chunk.text)]])[0][0].text
            context[hit.chunk.id] = hit
            citations.append(Citation(len(text), len(text) + len(said), hit.chunk))
            text += said + " "
            if emit is not None:
                emit(Event(ranking.query.id, "text", said + " "))
            question = "PostgreSQL port"
        return Answer(ranking.query, text, tuple(citations), tuple(context.values()))


def test_5_a_generator_that_retrieves_while_it_writes(tmp_path: Path) -> None:
    store = MemoryStore(chunker=WordChunker(), embedder=HashEmbedder())
    retriever = Text(store=store)
    with Pipeline(
        retriever=retriever, generator=Forward(retriever=retriever, llm=ScriptedLLM()), folder=tmp_path
    ) as pipeline:
        pipeline.index(DOCUMENTS)
        with tracing() as trace:
            stream = pipeline.stream(["Eiffel Tower"])
            pieces = [event.text for event in stream]
        answer = stream.answers()[0]
        assert "".join(pieces) == answer.text
        assert {citation.chunk.document_id for citation in answer.citations} == {"tower", "port"}
        inside = [span for span in trace.walk() if span.step and span.step.kind == "retriever"]
        assert len(inside) == 3


# 6. A graph retriever with derived chunks.


class Graph:
    """GraphRAG's shape (Edge et al. 2024): summaries written about several chunks are found, and name their sources."""

    def __init__(self, *, store: Store, llm: LLM, passages: Retriever) -> None:
        self.store = store
        self.llm = llm
        self.passages = passages

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        made = []
        for ranking in self.passages.retrieve(queries, k=k):
            members = [hit.chunk for hit in ranking.hits]
            prompt = [Message("user", " ".join(chunk.text for chunk in members))]
            summary = self.llm.complete([prompt])[0][0].text
            chunk = derived("summary", summary, made_of=[c.id for c in members], level="community")
            made.append(Ranking(ranking.query, (Hit(chunk, 1.0),), "graph", ScoreKind("place")))
        return made


def test_6_a_graph_retriever_with_derived_chunks(tmp_path: Path) -> None:
    store = MemoryStore(chunker=WordChunker(), embedder=HashEmbedder())
    graph = Graph(store=store, llm=ScriptedLLM(reply="In short: {prompt}"), passages=Dense(store=store))
    with Pipeline(retriever=graph, generator=FirstHit(), folder=tmp_path) as pipeline:
        pipeline.index(DOCUMENTS)
        answer = pipeline.answer(["Paris"], k=3)[0]
        chunk = answer.citations[0].chunk
        assert answer.text.startswith("In short: ")
        assert len(chunk.made_of) == 3
        assert all(row is not None for row in store.fetch(list(chunk.made_of)))


# 7. A third party's routing retriever.


class Routed:
    """Sends each query to the retriever of its language, all routes at once."""

    def __init__(self, *, routes: dict[str, Retriever], default: str) -> None:
        if default not in routes:
            raise ValueError(f"default must be one of {', '.join(routes)}, got {default!r}")
        self.routes = routes
        self.default = default

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        chosen = ["de" if " der " in f" {query.text.lower()} " else self.default for query in queries]
        groups = {route: [i for i, r in enumerate(chosen) if r == route] for route in dict.fromkeys(chosen)}
        calls = [
            lambda route=route, rows=rows: self.routes[route].retrieve([queries[i] for i in rows], k=k)
            for route, rows in groups.items()
        ]
        rows = [i for group in groups.values() for i in group]
        found = dict(zip(rows, (ranking for leg in fan_out(calls) for ranking in leg), strict=True))
        return [found[i] for i in range(len(queries))]


def test_7_a_third_partys_routing_retriever(tmp_path: Path) -> None:
    text = STORE + (
        '[pipelines.default]\nretriever = "router"\n'
        '[retrievers.german]\nuse = "fake-list"\ntexts = ["Der Turm"]\n'
        '[retrievers.router]\nuse = "routed"\nroutes = { de = "german", en = "bm25" }\ndefault = "en"\n'
    )
    with Pipeline.from_config(toml(tmp_path, text), plugins=PLUGINS | {"mine": Mine()}) as pipeline:
        pipeline.index(DOCUMENTS)
        english, german = pipeline.retrieve(["the Moon", "wo steht der Turm"], k=1)
        assert english.hits[0].chunk.document_id == "moon"
        assert german.hits[0].chunk.text == "Der Turm"
    with pytest.raises(Exception, match=r"routes\.fr|\[retrievers\.router\] routes: no table \[retrievers\.french\]"):
        Pipeline.from_config(
            toml(tmp_path, text.replace('de = "german"', 'fr = "french"')), plugins=PLUGINS | {"mine": Mine()}
        )


# 8. A hundred concurrent requests from an event loop.


class Slow:
    """Waits until `together` callers are inside at once, so that a test sees concurrency instead of timing it."""

    def __init__(self, *, together: int = 2) -> None:
        self.together = together
        self._barrier = threading.Barrier(together)

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        self._barrier.wait(timeout=20)
        return [Ranking(query, (), "slow", ScoreKind("none")) for query in queries]


def test_8_a_hundred_concurrent_requests_from_an_event_loop(tmp_path: Path) -> None:
    store = MemoryStore(chunker=WordChunker(), embedder=HashEmbedder())
    retriever = Fused(retrievers=[Dense(store=store), Text(store=store)], fuser=RankFuser())
    with Pipeline(retriever=retriever, generator=FirstHit(), folder=tmp_path) as pipeline:
        pipeline.index(DOCUMENTS)
        questions = [DOCUMENTS[i % 4].text for i in range(100)]

        async def ask() -> list[list[Answer]]:
            return await asyncio.gather(*(pipeline.aanswer([question]) for question in questions))

        for question, answers in zip(questions, asyncio.run(ask()), strict=True):
            assert question.startswith(answers[0].citations[0].chunk.text[:10])
            assert answers == pipeline.answer([question])

    legs = [Slow(together=4) for _ in range(1)] * 4
    with Pipeline(retriever=Fused(retrievers=legs, fuser=RankFuser()), folder=tmp_path, threads=4) as pipeline:
        assert pipeline.retrieve(["all four legs meet at the barrier"])[0].hits == ()


# 9. A pipeline made of objects in Python, without a file.


def test_9_a_pipeline_made_of_objects(tmp_path: Path) -> None:
    store = MemoryStore(chunker=WordChunker(size=4), embedder=HashEmbedder())
    pipeline = Pipeline(
        retriever=Reranked(
            retriever=Fused(retrievers=[Dense(store=store), Text(store=store)], fuser=RankFuser()),
            reranker=OverlapReranker(),
        ),
        generator=FirstHit(),
        folder=tmp_path,
        fields=FIELDS,
    )
    with pipeline:
        assert [str(c.step) for c in pipeline.components] == [
            "[chunkers.wordchunker]",
            "[embedders.hashembedder]",
            "[stores.memorystore]",
            "[retrievers.dense]",
            "[retrievers.text]",
            "[fusers.rankfuser]",
            "[retrievers.fused]",
            "[rerankers.overlapreranker]",
            "[retrievers.reranked]",
            "[generators.firsthit]",
        ]
        pipeline.index(DOCUMENTS)
        assert pipeline.answer(["PostgreSQL port"], where='lang == "en"')[0].text == "PostgreSQL listens on port"


# 10. Cache, budget, redaction and retry together as middleware, in each order.


class Flaky:
    """A model that fails in passing every other time, and remembers what it read."""

    def __init__(self) -> None:
        self.window = 1000
        self.read: list[str] = []
        self._calls = 0

    def complete(self, prompts: Sequence[Sequence[Message]], /) -> list[list[Any]]:
        self._calls += 1
        if self._calls % 2:
            raise TransientError("busy")
        self.read += [prompt[-1].content for prompt in prompts]
        return ScriptedLLM().complete(prompts)

    def count(self, texts: Sequence[str], /) -> list[int]:
        return [len(text) for text in texts]


class Echo:
    """Answers with what the model makes of the question."""

    def __init__(self, *, llm: LLM) -> None:
        self.llm = llm

    def generate(self, rankings: Sequence[Ranking], /) -> list[Answer]:
        made = self.llm.complete([[Message("user", ranking.query.text)] for ranking in rankings])
        return [Answer(ranking.query, one[0].text) for ranking, one in zip(rankings, made, strict=True)]


def test_10_middleware_in_each_order(tmp_path: Path) -> None:
    from itertools import permutations

    from hookrag.components.middleware import Budget, Cache, Redact, Retry
    from hookrag.testing.fakes import ListRetriever

    for order in permutations(("cache", "budget", "redact", "retry")):
        place = {name: position for position, name in enumerate(order)}
        # Inside the retry a budget counts the failed attempt too; outside the cache it counts the answer from the cache.
        spent = 1 + (place["retry"] < place["budget"]) + (place["budget"] < place["cache"])
        made: dict[str, Any] = {
            "cache": Cache(),
            "budget": Budget(calls=spent, per="process"),
            "redact": Redact(patterns=[r"\d{4}"]),
            "retry": Retry(wait=0.0),
        }
        model = Flaky()
        with Pipeline(
            retriever=ListRetriever(texts=["x"]),
            generator=Echo(llm=model),
            middleware=[made[name] for name in order],
            folder=tmp_path,
        ) as pipeline:
            said = pipeline.answer(["my number is 1234"])[0].text
            assert said == "my number is [redacted]", order
            assert pipeline.answer(["my number is 1234"])[0].text == said, order
            assert model.read == ["my number is [redacted]"], order  # the second answer came from the cache
            with pytest.raises(BudgetExceeded, match=f"budget of {spent} calls per process is spent"):
                pipeline.answer(["another"])


# 11. A chunker that needs an embedder, one that needs its tokenizer.


class Breaks:
    """Semantic chunking's shape: cuts between sentences whose vectors are far apart."""

    def __init__(self, *, embedder: Embedder) -> None:
        self.embedder = embedder

    def chunk(self, documents: Sequence[Document], /) -> list[list[Chunk]]:
        made = []
        for document in documents:
            ends = [i + 1 for i, c in enumerate(document.text) if c == "."] or [len(document.text)]
            spans = list(zip([0, *ends[:-1]], ends, strict=True))
            vectors = self.embedder.embed(
                [document.text[a:b] for a, b in spans], role="document", outputs={"dense"}
            ).dense
            assert vectors is not None
            chunks, start = [], 0
            for i, (_, end) in enumerate(spans):
                if i + 1 == len(spans) or float(vectors[i] @ vectors[i + 1]) < 0.2:
                    chunks.append(chunk_of(document, start, end))
                    start = end
            made.append(chunks)
        return made


class Windows:
    """Cuts after so many of the embedder's own tokens."""

    def __init__(self, *, embedder: TokenizingEmbedder, tokens: int = 4) -> None:
        self.embedder = embedder
        self.tokens = tokens

    def chunk(self, documents: Sequence[Document], /) -> list[list[Chunk]]:
        size = min(self.tokens, self.embedder.room("document"))
        made = []
        for document, spans in zip(documents, self.embedder.tokens([d.text for d in documents]), strict=True):
            groups = [spans[i : i + size] for i in range(0, len(spans), size)]
            made.append([chunk_of(document, group[0][0], group[-1][1]) for group in groups])
        return made


class Letters(HashEmbedder):
    """An embedder with a tokenizer."""

    def __init__(self, *, window: int = 3) -> None:
        super().__init__()
        self.window = window

    def room(self, role: Role, /) -> int:
        return self.window

    def tokens(self, texts: Sequence[str], /) -> list[list[tuple[int, int]]]:
        import re

        return [[m.span() for m in re.finditer(r"\S+", text)] for text in texts]


@pytest.mark.parametrize("cut", [Breaks, Windows])
def test_11_a_chunker_that_needs_an_embedder(cut: Any, tmp_path: Path) -> None:
    embedder = Letters()
    chunker: Chunker = cut(embedder=embedder)
    store = MemoryStore(chunker=chunker, embedder=embedder)
    with Pipeline(retriever=Dense(store=store), folder=tmp_path) as pipeline:
        pipeline.index(DOCUMENTS)
        assert pipeline.stores[0].embedders["dense"].instance is pipeline.components[0].instance
        assert store.count() == (5 if cut is Breaks else 12)


def test_11_a_chunker_refuses_an_embedder_without_a_tokenizer(tmp_path: Path) -> None:
    text = STORE + '[pipelines.default]\nretriever = "dense"\n'
    text = text.replace('use = "fake-words"\nsize = 8', 'use = "windows"\nembedder = "hash"')
    with pytest.raises(
        Exception, match=r"\[chunkers\.words\] embedder = 'hash': 'fake-hash' has no room\(\), tokens\(\)"
    ):
        Pipeline.from_config(toml(tmp_path, text), plugins=PLUGINS | {"mine": Mine()})


# 12. One model that gives dense, sparse and multi vectors.


def test_12_one_model_that_gives_all_three_vectors(tmp_path: Path) -> None:
    from hookrag.components.search import Sparse

    class Counting(HashEmbedder):
        def __init__(self) -> None:
            super().__init__()
            self.texts = 0

        def embed(self, texts: Sequence[str], /, *, role: Role, outputs: Collection[Output]) -> Vectors:
            self.texts += len(texts)
            return super().embed(texts, role=role, outputs=outputs)

    model, chunker = Counting(), WordChunker()
    stores = [MemoryStore(chunker=chunker, embedder=model, outputs=[output]) for output in ("dense", "sparse", "multi")]
    legs = [Dense(store=stores[0]), Sparse(store=stores[1]), Late(store=stores[2])]
    with Pipeline(retriever=Fused(retrievers=legs, fuser=RankFuser()), folder=tmp_path) as pipeline:
        report = pipeline.index(DOCUMENTS)
        assert model.texts == report.chunks == 4  # embedded once for all three stores
        for store, output in zip(stores, ("dense", "sparse", "multi"), strict=True):
            row = store.fetch([next(iter(store.rows))], vectors=True)[0]
            assert row is not None
            given = {name for name in ("dense", "sparse", "multi") if getattr(row, name) is not None}
            assert given == {output}
        assert pipeline.retrieve(["Moon orbits the Earth"], k=1)[0].hits[0].chunk.document_id == "moon"


class Late:
    """Search by many vectors."""

    def __init__(self, *, store: MultiStore) -> None:
        self.store = store

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        vectors = self.store.embedders["multi"].embed([q.text for q in queries], role="query", outputs={"multi"}).multi
        assert vectors is not None
        found = self.store.search_multi(vectors, k=k, where=None)
        return [Ranking(q, best(hits, k), "late", ScoreKind("maxsim")) for q, hits in zip(queries, found, strict=True)]


def test_a_failing_leg_is_skipped_only_when_asked(tmp_path: Path) -> None:
    class Broken:
        def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
            raise RuntimeError("no route")

    store = MemoryStore(chunker=WordChunker(), embedder=HashEmbedder())
    legs = [Text(store=store), Broken()]
    with Pipeline(retriever=Fused(retrievers=legs, fuser=RankFuser(), on_error="skip"), folder=tmp_path) as pipeline:
        pipeline.index(DOCUMENTS)
        with tracing() as trace:
            assert pipeline.retrieve(["Moon"])[0].hits
        fused = next(span for span in trace.walk() if span.step and span.step.name == "fused")
        assert fused.notes["skipped"][0].startswith("retriever 2 of 2: [retrievers.broken]")
    with (
        Pipeline(retriever=Fused(retrievers=legs, fuser=RankFuser()), folder=tmp_path) as pipeline,
        pytest.raises(
            ComponentError,
            match=r"\[retrievers\.broken\] \(use = 'broken'\) failed in retrieve: RuntimeError: no route",
        ),
    ):
        pipeline.retrieve(["Moon"])


def test_middleware_of_ones_own(tmp_path: Path) -> None:
    class Shout:
        def around(self, call: Call, proceed: Proceed, /) -> Any:
            made = proceed(call)
            return (
                [replace(answer, text=answer.text.upper(), citations=()) for answer in made]
                if call.operation == "generate"
                else made
            )

    store = MemoryStore(chunker=WordChunker(), embedder=HashEmbedder())
    with Pipeline(retriever=Text(store=store), generator=FirstHit(), middleware=[Shout()], folder=tmp_path) as pipeline:
        pipeline.index(DOCUMENTS)
        assert pipeline.answer(["Moon"])[0].text == "THE MOON ORBITS THE EARTH IN 27 DAYS."


def test_parents_ask_for_more_until_there_are_k(tmp_path: Path) -> None:
    halves, wholes = MemoryStore(chunker=Halves(), embedder=HashEmbedder()), MemoryStore(chunker=Halves(keep="wholes"))
    lifted = Parents(retriever=Text(store=halves), store=wholes, depth=1)
    with Pipeline(retriever=lifted, folder=tmp_path) as pipeline:
        pipeline.index(DOCUMENTS)
        found = pipeline.retrieve(["The Moon orbits the Earth in days Tower"], k=2)[0]
        assert [hit.chunk.document_id for hit in found.hits] == ["moon", "tower"]
        assert all(hit.chunk.text in {document.text for document in DOCUMENTS} for hit in found.hits)
