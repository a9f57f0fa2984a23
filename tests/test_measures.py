"""The measures that docs/results.md rests on, beside trec_eval's own, and what keeps the vectors between runs."""

from __future__ import annotations

import doctest
import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import pytrec_eval
from hookrag import Chunk, Hit, HookragError, Identity, Query, Ranking, ScoreKind, Vectors, best

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a dataclass looks its module up
    spec.loader.exec_module(module)
    return module


measures = load("measures")
kept = load("kept")
tables = load("tables")


def collection(random):
    """A run and judgements with every awkward case: ties, equal as float32, unjudged, negative gains, nothing relevant."""
    names = [f"d{number}" for number in range(60)] + ["D7", "ü1", "漢"]
    qrels, run = {}, {}
    for number in range(40):
        query = f"q{number}"
        judged = random.choice(names, size=int(random.integers(1, 25)), replace=False)
        gains = random.integers(0 if number == 3 else -1, 1 if number == 3 else 4, size=len(judged))
        qrels[query] = {str(name): int(gain) for name, gain in zip(judged, gains, strict=True)}
        found = random.choice(names, size=int(random.integers(1, 50)), replace=False)
        run[query] = {
            str(name): float(random.integers(0, 6)) / 3 + float(random.integers(0, 2)) * 1e-9 for name in found
        }
    return qrels, run


@pytest.mark.parametrize("seed", range(5))
def test_measures_are_those_of_trec_eval(seed):
    qrels, run = collection(np.random.default_rng(seed))
    asked = {"ndcg_cut.3,10", "recall.5,100", "recip_rank", "map"}
    told = pytrec_eval.RelevanceEvaluator(qrels, asked).evaluate(run)
    assert set(told) == set(qrels)
    for query, gains in qrels.items():
        ranked = measures.trec_order(run[query])
        ours = {
            "ndcg_cut_3": measures.ndcg(ranked, gains, 3),
            "ndcg_cut_10": measures.ndcg(ranked, gains, 10),
            "recall_5": measures.recall(ranked, gains, 5),
            "recall_100": measures.recall(ranked, gains, 100),
            "recip_rank": measures.reciprocal_rank(ranked, gains, len(ranked)),
            "map": measures.average_precision(ranked, gains),
        }
        assert ours == pytest.approx(told[query], abs=1e-6)


def test_mrr_looks_no_further_than_its_cut():
    ranked = [f"d{number}" for number in range(20)]
    assert measures.reciprocal_rank(ranked, {"d9": 1}, 10) == 0.1
    assert measures.reciprocal_rank(ranked, {"d10": 1}, 10) == 0.0


def test_randomisation_agrees_with_all_signs():
    """With ten queries every one of the 1,024 ways to give signs can be looked at."""
    differences = np.array([0.2, 0.1, 0.3, -0.05, 0.1, 0.0, 0.25, -0.1, 0.15, 0.05])
    sample = measures.Sample(differences, [str(number) for number in range(10)])
    compared = measures.compare([sample])
    every = [np.dot(signs, differences) / 10 for signs in itertools.product((-1, 1), repeat=10)]
    exact = np.mean(np.abs(every) >= differences.mean() - 1e-12)
    assert compared.difference == pytest.approx(differences.mean())
    assert compared.p == pytest.approx(exact, abs=0.01)
    assert compared.low < compared.difference < compared.high


def test_groups_are_resampled_and_not_queries():
    """Queries that say the same thing a hundred times are one observation: five groups leave p no lower than 2 / 32."""
    groups = [str(number % 5) for number in range(500)]
    differences = np.array([0.1 + 0.01 * (number % 5) for number in range(500)])
    grouped = measures.compare([measures.Sample(differences, groups)])
    alone = measures.compare([measures.Sample(differences, [str(number) for number in range(500)])])
    assert grouped.p == pytest.approx(2 / 32, abs=0.01)
    assert alone.p == pytest.approx(1 / 10_001)
    assert grouped.high - grouped.low > 5 * (alone.high - alone.low)


