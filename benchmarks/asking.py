"""Asks every question of a collection in many ways, through pipelines of one configuration."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kept
import numpy as np
from corpora import Collection
from hookrag import Pipeline, Ranking
from measures import Floats, Gains, average_precision, ndcg, recall, reciprocal_rank, trec_order

HERE = Path(__file__).parent
CACHE = HERE / ".cache"
BATCH = 32
WHOLE = 'use = "document"'


@dataclass(frozen=True, slots=True)
class Way:
    """A variant of the pipeline: values of its configuration, and how many chunks are asked for."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    k: int = 1000


@contextmanager
def indexed(
    collection: Collection, *, chunker: str = WHOLE, model: str = "all-MiniLM-L6-v2", depth: int = 1000,
    retriever: str = "hybrid",
) -> Iterator[Pipeline]:  # fmt: skip
    """The pipeline of results.toml with the collection in its index, which is gone afterwards."""
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n", encoding="utf-8")
    text = (HERE / "results.toml").read_text(encoding="utf-8")
    for name, value in {"chunker": chunker, "model": model, "cache": CACHE.as_posix(), "depth": str(depth)}.items():
        text = text.replace(f"{{{name}}}", value)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hookrag.toml"
        path.write_text(text, encoding="utf-8")
        with (
            Pipeline.from_config(path, plugins={"benchmarks": kept}) as whole,
            whole.override({"pipelines.default.retriever": retriever}) as pipeline,
        ):
            report = pipeline.index(collection.documents)
            # A document without text has nothing to find; any other that fails would make the figures wrong.
            failed = [problem for problem in report.failed if problem.reason]
            if failed:
                raise SystemExit(f"{collection.name}: {len(failed)} documents were not indexed: {failed[0]}")
            yield pipeline


def ask(
    pipeline: Pipeline, collection: Collection, ways: Sequence[Way], look: Callable[[Way, int, Ranking], None]
) -> None:
    """Show `look` the ranking of each question (by its number) in each way."""
    with ExitStack() as stack:
        made = [(way, stack.enter_context(pipeline.override(way.changes)) if way.changes else pipeline) for way in ways]
        for start in range(0, len(collection.queries), BATCH):
            batch = collection.queries[start : start + BATCH]
            for way, variant in made:
                for number, ranking in enumerate(variant.retrieve(batch, k=way.k), start):
                    look(way, number, ranking)


def by_best_chunk(ranking: Ranking) -> dict[str, float]:
    """The score of each document's best chunk (MaxP)."""
    scores: dict[str, float] = {}
    for hit in ranking.hits:
        scores[hit.chunk.document_id] = max(hit.score, scores.get(hit.chunk.document_id, hit.score))
    return scores


MEASURES: Mapping[str, Callable[[Sequence[str], Gains], float]] = {
    "nDCG@5": lambda ranked, gains: ndcg(ranked, gains, 5),
    "nDCG@10": lambda ranked, gains: ndcg(ranked, gains, 10),
    "recall@100": lambda ranked, gains: recall(ranked, gains, 100),
    "MRR@10": lambda ranked, gains: reciprocal_rank(ranked, gains, 10),
    "MAP": average_precision,
}


def measure(pipeline: Pipeline, collection: Collection, ways: Sequence[Way]) -> dict[str, dict[str, Floats]]:
    """{way: {measure: its value for each question}}, documents being scored by their best chunk."""
    told = {way.name: {name: np.zeros(len(collection.queries)) for name in MEASURES} for way in ways}

    def look(way: Way, number: int, ranking: Ranking) -> None:
        ranked = trec_order(by_best_chunk(ranking))
        gains = collection.qrels[ranking.query.id]
        for name, value in MEASURES.items():
            told[way.name][name][number] = value(ranked, gains)

    ask(pipeline, collection, ways, look)
    return told
