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
    HookragError,
    Message,
    NextTokenLLM,
    Pipeline,
    Query,
    Ranking,
    ScoringLLM,
    SessionLLM,
    Tool,
    ToolCall,
    deadline,
    tracing,
)
from hookrag.components.fused import Fused
from hookrag.components.middleware import Redact
from hookrag.components.reranked import Reranked
from hookrag.config.objects import Adoption
from hookrag.runtime.request import Request, serving
from hookrag.runtime.shared import Shared
from hookrag.testing.fakes import (
    FirstHit,
    ListRetriever,
    OverlapReranker,
    RankFuser,
    ScriptedLLM,
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
