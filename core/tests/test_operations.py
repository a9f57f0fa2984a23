"""Every call of every component goes the same way: deadline, trace, middleware, contract; also those of third parties."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest
from hookrag import (
    LLM,
    Answer,
    Card,
    ComponentError,
    ConfigError,
    ContractError,
    DeadlineExceeded,
    Document,
    Emit,
    Pipeline,
    Query,
    Ranking,
    TransientError,
    deadline,
    time_left,
    tracing,
)
from hookrag.components.middleware import Budget, Redact, Retry
from hookrag.config.objects import Adoption
from hookrag.protocols import Call, Proceed
from hookrag.runtime.request import Request, serving
from hookrag.runtime.shared import Shared
from hookrag.testing import plugin
from hookrag.testing.fakes import FirstHit, HashEmbedder, ListRetriever, MemoryStore, ScriptedLLM, WordChunker

PLUGINS = {"fakes": plugin}


def adopted(kind: str, one: Any) -> Any:
    return Adoption(Shared()).adopt(kind, one)


class Recorder:
    """Middleware that remembers what it sees."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def around(self, call: Call, proceed: Proceed, /) -> Any:
        self.calls.append(call)
        return proceed(call)


class Spelling(HashEmbedder):
    """An embedder with a tokenizer."""

    def tokens(self, texts: Sequence[str], /) -> list[list[tuple[int, int]]]:
        return [[(i, i + 1) for i in range(len(text))] for text in texts]

    def room(self, role: str, /) -> int:
        return 7


class Measured(FirstHit):
    def measure(self, passages: Sequence[Any], /) -> tuple[list[int], int]:
        return [1 for _ in passages], 10


class Lines:
    """A reader of one document a line."""

    suffixes = frozenset({".lines"})

    def read(self, path: Path, /, *, id: str) -> Iterator[Document]:
        for number, line in enumerate(path.read_text().splitlines()):
            yield Document(f"{id}#{number}", line)


def test_every_operation_is_seen_by_middleware_and_in_a_trace(tmp_path: Path) -> None:
    store = adopted("store", MemoryStore(chunker=WordChunker(), embedder=Spelling()))
    embedder, llm = store.embedders["dense"], adopted("llm", ScriptedLLM())
    generator, reader = adopted("generator", Measured()), adopted("reader", Lines())
    (tmp_path / "a.lines").write_text("one\ntwo")
    recorder = Recorder()
    with tracing() as trace, serving(Request(middleware=(recorder,))):
        card = store.card()
        store.stamp(card)
        store.sync()
        assert (list(store.scan()), store.count(), store.fetch([])) == ([], 0, [])
        assert store.matching_terms("x", []) == []
        assert (embedder.room("query"), embedder.tokens(["ab"])) == (7, [[(0, 1), (1, 2)]])
        embedder.identity()
        assert llm.count(["a b"]) == [2]
        assert generator.measure([]) == ([], 10)
        assert [one.text for one in reader.read(tmp_path / "a.lines", id="a")] == ["one", "two"]
    names = ["card", "stamp", "sync", "scan", "count", "fetch", "matching_terms", "room", "tokens", "identity", "count"]
    names += ["measure", "read"]
    assert [call.operation for call in recorder.calls] == names
    assert [span.operation for span in trace.children] == names
    assert trace.children[-1].items == 2, "a reader's documents are counted as they come"
    assert recorder.calls[1].arguments == (card,)
    assert recorder.calls[1].items == ()


def test_the_deadline_is_checked_before_what_takes_no_batch() -> None:
    store = adopted("store", MemoryStore(chunker=WordChunker()))
    with deadline(-1):
        for ask in (store.card, store.count, store.sync):
            with pytest.raises(DeadlineExceeded, match=r"before \[stores\.memorystore\] (card|count|sync)"):
                ask()


