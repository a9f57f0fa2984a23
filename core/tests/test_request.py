"""Threads, deadlines, streams and traces."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from hookrag import (
    Answer,
    ComponentError,
    DeadlineExceeded,
    Document,
    Emit,
    Event,
    HookragError,
    Pipeline,
    Query,
    Ranking,
    ScoreKind,
    TransientError,
    deadline,
    explaining,
    fan_out,
    note,
    time_left,
    tracing,
)
from hookrag.components.fused import Fused
from hookrag.components.middleware import Budget, Cache, Redact, Retry
from hookrag.components.search import Text
from hookrag.protocols import Call
from hookrag.runtime.request import Request, serving
from hookrag.testing.fakes import FirstHit, ListRetriever, MemoryStore, RankFuser, WordChunker
from hookrag.values import Step
from hookrag.wire import to_json


def test_fan_out_keeps_the_order_and_the_context() -> None:
    name: ContextVar[str] = ContextVar("name")
    name.set("request 7")
    with ThreadPoolExecutor(4) as pool, serving(Request(pool=pool)):
        found = fan_out([lambda i=i: (i, name.get()) for i in range(20)])
    assert found == [(i, "request 7") for i in range(20)]


def test_fan_out_nests_in_a_pool_of_one_thread() -> None:
    def level(depth: int) -> int:
        return 1 if depth == 0 else sum(fan_out([lambda: level(depth - 1)] * 3))

    with ThreadPoolExecutor(1) as pool, serving(Request(pool=pool)):
        assert level(4) == 81


def test_fan_out_runs_without_a_pool() -> None:
    assert fan_out([lambda: 1, lambda: 2]) == [1, 2]
    assert fan_out([]) == []


def test_fan_out_raises_the_first_error_in_order() -> None:
    def fail(text: str) -> None:
        raise ValueError(text)

    with ThreadPoolExecutor(2) as pool, serving(Request(pool=pool)), pytest.raises(ValueError, match="one"):
        fan_out([lambda: None, lambda: fail("one"), lambda: fail("two")])


def test_fan_out_leaves_behind_what_outlasts_the_deadline() -> None:
    go = threading.Event()
    with ThreadPoolExecutor(2) as pool, serving(Request(pool=pool)):
        with (
            deadline(0.2),
            pytest.raises(DeadlineExceeded, match="before a concurrent call had finished: give more time"),
        ):
            fan_out([lambda: time.sleep(0.1), lambda: go.wait(20)])
        go.set()


def test_a_nearer_deadline_wins() -> None:
    assert time_left() is None
    with deadline(100), deadline(1), deadline(50):
        left = time_left()
        assert left is not None
        assert 0 < left <= 1


def test_a_deadline_is_checked_before_each_operation(tmp_path: Path) -> None:
    class Slow:
        def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
            time.sleep(0.05)
            return [Ranking(query, (), "slow", ScoreKind("place")) for query in queries]

    with Pipeline(retriever=Slow(), generator=FirstHit(), folder=tmp_path) as pipeline:
        with pytest.raises(DeadlineExceeded, match=r"before \[generators\.firsthit\] generate: give more time"):
            pipeline.answer(["x"], timeout=0.01)
        assert pipeline.answer(["x"], timeout=10)[0].text == "nothing found"


def test_the_time_for_a_question_is_not_for_indexing(tmp_path: Path) -> None:
    def slowly() -> Iterator[Document]:
        for number in range(2):
            time.sleep(0.05)
            yield Document(f"d{number}", "some words")

    with Pipeline(retriever=Text(store=MemoryStore(chunker=WordChunker())), timeout=0.01, folder=tmp_path) as pipeline:
        assert pipeline.index(slowly()).new == 2


@pytest.mark.parametrize(
    ("documents", "options", "message"),
    [
        ("docs", {}, "index() takes documents: to read files, write index_files('docs')"),
        (Document("d", "x"), {}, "index() takes many documents, got Document: write index([document])"),
        (None, {}, "index() takes many documents, got NoneType: write index([document])"),
        ([], {"rebuild": "terms"}, "rebuild takes the names of stores: write rebuild=['terms']"),
        ([], {"source": ""}, """source must be a name, got '': "" and "." stand for files"""),
        ([], {"source": "."}, """source must be a name, got '.': "" and "." stand for files"""),
        ([], {"source": None}, """source must be a name, got None: "" and "." stand for files"""),
    ],
)
def test_what_index_does_not_take(tmp_path: Path, documents: Any, options: dict[str, Any], message: str) -> None:
    with Pipeline(retriever=Text(store=MemoryStore(chunker=WordChunker())), folder=tmp_path) as pipeline:
        with pytest.raises(HookragError) as raised:
            pipeline.index(documents, **options)
    assert str(raised.value) == message
    assert list(tmp_path.iterdir()) == []


def test_max_concurrency_is_obeyed(tmp_path: Path) -> None:
    class Single:
        max_concurrency = 1

        def __init__(self) -> None:
            self.inside = 0
            self.most = 0

        def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
            self.inside += 1
            self.most = max(self.most, self.inside)
            time.sleep(0.002)
            self.inside -= 1
            return [Ranking(query, (), "single", ScoreKind("place")) for query in queries]

    single = Single()
    with Pipeline(retriever=single, folder=tmp_path) as pipeline, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: pipeline.retrieve(["x"]), range(40)))
    assert single.most == 1


def test_components_are_opened_once_and_closed_with_the_last_pipeline(tmp_path: Path) -> None:
    class Counted(ListRetriever):
        def __init__(self) -> None:
            super().__init__(texts=["one"])
            self.name = "list"
            self.opened = 0
            self.closed = 0

        def open(self) -> None:
            time.sleep(0.01)
            self.opened += 1

        def close(self) -> None:
            self.closed += 1

    counted = Counted()
    pipeline = Pipeline(retriever=counted, folder=tmp_path, fields={"lang": "keyword"})
    assert counted.opened == 0
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: pipeline.retrieve(["x"]), range(8)))
    assert counted.opened == 1
    scoped = pipeline.scoped('lang == "en"')
    pipeline.close()
    pipeline.close()
    assert counted.closed == 0
    with pytest.raises(HookragError, match="the pipeline is closed"):
        pipeline.retrieve(["x"])
    assert scoped.retrieve(["x"])[0].hits == ()
    scoped.close()
    assert counted.closed == 1


class Letters:
    """Writes an answer letter by letter."""

    def __init__(self, *, text: str = "abc", fail: bool = False) -> None:
        self.text = text
        self.fail = fail
        self.written = 0

    def generate(self, rankings: Sequence[Ranking], /, *, emit: Emit | None = None) -> list[Answer]:
        for letter in self.text:
            if emit is not None:
                emit(Event(rankings[0].query.id, "text", letter))
            self.written += 1
            time.sleep(0.001)
        if self.fail:
            raise RuntimeError("out of ink")
        return [Answer(ranking.query, self.text) for ranking in rankings]


def test_a_stream_ends_with_the_error_of_its_writer(tmp_path: Path) -> None:
    with Pipeline(retriever=ListRetriever(texts=["x"]), generator=Letters(fail=True), folder=tmp_path) as pipeline:
        seen: list[str] = []
        with pytest.raises(ComponentError, match="RuntimeError: out of ink"):
            seen.extend(event.text for event in pipeline.stream(["x"]))
        assert seen == ["a", "b", "c"]


def test_leaving_a_stream_ends_the_writing(tmp_path: Path) -> None:
    writer = Letters(text="x" * 5000)
    with Pipeline(retriever=ListRetriever(texts=["x"]), generator=writer, folder=tmp_path) as pipeline:
        for event in pipeline.stream(["x"]):
            assert event.text == "x"
            break
    assert writer.written < 5000


def test_a_trace_shows_nested_operations_also_in_threads(tmp_path: Path) -> None:
    class Noting(ListRetriever):
        def __init__(self) -> None:
            super().__init__(texts=["one"])
            self.name = "list"

        def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
            note(looked=len(queries), how="quickly")
            note(looked=1)
            return super().retrieve(queries, k=k)

    legs = [Noting(), Noting()]
    with Pipeline(retriever=Fused(retrievers=legs, fuser=RankFuser()), folder=tmp_path) as pipeline:
        with tracing() as trace:
            pipeline.retrieve(["x", "y"])
    (fused,) = trace.children
    assert {str(child.step) for child in fused.children} == {
        "[retrievers.noting]",
        "[retrievers.noting-2]",
        "[fusers.rankfuser]",
    }
    assert fused.children[0].notes == {"looked": 3, "how": "quickly"}
    assert fused.items == 2
    assert "  [retrievers.noting] retrieve x2" in str(trace)
    assert to_json(trace)["children"][0]["children"][0]["notes"] == {"looked": 3, "how": "quickly"}


def test_matching_terms_only_when_asked(tmp_path: Path) -> None:
    store = MemoryStore(chunker=WordChunker())
    with Pipeline(retriever=Text(store=store), folder=tmp_path) as pipeline:
        pipeline.index([Document("a", "the moon orbits")])
        assert pipeline.retrieve(["moon light"])[0].hits[0].parts == ()
        (part,) = pipeline.retrieve(["moon light"], explain=True)[0].hits[0].parts
        assert (part.stage, part.rank, part.terms) == ("text", 1, ("moon",))
    assert not explaining()


STEP = Step("llm", "m", "m", "f")


def test_retry_gives_up_and_says_why() -> None:
    calls = []

    def fail(call: Call) -> Any:
        calls.append(call)
        raise TransientError("busy")

    with pytest.raises(TransientError, match="busy"):
        Retry(attempts=3, wait=0.0).around(Call(STEP, "complete", [], {}), fail)
    assert len(calls) == 3
    calls.clear()
    with pytest.raises(TransientError):
        Retry(attempts=1).around(Call(STEP, "complete", [], {}), fail)
    assert len(calls) == 1


def test_retry_does_not_say_a_thing_twice() -> None:
    said: list[str] = []

    def half(call: Call) -> Any:
        call.options["emit"](0, "half")
        raise TransientError("lost")

    with pytest.raises(TransientError, match="lost"):
        Retry(attempts=3, wait=0.0).around(
            Call(STEP, "complete", [], {"emit": lambda i, text: said.append(text)}), half
        )
    assert said == ["half"]


def test_retry_leaves_other_errors_alone() -> None:
    calls = []

    def fail(call: Call) -> Any:
        calls.append(call)
        raise HookragError("no")

    with pytest.raises(HookragError):
        Retry(wait=0.0).around(Call(STEP, "complete", [], {}), fail)
    assert len(calls) == 1


def test_cache_computes_only_what_is_new_and_forgets_the_oldest() -> None:
    from hookrag.testing.fakes import HashEmbedder

    asked: list[str] = []
    step = Step("embedder", "e", "e", "f")

    def embed(call: Call) -> Any:
        asked.extend(call.items)
        return HashEmbedder().embed(call.items, **call.options)

    cache = Cache(size=3)
    for outputs in (frozenset({"dense"}), frozenset({"dense", "sparse", "multi"})):
        asked.clear()
        options = {"role": "query", "outputs": outputs}

        def ask(*texts: str, options: Any = options) -> Any:
            return cache.around(Call(step, "embed", texts, options), embed)

        first = ask("a b", "c", "a b")
        assert asked == ["a b", "c"]
        again = ask("c", "d", "a b")
        assert asked == ["a b", "c", "d"]
        alone = HashEmbedder().embed(["c", "d", "a b"], role="query", outputs=outputs)
        assert (again.dense == alone.dense).all()
        assert (first.dense[0] == first.dense[2]).all()
        if again.sparse is not None:
            assert again.sparse.indptr.tolist() == alone.sparse.indptr.tolist()
            assert again.sparse.indices.tolist() == alone.sparse.indices.tolist()
            assert [m.tolist() for m in again.multi] == [m.tolist() for m in alone.multi]
        ask("e")  # the fourth of three: "c" was used longest ago
        ask("c")
        assert asked[-1] == "c"


def test_budget_of_tokens_and_of_requests() -> None:
    from hookrag.testing.fakes import ScriptedLLM
    from hookrag.values import Message

    def complete(call: Call) -> Any:
        return ScriptedLLM().complete(call.items)

    call = Call(STEP, "complete", [[Message("user", "one two three")]], {})
    with serving(Request()):
        budget = Budget(tokens=10)
        budget.around(call, complete)
        budget.around(call, complete)
        with pytest.raises(
            HookragError, match=r"the budget of 10 tokens per request is spent, before \[llms\.m\] complete"
        ):
            budget.around(call, complete)
    with serving(Request()):
        budget.around(call, complete)  # another request has its own


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Retry(attempts=0), "attempts must be at least 1, got 0"),
        (lambda: Cache(size=0), "size must be at least 1, got 0"),
        (lambda: Budget(), "a budget needs `calls` or `tokens`"),
        (
            lambda: Budget(tokens=5, kinds=["embedder"]),
            "tokens are those of language models: add 'llm' to kinds, got embedder",
        ),
        (lambda: Redact(patterns=[]), "patterns must name at least one regular expression, got []"),
        (
            lambda: Redact(patterns=["("]),
            "patterns: not a regular expression: missing ), unterminated subpattern at position 0",
        ),
    ],
)
def test_middleware_checks_its_settings(make: Any, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        make()
    assert str(raised.value) == message
