from __future__ import annotations

from fractions import Fraction
from importlib import import_module
from itertools import permutations
from statistics import fmean, pstdev

import pytest
from hookrag import Chunk, Hit, HookragError, Part, Query, Ranking, ScoreKind
from hookrag_fusion import plugin
from hookrag_fusion.fusers import DBSF, RRF, CombMNZ, CombSum, MinMax, ZScore
from hypothesis import given, settings
from hypothesis import strategies as st

QUERY = Query("q", "what?")
BM25 = ScoreKind("bm25", "terms")
COSINE = ScoreKind("cosine", "minilm")
ALL = {"rrf": RRF, "min-max": MinMax, "z-score": ZScore, "dbsf": DBSF, "combsum": CombSum, "combmnz": CombMNZ}


def leg(scores: dict[str, float], source="bm25", kind=BM25, query=QUERY) -> Ranking:
    hits = [Hit(Chunk(name, "d", f"{name} from {source}", 0, 1), score) for name, score in scores.items()]
    return Ranking(query, tuple(sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))), source, kind)


def scores_of(fuser, *lists: dict[str, float], k: int = 100) -> dict[str, float]:
    (ranking,) = fuser.fuse([[leg(each)] for each in lists], k=k)
    return {hit.chunk.id: hit.score for hit in ranking.hits}


SCORES = st.one_of(
    st.floats(0, 40, allow_subnormal=False).map(lambda x: round(x, 3)), st.sampled_from([0.0, 1.0, 0.1, 0.3])
)
LISTS = st.lists(st.dictionaries(st.sampled_from("abcdefgh"), SCORES, max_size=8), min_size=1, max_size=4)
WEIGHTS = st.lists(st.sampled_from([0.0, 0.25, 1.0, 3.0]), min_size=4, max_size=4).filter(any)


def brute(name: str, lists: list[dict[str, float]], weights: list[float]) -> dict[str, float]:
    """The formulas said a second time, chunk by chunk, with exact sums."""
    result = {}
    for chunk in {chunk for each in lists for chunk in each}:
        total, having = Fraction(0), 0
        for each, weight in zip(lists, weights, strict=True):
            having += chunk in each
            if not each:
                continue
            values = list(each.values())
            same = len(set(values)) == 1
            if name == "rrf":
                order = sorted(each, key=lambda it: (-each[it], it))
                part = 1 / (60 + order.index(chunk) + 1) if chunk in each else 0
            elif name == "min-max":
                part = (
                    (1 if same else (each[chunk] - min(values)) / (max(values) - min(values))) if chunk in each else 0
                )
            elif name == "z-score":
                part = 0 if same else (each.get(chunk, min(values)) - fmean(values)) / pstdev(values)
            elif name == "dbsf":
                low, high = fmean(values) - 3 * pstdev(values), fmean(values) + 3 * pstdev(values)
                part = (1 if same else (each[chunk] - low) / (high - low)) if chunk in each else 0
            else:
                part = each.get(chunk, 0)
            total += Fraction(weight) * Fraction(part)
        result[chunk] = float(total * (having if name == "combmnz" else 1))
    return result


@pytest.mark.parametrize("name", ALL)
@settings(deadline=None)
@given(lists=LISTS, weights=WEIGHTS)
def test_scores_equal_their_brute_force_twin(name, lists, weights):
    weights = weights[: len(lists)]
    if not any(weights):
        weights[0] = 1.0
    assert scores_of(ALL[name](weights=weights), *lists) == pytest.approx(
        brute(name, lists, weights), rel=1e-9, abs=1e-12
    )


@pytest.mark.parametrize("name", ALL)
@settings(deadline=None)
@given(lists=LISTS)
def test_the_order_of_the_legs_changes_nothing(name, lists):
    expected = list(scores_of(ALL[name](), *lists).items())
    for other in permutations(lists):
        assert list(scores_of(ALL[name](), *other).items()) == expected


@pytest.mark.parametrize("name", ALL)
@settings(deadline=None)
@given(lists=LISTS)
def test_an_empty_leg_is_neutral(name, lists):
    assert scores_of(ALL[name](), *lists, {}) == scores_of(ALL[name](), *lists)
    assert scores_of(ALL[name](), {}) == {}