def test_a_deadline_around_a_pipeline_holds_inside_of_it(tmp_path: Path) -> None:
    class Slow(ListRetriever):
        def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
            left.append(time_left())
            return super().retrieve(queries, k=k)

    left: list[float | None] = []
    with Pipeline(retriever=Slow(texts=["x"]), folder=tmp_path) as pipeline:
        pipeline.retrieve(["x"])
        with deadline(50):
            pipeline.retrieve(["x"])
            pipeline.retrieve(["x"], timeout=10)
            pipeline.retrieve(["x"], timeout=90)
        with deadline(-1), pytest.raises(DeadlineExceeded):
            pipeline.retrieve(["x"])
    free, around, shorter, longer = left
    assert free is None
    assert (around, shorter, longer) == (pytest.approx(50, abs=5), pytest.approx(10, abs=5), pytest.approx(50, abs=5))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"k": -1}, "k must be a whole number of at least 0, got -1"),
        ({"k": "3"}, "k must be a whole number of at least 0, got '3'"),
        ({"timeout": "soon"}, "timeout must be a number of seconds, got 'soon'"),
        ({"timeout": float("nan")}, "timeout must be a number of seconds, got nan"),
    ],
)
def test_numbers_of_a_call_that_cannot_be(tmp_path: Path, options: dict[str, Any], problem: str) -> None:
    with Pipeline(retriever=ListRetriever(texts=["x"]), folder=tmp_path) as pipeline:
        with pytest.raises(ConfigError, match=f"^{re.escape(problem)}$"):
            pipeline.retrieve(["x"], **options)


def test_a_retry_around_a_store_retries_its_card() -> None:
    class Shy(MemoryStore):
        def card(self) -> Card:
            self.asked = getattr(self, "asked", 0) + 1
            if self.asked < 3:
                raise TransientError("busy")
            return super().card()

    store = adopted("store", Shy(chunker=WordChunker()))
    with serving(Request(middleware=(Retry(wait=0.0),))):
        assert store.card().uuid
    assert store.instance.component.asked == 3


@pytest.mark.parametrize(
    ("kind", "method", "result", "message"),
    [
        ("store", "card", "x", "returned str from card(): a hookrag.Card"),
        ("store", "put", None, "returned NoneType from put(): {chunk id: reason} of the rows that it cannot take, {} where "
                               "there is none"),
        ("store", "count", -1, "returned -1 from count(): a whole number of at least 0"),
        ("store", "identity", ["x"], "returned ['x'] from identity(): a dict of JSON values"),
        ("embedder", "identity", {}, "returned dict from identity(): a hookrag.Identity"),
    ],
)  # fmt: skip
def test_what_went_unchecked_has_a_contract(kind: str, method: str, result: Any, message: str) -> None:
    base = MemoryStore if kind == "store" else HashEmbedder
    cls = type("Odd", (base,), {method: lambda self, *args, **options: result})
    made = adopted(kind, cls(chunker=WordChunker()) if kind == "store" else cls())
    arguments, options = (([],), {"version": 1}) if method == "put" else ((), {})
    with pytest.raises(ContractError) as raised:
        getattr(made, method)(*arguments, **options)
    assert str(raised.value) == f"{made.step} (use = 'odd') {message}"


def test_middleware_that_asks_for_less_is_what_broke_the_promise() -> None:
    class Halving:
        def around(self, call: Call, proceed: Proceed, /) -> Any:
            text, ids = call.arguments
            return proceed(replace(call, arguments=(text, ids[:1])))

    class Knowing(MemoryStore):
        def matching_terms(self, text: str, chunk_ids: Sequence[str], /) -> list[tuple[str, ...]]:
            return [(text,) for _ in chunk_ids]

    store = adopted("store", Knowing(chunker=WordChunker()))
    halving = adopted("middleware", Halving())
    with serving(Request(middleware=(halving,))), pytest.raises(ContractError) as raised:
        store.matching_terms("x", ["a", "b"])
    assert str(raised.value).startswith("[stores.knowing] (use = 'knowing') returned 1 for 2 chunk ids")


def test_spans_of_tokens_are_those_of_the_text_itself() -> None:
    embedder = adopted("embedder", Spelling())
    text = "card 1234 5678"
    with serving(Request(middleware=(Redact(patterns=[r"\d+"]),))):
        assert embedder.tokens([text]) == [[(i, i + 1) for i in range(len(text))]]


def test_a_budget_counts_no_questions_about_tokens() -> None:
    embedder = adopted("embedder", Spelling())
    with serving(Request(middleware=(Budget(calls=1, kinds=["embedder"]),))):
        for _ in range(3):
            embedder.tokens(["a"])
            embedder.room("query")
        embedder.embed(["a"], role="query", outputs={"dense"})


def test_middleware_leaves_nothing_behind() -> None:
    """Each override makes middleware anew; operations that live longer must not keep it (201 chains after 200 overrides)."""
    import gc
    import weakref

    retriever = adopted("retriever", ListRetriever(texts=["x"]))
    seen = []
    for _ in range(5):
        recorder = Recorder()
        seen.append(weakref.ref(recorder))
        with serving(Request(middleware=(recorder,))):
            retriever.retrieve([Query("1", "x")], k=1)
    del recorder
    gc.collect()
    assert [one() for one in seen] == [None] * 5


