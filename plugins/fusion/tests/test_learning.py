"""Learned weights: by hand, against a plain twin, and from the command line."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
from click.testing import CliRunner
from hookrag import Chunk, Hit, HookragError, Query, Ranking, ScoreKind
from hookrag.qrels import read_qrels
from hookrag_fusion.commands import learn_from, learn_weights
from hookrag_fusion.fusers import LINEAR, RRF, MinMax
from hookrag_fusion.learning import case, cross_validated, learn, ndcg, quality


def ranking(query: Query, leg: str, scored: dict[str, float]) -> Ranking:
    """Chunks are named "document/n"."""
    hits = [Hit(Chunk(name, name.split("/")[0], name, 0, len(name)), score) for name, score in scored.items()]
    hits.sort(key=lambda hit: (-hit.score, hit.chunk.id))
    return Ranking(query, tuple(hits), leg, ScoreKind(leg))


def collection(queries: int, noise: float, seed: int = 0) -> tuple[list[Query], list[list[Ranking]], dict]:
    """Two legs: one that scores by relevance with noise, and one that knows nothing."""
    rng = random.Random(seed)
    asked, legs, qrels = [], [[], []], {}
    for number in range(queries):
        query = Query(f"q{number}", "?")
        gains = {f"d{n}": int(n < 3) for n in range(20)}
        names = [f"{document}/{part}" for document in gains for part in range(2)]
        knowing = {name: gains[name.split("/")[0]] + rng.gauss(0, noise) for name in names}
        guessing = {name: rng.random() for name in names}
        asked.append(query)
        legs[0].append(ranking(query, "knows", knowing))
        legs[1].append(ranking(query, "guesses", guessing))
        qrels[query.id] = gains
    return asked, legs, qrels


def plain_ndcg(fused: Ranking, gains: dict[str, int], k: int) -> float:
    best: dict[str, float] = {}
    for hit in fused.hits:
        best.setdefault(hit.chunk.document_id, hit.score)
    ranked = sorted(best.items(), key=lambda item: (np.float32(item[1]), item[0]), reverse=True)[:k]
    found = sum(gains.get(name, 0) / math.log2(rank + 1) for rank, (name, _) in enumerate(ranked, 1))
    ideal = sum(gain / math.log2(rank + 1) for rank, gain in enumerate(sorted(gains.values(), reverse=True)[:k], 1))
    return found / ideal if ideal else 0.0


@pytest.mark.parametrize(("name", "fuser"), [("rrf", RRF), ("min-max", MinMax)])
def test_a_query_is_worth_what_the_fuser_makes_of_it(name, fuser):
    asked, legs, qrels = collection(30, noise=0.7)
    for weights in ([0.5, 0.5], [0.9, 0.1], [0.0, 1.0]):
        fused = fuser(weights=weights).fuse(legs, k=1000)
        for at, query in enumerate(asked):
            one = case([leg[at] for leg in legs], LINEAR[name], qrels[query.id], 10)
            expected = plain_ndcg(fused[at], qrels[query.id], 10)
            assert ndcg(one, np.array(weights), 10) == pytest.approx(expected, abs=1e-12)


def test_a_query_without_hits_or_without_relevant_documents_is_worth_nothing():
    query = Query("q", "?")
    empty = case([ranking(query, "a", {})] * 2, LINEAR["rrf"], {"d": 1}, 10)
    unjudged = case([ranking(query, "a", {"d/0": 1.0})] * 2, LINEAR["rrf"], {"d": 0}, 10)
    assert quality([empty, unjudged], np.array([0.5, 0.5]), 10).tolist() == [0.0, 0.0]


def test_a_leg_that_knows_nothing_gets_little_weight():
    asked, legs, qrels = collection(60, noise=0.4)
    learned = learn_from(legs, asked, qrels, "min-max", 10, 5)
    assert learned.weights[0] > 0.7
    assert learned.learned > learned.equal
    assert learned.helps


def test_equal_legs_keep_equal_weights_and_nothing_is_claimed():
    asked, legs, qrels = collection(40, noise=0.6)
    learned = learn_from([legs[0], legs[0]], asked, qrels, "rrf", 10, 5)
    assert learned.weights == (0.5, 0.5)
    assert (learned.low, learned.high) == (0.0, 0.0)
    assert not learned.helps


def test_figures_are_of_queries_that_were_not_learned_from():
    """One relevant document a query, which one leg or the other finds by chance: there is nothing to learn."""
    rng = random.Random(3)
    asked, legs, qrels = [], [[], []], {}
    for number in range(60):
        query = Query(f"q{number}", "?")
        order = [[f"d{n}/0" for n in rng.sample(range(10), 10)] for _ in legs]
        for leg, names in zip(legs, order, strict=True):
            leg.append(ranking(query, "leg", {name: 1.0 / rank for rank, name in enumerate(names, 1)}))
        asked.append(query)
        qrels[query.id] = {"d0": 1}
    learned = learn_from(legs, asked, qrels, "rrf", 10, 5)
    cases = [case([leg[at] for leg in legs], LINEAR["rrf"], qrels[q.id], 10) for at, q in enumerate(asked)]
    in_sample = quality(cases, np.array(learned.weights), 10).mean()
    assert learned.learned <= in_sample
    assert not learned.helps


def test_three_legs_add_up_to_one():
    asked, legs, qrels = collection(20, noise=0.5)
    cases = [
        case([legs[0][n], legs[1][n], legs[1][n]], LINEAR["z-score"], qrels[q.id], 10) for n, q in enumerate(asked)
    ]
    assert learn(cases, 3, 10).sum() == pytest.approx(1)


def test_folds_need_queries():
    asked, legs, qrels = collection(3, noise=0.5)
    with pytest.raises(ValueError, match=r"folds must be in \[2, 3\], the number of judged queries, got 5"):
        learn_from(legs, asked, qrels, "rrf", 10, 5)
    cases = [case([leg[0] for leg in legs], LINEAR["rrf"], qrels["q0"], 10)] * 4
    assert cross_validated(cases, 2, 10, folds=4).equal == pytest.approx(ndcg(cases[0], np.array([0.5, 0.5]), 10))


CONFIG = """
[pipelines.default]
retriever = "hybrid"