@pytest.mark.parametrize(
    ("name", "single", "equal"),
    [
        ("rrf", 1 / 61, 1 / 62),
        ("min-max", 1, 1),
        ("z-score", 0, 0),
        ("dbsf", 1, 1),
        ("combsum", 5, 5),
        ("combmnz", 5, 5),
    ],
)
def test_one_hit_and_equal_scores(name, single, equal):
    assert scores_of(ALL[name](), {"a": 5.0}) == {"a": single}
    assert scores_of(ALL[name](), {"a": 5.0, "b": 5.0})["b"] == equal
    assert scores_of(ALL[name](), {"a": 0.1, "b": 0.1, "c": 0.1})["c"] == {"rrf": 1 / 63, "z-score": 0}.get(
        name, 0.1 if name.startswith("comb") else 1
    )


def test_reciprocal_ranks_by_hand():
    first, second = {"a": 9.0, "b": 8.0, "c": 7.0}, {"c": 0.9, "a": 0.8, "d": 0.7}
    assert scores_of(RRF(), first, second) == {
        "a": pytest.approx(1 / 61 + 1 / 62),
        "c": pytest.approx(1 / 63 + 1 / 61),
        "b": 1 / 62,
        "d": 1 / 63,
    }
    assert list(scores_of(RRF(k=0, weights=[1, 3]), first, second).items()) == [
        ("c", pytest.approx(1 / 3 + 3)), ("a", 1 + 1.5), ("d", 1.0), ("b", 0.5),
    ]  # fmt: skip


def test_normalised_scores_by_hand():
    first, second = {"a": 10.0, "b": 6.0, "c": 2.0}, {"b": 0.75, "d": 0.25}
    assert scores_of(MinMax(), first, second) == {"b": 1.5, "a": 1.0, "c": 0.0, "d": 0.0}
    deviation = (32 / 3) ** 0.5
    assert scores_of(ZScore(), first, second) == {
        "b": pytest.approx(0 + 1),
        "a": pytest.approx(4 / deviation - 1),
        "c": pytest.approx(-4 / deviation - 1),
        "d": pytest.approx(-1 - 4 / deviation),
    }
    assert scores_of(DBSF(), first, second) == {
        "b": pytest.approx(1 / 2 + 4 / 6),
        "a": pytest.approx(1 / 2 + 4 / deviation / 6),
        "c": pytest.approx(1 / 2 - 4 / deviation / 6),
        "d": pytest.approx(2 / 6),
    }


def test_raw_sums_by_hand():
    first, second = {"a": 2.0, "b": 1.0}, {"b": 3.0, "c": 2.5}
    assert scores_of(CombSum(), first, second) == {"a": 2.0, "b": 4.0, "c": 2.5}
    assert scores_of(CombMNZ(), first, second) == {"a": 2.0, "b": 8.0, "c": 2.5}
    assert scores_of(CombSum(weights=[2, 1]), first, second) == {"a": 4.0, "b": 5.0, "c": 2.5}


def test_an_absent_chunk_is_never_better_than_a_present_one_in_raw_sums():
    assert scores_of(CombSum(), {"a": -1.0, "b": -3.0}, {"c": 0.0}) == {"a": -1.0, "b": -3.0, "c": -3.0}


def test_at_most_k_hits_and_ties_by_id():
    assert list(scores_of(RRF(), {"z": 2.0, "b": 1.0}, {"c": 2.0, "a": 1.0}, k=3)) == ["c", "z", "a"]
    assert scores_of(RRF(), {"a": 1.0}, k=0) == {}


