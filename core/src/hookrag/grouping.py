"""From chunks to documents: k chunks are not k documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hookrag.values import Query, Ranking

Retrieve = Callable[[Sequence[Query], int], list[Ranking]]


def by_document(retrieve: Retrieve, queries: Sequence[Query], k: int) -> list[list[tuple[str, float]]]:
    """The k best documents for each query with the score of their best chunk (MaxP; Dai and Callan 2019, section 3).

    Asks for twice as many chunks (the first ten chunks of SciFact hold 6.7 documents), and for twice as many again until there
    are k documents or no more chunks. Score descending, then document id ascending.
    """
    found: list[list[tuple[str, float]]] = [[] for _ in queries]
    pending = list(range(len(queries)))
    depth = 2 * k
    while pending:
        rankings = retrieve([queries[i] for i in pending], depth)
        short = []
        for index, ranking in zip(pending, rankings, strict=True):
            best: dict[str, float] = {}
            for hit in ranking.hits:  # best first, so the first chunk of a document gives its score
                best.setdefault(hit.chunk.document_id, hit.score)
            found[index] = sorted(best.items(), key=lambda item: (-item[1], item[0]))[:k]
            if len(best) < k and len(ranking.hits) >= depth:
                short.append(index)
        pending, depth = short, depth * 2
    return found
