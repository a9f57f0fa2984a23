"""Who opens, shares and closes components, also when something fails, and what is left of a pipeline that is closed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hookrag import (
    Answer,
    Chunker,
    ComponentError,
    ConfigError,
    DeadlineExceeded,
    Document,
    Embedder,
    Hit,
    HookragError,
    Pipeline,
    Query,
    Ranking,
    Retriever,
    ScoreKind,
)
from hookrag.components.fused import Fused
from hookrag.components.search import Text
from hookrag.protocols import Call, Proceed
from hookrag.testing import plugin
from hookrag.testing.fakes import FirstHit, HashEmbedder, ListRetriever, MemoryStore, RankFuser, WordChunker


class Closing(HashEmbedder):
    """An embedder that counts how often it was closed."""

    closed = 0

    def __init__(self, *, width: int = 64) -> None:
        super().__init__(width=width)

    def close(self) -> None:
        type(self).closed += 1


def test_equal_tables_leave_their_component_to_another_pipeline(tmp_path: Path) -> None:
    Closing.closed = 0
    tables = {
        "pipelines": {"default": {"retriever": "both"}},
        "index": {"path": str(tmp_path), "fields": {"lang": "keyword"}},
        "chunkers": {"words": {"use": "fake-words"}},
        "embedders": {"one": {"use": Closing}, "two": {"use": Closing}},
        "stores": {
            "one": {"use": "fake-memory", "chunker": "words", "embedder": "one"},
            "two": {"use": "fake-memory", "chunker": "words", "embedder": "two", "outputs": ["dense", "sparse"]},
        },
        "retrievers": {
            "one": {"use": "dense", "store": "one"},
            "two": {"use": "dense", "store": "two"},
            "both": {"use": "fused", "retrievers": ["one", "two"], "fuser": "rank"},
        },
        "fusers": {"rank": {"use": "fake-rank"}},
    }
    pipeline = Pipeline.from_config(tables, plugins={"fakes": plugin})
    pipeline.open()
    scoped = pipeline.scoped('lang == "en"')
    pipeline.close()
    assert Closing.closed == 0
    scoped.close()
    assert Closing.closed == 1


class Leg(ListRetriever):
    """A retriever whose closing may fail."""

    def __init__(self, *, texts: list[str], error: str = "") -> None:
        super().__init__(texts=texts)
        self.error = error
        self.closed = False

    def close(self) -> None:
        self.closed = True
        if self.error:
            raise OSError(self.error)


def test_a_reader_is_closed_with_its_pipeline(tmp_path: Path) -> None:
    class Lines:
        suffixes = frozenset({".lines"})
        opened: ClassVar[list[str]] = []

        def open(self) -> None:
            self.opened.append("open")

        def close(self) -> None:
            self.opened.append("close")

        def read(self, path: Path, /, *, id: str) -> Iterator[Document]:
            yield Document(id, path.read_text())

    made = {
        "index": {"path": str(tmp_path / "index"), "fields": {"tenant": "keyword"}},
        "pipelines": {"default": {"retriever": "words"}},
        "retrievers": {"words": {"use": "text", "store": "rows"}},
        "stores": {"rows": {"use": "fake-memory", "chunker": "words"}},
        "chunkers": {"words": {"use": "fake-words"}},
        "readers": {"lines": {"use": Lines}},
    }
    (tmp_path / "a.lines").write_text("grey moon")
    with Pipeline.from_config(made, plugins={"fakes": plugin}) as pipeline:
        for _ in range(2):
            assert pipeline.index_files(tmp_path / "a.lines").unread == []
        (tmp_path / "b.lines").write_text("blue moon")
        with pipeline.scoped("tenant == 'a'") as scoped:
            assert scoped.readers[".lines"] is pipeline.readers[".lines"]
        assert pipeline.index_files(tmp_path / "b.lines").new == 1
        assert Lines.opened == ["open"]
    assert Lines.opened == ["open", "close"]
    with pytest.raises(HookragError, match="the pipeline is closed"):
        pipeline.index_files(tmp_path / "b.lines")


def test_a_component_that_cannot_be_closed_does_not_keep_the_others_open(tmp_path: Path) -> None:
    legs = [Leg(texts=[]), Leg(texts=[], error="disk"), Leg(texts=[], error="net")]
    pipeline = Pipeline(retriever=Fused(retrievers=[*legs], fuser=RankFuser()), folder=tmp_path)
    pipeline.open()
    with pytest.raises(ComponentError) as raised:
        pipeline.close()
    assert str(raised.value) == "[retrievers.leg-3] (use = 'leg') failed in close: OSError: net"
    assert raised.value.__notes__ == ["[retrievers.leg-2] (use = 'leg') failed in close: OSError: disk"]
    assert all(leg.closed for leg in legs)


class Warm:
    """Middleware that asks an embedder while it is opened: its own calls surround that one."""

    def __init__(self, *, embedder: Embedder) -> None:
        self.embedder = embedder

    def open(self) -> None:
        self.embedder.embed(["warm"], role="query", outputs={"dense"})

    def around(self, call: Call, proceed: Proceed, /) -> Any:
        return proceed(call)


def test_a_component_that_needs_itself_to_open_is_an_error_and_no_standstill(tmp_path: Path) -> None:
    said: list[str] = []

    def ask() -> None:
        warm = Warm(embedder=HashEmbedder())
        with Pipeline(retriever=ListRetriever(texts=[]), middleware=[warm], folder=tmp_path) as pipeline:
            with pytest.raises(ComponentError) as raised:
                pipeline.retrieve(["x"])
        said.append(str(raised.value))

    thread = threading.Thread(target=ask, daemon=True)  # so that a standstill fails here instead of staying
    thread.start()
    thread.join(timeout=10)
    assert said == [
        "[middleware.warm] (use = 'warm') is called by its own open(): let open() use nothing that calls it back"
    ]


def test_nothing_of_a_closed_pipeline_answers(tmp_path: Path) -> None:
    pipeline = Pipeline(
        retriever=ListRetriever(texts=["x"]), generator=FirstHit(), folder=tmp_path, fields={"lang": "keyword"}
    )
    pipeline.close()

    async def first() -> Any:
        return [event async for event in pipeline.astream(["x"])]

    for use in (
        lambda: pipeline.stream(["x"]),
        lambda: pipeline.scoped('lang == "en"'),
        lambda: asyncio.run(pipeline.aanswer(["x"])),
        lambda: asyncio.run(first()),
    ):
        with pytest.raises(HookragError, match=r"^the pipeline is closed$"):
            use()


def test_a_stream_that_is_closed_before_it_began_has_an_end(tmp_path: Path) -> None:
    busy = threading.Event()
    with (
        Pipeline(retriever=ListRetriever(texts=["x"]), generator=FirstHit(), folder=tmp_path, threads=1) as pipeline,
        ThreadPoolExecutor(1) as reader,
    ):
        pipeline._running.pool.submit(busy.wait, 20)
        stream = pipeline.stream(["x"])
        stream.close()
        try:
            with pytest.raises(HookragError, match="the stream was closed before the answer was whole"):
                reader.submit(lambda: list(stream)).result(timeout=10)
        finally:
            busy.set()
            stream._events.put(None)
        with pytest.raises(HookragError, match="the stream was closed before the answer was whole"):
            stream.answers()


class Turns(MemoryStore):
    """A store that sees how many are inside at once, whatever they ask."""

    max_concurrency = 1

    def __init__(self, *, chunker: Chunker) -> None:
        super().__init__(chunker=chunker)
        self.inside = 0
        self.most = 0

    def _visit(self) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.002)
        self.inside -= 1

    def search_text(self, texts: Sequence[str], /, *, k: int, where: Any) -> list[list[Hit]]:
        self._visit()
        return super().search_text(texts, k=k, where=where)

    def matching_terms(self, text: str, chunk_ids: Sequence[str], /) -> list[tuple[str, ...]]:
        self._visit()
        return super().matching_terms(text, chunk_ids)


def test_max_concurrency_holds_for_all_methods(tmp_path: Path) -> None:
    store = Turns(chunker=WordChunker())
    with Pipeline(retriever=Text(store=store), folder=tmp_path) as pipeline, ThreadPoolExecutor(8) as pool:
        pipeline.index([Document("a", "one two")])
        list(pool.map(lambda _: pipeline.retrieve(["one"], explain=True), range(30)))
    assert store.most == 1


def test_the_deadline_holds_for_those_who_wait_for_their_turn(tmp_path: Path) -> None:
    class Held:
        max_concurrency = 1

        def __init__(self) -> None:
            self.go = threading.Event()
            self.inside = threading.Event()
            self.calls = 0

        def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
            self.calls += 1
            self.inside.set()
            assert self.go.wait(20)
            return [Ranking(query, (), "held", ScoreKind("place")) for query in queries]

    held = Held()
    with Pipeline(retriever=held, folder=tmp_path) as pipeline, ThreadPoolExecutor(2) as pool:
        first = pool.submit(pipeline.retrieve, ["x"])
        assert held.inside.wait(20)
        second = pool.submit(pipeline.retrieve, ["y"], timeout=0.05)
        try:
            with pytest.raises(DeadlineExceeded, match=r"before \[retrievers\.held\] retrieve: give more time"):
                second.result(timeout=10)
        finally:
            held.go.set()
        assert first.result()[0].hits == ()
    assert held.calls == 1


def test_objects_of_two_pipelines_keep_their_stores_apart(tmp_path: Path) -> None:
    first, second = (MemoryStore(chunker=WordChunker(size=size)) for size in (3, 5))
    shared = Text(store=first)
    Pipeline(retriever=shared, folder=tmp_path / "a").close()
    with Pipeline(
        retriever=Fused(retrievers=[shared, Text(store=second)], fuser=RankFuser()), folder=tmp_path / "b"
    ) as pipeline:
        assert [store.step.name for store in pipeline.stores] == ["memorystore", "memorystore-2"]
        pipeline.index([Document("a", "one two three four")])
        assert (len(first.rows), len(second.rows)) == (2, 1)
        assert pipeline.verify().ok
    third = MemoryStore(chunker=WordChunker())
    with Pipeline(
        retriever=Fused(retrievers=[Text(store=third), shared], fuser=RankFuser()), folder=tmp_path / "c"
    ) as pipeline:
        with pytest.raises(ConfigError) as raised:
            pipeline.index([])
    assert str(raised.value) == (
        "two stores of the pipeline are called 'memorystore', because each was in another pipeline before: "
        "make the objects anew for this one, or describe it by a configuration"
    )


def test_no_two_objects_have_one_fingerprint(tmp_path: Path) -> None:
    seen = set()
    for _ in range(20):  # each may lie where the one before lay, which a cache that outlives both must not see
        with Pipeline(retriever=ListRetriever(texts=[]), folder=tmp_path) as pipeline:
            seen.add(pipeline.components[0].step.fingerprint)
        del pipeline
    assert len(seen) == 20


class Shown(MemoryStore):
    """A store whose parameter is kept behind a property."""

    def __init__(self, *, chunker: Chunker) -> None:
        self._chunker = chunker
        super().__init__(chunker=chunker)

    @property
    def chunker(self) -> Chunker:
        return self._chunker

    @chunker.setter
    def chunker(self, value: Chunker) -> None:
        assert value is self._chunker


def test_a_reference_behind_a_property_is_found(tmp_path: Path) -> None:
    with Pipeline(retriever=Text(store=Shown(chunker=WordChunker())), folder=tmp_path) as pipeline:
        pipeline.index([Document("a", "one two")])
        assert pipeline.retrieve(["one"])[0].hits
        assert [component.step.kind for component in pipeline.components] == ["chunker", "store", "retriever"]


def test_a_cancelled_task_begins_nothing_new(tmp_path: Path) -> None:
    class Endless:
        def __init__(self) -> None:
            self.calls = 0

        def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
            self.calls += 1
            time.sleep(0.005)
            return [Ranking(query, (), "endless", ScoreKind("place")) for query in queries]

    class Asking:
        def __init__(self, *, retriever: Retriever) -> None:
            self.retriever = retriever

        def generate(self, rankings: Sequence[Ranking], /) -> list[Answer]:
            while True:
                self.retriever.retrieve([ranking.query for ranking in rankings], k=1)

    endless = Endless()
    with Pipeline(retriever=endless, generator=Asking(retriever=endless), folder=tmp_path) as pipeline:

        async def impatient() -> None:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(pipeline.aanswer(["x"]), 0.2)

        asyncio.run(impatient())
        # Closing waits for the thread, which would never end if the cancellation did not reach it.
    assert endless.calls > 1


def test_many_streams_at_once_from_an_event_loop(tmp_path: Path) -> None:
    with Pipeline(
        retriever=ListRetriever(texts=["one two"]), generator=FirstHit(), folder=tmp_path, threads=2
    ) as pipeline:

        async def one() -> str:
            return "".join([event.text async for event in pipeline.astream(["x"]) if event.kind == "text"])

        async def all_of_them() -> list[str]:
            return await asyncio.gather(*(one() for _ in range(20)))

        assert asyncio.run(all_of_them()) == ["one two"] * 20
