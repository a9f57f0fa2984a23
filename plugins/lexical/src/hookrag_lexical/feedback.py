"""Pseudo-relevance feedback: a query gets words of the rows that it found first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Query = Mapping[str, float]
"""The terms of a query and how much each counts."""


@dataclass(frozen=True, slots=True)
class Rm3:
    """The relevance model RM3: N. Abdul-Jaleel et al., TREC 2004, after V. Lavrenko, W. B. Croft, SIGIR 2001.

    With D the `documents` best rows of the question, P(t|D) = tf / length, and their scores in the place of P(Q|D):

        P(t|R) = sum over D of score(D) * P(t|D), of the `terms` best t, scaled to a sum of 1
        weight of t = original_weight * P(t|Q) + (1 - original_weight) * P(t|R)

    where P(t|Q) is the share of t in the question. What many rows have in common counts through the idf of the ranking.
    """

    documents: int
    terms: int
    original_weight: float

    def expanded(self, query: Query, found: Sequence[tuple[float, Query]]) -> dict[str, float]:
        """The query with the weights above, which add up to 1, from the scores and the terms of the rows that it found.

        >>> Rm3(documents=2, terms=1, original_weight=0.5).expanded({"a": 1.0}, [(3.0, {"a": 1, "b": 3}), (1.0, {"a": 2})])
        {'a': 0.5, 'b': 0.5}
        """
        model: dict[str, float] = {}
        for score, terms in found:
            length = sum(terms.values())
            for term, tf in terms.items():
                model[term] = model.get(term, 0.0) + score * tf / length
        best = dict(sorted(model.items(), key=lambda item: (-item[1], item[0]))[: self.terms])
        total, asked = sum(best.values()), sum(query.values())
        if not total > 0:
            return dict(query)
        weights = {term: self.original_weight * weight / asked for term, weight in query.items()}
        for term, weight in best.items():
            weights[term] = weights.get(term, 0.0) + (1 - self.original_weight) * weight / total
        return {term: weight for term, weight in weights.items() if weight > 0}


def rm3(documents: int, terms: int, original_weight: float) -> Rm3:
    """The model of a configuration. Raises ValueError for a number that it cannot have."""
    for name, value in (("feedback_documents", documents), ("feedback_terms", terms)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if not 0 <= original_weight <= 1:
        raise ValueError(f"original_weight must be in [0, 1], got {original_weight}")
    return Rm3(documents, terms, original_weight)
