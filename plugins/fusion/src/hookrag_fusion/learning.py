"""Weights of a fuser learned from judged queries, and what they are worth on queries that they were not learned from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from hookrag import Ranking
from numpy.typing import NDArray

from hookrag_fusion.fusers import Lists

Floats = NDArray[np.float64]
RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Case:
    """One judged query: what each leg adds to each chunk, float64[chunks, legs], and what its documents are worth.

    The chunks of a document lie together: document i begins at `starts[i]` and has `gains[i]`; `ideal` is the best DCG.
    """

    added: Floats
    starts: NDArray[np.intp]
    gains: Floats
    ideal: float


def case(
    legs: Sequence[Ranking], normalise: Callable[[Sequence[Ranking]], Lists], gains: Mapping[str, int], k: int
) -> Case:
    """The case of a query from its ranking of each leg."""
    lists, absent = normalise(legs)
    documents = {hit.chunk.id: hit.chunk.document_id for leg in legs for hit in leg.hits}
    # Descending, so that the stable sort of `ndcg` breaks ties as trec_eval does.
    chunks = sorted(documents, key=lambda chunk: (documents[chunk], chunk), reverse=True)
    rows = [[each.get(chunk, none) for each, none in zip(lists, absent, strict=True)] for chunk in chunks]
    names = [documents[chunk] for chunk in chunks]
    starts = [at for at, name in enumerate(names) if at == 0 or name != names[at - 1]]
    best = np.sort(np.array(list(gains.values()), dtype=np.float64))[::-1][:k]
    return Case(
        np.array(rows, dtype=np.float64).reshape(len(chunks), len(legs)),
        np.array(starts, dtype=np.intp),
        np.array([gains.get(names[at], 0) for at in starts], dtype=np.float64),
        float(best @ _discounts(len(best))),
    )


def ndcg(one: Case, weights: Floats, k: int) -> float:
    """nDCG@k of the documents, each scored by its best chunk: linear gain, ties by document id descending (trec_eval).

    >>> two = Case(np.array([[1.0], [2.0]]), np.array([0, 1]), np.array([1.0, 0.0]), 1.0)
    >>> round(ndcg(two, np.array([1.0]), 10), 4)  # the relevant one is second: 1 / log2(3)
    0.6309
    """
    if not len(one.starts) or one.ideal <= 0:
        return 0.0
    scores = np.maximum.reduceat((one.added @ weights).astype(np.float32), one.starts)
    order = np.argsort(-scores, kind="stable")[:k]
    return float(one.gains[order] @ _discounts(len(order))) / one.ideal


def _discounts(count: int) -> Floats:
    discounts: Floats = 1 / np.log2(np.arange(2, count + 2))
    return discounts


def quality(cases: Sequence[Case], weights: Floats, k: int) -> Floats:
    """nDCG@k of each query."""
    return np.array([ndcg(one, weights, k) for one in cases])


def learn(cases: Sequence[Case], legs: int, k: int) -> Floats:
    """The weights, adding up to 1, with the highest mean nDCG@k on a grid over them; among equals the most even ones.

    A grid and not a gradient: nDCG is flat between the places where two documents change their order.
    """
    steps = {1: 1, 2: 20, 3: 10}.get(legs, 5)
    points = np.array(list(_compositions(steps, legs)), dtype=np.float64) / steps
    # Even weights first, so that a tie keeps them.
    points = points[np.argsort(((points - 1 / legs) ** 2).sum(axis=1), kind="stable")]
    means = [float(quality(cases, point, k).mean()) for point in points]
    best: Floats = points[int(np.argmax(np.round(means, 6)))]
    return best


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """The ways to write a whole number as a sum of so many, in order.

    >>> list(_compositions(2, 2))
    [(0, 2), (1, 1), (2, 0)]
    """
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)


@dataclass(frozen=True, slots=True)
class Learned:
    """Learned weights: mean nDCG with equal weights, and with weights that were learned without the query (cross-validated).

    `low` and `high` bound the difference of the two with 95 % confidence (bootstrap over queries).
    """

    weights: tuple[float, ...]
    equal: float
    learned: float
    low: float
    high: float

    @property
    def helps(self) -> bool:
        """Whether the weights are better than equal ones beyond chance."""
        return self.low > 0


def cross_validated(cases: Sequence[Case], legs: int, k: int, *, folds: int, seed: int = 0) -> Learned:
    """Weights learned from all queries, and what weights learned from the other folds are worth on each fold."""
    if not 2 <= folds <= len(cases):
        raise ValueError(f"folds must be in [2, {len(cases)}], the number of judged queries, got {folds}")
    shuffled = np.random.default_rng(seed).permutation(len(cases))
    even = quality(cases, np.full(legs, 1 / legs), k)
    held_out = np.zeros(len(cases))
    for fold in range(folds):
        test = shuffled[fold::folds]
        train = np.setdiff1d(shuffled, test)
        weights = learn([cases[at] for at in train], legs, k)
        held_out[test] = quality([cases[at] for at in test], weights, k)
    difference = held_out - even
    samples = np.random.default_rng(seed).integers(len(cases), size=(RESAMPLES, len(cases)))
    low, high = np.quantile(difference[samples].mean(axis=1), [0.025, 0.975])
    weights = learn(cases, legs, k)
    return Learned(
        tuple(round(float(one), 4) for one in weights),
        float(even.mean()),
        float(held_out.mean()),
        float(low),
        float(high),
    )