# What a third party adds


class Ranker(LLM, Protocol):
    """A protocol of a third party: a language model that says which of two texts is better."""

    @property
    def taste(self) -> str: ...

    def prefer(self, pairs: Sequence[tuple[str, str]], /, *, strictly: bool = False) -> list[int]: ...


class Choosing(ScriptedLLM):
    taste = "short"

    def prefer(self, pairs: Sequence[tuple[str, str]], /, *, strictly: bool = False) -> list[int]:
        if strictly and any(len(one) == len(two) for one, two in pairs):
            raise ValueError("both are as good")
        return [int(len(two) < len(one)) for one, two in pairs]


class Judged:
    """A generator of a third party, over the protocol of a third party."""

    def __init__(self, *, llm: Ranker) -> None:
        self.llm = llm

    def generate(self, rankings: Sequence[Ranking], /, *, emit: Emit | None = None) -> list[Answer]:
        (better,) = self.llm.prefer([("aaa", "b")])
        return [Answer(ranking.query, f"{self.llm.taste}: {better}") for ranking in rankings]


def tables(**llm: Any) -> dict[str, Any]:
    return {
        "pipelines": {"default": {"retriever": "list", "generator": "judged"}},
        "retrievers": {"list": {"use": ListRetriever, "texts": ["x"]}},
        "generators": {"judged": {"use": Judged, "llm": "model"}},
        "llms": {"model": llm},
    }


def test_a_method_of_a_third_partys_protocol_is_called_as_ours_are(tmp_path: Path) -> None:
    recorder = Recorder()
    with Pipeline(
        retriever=ListRetriever(texts=["x"]), generator=Judged(llm=Choosing()), middleware=[recorder], folder=tmp_path
    ) as pipeline:
        with tracing() as trace:
            assert pipeline.answer(["?"])[0].text == "short: 1"
        assert ("[llms.choosing]", "prefer") in [(str(one.step), one.operation) for one in trace.walk()]
        assert [call.arguments for call in recorder.calls if call.operation == "prefer"] == [([("aaa", "b")],)]
        llm = pipeline.component("llm", "choosing")
        with pytest.raises(ComponentError) as raised:
            llm.prefer([("a", "b")], strictly=True)
        assert str(raised.value) == "[llms.choosing] (use = 'choosing') failed in prefer: ValueError: both are as good"
        with pytest.raises(ContractError, match=r"its prefer\(\) does not take 'loudly'"):
            llm.prefer([("a", "b")], loudly=True)
        with pytest.raises(AttributeError, match=r"^\[llms\.choosing\] \(use = 'choosing'\) has no disprefer$"):
            llm.disprefer([])


def test_a_reference_to_a_third_partys_protocol_is_checked(tmp_path: Path) -> None:
    with Pipeline.from_config(tables(use=Choosing)) as pipeline:
        assert pipeline.answer(["?"])[0].text == "short: 1"
    with pytest.raises(ConfigError) as raised:
        Pipeline.from_config(tables(use=ScriptedLLM))
    assert raised.value.problems == ("[generators.judged] llm = 'model': 'scripted-llm' has no prefer()",)
    with pytest.raises(ConfigError) as raised:
        Pipeline(retriever=ListRetriever(texts=[]), generator=Judged(llm=ScriptedLLM()), folder=tmp_path)
    assert raised.value.problems == (
        "Judged: its llm must be a Ranker; [llms.scriptedllm] (use = 'scriptedllm') has no prefer(), taste",
    )


class Clock(Protocol):
    def now(self) -> float: ...


class Timed(ListRetriever):
    def __init__(self, *, texts: list[str], clock: Clock | None = None) -> None:
        super().__init__(texts=texts)
        self.clock = clock


def test_a_protocol_that_extends_none_of_ours_is_no_key_of_a_table() -> None:
    made: dict[str, Any] = {
        "pipelines": {"default": {"retriever": "list"}},
        "retrievers": {"list": {"use": Timed, "texts": []}},
    }
    Pipeline.from_config(made).close()
    made["retrievers"]["list"]["clock"] = "wall"
    with pytest.raises(
        ConfigError, match=r"clock must be an object with what Clock names, which no configuration can give"
    ):
        Pipeline.from_config(made)
