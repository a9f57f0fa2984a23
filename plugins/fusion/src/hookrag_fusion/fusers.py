"""The fusers: thin components over `hookrag_fusion.scoring`.

Each gives `fuse(legs, k=...)`: the k best of the chunks that any leg has, where equal ids are the same chunk and
its text is the first leg's. A hit's parts say what every leg that has it said, in the order of the legs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, TypeAlias

from hookrag import AtLeast, Finite, Hit, HookragError, Part, Ranking, ScoreKind, best, checked

from hookrag_fusion.scoring import distribution_based, min_max, reciprocal_ranks, times_lists, weighted, z_scores

Legs = Sequence[Sequence[Ranking]]
Scoring = Callable[[Sequence[Ranking], Sequence[float]], Mapping[str, float]]
Weights: TypeAlias = Annotated[
    list[Annotated[float, Finite(), AtLeast(0)]] | None,
    "one number for each retriever, in their order, not all 0; used as they are, and 1 for each unless given",
]
Lists = tuple[list[dict[str, float]], list[float]]


class RRF:
    """Adds reciprocal ranks, weight / (k + rank): needs no scores that compare."""

    @checked
    def __init__(
        self,
        *,
        k: Annotated[
            int,
            AtLeast(0),
            "how much the first ranks count for more than the later ones: less with a larger k",
        ] = 60,
        weights: Weights = None,
    ) -> None:
        _check(weights)
        self.k = k
        self.weights = weights

    def fuse(self, legs: Legs, *, k: int) -> list[Ranking]:
        return _fused("rrf", legs, self.weights, k, lambda legs, weights: _sum(rrf_lists(legs, self.k), weights))


class MinMax:
    """Adds scores brought to [0, 1] in each leg. A chunk that a leg does not have gets 0 there."""

    @checked
    def __init__(self, *, weights: Weights = None) -> None:
        _check(weights)
        self.weights = weights

    def fuse(self, legs: Legs, *, k: int) -> list[Ranking]:
        return _fused("min-max", legs, self.weights, k, lambda legs, weights: _sum(min_max_lists(legs), weights))


class ZScore:
    """Adds standard scores. A chunk that a leg does not have gets the leg's lowest: 0 would make it an average hit."""

    @checked
    def __init__(self, *, weights: Weights = None) -> None:
        _check(weights)
        self.weights = weights

    def fuse(self, legs: Legs, *, k: int) -> list[Ranking]:
        return _fused("z-score", legs, self.weights, k, lambda legs, weights: _sum(z_score_lists(legs), weights))


class DBSF:
    """Adds scores brought to mean +- 3 standard deviations in each leg. A chunk that a leg lacks gets 0 there."""

    @checked
    def __init__(self, *, weights: Weights = None) -> None:
        _check(weights)
        self.weights = weights

    def fuse(self, legs: Legs, *, k: int) -> list[Ranking]:
        return _fused("dbsf", legs, self.weights, k, lambda legs, weights: _sum(dbsf_lists(legs), weights))


class CombSum:
    """Adds raw scores, which must be of one kind and producer in all legs (several queries to one index).

    A chunk that a leg does not have gets 0 there, or the leg's lowest score where that is negative.
    """

    @checked
    def __init__(self, *, weights: Weights = None) -> None:
        _check(weights)
        self.weights = weights

    def fuse(self, legs: Legs, *, k: int) -> list[Ranking]:
        return _fused("combsum", legs, self.weights, k, _combsum)


class CombMNZ:
    """Adds raw scores as CombSum does, times the number of legs that have the chunk; no score may be negative."""

    @checked
    def __init__(self, *, weights: Weights = None) -> None:
        _check(weights)
        self.weights = weights

    def fuse(self, legs: Legs, *, k: int) -> list[Ranking]:
        return _fused("combmnz", legs, self.weights, k, _combmnz)


def _check(weights: list[float] | None) -> None:
    if weights is not None and not any(weights):
        raise ValueError(f"weights must not all be 0, got {weights}")


def _fused(name: str, legs: Legs, weights: list[float] | None, k: int, scoring: Scoring) -> list[Ranking]:
    if not legs:
        raise HookragError(f"{name} got no legs to fuse: it needs the rankings of one retriever or more")
    counts = [len(leg) for leg in legs]
    if len(set(counts)) > 1:
        raise HookragError(f"{name} got legs of {counts} rankings: every leg must have one ranking for each query")
    if weights is not None and len(weights) != len(legs):
        raise HookragError(
            f"{name} has {len(weights)} weights for {len(legs)} legs: give one weight for each retriever"
        )
    used = weights or [1.0] * len(legs)
    return [_one(name, rankings, scoring(rankings, used), k) for rankings in zip(*legs, strict=True)]


