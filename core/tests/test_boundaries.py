"""What a component cannot get past: filters, scopes, limits, the number of attempts, and the shape of what it returns."""

from __future__ import annotations

import json
import pickle
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hookrag import (
    LLM,
    Answer,
    ComponentError,
    ConfigError,
    ContractError,
    Document,
    Emit,
    Event,
    Message,
    Pipeline,
    Query,
    Ranking,
    Retriever,
    ScoreKind,
    TextStore,
    TransientError,
    Vectors,
    note,
    tracing,
)
from hookrag.components.fused import Fused
from hookrag.components.middleware import Budget, Redact, Retry
from hookrag.components.reranked import Reranked
from hookrag.components.search import Dense, Text
from hookrag.testing.fakes import (
    FirstHit,
    HashEmbedder,
    ListRetriever,
    MemoryStore,
    OverlapReranker,
    RankFuser,
    ScriptedLLM,
    WordChunker,
)
from hookrag.values import Output, Role
from hookrag.wire import to_json

DOCUMENTS = [Document("a", "one two three", metadata={"lang": "en"})]
FIELDS: Mapping[str, Literal["keyword"]] = {"lang": "keyword"}


class Rewriting:
    """A retriever that hands on its own wording of a query and forgets what limits it."""

    def __init__(self, *, retriever: Retriever) -> None:
        self.retriever = retriever

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        asked = [Query(query.id, query.text) for query in queries]
        return [replace(ranking, hits=()) for ranking in self.retriever.retrieve(asked, k=k)]


def test_a_retriever_cannot_lose_the_filter_for_those_who_come_after(tmp_path: Path) -> None:
    store = MemoryStore(chunker=WordChunker())
    rewriting = Rewriting(retriever=Text(store=store))
    with Pipeline(retriever=rewriting, generator=FirstHit(), folder=tmp_path, fields=FIELDS) as pipeline:
        pipeline.index(DOCUMENTS)
        assert not pipeline.answer(["one"])[0].known
        with pytest.raises(ContractError) as raised:
            pipeline.answer(["one"], where='lang == "de"')
    assert str(raised.value) == (
        "[retrievers.rewriting] (use = 'rewriting') returned query '1' with another filter: "
        "give back the query that came in"
    )


class Scanning:
    """A retriever that looks at every row."""

    def __init__(self, *, store: TextStore) -> None:
        self.store = store

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        note(rows=sum(len(page) for page in self.store.scan()))
        return [Ranking(query, (), "scanning", ScoreKind("place")) for query in queries]


def test_a_scope_shows_no_rows_of_others(tmp_path: Path) -> None:
    store = MemoryStore(chunker=WordChunker())
    with Pipeline(retriever=Scanning(store=store), folder=tmp_path, fields=FIELDS) as pipeline:
        pipeline.index(DOCUMENTS)
        with tracing() as trace:
            pipeline.retrieve(["one"])
        assert [one.notes for one in trace.walk() if one.operation == "retrieve"] == [{"rows": 1}]
        with pipeline.scoped('lang == "de"') as german, pytest.raises(ComponentError) as raised:
            german.retrieve(["one"])
    assert str(raised.value) == (
        "[stores.memorystore] (use = 'memorystore') cannot be scanned within a scope: use a search"
    )


class Tuples(MemoryStore):
    """A store that returns pairs where hits are due."""

    def search_text(self, texts: Sequence[str], /, *, k: int, where: Any) -> list[Any]:
        return [[("chunk", 1.0)] for _ in texts]


class Pairs(ListRetriever):
    """A retriever that does."""

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        pairs: Any = (("chunk", 1.0),)
        return [Ranking(query, pairs, "pairs", ScoreKind("place")) for query in queries]


@pytest.mark.parametrize(
    ("retriever", "expected"),
    [
        (
            lambda: Text(store=Tuples(chunker=WordChunker())),
            "[stores.tuples] (use = 'tuples') returned something other than hits for query 0: a list of hookrag.Hit",
        ),
        (
            lambda: Pairs(texts=[]),
            "[retrievers.pairs] (use = 'pairs') returned something other than hits for query '1': a list of hookrag.Hit",
        ),
    ],
)
def test_what_is_no_hit_is_the_fault_of_who_returned_it(retriever: Any, expected: str, tmp_path: Path) -> None:
    with Pipeline(retriever=retriever(), folder=tmp_path) as pipeline, pytest.raises(ContractError) as raised:
        pipeline.retrieve(["x"])
    assert str(raised.value) == expected


