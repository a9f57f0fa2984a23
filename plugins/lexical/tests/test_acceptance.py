"""The published and measured figures of BM25 on a real collection."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hookrag import Document, Row, chunk_of
from hookrag_lexical.store import Lexical


def collection(name):
    root = os.environ.get("HOOKRAG_DATA")
    folder = (Path(root) if root else Path(__file__).parents[3].parent / "shared" / "data") / name
    if not (folder / "corpus.jsonl").exists():
        pytest.skip(f"the collection {name} is not in {folder}: set HOOKRAG_DATA to the folder that has it")
    return folder


def read(path):
    with path.open(encoding="utf-8") as lines:
        return {item["_id"]: item for item in map(json.loads, lines)}


def ndcg(judged, hits, cut=10):
    """Linear gain, in trec_eval's order: float32 score descending, then document id descending.

    A list with its one relevant document second: 1 / log2(3).
    """
    order = sorted(((np.float32(hit.score), hit.chunk.document_id) for hit in hits), reverse=True)[:cut]
    gained = sum(judged.get(name, 0) / math.log2(rank + 1) for rank, (_, name) in enumerate(order, 1))
    ideal = sorted(judged.values(), reverse=True)[:cut]
    return gained / sum(gain / math.log2(rank + 1) for rank, gain in enumerate(ideal, 1))


def recall(judged, hits, cut=100):
    relevant = {name for name, gain in judged.items() if gain > 0}
    return len(relevant & {hit.chunk.document_id for hit in hits[:cut]}) / len(relevant)


def evaluated(tmp_path, name, split, norms):
    folder = collection(name)
    judged = {}
    for line in (folder / "qrels" / f"{split}.tsv").read_text().splitlines()[1:]:
        query, document, gain = line.split("\t")
        judged.setdefault(query, {})[document] = int(gain)
    texts = read(folder / "queries.jsonl")
    store = Lexical(chunker=None, path=tmp_path / "index", norms=norms)
    store.open()
    documents = [Document(item["_id"], item["text"], item["title"]) for item in read(folder / "corpus.jsonl").values()]
    # Several commits and a deletion that is taken back: the figures are of the collection, not of its history.
    for start in range(0, len(documents), 1000):
        rows = [Row(chunk_of(document, 0, len(document.text)), "", 0) for document in documents[start : start + 1000]]
        store.put(rows, version=1)
        store.sync()
    store.drop([row.chunk.id for row in rows[::3]], version=1)
    store.sync()
    store.put(rows, version=1)
    store.sync()
    assert store.count() == len(documents)
    found = store.search_text([texts[query]["text"] for query in judged], k=1000, where=None)
    store.close()
    pairs = list(zip(judged.values(), found, strict=True))
    return tuple(sum(metric(*pair) for pair in pairs) / len(pairs) for metric in (ndcg, recall))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "split", "norms", "expected"),
    [
        ("scifact", "test", "exact", (0.6777, 0.9253)),
        ("scifact", "test", "lucene", (0.6789, 0.9253)),
        ("nfcorpus", "dev", "lucene", (0.2893, 0.2262)),
    ],
)
def test_figures_are_the_published_ones(tmp_path, name, split, norms, expected):
    assert evaluated(tmp_path, name, split, norms) == pytest.approx(expected, abs=0.0005)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "analyzer", "expected"),
    [("xquad-zh", "unicode", 0.967), ("xquad-de", "unicode", 0.922), ("xquad-de", "german", 0.951)],
)
def test_other_languages_are_found_by_their_analyzers(tmp_path, name, analyzer, expected):
    folder = collection(name)
    store = Lexical(chunker=None, path=tmp_path / "index", analyzer=analyzer)
    store.open()
    documents = [Document(item["_id"], item["text"], item["title"]) for item in read(folder / "corpus.jsonl").values()]
    store.put([Row(chunk_of(document, 0, len(document.text)), "", 0) for document in documents], version=1)
    store.sync()
    queries = read(folder / "queries.jsonl")
    judged = {}
    [qrels] = (folder / "qrels").glob("*.tsv")
    for line in qrels.read_text().splitlines()[1:]:
        query, document, gain = line.split("\t")
        judged.setdefault(query, {})[document] = int(gain)
    found = store.search_text([queries[query]["text"] for query in judged], k=10, where=None)
    score = sum(ndcg(*pair) for pair in zip(judged.values(), found, strict=True)) / len(judged)
    assert score == pytest.approx(expected, abs=0.003)