def _one(name: str, rankings: Sequence[Ranking], scores: Mapping[str, float], k: int) -> Ranking:
    first: dict[str, Hit] = {}
    parts: dict[str, list[Part]] = {}
    for ranking in rankings:
        for rank, hit in enumerate(ranking.hits, 1):
            first.setdefault(hit.chunk.id, hit)
            said = parts.setdefault(hit.chunk.id, [])
            said.extend(hit.parts)
            own = (ranking.stage, rank, hit.score)
            # A leg that described its own hit (with the terms it matched) has said it already.
            if not (hit.parts and (hit.parts[-1].stage, hit.parts[-1].rank, hit.parts[-1].score) == own):
                said.append(Part(ranking.stage, ranking.kind, rank, hit.score))
    hits = (Hit(hit.chunk, scores[key], tuple(parts[key])) for key, hit in first.items())
    return Ranking(rankings[0].query, best(hits, k), name, ScoreKind(name))


def _sum(made: Lists, weights: Sequence[float]) -> Mapping[str, float]:
    lists, absent = made
    return weighted(lists, weights, absent)


def _lists(rankings: Sequence[Ranking]) -> list[dict[str, float]]:
    return [{hit.chunk.id: hit.score for hit in ranking.hits} for ranking in rankings]


def _normalised(rankings: Sequence[Ranking], how: Callable[[Sequence[float]], list[float]]) -> list[dict[str, float]]:
    return [dict(zip(each, how(list(each.values())), strict=True)) for each in _lists(rankings)]


def rrf_lists(rankings: Sequence[Ranking], k: int = 60) -> Lists:
    """1 / (k + rank), and 0."""
    return _normalised(rankings, lambda scores: reciprocal_ranks(len(scores), k)), [0.0] * len(rankings)


def min_max_lists(rankings: Sequence[Ranking]) -> Lists:
    """Scores in [0, 1], and 0."""
    return _normalised(rankings, min_max), [0.0] * len(rankings)


def z_score_lists(rankings: Sequence[Ranking]) -> Lists:
    """Standard scores, and the lowest of the list."""
    lists = _normalised(rankings, z_scores)
    return lists, [min(each.values(), default=0.0) for each in lists]


def dbsf_lists(rankings: Sequence[Ranking]) -> Lists:
    """Scores in mean +- 3 standard deviations, and 0."""
    return _normalised(rankings, distribution_based), [0.0] * len(rankings)


LINEAR: Mapping[str, Callable[[Sequence[Ranking]], Lists]] = {
    "rrf": rrf_lists,
    "min-max": min_max_lists,
    "z-score": z_score_lists,
    "dbsf": dbsf_lists,
}
"""The fusers whose scores are weighted sums of what these say of each leg: {chunk id: score}, and what others get there."""


def _combsum(rankings: Sequence[Ranking], weights: Sequence[float]) -> Mapping[str, float]:
    _check_kinds("combsum", rankings)
    lists = _lists(rankings)
    return weighted(lists, weights, [min(0.0, min(each.values(), default=0.0)) for each in lists])


def _combmnz(rankings: Sequence[Ranking], weights: Sequence[float]) -> Mapping[str, float]:
    _check_kinds("combmnz", rankings)
    for number, ranking in enumerate(rankings, 1):
        for hit in ranking.hits:
            if hit.score < 0:
                raise HookragError(
                    f"combmnz multiplies scores, which must not be negative, and leg {number} ({ranking.stage!r}) "
                    f"gave chunk {hit.chunk.id} {hit.score} ({ranking.kind}): use min-max"
                )
    return times_lists(_lists(rankings), weights)


def _check_kinds(name: str, rankings: Sequence[Ranking]) -> None:
    first = rankings[0]
    for number, other in enumerate(rankings[1:], 2):
        if other.kind != first.kind:
            raise HookragError(
                f"{name} adds raw scores, and those of leg 1 ({first.stage!r}: {first.kind}) and leg {number} "
                f"({other.stage!r}: {other.kind}) do not compare: use min-max, z-score, dbsf or rrf"
            )
