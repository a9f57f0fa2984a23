"""What a component can do is asked of the object as it was configured; and one component of a configuration by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hookrag import (
    LLM,
    ConfigError,
    HookragError,
    Pipeline,
    Query,
    ScoringLLM,
    component,
)
from hookrag.components.search import Text
from hookrag.config.catalogue import Catalogue
from hookrag.config.objects import Adoption
from hookrag.config.tables import check
from hookrag.runtime.shared import Shared
from hookrag.runtime.table import OPERATIONS
from hookrag.testing import plugin
from hookrag.testing.fakes import HashEmbedder, ListRetriever, MemoryStore, ScriptedLLM, WordChunker

PLUGINS = {"fakes": plugin}


def adopted(kind: str, one: Any) -> Any:
    return Adoption(Shared()).adopt(kind, one)


def searching(use: str, **store: Any) -> dict[str, Any]:
    return {
        "pipelines": {"default": {"retriever": "found"}},
        "retrievers": {"found": {"use": use, "store": "rows"}},
        "stores": {"rows": {"use": "fake-memory", "chunker": "words", **store}},
        "chunkers": {"words": {"use": "fake-words"}},
        "embedders": {"hash": {"use": "fake-hash"}},
    }


@pytest.mark.parametrize(
    ("use", "store", "lacking"),
    [
        ("sparse", {"embedder": "hash"}, "search_sparse() as it is configured: give it an embedder of sparse vectors"),
        ("dense", {}, "search_dense() as it is configured: give it an embedder of dense vectors"),
    ],
)
def test_a_search_that_the_store_is_not_configured_for_is_a_problem(
    use: str, store: dict[str, Any], lacking: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        Pipeline.from_config(searching(use, **store), plugins=PLUGINS)
    assert raised.value.problems == (
        f"[retrievers.found] store = 'rows': [stores.rows] (use = 'fake-memory') has no {lacking}",
    )


def test_what_could_stand_there_instead_is_named_and_not_looked_into() -> None:
    class Thinking(ScriptedLLM):
        def score(self, prompts: Any, /, *, continuations: Sequence[str]) -> list[tuple[float, ...]]:
            return [(-0.5,) for _ in prompts]

    class Around(Thinking):
        def __init__(self, *, inner: ScoringLLM) -> None:
            super().__init__()
            self.inner = inner

    class Asking(ListRetriever):
        def __init__(self, *, llm: LLM) -> None:
            super().__init__(texts=[])
            self.llm = llm

    made: dict[str, Any] = {
        "pipelines": {"default": {"retriever": "asking"}},
        "retrievers": {"asking": {"use": Asking, "llm": "around"}},
        "llms": {
            "around": {"use": Around, "inner": "plain"},
            "plain": {"use": "fake-llm"},
            "thinking": {"use": Thinking},
            "broken": {"use": "nobody"},
        },
    }
    with pytest.raises(ConfigError) as raised:
        Pipeline.from_config(made, plugins=PLUGINS)
    assert raised.value.problems == (
        "[llms.around] inner = 'plain': 'fake-llm' has no score(); llms that can: around, thinking",
    )


def test_the_line_of_the_key_is_told(tmp_path: Path) -> None:
    path = tmp_path / "hookrag.toml"
    path.write_text(
        '[pipelines.default]\nretriever = "found"\n[retrievers.found]\nuse = "sparse"\nstore = "rows"\n'
        '[stores.rows]\nuse = "fake-memory"\nchunker = "words"\n[chunkers.words]\nuse = "fake-words"\n'
    )
    from hookrag.config.file import load

    with pytest.raises(ConfigError, match=r"^hookrag\.toml:5: \[retrievers\.found\] store = 'rows': "):
        check(load(path), Catalogue.installed(PLUGINS))


def test_the_same_of_objects(tmp_path: Path) -> None:
    from hookrag.components.search import Sparse

    with pytest.raises(ConfigError) as raised:
        Pipeline(retriever=Sparse(store=MemoryStore(chunker=WordChunker())), folder=tmp_path)
    assert raised.value.problems == (
        "Sparse: its store must be a SparseStore; [stores.memorystore] (use = 'memorystore') has no search_sparse() as it is "
        "configured: give it an embedder of sparse vectors",
    )


def test_a_component_may_say_what_it_can_do() -> None:
    class Choosy(MemoryStore):
        def __init__(self, *, chunker: Any, words: bool = True) -> None:
            super().__init__(chunker=chunker)
            self.words = words

        def can(self, operation: str) -> bool:
            return self.words or operation != "search_text"

    assert adopted("store", Choosy(chunker=WordChunker())).can("search_text")
    assert not adopted("store", Choosy(chunker=WordChunker(), words=False)).can("search_text")


def test_an_embedder_must_give_what_the_store_keeps() -> None:
    class Words(HashEmbedder):
        outputs = frozenset({"sparse"})  # type: ignore[assignment]

        def __init__(self) -> None:
            self.width = 8

    made = searching("text", embedder="hash")
    made["embedders"]["hash"] = {"use": Words}
    with pytest.raises(ConfigError) as raised:
        Pipeline.from_config(made, plugins=PLUGINS)
    assert raised.value.problems == (
        "[stores.rows] embedder: [embedders.hash] gives sparse vectors, and the store keeps dense ones",
    )


def test_each_capability_of_the_core_is_an_operation() -> None:
    from hookrag import protocols
    from hookrag.config.signature import PROTOCOLS, beyond, kind_of, members

    for kind, protocol in PROTOCOLS.items():
        if kind != "middleware":
            assert members(protocol).methods <= OPERATIONS[kind].keys(), kind
    for one in vars(protocols).values():
        kind = kind_of(one)
        if kind is not None:
            assert beyond(one, kind).methods <= OPERATIONS[kind].keys(), one


# One component by itself


def test_one_component_of_a_configuration() -> None:
    closed = []

    class Closing(HashEmbedder):
        def __init__(self, *, width: int = 8) -> None:
            super().__init__(width=width)

        def close(self) -> None:
            closed.append(self.width)

    made = searching("dense", embedder="hash")
    made["embedders"]["hash"] = {"use": Closing, "width": 4}
    with component(made, "embedder", "hash", plugins=PLUGINS) as embedder:
        assert embedder.embed(["a"], role="query", outputs={"dense"}).dense.shape == (1, 4)
        assert not closed
    assert closed == [4]
    with component(made, "retriever", "found", plugins=PLUGINS) as retriever:
        assert retriever.retrieve([Query("1", "x")], k=1)[0].hits == ()


@pytest.mark.parametrize(
    ("kind", "name", "problem"),
    [
        ("embedder", "hesh", "[embedders] no table [embedders.hesh] (did you mean 'hash'?); embedders: hash"),
        ("llm", "gpt", "[llms] no table [llms.gpt]; llms: none"),
        ("embeder", "hash", "no kind of component is called 'embeder' (did you mean 'embedder'?)"),
    ],
)
def test_a_component_that_is_not_there(kind: str, name: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised, component(searching("text"), kind, name, plugins=PLUGINS):
        pass
    assert raised.value.problems == (problem,)


def test_a_component_of_a_pipeline(tmp_path: Path) -> None:
    with Pipeline(retriever=Text(store=MemoryStore(chunker=WordChunker())), folder=tmp_path) as pipeline:
        assert pipeline.component("store", "memorystore").count() == 0
        with pytest.raises(HookragError) as raised:
            pipeline.component("store", "memory-store")
    assert str(raised.value) == (
        "the pipeline has no store 'memory-store' (did you mean 'memorystore'?); stores: memorystore"
    )
