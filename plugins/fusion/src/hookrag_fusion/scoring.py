"""The formulas of fusion, as pure functions.

A list is {chunk id: score}, or the chunk ids best first; weights has one number a list. Sums are
correctly rounded (`math.fsum`), so that the order of the lists makes no difference at all. A list without hits adds
nothing, and the weights of the others stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum, sqrt


def reciprocal_ranks(count: int, k: float = 60) -> list[float]:
    """1 / (k + rank) in a list of `count` hits, ranks from 1.

    Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods",
    SIGIR 2009, where k = 60.

    >>> reciprocal_ranks(2, k=0)
    [1.0, 0.5]
    """
    return [1 / (k + rank) for rank in range(1, count + 1)]


def min_max(scores: Sequence[float]) -> list[float]:
    """(score - lowest) / (highest - lowest) in each list; equal scores are all 1.

    The normalisation of Lee, "Analyses of multiple evidence combination", SIGIR 1997.

    >>> min_max([8.0, 5.0, 4.0]), min_max([7.0])
    ([1.0, 0.25, 0.0], [1.0])
    """
    if not scores:
        return []
    low, high = min(scores), max(scores)
    return [(score - low) / (high - low) if high > low else 1.0 for score in scores]


def z_scores(scores: Sequence[float]) -> list[float]:
    """(score - mean) / standard deviation (of the population) in each list; equal scores are all 0.

    ZMUV of Montague and Aslam, "Relevance score normalization for metasearch", CIKM 2001.

    >>> z_scores([3.0, 1.0]), z_scores([7.0])
    ([1.0, -1.0], [0.0])
    """
    mean, deviation = _moments(scores)
    return [(score - mean) / deviation if deviation else 0.0 for score in scores]


def distribution_based(scores: Sequence[float]) -> list[float]:
    """(score - (mean - 3 s)) / 6 s, s the standard deviation (of the population), not clipped; equal scores are all 1.

    Mazzeschi, "Distribution-based score fusion (DBSF), a new approach to vector search ranking", 2023.

    >>> distribution_based([3.0, 1.0]), distribution_based([7.0, 7.0])
    ([0.6666666666666666, 0.3333333333333333], [1.0, 1.0])
    """
    mean, deviation = _moments(scores)
    return [(score - mean + 3 * deviation) / (6 * deviation) if deviation else 1.0 for score in scores]


def weighted(
    lists: Sequence[Mapping[str, float]], weights: Sequence[float], absent: Sequence[float]
) -> dict[str, float]:
    """sum over the lists of weight x score, where list i gives `absent[i]` to a chunk that it does not have.

    CombSUM of Fox and Shaw, "Combination of multiple searches", TREC-2, 1994, where the weights are 1 and absent is 0.

    >>> weighted([{"a": 2.0, "b": 1.0}, {"b": 4.0}], [1, 0.5], [0, -1])
    {'a': 1.5, 'b': 3.0}
    """
    names = dict.fromkeys(name for each in lists for name in each)
    together = list(zip(lists, weights, absent, strict=True))
    return {name: fsum(weight * each.get(name, none) for each, weight, none in together) for name in names}


def times_lists(lists: Sequence[Mapping[str, float]], weights: Sequence[float]) -> dict[str, float]:
    """(number of lists that have the chunk) x (sum of weight x score); scores must not be negative.

    CombMNZ of Fox and Shaw, "Combination of multiple searches", TREC-2, 1994, where the weights are 1.

    >>> times_lists([{"a": 2.0, "b": 1.0}, {"b": 4.0}], [1, 1])
    {'a': 2.0, 'b': 10.0}
    """
    sums = weighted(lists, weights, [0.0] * len(lists))
    return {name: total * sum(name in each for each in lists) for name, total in sums.items()}


def _moments(scores: Sequence[float]) -> tuple[float, float]:
    # The deviation of equal scores is 0 by definition here: rounding of their mean must not make it a tiny number.
    if not scores or min(scores) == max(scores):
        return (scores[0] if scores else 0.0), 0.0
    mean = fsum(scores) / len(scores)
    return mean, sqrt(fsum((score - mean) ** 2 for score in scores) / len(scores))
