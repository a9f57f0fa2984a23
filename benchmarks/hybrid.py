"""Hybrid search end to end: BM25 and dense vectors, fused by reciprocal rank, as each framework's documentation builds it.

    .venv-bench/bin/python benchmarks/hybrid.py [--rounds 5] [--documents 500] [--queries 100]

The same documents (whole, one chunk each), questions and weights (all-MiniLM-L6-v2), two threads each; every leg gives 100
candidates, 10 are kept. hookrag is what `hookrag init` writes, without its reranker, with whole documents as chunks and the
others' fusion: it keeps a journal and its indexes on the disk. The other two keep theirs in memory.
"""

from __future__ import annotations

import statistics
import tomllib
from collections.abc import Sequence
from typing import Any

import collection
import run
from embedding import MODEL, folder_of
from harness import Line, Side, Table, alternated, batches, seconds
from measures import ndcg
from options import Options

DEPTH, KEPT, BATCH = 100, 10, 64


class _Hybrid:
    """Documents that come in as many parts as there are rounds, and questions."""

    def __init__(self, options: Options) -> None:
        self._held = collection.read(options)
        items = list(self._held.documents.items())
        self._parts = [items[start :: options.rounds] for start in range(options.rounds)]
        self._queries = list(self._held.queries.values())
        self._next = 0

    def index(self) -> float:
        """Documents a second: the next part."""
        part = self._parts[self._next]
        self._next += 1
        return len(part) / seconds(lambda: self.add(dict(part)))

    def add(self, documents: dict[str, str]) -> None:
        raise AssertionError("each side has its own")

    def find(self, queries: Sequence[str]) -> list[list[str]]:
        raise AssertionError("each side has its own")

    def ask(self, batch: int) -> float:
        """Queries a second."""
        return len(self._queries) / seconds(lambda: [self.find(part) for part in batches(self._queries, batch)])

    def ndcg(self) -> float:
        """nDCG@10, the mean over all queries."""
        found = zip(self.find(self._queries), self._held.queries, strict=True)
        return statistics.mean(ndcg(ids, self._held.qrels[query], 10) for ids, query in found)


def configuration(folder: str) -> dict[str, Any]:
    """What `hookrag init` writes, cut down to the hybrid search, over whole documents, and fused as the others fuse."""
    from hookrag.cli.starter import starter
    from hookrag.config.catalogue import Catalogue

    written = tomllib.loads(starter(set(Catalogue.installed().offers)))
    kept = {name: table for name, table in written.items() if name in ("embedders", "stores")}
    [fuser] = written["fusers"]
    retrievers = {name: table for name, table in written["retrievers"].items() if name != "best"}
    return {
        **kept,
        "fusers": {fuser: {"use": "rrf"}},
        "retrievers": retrievers,
        "chunkers": {"passages": {"use": "document"}},
        "pipelines": {"default": {"retriever": "hybrid", "k": KEPT}},
        "index": {"path": folder},
    }


class Ours(_Hybrid):
    """A pipeline, its embedder loaded."""

    def __init__(self, options: Options) -> None:
        from hookrag import Document, Pipeline

        super().__init__(options)
        self._document = Document
        self._config = configuration(str(options.folder / "index"))
        self._pipeline = Pipeline.from_config(self._config)
        self._pipeline.index([])

    def described(self) -> str:
        """What is searched, and by which components."""
        uses = ", ".join(table["use"] for kind in ("stores", "fusers") for table in self._config[kind].values())
        size = f"{len(self._held.documents):,} documents and {len(self._queries)} queries"
        return f"A subset of {size}, {MODEL}, {DEPTH} candidates of each leg. hookrag's stores and fuser: {uses}."

    def add(self, documents: dict[str, str]) -> None:
        report = self._pipeline.index(self._document(name, text) for name, text in documents.items())
        if report.indexed != len(documents):
            raise RuntimeError(f"{report.indexed} of {len(documents)} documents were indexed: {report}")

    def find(self, queries: Sequence[str]) -> list[list[str]]:
        return [[hit.chunk.document_id for hit in ranking.hits] for ranking in self._pipeline.retrieve(list(queries))]