class Dictionaries(HashEmbedder):
    """An embedder whose vectors are no array: none of the checks has a sentence for it."""

    def embed(self, texts: Sequence[str], /, *, role: Role, outputs: Collection[Output]) -> Vectors:
        vectors: Any = [[1.0] for _ in texts]
        return Vectors(dense=vectors)


def test_a_result_that_cannot_even_be_checked_is_the_fault_of_who_returned_it(tmp_path: Path) -> None:
    store = MemoryStore(chunker=WordChunker(), embedder=HashEmbedder())
    retriever = Dense(store=store, embedder=Dictionaries())
    with Pipeline(retriever=retriever, folder=tmp_path) as pipeline, pytest.raises(ComponentError) as raised:
        pipeline.retrieve(["x"])
    assert str(raised.value) == (
        "[embedders.dictionaries] (use = 'dictionaries') failed in embed: "
        "AttributeError: 'list' object has no attribute 'ndim'"
    )


class Busy(HashEmbedder):
    """An embedder that is always busy."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def embed(self, texts: Sequence[str], /, *, role: Role, outputs: Collection[Output]) -> Vectors:
        self.calls += 1
        raise TransientError("busy")


def test_retry_tries_what_failed_and_not_all_who_called_it(tmp_path: Path) -> None:
    busy = Busy()
    dense = Dense(store=MemoryStore(chunker=WordChunker(), embedder=busy))
    retriever = Reranked(retriever=Fused(retrievers=[dense], fuser=RankFuser()), reranker=OverlapReranker())
    with Pipeline(retriever=retriever, middleware=[Retry(attempts=3, wait=0.0)], folder=tmp_path) as pipeline:
        for asked in (1, 2):
            with pytest.raises(TransientError, match="busy"):
                pipeline.retrieve(["x"])
            assert busy.calls == 3 * asked


def test_retry_waits_before_each_attempt_and_not_past_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    monkeypatch.setattr("tenacity.wait.random.uniform", lambda low, high: high)
    busy = Busy()
    dense = Dense(store=MemoryStore(chunker=WordChunker(), embedder=busy))
    with Pipeline(retriever=dense, middleware=[Retry(attempts=3, wait=1.0)], folder=tmp_path) as pipeline:
        with pytest.raises(TransientError):
            pipeline.retrieve(["x"])
        assert waited == [1.0, 2.0]
        assert busy.calls == 3
        with pytest.raises(TransientError):
            pipeline.retrieve(["x"], timeout=0.5)
    assert waited == [1.0, 2.0]
    assert busy.calls == 4


class Counting:
    """A generator that counts its prompt before it sends it."""

    def __init__(self, *, llm: LLM) -> None:
        self.llm = llm

    def generate(self, rankings: Sequence[Ranking], /, *, emit: Emit | None = None) -> list[Answer]:
        made = []
        for ranking in rankings:
            if emit is not None:
                emit(Event(ranking.query.id, "status", "counting"))
            self.llm.count([ranking.query.text])
            made.append(Answer(ranking.query, self.llm.complete([[Message("user", ranking.query.text)]])[0][0].text))
        return made


class Reading(ScriptedLLM):
    """A model that remembers what it was given to count."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: list[str] = []

    def count(self, texts: Sequence[str], /) -> list[int]:
        self.counted += texts
        return super().count(texts)


def test_counting_is_redacted_and_costs_no_budget(tmp_path: Path) -> None:
    model: Any = Reading()
    middleware = [Budget(calls=1), Redact(patterns=[r"\d+"])]
    with Pipeline(
        retriever=ListRetriever(texts=["x"]), generator=Counting(llm=model), middleware=middleware, folder=tmp_path
    ) as pipeline:
        assert pipeline.answer(["card 1234"])[0].text == "card [redacted]"
        assert model.counted == ["card [redacted]"]


def test_a_status_does_not_stand_for_the_text(tmp_path: Path) -> None:
    model: Any = ScriptedLLM()
    with Pipeline(retriever=ListRetriever(texts=["x"]), generator=Counting(llm=model), folder=tmp_path) as pipeline:
        events = [(event.kind, event.text) for event in pipeline.stream(["one"])]
    assert events == [("status", "counting"), ("text", "one")]


def test_a_trace_is_json_whatever_was_noted() -> None:
    with tracing() as trace:
        note(path=Path("a"), score=np.float32(0.5), names=("x", 1))
    assert json.loads(json.dumps(to_json(trace)))["notes"] == {"path": "a", "score": "0.5", "names": ["x", 1]}


def test_a_configuration_error_reads_the_same_in_another_process() -> None:
    error = pickle.loads(pickle.dumps(ConfigError(["one", "two"])))
    assert str(error) == "one\ntwo"
    assert error.problems == ("one", "two")