def test_bootstrap_has_the_standard_error_of_the_mean():
    values = np.random.default_rng(1).normal(0.02, 0.3, size=400)
    compared = measures.compare([measures.Sample(values, [str(number) for number in range(400)])])
    error = values.std() / 20
    assert compared.high - compared.low == pytest.approx(2 * 1.96 * error, rel=0.05)
    assert compared.detectable == pytest.approx(2.8 * error, rel=0.05)


def test_collections_count_alike_whatever_their_size():
    small = measures.Sample(np.full(10, 0.4), [str(number) for number in range(10)])
    large = measures.Sample(np.zeros(1000), [str(number) for number in range(1000)])
    assert measures.compare([small, large]).difference == pytest.approx(0.2)


@pytest.mark.parametrize(("module", "least"), [(measures, 5), (tables, 2)])
def test_examples_in_the_modules_hold(module, least):
    told = doctest.testmod(module)
    assert told.failed == 0
    assert told.attempted >= least


class Lengths:
    """An embedder of (length, model) that counts what it is given."""

    def __init__(self, model, scale=1.0):
        self.model = model
        self.scale = scale
        self.given = []

    def identity(self):
        return Identity({"model": self.model}, {"model": self.model}, str(self.model))

    def embed(self, texts, *, role, outputs):
        self.given += texts
        return Vectors(dense=np.array([[len(text) * self.scale, self.model] for text in texts], dtype=np.float32))


def test_vectors_are_kept_by_model_role_and_text(tmp_path):
    def embedded(model, role, texts):
        inner = Lengths(model)
        embedder = kept.KeptEmbedder(embedder=inner, folder=tmp_path)
        embedder.open()
        inner.given.clear()  # of the texts that tell whether it is still the same
        rows = embedder.embed(texts, role=role, outputs={"dense"}).dense.tolist()
        embedder.close()
        return rows, sorted(inner.given)

    assert embedded(1, "document", ["aa", "b", "aa"]) == ([[2, 1], [1, 1], [2, 1]], ["aa", "b"])
    assert embedded(1, "document", ["b", "ccc"]) == ([[1, 1], [3, 1]], ["ccc"])
    assert embedded(1, "query", ["b"]) == ([[1, 1]], ["b"])
    assert embedded(2, "document", ["b"]) == ([[1, 2]], ["b"])


def test_vectors_of_code_that_changed_are_refused(tmp_path):
    kept.KeptEmbedder(embedder=Lengths(1), folder=tmp_path).open()
    kept.KeptEmbedder(embedder=Lengths(1), folder=tmp_path).open()
    with pytest.raises(HookragError, match="differ from those that it gives now"):
        kept.KeptEmbedder(embedder=Lengths(1, scale=0.5), folder=tmp_path).open()


class Longest:
    """A reranker that likes long passages and counts what it reads."""

    def __init__(self):
        self.read = []

    def rerank(self, rankings, *, k):
        self.read += [hit.chunk.text for ranking in rankings for hit in ranking.hits]
        return [
            Ranking(
                ranking.query, best([Hit(hit.chunk, float(len(hit.chunk.text))) for hit in ranking.hits], k), "x", KIND
            )
            for ranking in rankings
        ]


KIND = ScoreKind("length")


def ranking(query, texts):
    hits = tuple(Hit(Chunk(text, "d", text, 0, len(text)), 1.0 / rank) for rank, text in enumerate(texts, 1))
    return Ranking(Query(query, query), hits, "found", ScoreKind("bm25"))


def test_scores_are_kept_and_rank_as_the_reranker_does(tmp_path):
    for texts, read in ((["a", "ccc", "bb"], ["a", "ccc", "bb"]), (["bb", "dddd"], ["dddd"])):
        inner = Longest()
        reranker = kept.KeptReranker(reranker=inner, folder=tmp_path)
        reranker.open()
        inner.read.clear()  # of the pair that tells what the scores are
        (found,) = reranker.rerank([ranking("q", texts)], k=2)
        assert [hit.chunk.text for hit in found.hits] == sorted(texts, key=len, reverse=True)[:2]
        assert found.kind == KIND
        assert inner.read == read