class Haystack(_Hybrid):
    """Its in-memory store, both retrievers, and the joiner; a pipeline takes one question at a time."""

    def __init__(self, options: Options) -> None:
        from haystack import Document, Pipeline
        from haystack.components.joiners import DocumentJoiner
        from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
        from haystack.components.writers import DocumentWriter
        from haystack.document_stores.in_memory import InMemoryDocumentStore
        from haystack_integrations.components.embedders import sentence_transformers as embedders

        super().__init__(options)
        self._document = Document
        store = InMemoryDocumentStore()
        model = str(folder_of(MODEL))
        self._adding = Pipeline()
        self._adding.add_component(
            "embed", embedders.SentenceTransformersDocumentEmbedder(model=model, progress_bar=False)
        )
        self._adding.add_component("write", DocumentWriter(store))
        self._adding.connect("embed", "write")
        self._adding.warm_up()
        self._asking = Pipeline()
        self._asking.add_component("embed", embedders.SentenceTransformersTextEmbedder(model=model, progress_bar=False))
        self._asking.add_component("dense", InMemoryEmbeddingRetriever(store, top_k=DEPTH))
        self._asking.add_component("bm25", InMemoryBM25Retriever(store, top_k=DEPTH))
        self._asking.add_component("join", DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=KEPT))
        self._asking.connect("embed.embedding", "dense.query_embedding")
        self._asking.connect("dense", "join")
        self._asking.connect("bm25", "join")
        self._asking.warm_up()

    def add(self, documents: dict[str, str]) -> None:
        given = [self._document(id=name, content=text) for name, text in documents.items()]
        self._adding.run({"embed": {"documents": given}})

    def find(self, queries: Sequence[str]) -> list[list[str]]:
        found = []
        for query in queries:
            result = self._asking.run({"embed": {"text": query}, "bm25": {"query": query}})
            found.append([document.id for document in result["join"]["documents"]])
        return found


class LlamaIndex(_Hybrid):
    """Its in-memory vector index, its BM25 retriever (bm25s), and the fusing retriever with one query."""

    def __init__(self, options: Options) -> None:
        from llama_index.core import VectorStoreIndex
        from llama_index.core.schema import TextNode
        from llama_index.embeddings.huggingface import HuggingFaceEmbedding

        super().__init__(options)
        self._node = TextNode
        self._nodes: list[Any] = []
        embedder = HuggingFaceEmbedding(model_name=str(folder_of(MODEL)), device="cpu")
        self._index = VectorStoreIndex([], embed_model=embedder)
        self._retriever: Any = None

    def add(self, documents: dict[str, str]) -> None:
        nodes = [self._node(id_=name, text=text) for name, text in documents.items()]
        self._index.insert_nodes(nodes)
        self._nodes += nodes
        if len(self._nodes) == len(self._held.documents):
            self._retriever = self._built()

    def _built(self) -> Any:
        """After the last part, since a BM25 retriever cannot be added to."""
        from llama_index.core.llms import MockLLM
        from llama_index.core.retrievers.fusion_retriever import FUSION_MODES, QueryFusionRetriever
        from llama_index.retrievers.bm25 import BM25Retriever

        return QueryFusionRetriever(
            [
                self._index.as_retriever(similarity_top_k=DEPTH),
                BM25Retriever.from_defaults(nodes=self._nodes, similarity_top_k=DEPTH),
            ],
            llm=MockLLM(),  # one is asked for, none is called
            mode=FUSION_MODES.RECIPROCAL_RANK,
            similarity_top_k=KEPT,
            num_queries=1,
            use_async=False,
        )

    def find(self, queries: Sequence[str]) -> list[list[str]]:
        return [[hit.node.node_id for hit in self._retriever.retrieve(query)] for query in queries]


SIDES = {"hookrag": Ours, "Haystack": Haystack, "LlamaIndex": LlamaIndex}


def measure(options: Options) -> list[Table]:
    """Indexing, queries one by one and in batches, memory, nDCG@10."""
    options = options.sized(documents=500, queries=100)
    opened = [Side(__file__, name, options) for name in SIDES]
    try:
        lines = [
            Line(
                "index",
                "documents/s",
                alternated(options.rounds, {side.name: side.asking("index") for side in opened}),
                True,
            )
        ]
        quality = {side.name: [side.ask("ndcg")] for side in opened}  # and what a first question sets up is not counted
        ours, *others = opened
        figures = alternated(
            options.rounds,
            {
                "alone": ours.asking("ask", batch=1),
                "batch": ours.asking("ask", batch=BATCH),
                **{side.name: side.asking("ask", batch=1) for side in others},
            },
        )
        theirs = {side.name: figures[side.name] for side in others}
        lines.append(Line("ask, one by one", "queries/s", {"hookrag": figures["alone"], **theirs}, more=True))
        lines.append(
            Line(f"ask, in batches of {BATCH}", "queries/s", {"hookrag": figures["batch"], **theirs}, more=True)
        )
        lines.append(Line("memory, at most", "MB", {side.name: [side.peak()] for side in opened}))
        lines.append(Line("quality, nDCG@10", "", quality, more=True))
        described = opened[0].ask("described")
    finally:
        for side in opened:
            side.close()
    notes = [f"{described} Haystack and LlamaIndex take one question at a time: beside batches stands a loop's figure."]
    return [Table("Hybrid search", notes, lines)]


if __name__ == "__main__":
    run.alone(measure, SIDES)