def test_parts_tell_what_each_leg_said_and_the_chunk_is_the_first_legs():
    inner = Part("inner", ScoreKind("logit"), 3, -0.5)
    nested = Ranking(QUERY, (Hit(Chunk("a", "d", "nested", 0, 1), 0.9, (inner,)),), "reranked", COSINE)
    told = Part("bm25", BM25, 1, 7.0, ("what",))
    explained = Ranking(QUERY, (Hit(Chunk("a", "d", "explained", 0, 1), 7.0, (told,)),), "bm25", BM25)
    plain = leg({"b": 3.0, "a": 2.0}, source="other")
    (ranking,) = RRF().fuse([[nested], [explained], [plain]], k=5)
    assert (ranking.query, ranking.stage, ranking.kind) == (QUERY, "rrf", ScoreKind("rrf"))
    assert ranking.hits[0].chunk.text == "nested"
    assert ranking.hits[0].parts == (inner, Part("reranked", COSINE, 1, 0.9), told, Part("other", BM25, 2, 2.0))
    assert ranking.hits[1].parts == (Part("other", BM25, 1, 3.0),)


@pytest.mark.parametrize("name", ALL)
def test_each_query_is_fused_by_itself_and_named_kind(name):
    other = Query("p", "where?")
    legs = [[leg({"a": 1.0}), leg({"b": 2.0}, query=other)], [leg({"c": 3.0}), leg({}, query=other)]]
    both = ALL[name]().fuse(legs, k=9)
    assert [ranking.query for ranking in both] == [QUERY, other]
    assert [ranking.kind for ranking in both] == [ScoreKind(name)] * 2
    assert [sorted(hit.chunk.id for hit in ranking.hits) for ranking in both] == [["a", "c"], ["b"]]
    assert both == [ALL[name]().fuse([[each[at]] for each in legs], k=9)[0] for at in (0, 1)]
    assert ALL[name]().fuse([[], []], k=9) == []


@pytest.mark.parametrize("name", ["combsum", "combmnz"])
@pytest.mark.parametrize("other", [COSINE, ScoreKind("bm25", "others")])
def test_raw_sums_of_unlike_scores_are_refused(name, other):
    with pytest.raises(HookragError) as error:
        ALL[name]().fuse([[leg({"a": 1.0})], [leg({})], [leg({"a": 0.5}, source="dense", kind=other)]], k=3)
    assert str(error.value) == (
        f"{name} adds raw scores, and those of leg 1 ('bm25': bm25 of terms) and leg 3 ('dense': {other}) do not "
        "compare: use min-max, z-score, dbsf or rrf"
    )


def test_a_negative_score_is_refused_where_it_would_be_multiplied():
    with pytest.raises(HookragError) as error:
        CombMNZ().fuse([[leg({"a": 1.0})], [leg({"b": -0.5})]], k=3)
    assert str(error.value) == (
        "combmnz multiplies scores, which must not be negative, and leg 2 ('bm25') gave chunk b -0.5 (bm25 of terms): "
        "use min-max"
    )


@pytest.mark.parametrize("name", ALL)
def test_legs_that_do_not_match_are_refused(name):
    fuser = ALL[name](weights=[1.0])
    for legs, message in [
        ([], f"{name} got no legs to fuse: it needs the rankings of one retriever or more"),
        ([[leg({})], []], f"{name} got legs of [1, 0] rankings: every leg must have one ranking for each query"),
        ([[leg({})], [leg({})]], f"{name} has 1 weights for 2 legs: give one weight for each retriever"),
    ]:
        with pytest.raises(HookragError) as error:
            fuser.fuse(legs, k=3)
        assert str(error.value) == message


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, -0.5], "weights[1] must be at least 0, got -0.5"),
        ([float("nan")], "weights[0] must be a finite number, got nan"),
        ([float("inf")], "weights[0] must be a finite number, got inf"),
        ([0.0, 0.0], "weights must not all be 0, got [0.0, 0.0]"),
        ([], "weights must not all be 0, got []"),
    ],
)
def test_weights_out_of_range_are_refused(name, weights, message):
    with pytest.raises(ValueError) as error:
        ALL[name](weights=weights)
    assert str(error.value) == message


def test_a_negative_k_is_refused():
    with pytest.raises(ValueError) as error:
        RRF(k=-1)
    assert str(error.value) == "k must be at least 0, got -1"


def test_every_registered_component_can_be_imported():
    assert set(plugin.fusers()) == set(ALL)
    for name, component in plugin.fusers().items():
        module, _, attribute = component.target.partition(":")
        assert getattr(import_module(module), attribute) is ALL[name]