[chunkers.passages]
use = "words"

[stores.terms]
use = "lexical"
chunker = "passages"

[stores.flat]
use = "lexical"
chunker = "passages"
b = 0.0

[retrievers.bm25]
use = "text"
store = "terms"

[retrievers.plain]
use = "text"
store = "flat"

[retrievers.hybrid]
use = "fused"
retrievers = ["bm25", "plain"]
fuser = "rrf"

[fusers.rrf]
use = "rrf"
"""


@pytest.fixture
def indexed(tmp_path):
    from hookrag import Document, Pipeline

    (tmp_path / "hookrag.toml").write_text(CONFIG)
    words = ["moon", "sun", "tide", "river", "stone", "cloud", "wind", "salt", "iron", "glass"]
    with Pipeline.from_config(tmp_path / "hookrag.toml") as pipeline:
        pipeline.index([Document(f"d{n}", f"{word} " * (n + 1) + "and more") for n, word in enumerate(words)])
    lines = [json.dumps({"_id": f"q{n}", "text": word}) for n, word in enumerate(words)]
    (tmp_path / "queries.jsonl").write_text("\n".join(lines))
    judged = "".join(f"q{n}\td{n}\t1\n" for n in range(10))
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    return tmp_path


def command(folder, *more: str):
    files = ["--queries", f"{folder}/queries.jsonl", "--qrels", f"{folder}/qrels.tsv", "-c", f"{folder}/hookrag.toml"]
    return CliRunner().invoke(learn_weights, [*files, *more])


def test_the_command_says_what_the_weights_are_worth(indexed):
    result = command(indexed, "--legs", "bm25,plain")
    assert result.exit_code == 0, result.output
    assert "nDCG@10 of 10 queries, 5 folds; difference with 95 % confidence" in result.output
    assert "rrf        1.0000   1.0000  +0.0000 [+0.0000, +0.0000]  [0.5, 0.5]" in result.output
    assert result.output.endswith("No weights are better than equal ones beyond chance: leave them out.\n")
    told = json.loads(command(indexed, "--legs", "bm25,plain", "--json").output)
    assert told[-1] == {
        "fuser": "dbsf", "weights": [0.5, 0.5], "equal": 1.0, "learned": 1.0, "difference": [0.0, 0.0], "helps": False,
    }  # fmt: skip


def test_the_command_says_what_it_needs(indexed):
    assert (
        "--legs needs two retrievers or more, as in dense,bm25, got 'bm25'" in command(indexed, "--legs", "bm25").output
    )
    twice = command(indexed, "--legs", "bm25, bm25")
    assert "--legs names a retriever twice, and weights of the same hits say nothing, got 'bm25, bm25'" in twice.output
    assert twice.exit_code == 2
    error = command(indexed, "--legs", "bm25,dense").exception
    assert "no table [retrievers.dense]" in str(error)
    (indexed / "qrels.tsv").write_text("q1\td1\t1\n")
    error = command(indexed, "--legs", "bm25,plain").exception
    assert isinstance(error, HookragError)
    assert "judges 1 of the queries in" in str(error)
    (indexed / "qrels.tsv").write_text("q1\td1\t1\nq2\td2\tmuch\n")
    assert "qrels.tsv:2: expected a whole number as the gain, got 'much'" in str(
        command(indexed, "--legs", "a,b").exception
    )


@pytest.mark.parametrize("gain", ["nan", "inf", "0.5"])
def test_a_first_line_whose_gain_is_no_whole_number_is_no_header(gain, tmp_path):
    (tmp_path / "qrels.tsv").write_text(f"q1\td1\t{gain}\nq2\td2\t1\n")
    with pytest.raises(HookragError) as caught:
        read_qrels(tmp_path / "qrels.tsv")
    assert str(caught.value) == f"{tmp_path}/qrels.tsv:1: expected a whole number as the gain, got {gain!r}"
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td2\t1\n")
    assert read_qrels(tmp_path / "qrels.tsv") == {"q2": {"d2": 1}}
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td2\tmuch\n")
    with pytest.raises(HookragError, match=r"qrels.tsv:2: expected a whole number as the gain, got 'much'"):
        read_qrels(tmp_path / "qrels.tsv")


def test_the_configuration_is_found_in_a_folder_above(indexed, monkeypatch):
    (indexed / "below").mkdir()
    monkeypatch.chdir(indexed / "below")
    files = ["--queries", "../queries.jsonl", "--qrels", "../qrels.tsv"]
    result = CliRunner().invoke(learn_weights, [*files, "--legs", "bm25,plain", "--json"])
    assert result.exit_code == 0, result.exception
