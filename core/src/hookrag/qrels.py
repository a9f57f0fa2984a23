"""Queries and relevance judgements in the layouts of BEIR and TREC, and documents found by their chunks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hookrag.errors import ReadError
from hookrag.values import Query, Ranking

Qrels = dict[str, dict[str, int]]
Retrieve = Callable[[Sequence[Query], int], list[Ranking]]


def read_queries(path: Path) -> list[Query]:
    """The queries of a file with one object {"_id": ..., "text": ...} a line. Raises ReadError with file and line."""
    found: dict[str, Query] = {}
    for number, line in _lines(path):
        try:
            record = json.loads(line)
            name, text = str(record["_id"]), record["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise ReadError(
                f'{path}:{number}: must be an object {{"_id": ..., "text": ...}}, got {line[:80]!r}'
            ) from error
        if not isinstance(text, str):
            raise ReadError(f"{path}:{number}: text must be a string, got {type(text).__name__}")
        if name in found:
            raise ReadError(f"{path}:{number}: the id {name!r} occurs twice")
        found[name] = Query(name, text)
    return list(found.values())


def read_qrels(path: Path) -> Qrels:
    """{query id: {document id: gain}} of a file with the columns query, document, gain, or TREC's query, 0, document, gain.

    Columns end at tabs, or at white space where a line has none; a first line whose gain is no number is a header. Raises
    ReadError with file and line.
    """
    found: Qrels = {}
    for at, (number, line) in enumerate(_lines(path)):
        cells = line.split("\t") if "\t" in line else line.split()
        if len(cells) not in (3, 4):
            raise ReadError(
                f"{path}:{number}: expected the columns query, document, gain, or query, 0, document, gain, got {line[:80]!r}"
            )
        query, document, gain = cells[0].strip(), cells[-2].strip(), cells[-1].strip()
        try:
            value = int(gain)
        except ValueError:
            if at or _is_number(gain):
                raise ReadError(f"{path}:{number}: expected a whole number as the gain, got {gain!r}") from None
            continue
        if document in found.setdefault(query, {}):
            raise ReadError(f"{path}:{number}: document {document!r} is judged twice for query {query!r}")
        found[query][document] = value
    return found


def _is_number(text: str) -> bool:
    """
    >>> [_is_number(text) for text in ("score", "NaN", "1.5", "")]
    [False, True, True, False]
    """
    try:
        float(text)
    except ValueError:
        return False
    return True


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ReadError(f"{path}: is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    except OSError as error:
        raise ReadError(f"{path}: cannot be read: {error.strerror or error}") from error
    return ((number, line.strip("\r\n ")) for number, line in enumerate(lines, 1) if line.strip())


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
