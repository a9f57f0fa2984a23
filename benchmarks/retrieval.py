"""How good and how fast the default pipeline and each of its legs are on a collection in BEIR's layout.

    .venv/bin/python benchmarks/retrieval.py FOLDER [--split test] [--queries 0] [--skip best]

FOLDER holds corpus.jsonl, queries.jsonl and qrels/<split>.tsv. Documents are scored by their best chunk. nDCG@10 has linear
gain and is averaged over every query with judgements, one without a result counting 0, in trec_eval's order (score, then id
descending).
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter

from hookrag import Document, Pipeline, Query
from hookrag.catalogue import Catalogue
from hookrag.grouping import by_document
from hookrag.judged import Qrels, read_qrels, read_queries
from hookrag.starter import starter


def trec_order(ranked: Sequence[tuple[str, float]]) -> list[str]:
    """Document ids as trec_eval sorts them."""
    return [name for name, _ in sorted(ranked, key=lambda item: (item[1], item[0]), reverse=True)]


def ndcg(ranked: Sequence[str], gains: Mapping[str, int], k: int) -> float:
    """Normalised discounted cumulative gain with linear gain (Järvelin and Kekäläinen 2002).

    >>> ndcg(["a", "b"], {"b": 1}, 10) == 1 / math.log2(3)
    True
    """
    found = sum(gains.get(name, 0) / math.log2(rank + 1) for rank, name in enumerate(ranked[:k], 1))
    ideal = sum(gain / math.log2(rank + 1) for rank, gain in enumerate(sorted(gains.values(), reverse=True)[:k], 1))
    return found / ideal if ideal else 0.0


def recall(ranked: Sequence[str], gains: Mapping[str, int], k: int) -> float:
    """The share of the relevant documents among the first k."""
    relevant = {name for name, gain in gains.items() if gain > 0}
    return len(relevant & set(ranked[:k])) / len(relevant) if relevant else 0.0


def documents(folder: Path) -> Iterator[Document]:
    with (folder / "corpus.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            yield Document(record["_id"], record["text"], record.get("title", ""))


def main() -> None:
    """Index, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--queries", type=int, default=0, help="only so many queries")
    parser.add_argument("--chunker", default="words", help="words (200 words, overlap 40) or document")
    parser.add_argument("--skip", nargs="*", default=[], help="retrievers to leave out")
    parser.add_argument("--index", type=Path, help="keep the index in this folder")
    chosen = parser.parse_args()
    qrels = read_qrels(chosen.folder / "qrels" / f"{chosen.split}.tsv")
    asked = [query for query in read_queries(chosen.folder / "queries.jsonl") if query.id in qrels]
    asked = asked[: chosen.queries or None]
    with tempfile.TemporaryDirectory() as temporary:
        measure(chosen, asked, {query.id: qrels[query.id] for query in asked}, chosen.index or Path(temporary))


def measure(chosen: argparse.Namespace, asked: Sequence[Query], qrels: Qrels, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    offers = Catalogue.installed().offers.values()
    text = starter({(offer.kind, offer.name) for same in offers for offer in same})
    if chosen.chunker == "document":
        text = text.replace('use = "words"\nsize = 200                  # words\noverlap = 40', 'use = "document"')
    (folder / "hookrag.toml").write_text(text, encoding="utf-8")
    with Pipeline.from_config(folder / "hookrag.toml") as pipeline:
        started = perf_counter()
        report = pipeline.index(documents(chosen.folder))
        seconds = perf_counter() - started
        print(f"{chosen.folder.name}: {report.indexed} documents, {report.chunks} chunks in {seconds:.0f} s", end="")
        print(f" ({report.indexed / seconds:.1f} documents/s; {report.to_json()['seconds']})", flush=True)
        print(f"{'retriever':<12}{'nDCG@10':>9}{'recall@100':>12}{'queries/s':>11}")
        for name in ("dense", "bm25", "hybrid", "best"):
            if name in chosen.skip:
                continue
            with pipeline.override({"pipelines.default.retriever": name}) as leg:
                leg.retrieve([asked[0]])  # opens what is not open yet
                started = perf_counter()
                ranked: list[list[str]] = []
                # A hundred documents would make the reranker read twice as many chunks as it does by default.
                k = 10 if name == "best" else 100
                for start in range(0, len(asked), 64):
                    batch = asked[start : start + 64]
                    ranked += [trec_order(one) for one in by_document(leg.retrieve, batch, k)]
                seconds = perf_counter() - started
            gains = [qrels[query.id] for query in asked]
            quality = sum(ndcg(r, g, 10) for r, g in zip(ranked, gains, strict=True)) / len(asked)
            found = sum(recall(r, g, 100) for r, g in zip(ranked, gains, strict=True)) / len(asked)
            told = f"{found:>12.4f}" if k == 100 else f"{'':>12}"
            print(f"{name:<12}{quality:>9.4f}{told}{len(asked) / seconds:>11.2f}", flush=True)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
