"""The measures of trec_eval for one query, and the significance of their differences over many.

Gains are linear, and a document is relevant from gain 1. The mean of a measure runs over every query with judgements, one
without a result counting 0 (`trec_eval -c`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Gains = Mapping[str, int]
SEED = 20
RESAMPLES = 10_000


def trec_order(scored: Mapping[str, float]) -> list[str]:
    """Document ids as trec_eval sorts them: score as a 32-bit float descending, then id descending, whatever their ranks said.

    >>> trec_order({"a": 1.0, "b": 1.0, "c": 1.0 + 1e-12, "d": 2.0})
    ['d', 'c', 'b', 'a']
    """
    return sorted(scored, key=lambda name: (float(np.float32(scored[name])), name), reverse=True)


def ndcg(ranked: Sequence[str], gains: Gains, k: int) -> float:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002): sum of gain / log2(rank + 1) over the ideal one.

    >>> ndcg(["a", "b"], {"b": 1}, 10) == 1 / math.log2(3)
    True
    """
    ideal = _dcg(sorted((gain for gain in gains.values() if gain > 0), reverse=True)[:k])
    return _dcg([max(gains.get(name, 0), 0) for name in ranked[:k]]) / ideal if ideal else 0.0


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def recall(ranked: Sequence[str], gains: Gains, k: int) -> float:
    """The share of the relevant documents among the first k.

    >>> recall(["a", "b", "c"], {"b": 1, "c": 2, "d": 0}, 2)
    0.5
    """
    relevant = _relevant(gains)
    return len(relevant.intersection(ranked[:k])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranked: Sequence[str], gains: Gains, k: int) -> float:
    """One over the rank of the first relevant document, 0 where none is among the first k.

    >>> reciprocal_rank(["a", "b"], {"b": 1}, 10)
    0.5
    """
    relevant = _relevant(gains)
    return next((1 / rank for rank, name in enumerate(ranked[:k], 1) if name in relevant), 0.0)


def average_precision(ranked: Sequence[str], gains: Gains) -> float:
    """The mean over all relevant documents of the precision at their ranks, 0 for one that was not found.

    >>> average_precision(["a", "b", "c"], {"a": 1, "c": 1})  # (1/1 + 2/3) / 2
    0.8333333333333333
    """
    relevant = _relevant(gains)
    found, total = 0, 0.0
    for rank, name in enumerate(ranked, 1):
        if name in relevant:
            found += 1
            total += found / rank
    return total / len(relevant) if relevant else 0.0


def _relevant(gains: Gains) -> set[str]:
    return {name for name, gain in gains.items() if gain > 0}


@dataclass(frozen=True, slots=True)
class Sample:
    """What two systems differ by on each query of one collection, and the group that the query belongs to.

    Queries of a group share what makes them easy or hard (a paragraph, a document): groups are resampled, not queries.
    """

    differences: Floats
    groups: Sequence[str]

    def sums(self) -> tuple[Floats, Floats]:
        """The sum of the differences and the number of queries of each group."""
        _, places = np.unique(np.asarray(self.groups), return_inverse=True)
        added: Floats = np.bincount(places, self.differences).astype(np.float64)
        return added, np.bincount(places).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A difference of two means: itself, its 95 % interval, the probability of one as large by chance, and what would show.

    `detectable` is the true difference that such a test finds in 80 of 100 repetitions at the level of 5 %.
    """

    difference: float
    low: float
    high: float
    p: float
    detectable: float

    @property
    def significant(self) -> bool:
        return self.p < 0.05


def compare(samples: Sequence[Sample], *, resamples: int = RESAMPLES, seed: int = SEED) -> Comparison:
    """The mean over the collections of each one's mean difference, with an interval and a two-sided p-value.

    The interval is the bootstrap's (percentiles over draws of groups with replacement, in each collection by itself). The
    p-value is that of the paired randomisation test: without a difference the sign of each group's is a coin's, and
    p = (b + 1) / (B + 1), with b of B draws at least as far from 0 (Smucker, Allan and Carterette 2007).
    """
    random = np.random.default_rng(seed)
    drawn = np.zeros(resamples)
    flipped = np.zeros(resamples)
    observed = 0.0
    for sample in samples:
        sums, sizes = sample.sums()
        observed += float(sums.sum() / sizes.sum())
        counts = random.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
        drawn += (counts @ sums) / (counts @ sizes)
        signs = random.integers(0, 2, size=(resamples, len(sums)), dtype=np.int8) * np.int8(2) - np.int8(1)
        flipped += (signs @ sums) / sizes.sum()
    drawn, flipped, observed = drawn / len(samples), flipped / len(samples), observed / len(samples)
    low, high = np.quantile(drawn, [0.025, 0.975])
    # A draw of the same signs must count as far as what was observed, whatever the order in which it was added up.
    extreme = int((np.abs(flipped) >= abs(observed) - 1e-12).sum())
    return Comparison(
        observed, float(low), float(high), (extreme + 1) / (resamples + 1), (1.96 + 0.8416) * float(drawn.std())
    )


def holm(values: Sequence[float]) -> list[float]:
    """The p-values of a family of tests, raised so that 5 % holds for all of them together (Holm 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    raised = [0.0] * len(values)
    highest = 0.0
    for place, at in enumerate(sorted(range(len(values)), key=lambda at: values[at])):
        highest = max(highest, min(1.0, values[at] * (len(values) - place)))
        raised[at] = highest
    return raised
