"""What coming components need of the core: scores, sessions, tools, notes, hits from outside, scopes of calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import pytest
from hookrag import (
    Completion,
    ContractError,
    DeadlineExceeded,
    Document,
    Hit,
    HookragError,
    Message,
    NextTokenLLM,
    Pipeline,
    Query,
    Ranking,
    Retriever,
    ScoreKind,
    ScoringLLM,
    SessionLLM,
    Tool,
    ToolCall,
    chunk_of,
    deadline,
    outside_allowed,
    parse_filter,
    tracing,
)
from hookrag.components.fused import Fused
from hookrag.components.middleware import Redact
from hookrag.components.parents import Parents
from hookrag.components.reranked import Reranked
from hookrag.components.search import Text
from hookrag.config.objects import Adoption
from hookrag.runtime.request import Request, serving
from hookrag.runtime.shared import Shared
from hookrag.testing.fakes import (
    FirstHit,
    ListRetriever,
    MemoryStore,
    OverlapReranker,
    RankFuser,
    ScriptedLLM,
    WordChunker,
)

PROMPT = (Message("user", "What colour?"),)
NEXT = {"grey": log(0.75), "blue": log(0.25)}


class Knowing(ScriptedLLM):
    """A language model that can say what it thinks likely."""

    max_concurrency = 1

    def __init__(self) -> None:
        super().__init__()
        self.read: list[Any] = []
        self.closed = 0

    def score(self, prompts: Any, /, *, continuations: Sequence[str]) -> list[tuple[float, ...]]:
        self.read += continuations
        return [tuple(-0.5 for _ in text.split()) for text in continuations]

    def next_logprobs(
        self, prompts: Any, /, *, prefixes: Sequence[str] | None = None, top: int = 20
    ) -> list[Mapping[str, float]]:
        return [dict(list(NEXT.items())[:top]) for _ in prompts]

    def session(self, prompts: Any, /) -> Steps:
        return Steps(self, len(prompts))


class Steps:
    def __init__(self, llm: Knowing, prompts: int) -> None:
        self.llm, self.texts = llm, [""] * prompts

    def next_logprobs(self, *, top: int = 20) -> list[Mapping[str, float]]:
        return [dict(list(NEXT.items())[:top]) for _ in self.texts]

    def extend(self, texts: Sequence[str], /) -> None:
        self.texts = [before + text for before, text in zip(self.texts, texts, strict=True)]

    def close(self) -> None:
        self.llm.closed += 1


def adopted(kind: str, one: Any) -> Any:
    return Adoption(Shared()).adopt(kind, one)


def test_a_language_model_scores_continuations() -> None:
    llm: ScoringLLM = adopted("llm", Knowing())
    with tracing() as trace, serving(Request(middleware=(Redact(patterns=["secret"]),))):
        assert llm.score([PROMPT, PROMPT], continuations=["It is grey", "a secret"]) == [(-0.5,) * 3, (-0.5,) * 2]
    assert str(trace.children[0]).startswith("[llms.knowing] score x2")
    assert llm.instance.component.read == ["It is grey", "a [redacted]"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("bad", [[()], [(0.5,)], [(float("nan"),)], [], [(-1.0,), (-1.0,)]])
def test_scores_are_logarithms_of_probabilities(bad: Any) -> None:
    class Boasting(Knowing):
        def score(self, prompts: Any, /, *, continuations: Sequence[str]) -> Any:
            return bad

    with pytest.raises(ContractError, match=r"^\[llms\.boasting\] \(use = 'boasting'\) returned"):
        adopted("llm", Boasting()).score([PROMPT], continuations=["x"])


def test_what_may_come_next() -> None:
    llm: NextTokenLLM = adopted("llm", Knowing())
    assert llm.next_logprobs([PROMPT], top=1) == [{"grey": log(0.75)}]
    assert llm.next_logprobs([PROMPT], prefixes=["It is"], top=20) == [NEXT]


def test_a_session_is_asked_step_by_step() -> None:
    llm: SessionLLM = adopted("llm", Knowing())
    with tracing() as trace, llm.session([PROMPT, PROMPT]) as session:  # type: ignore[attr-defined]
        assert session.next_logprobs(top=1) == [{"grey": log(0.75)}] * 2
        session.extend(["grey", ""])
        assert llm.count(["a b"]) == [2], "a session takes no turn between its steps, of which there is one"
    operations = ["session", "session.next_logprobs", "session.extend", "count", "session.close"]
    assert [one.operation for one in trace.children] == operations
    assert llm.instance.component.closed == 1  # type: ignore[attr-defined]
    session = llm.session([PROMPT])
    with deadline(-1), pytest.raises(DeadlineExceeded, match=r"before \[llms\.knowing\] session\.extend"):
        session.extend(["x"])


def test_a_step_that_fails_is_named() -> None:
    session = adopted("llm", Knowing()).session([PROMPT])
    with pytest.raises(
        HookragError, match=r"^\[llms\.knowing\] \(use = 'knowing'\) failed in session\.extend: ValueError"
    ):
        session.extend(["one", "too many"])


class Asking(ScriptedLLM):
    """A language model that asks for the first tool it is offered, until it was answered."""

    def complete(self, prompts: Any, /, *, tools: Sequence[Tool] = ()) -> list[list[Completion]]:
        made = []
        for prompt in prompts:
            told = [message.content for message in prompt if message.role == "tool"]
            calls = (ToolCall("c1", tools[0].name, {"at": "moon"}),) if tools and not told else ()
            made.append([Completion("".join(told), tool_calls=calls)])
        return made


def test_a_language_model_asks_for_a_tool() -> None:
    look = Tool("look", "Looks at something.", {"type": "object", "properties": {"at": {"type": "string"}}})
    llm = adopted("llm", Asking())
    ((asked,),) = llm.complete([PROMPT], tools=[look])
    assert asked.tool_calls == (ToolCall("c1", "look", {"at": "moon"}),)
    turns = [*PROMPT, Message("assistant", "", asked.tool_calls), Message("tool", "grey", tool_call="c1")]
    assert llm.complete([turns], tools=(look,))[0][0].text == "grey"
    assert adopted("llm", ScriptedLLM()).complete([PROMPT], tools=[])[0][0].tool_calls == ()
    with pytest.raises(ContractError, match=r"its complete\(\) does not take 'tools'"):
        adopted("llm", ScriptedLLM()).complete([PROMPT], tools=[look])


# Notes


class Noting(ListRetriever):
    """A retriever with something to say."""

    def __init__(self, *, texts: list[str], notes: dict[str, Any], name: str = "noting") -> None:
        super().__init__(texts=texts, name=name)
        self.notes = notes

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        return [replace(one, notes=self.notes) for one in super().retrieve(queries, k=k)]


def test_notes_come_through_fusion_and_reranking_to_the_answer(tmp_path: Path) -> None:
    legs = [
        Noting(texts=["one"], notes={"a": 1, "b": [1]}, name="x"),
        Noting(texts=["two"], notes={"b": [2]}, name="y"),
    ]
    both = Fused(retrievers=[*legs], fuser=RankFuser())
    best = Reranked(retriever=both, reranker=OverlapReranker())
    with Pipeline(retriever=best, generator=FirstHit(), folder=tmp_path) as pipeline:
        assert pipeline.retrieve(["one"])[0].notes == {"a": 1, "b": [2]}
        assert pipeline.answer(["one"])[0].notes == {"a": 1, "b": [2]}


def test_a_leg_that_was_skipped_is_told_to_the_caller(tmp_path: Path) -> None:
    class Broken(ListRetriever):
        def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
            raise OSError("no route")

    both = Fused(retrievers=[Broken(texts=[]), ListRetriever(texts=["x"])], fuser=RankFuser(), on_error="skip")
    with Pipeline(retriever=both, folder=tmp_path) as pipeline:
        (skipped,) = pipeline.retrieve(["x"])[0].notes["skipped"]
    assert skipped == "retriever 1 of 2: [retrievers.broken] (use = 'broken') failed in retrieve: OSError: no route"


def test_each_level_of_rankings_has_its_word_in_the_parts(tmp_path: Path) -> None:
    leg = ListRetriever(texts=["moon"])
    inner = Reranked(retriever=leg, reranker=OverlapReranker())

    class Halving(OverlapReranker):
        def rerank(self, rankings: Sequence[Ranking], /, *, k: int) -> list[Ranking]:
            return [
                replace(one, hits=tuple(replace(hit, score=hit.score / 2) for hit in one.hits))
                for one in super().rerank(rankings, k=k)
            ]

    outer = Reranked(retriever=Reranked(retriever=inner, reranker=Halving()), reranker=OverlapReranker())
    with Pipeline(retriever=outer, folder=tmp_path) as pipeline:
        (hit,) = pipeline.retrieve(["moon"])[0].hits
    assert [(part.stage, part.score) for part in hit.parts][1:] == [("reranked", 1.0), ("reranked", 0.5)]


def test_all_legs_that_were_skipped_are_told_in_the_trace(tmp_path: Path) -> None:
    class Broken(ListRetriever):
        def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
            raise OSError("no route")

    legs = [Broken(texts=[], name="x"), ListRetriever(texts=["x"]), Broken(texts=["y"], name="y")]
    both = Fused(retrievers=[*legs], fuser=RankFuser(), on_error="skip")
    with Pipeline(retriever=both, folder=tmp_path) as pipeline, tracing() as trace:
        pipeline.retrieve(["x"])
    (fused,) = trace.children
    assert [told[:18] for told in fused.notes["skipped"]] == ["retriever 1 of 3: ", "retriever 3 of 3: "]


@pytest.mark.parametrize("notes", [{"a": {1}}, {"a": float("nan")}, ["a"]])
def test_notes_are_json(notes: Any) -> None:
    with pytest.raises(ContractError, match="returned notes for query '1' that JSON cannot hold"):
        adopted("retriever", Noting(texts=["x"], notes=notes)).retrieve([Query("1", "x")], k=1)


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
