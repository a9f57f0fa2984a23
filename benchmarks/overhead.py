"""The time that a query spends in the framework: components that do nothing, in hookrag's pipeline and in others'.

    .venv-bench/bin/python benchmarks/overhead.py [--rounds 5]

The components have their hits ready, so that what is measured is everything around them. "by hand" is the same components
called without a pipeline. Haystack and LlamaIndex take one query at a time; their figure beside a batch is a loop's.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from time import perf_counter
from typing import Any

import run
from harness import Line, Side, Table, alternated
from options import Options

HITS, DEPTH, KEPT, BATCH = 100, 50, 10, 64
HOW = ("by hand", "three middleware", "traced")
SHAPES = ("one retriever, 10 hits", "two of 100 hits, fused, 50 reranked")


def median(call: Callable[[], object], repeats: int) -> float:
    """Microseconds."""
    times = []
    for _ in range(repeats):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return statistics.median(times) * 1e6


class Ours:
    """Three components, by hand, in a pipeline, with middleware and traced."""

    def __init__(self, options: Options) -> None:
        from hookrag import Call, Chunk, Hit, Pipeline, Proceed, Query, Ranking, ScoreKind, best
        from hookrag.components.fused import Fused
        from hookrag.components.reranked import Reranked

        chunks = [Chunk(f"{i:032x}", f"d{i}", "text", 0, 4) for i in range(HITS)]
        hits = tuple(Hit(chunk, 100.0 - i) for i, chunk in enumerate(chunks))
        kind = ScoreKind("place")

        class Ready:
            """Has its hits ready."""

            def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
                return [Ranking(query, hits[:k], "ready", kind) for query in queries]

        class First:
            """The first leg as it is."""

            def fuse(self, legs: Sequence[Sequence[Ranking]], /, *, k: int) -> list[Ranking]:
                return [Ranking(ranking.query, ranking.hits[:k], "first", kind) for ranking in legs[0]]

        class Same:
            """The hits as they are."""

            def rerank(self, rankings: Sequence[Ranking], /, *, k: int) -> list[Ranking]:
                return [Ranking(ranking.query, best(ranking.hits, k), "same", kind) for ranking in rankings]

        class Through:
            """Middleware that does nothing."""

            def around(self, call: Call, proceed: Proceed, /) -> Any:
                return proceed(call)

        def made(shape: int) -> Any:
            if shape == 0:
                return Ready()
            return Reranked(retriever=Fused(retrievers=[Ready(), Ready()], fuser=First()), reranker=Same(), depth=DEPTH)

        self._plain = [made(shape) for shape in (0, 1)]
        self._pipelines = [Pipeline(retriever=made(shape), folder=options.folder) for shape in (0, 1)]
        three = [Through() for _ in range(3)]
        self._wrapped = [Pipeline(retriever=made(shape), middleware=three, folder=options.folder) for shape in (0, 1)]
        self._queries = [Query(str(i), "q") for i in range(BATCH)]

    def ask(self, shape: int, batch: int, how: str = "pipeline") -> float:
        """Microseconds a query."""
        from hookrag import tracing

        queries = self._queries[:batch]
        pipeline = (self._wrapped if how == "three middleware" else self._pipelines)[shape]
        plain = self._plain[shape]

        def do() -> None:
            if how == "by hand":
                plain.retrieve(queries, k=KEPT)
                return
            with tracing() if how == "traced" else nullcontext():
                pipeline.retrieve(queries, KEPT)

        return median(do, 2000 if batch == 1 else 200) / batch


class Haystack:
    """The same as components of a Haystack pipeline."""

    def __init__(self, options: Options) -> None:
        from haystack import Document, Pipeline, component

        documents = [Document(id=f"{i:032x}", content="text", score=100.0 - i) for i in range(HITS)]

        @component
        class Ready:
            def __init__(self, top_k: int) -> None:
                self._top_k = top_k

            @component.output_types(documents=list[Any])
            def run(self, query: str) -> dict[str, Any]:
                return {"documents": documents[: self._top_k]}

        @component
        class First:
            @component.output_types(documents=list[Any])
            def run(self, first: list[Any], second: list[Any]) -> dict[str, Any]:
                return {"documents": first}

        @component
        class Same:
            @component.output_types(documents=list[Any])
            def run(self, documents: list[Any]) -> dict[str, Any]:
                return {"documents": documents[:DEPTH][:KEPT]}

        one = Pipeline()
        one.add_component("ready", Ready(KEPT))
        two = Pipeline()
        for name, part in (("a", Ready(HITS)), ("b", Ready(HITS)), ("fuse", First()), ("rerank", Same())):
            two.add_component(name, part)
        two.connect("a.documents", "fuse.first")
        two.connect("b.documents", "fuse.second")
        two.connect("fuse.documents", "rerank.documents")
        self._calls: list[Callable[[], Any]] = [
            lambda: one.run({"ready": {"query": "q"}}),
            lambda: two.run({"a": {"query": "q"}, "b": {"query": "q"}}),
        ]

    def ask(self, shape: int) -> float:
        """Microseconds a query."""
        return median(self._calls[shape], (500, 50)[shape])


class LlamaIndex:
    """The same as retrievers and a postprocessor of a LlamaIndex query engine, of which only `retrieve` is called."""

    def __init__(self, options: Options) -> None:
        from llama_index.core import QueryBundle, get_response_synthesizer
        from llama_index.core.llms import MockLLM
        from llama_index.core.postprocessor.types import BaseNodePostprocessor
        from llama_index.core.query_engine import RetrieverQueryEngine
        from llama_index.core.retrievers import BaseRetriever
        from llama_index.core.schema import NodeWithScore, TextNode

        found = [NodeWithScore(node=TextNode(id_=f"{i:032x}", text="text"), score=100.0 - i) for i in range(HITS)]

        class Ready(BaseRetriever):
            def __init__(self, top_k: int) -> None:
                super().__init__()
                self._top_k = top_k

            def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
                return found[: self._top_k]

        class First(BaseRetriever):
            def __init__(self, first: Ready, second: Ready) -> None:
                super().__init__()
                self._legs = (first, second)

            def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
                first, _ = [leg.retrieve(query_bundle) for leg in self._legs]
                return first

        class Same(BaseNodePostprocessor):
            def _postprocess_nodes(
                self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
            ) -> list[NodeWithScore]:
                return nodes[:DEPTH][:KEPT]

        one = Ready(KEPT)
        engine = RetrieverQueryEngine(
            First(Ready(HITS), Ready(HITS)), get_response_synthesizer(llm=MockLLM()), node_postprocessors=[Same()]
        )
        self._calls: list[Callable[[], Any]] = [
            lambda: one.retrieve(QueryBundle("q")),
            lambda: engine.retrieve(QueryBundle("q")),
        ]

    def ask(self, shape: int) -> float:
        """Microseconds a query."""
        return median(self._calls[shape], (500, 50)[shape])


SIDES = {"hookrag": Ours, "Haystack": Haystack, "LlamaIndex": LlamaIndex}


def measure(options: Options) -> list[Table]:
    """Microseconds a query, alone and in batches; and where ours go."""
    table = Table("Framework", ["Components that do nothing; microseconds a query, medians of many calls."])
    own = Table("Framework, more of hookrag's")
    opened = [Side(__file__, name, options, threads=1) for name in SIDES]
    try:
        ours, *others = opened
        for shape, name in enumerate(SHAPES):
            sizes = {"alone": 1, f"in a batch of {BATCH}": BATCH}
            calls = {said: ours.asking("ask", shape=shape, batch=size) for said, size in sizes.items()}
            calls |= {side.name: side.asking("ask", shape=shape) for side in others}
            figures = alternated(options.rounds, calls)
            theirs = {side.name: figures[side.name] for side in others}
            for said, size in sizes.items():
                table.lines.append(Line(f"{name}, {said}", "us", {"hookrag": figures[said], **theirs}))
                calls = {how: ours.asking("ask", shape=shape, batch=size, how=how) for how in HOW}
                for how, values in alternated(options.rounds, calls).items():
                    own.lines.append(Line(f"{name}, {said}, {how}", "us", {"hookrag": values}))
    finally:
        for side in opened:
            side.close()
    return [table, own]


if __name__ == "__main__":
    run.alone(measure, SIDES)
