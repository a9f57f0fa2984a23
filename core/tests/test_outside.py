"""Hits from outside of the stores, and the boundary that a scope is for one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hookrag import (
    ContractError,
    Document,
    Hit,
    HookragError,
    Pipeline,
    Query,
    Ranking,
    Retriever,
    ScoreKind,
    chunk_of,
    outside_allowed,
    parse_filter,
)
from hookrag.components.fused import Fused
from hookrag.components.parents import Parents
from hookrag.components.reranked import Reranked
from hookrag.components.search import Text
from hookrag.runtime.request import Request, serving
from hookrag.testing.fakes import (
    FirstHit,
    ListRetriever,
    MemoryStore,
    OverlapReranker,
    RankFuser,
    WordChunker,
)

# Hits from outside of the stores


class Web(ListRetriever):
    """Knows nothing of metadata."""

    reach = "outside"

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        found = super().retrieve([replace(query, where=None) for query in queries], k=k)
        return [replace(one, query=query) for one, query in zip(found, queries, strict=True)]


class Corrective:
    """Asks the store, and the web where that finds nothing."""

    def __init__(self, *, retriever: Retriever, fallback: Retriever) -> None:
        self.retriever = retriever
        self.fallback = fallback

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        found = self.retriever.retrieve(queries, k=k)
        poor = [i for i, one in enumerate(found) if not one.hits and outside_allowed(one.query)]
        again = self.fallback.retrieve([queries[i] for i in poor], k=k) if poor else []
        for i, one in zip(poor, again, strict=True):
            found[i] = replace(one, notes={"route": "web"})
        return found


FIELDS: Any = {"tenant": "keyword"}
OWN = [
    Document("own", "grey moon", metadata={"tenant": "a"}),
    Document("theirs", "green moon", metadata={"tenant": "b"}),
]


def corrective(tmp_path: Path, *, outside: bool, reranked: bool = False) -> Pipeline:
    store = MemoryStore(chunker=WordChunker())
    retriever: Any = Corrective(retriever=Text(store=store), fallback=Web(texts=["blue sky"], name="web"))
    if reranked:
        lifted = Parents(retriever=Fused(retrievers=[retriever], fuser=RankFuser()), store=store)
        retriever = Reranked(retriever=lifted, reranker=OverlapReranker())
    made = Pipeline(retriever=retriever, generator=FirstHit(), folder=tmp_path, fields=FIELDS, outside=outside)
    made.index(OWN)
    return made


@pytest.mark.parametrize("reranked", [False, True])
def test_what_is_from_outside_is_told_as_such(tmp_path: Path, reranked: bool) -> None:
    with corrective(tmp_path, outside=False, reranked=reranked) as pipeline:
        mine, web = pipeline.answer(["moon", "sky"])
    assert (mine.outside, mine.notes) == ({}, {})
    (hit,) = web.context
    assert hit.chunk.text == "blue sky"
    assert (web.outside, web.notes) == ({hit.chunk.id: "[retrievers.web]"}, {"route": "web"})


@pytest.mark.parametrize("limit", ["where", "scope"])
@pytest.mark.parametrize("reranked", [False, True])
def test_within_a_filter_or_a_scope_outside_has_to_be_allowed(tmp_path: Path, limit: str, reranked: bool) -> None:
    limits: Any = {limit: 'tenant == "a"'}
    with corrective(tmp_path / "1", outside=False, reranked=reranked) as pipeline:
        assert pipeline.answer(["sky"], **limits)[0].text == "nothing found", "whoever asks first is not refused"
        assert [hit.chunk.document_id for hit in pipeline.retrieve(["moon"], **limits)[0].hits] == ["own"]
    with corrective(tmp_path / "2", outside=True, reranked=reranked) as pipeline:
        assert pipeline.answer(["sky"], **limits)[0].text == "blue sky"
        assert [hit.chunk.document_id for hit in pipeline.retrieve(["moon"], **limits)[0].hits] == ["own"]


def test_a_retriever_from_outside_is_refused_where_nobody_asked(tmp_path: Path) -> None:
    web = Web(texts=["blue sky"])
    with Pipeline(retriever=web, folder=tmp_path, fields=FIELDS) as pipeline:
        assert pipeline.retrieve(["sky"])[0].outside
        with pytest.raises(HookragError) as raised:
            pipeline.retrieve(["sky"], scope='tenant == "a"')
    assert str(raised.value) == (
        "[retrievers.web] (use = 'web') finds what lies outside of the stores, on which the filter tenant == \"a\" cannot be "
        "checked: allow it by outside = true in [pipelines.*], or ask without a filter"
    )


def test_what_claims_to_be_from_outside_does_not_pass_a_scope(tmp_path: Path) -> None:
    class Forging(ListRetriever):
        def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
            chunk = chunk_of(Document("theirs", "secret", metadata={"tenant": "b"}), 0, 6)
            kind = ScoreKind("place")
            return [Ranking(one, (Hit(chunk, 1.0),), "forged", kind, outside={chunk.id: "me"}) for one in queries]

    with Pipeline(retriever=Forging(texts=[]), folder=tmp_path, fields=FIELDS) as pipeline:
        with pytest.raises(ContractError, match="returned a chunk of document 'theirs' for query '1' outside its"):
            pipeline.retrieve(["x"], scope='tenant == "a"')


def test_outside_is_a_key_of_a_pipeline() -> None:
    made = {
        "pipelines": {"default": {"retriever": "web", "outside": True}},
        "retrievers": {"web": {"use": Web, "texts": ["x"]}},
        "index": {"fields": FIELDS},
    }
    with Pipeline.from_config(made) as pipeline:
        assert len(pipeline.retrieve(["x"], where='tenant == "a"')[0].hits) == 1


# A scope for one call


def test_a_scope_is_an_argument_of_a_call(tmp_path: Path) -> None:
    with corrective(tmp_path, outside=False) as pipeline:
        for ask, found in (
            ({}, ["own", "theirs"]),
            ({"scope": 'tenant == "a"'}, ["own"]),
            ({"scope": parse_filter('tenant == "b"')}, ["theirs"]),
            ({"scope": 'tenant == "a"', "where": 'tenant == "b"'}, []),
        ):
            ranking = pipeline.retrieve(["moon"], **ask)[0]
            assert sorted(hit.chunk.document_id for hit in ranking.hits) == found
        with pipeline.scoped('tenant == "a"') as mine:
            assert mine.retrieve(["moon"], scope='tenant == "b"')[0].hits == (), "a scope cannot be widened"
        assert [event.text for event in pipeline.stream(["moon"], scope='tenant == "b"')] == ["green moon"]
        with pytest.raises(HookragError, match="not declared"):
            pipeline.retrieve(["moon"], scope='owner == "a"')


def test_the_terms_of_chunks_outside_of_a_scope_are_not_told(tmp_path: Path) -> None:
    store = MemoryStore(chunker=WordChunker())
    with Pipeline(retriever=Text(store=store), folder=tmp_path, fields=FIELDS) as pipeline:
        pipeline.index(OWN)
        hits = pipeline.retrieve(["moon"])[0].hits
        ids = sorted(hit.chunk.id for hit in hits)
        (proxy,) = pipeline.stores
        assert proxy.matching_terms("moon", ids) == [("moon",), ("moon",)]
        with serving(Request(scope=parse_filter('tenant == "a"'))):
            told = dict(zip(ids, proxy.matching_terms("moon", ids), strict=True))
        assert {hit.chunk.document_id: told[hit.chunk.id] for hit in hits} == {"own": ("moon",), "theirs": ()}


def test_the_filter_of_a_query_may_be_text(tmp_path: Path) -> None:
    with corrective(tmp_path, outside=False) as pipeline:
        asked = Query("1", "moon", 'tenant == "b"')  # type: ignore[arg-type]  # as `where` may be
        (ranking,) = pipeline.retrieve([asked])
    assert [hit.chunk.document_id for hit in ranking.hits] == ["theirs"]
    assert ranking.query.where == parse_filter('tenant == "b"')


def test_a_scope_costs_no_second_look_at_the_index_and_no_threads(tmp_path: Path) -> None:
    import threading

    asked = []

    class Counting(MemoryStore):
        def card(self) -> Any:
            asked.append(1)
            return super().card()

    with Pipeline(retriever=Text(store=Counting(chunker=WordChunker())), folder=tmp_path, fields=FIELDS) as pipeline:
        pipeline.index(OWN)
        pipeline.retrieve(["moon"])
        before, threads = len(asked), threading.active_count()
        for _ in range(20):
            pipeline.retrieve(["moon"], scope='tenant == "a"')
            pipeline.scoped('tenant == "a"').retrieve(["moon"])  # not even closed
        assert (len(asked), threading.active_count()) == (before, threads)


def test_a_scoped_pipeline_that_is_forgotten_keeps_nothing_open(tmp_path: Path) -> None:
    import gc

    closed = []

    class Closing(ListRetriever):
        def close(self) -> None:
            closed.append(1)

    pipeline = Pipeline(retriever=Closing(texts=["x"]), folder=tmp_path, fields=FIELDS)
    pipeline.retrieve(["x"])
    scoped = pipeline.scoped('tenant == "a"')
    pipeline.close()
    assert not closed, "it is still in use"
    del scoped
    gc.collect()
    assert closed == [1]
