"""What a retriever promises: one ordered ranking a query, that depends on the query alone.

`make()` gives a retriever that holds documents which QUERIES find: fill a store with `hookrag.testing.filled(store)`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hookrag.filters import And, Compare, Exists, Filter, Not, matches
from hookrag.testing._kit import Check, Make, difference, opened, require
from hookrag.testing.general import Trial, general_checks
from hookrag.testing.samples import QUERIES, UNSEEN
from hookrag.values import Message, Query, Ranking, ScoreKind

ALL = 1_000
_NOWHERE = "no document of anybody has this field"


def _retrieve(retriever: Any, queries: Sequence[Query], k: int) -> list[Ranking]:
    found: list[Ranking] = retriever.retrieve(queries, k=k)
    return found


def _ids(ranking: Ranking) -> list[str]:
    return [hit.chunk.id for hit in ranking.hits]


def check_finds_something(make: Make) -> str | None:
    """The queries of the kit find something, so that the other checks have something to look at."""
    with opened("retriever", make) as retriever:
        found = _retrieve(retriever, QUERIES, 5)
        require(
            sum(len(ranking.hits) > 1 for ranking in found) >= 2,
            retriever,
            "finds too little to be checked: two of hookrag.testing.QUERIES must find two chunks or more",
            "let make() hold hookrag.testing.documents(), for instance in hookrag.testing.filled(store)",
        )
    return None


def check_gives_one_ranking_a_query(make: Make) -> str | None:
    """Each query gets one ranking, in order, of the query as it was given; a query may be repeated."""
    with opened("retriever", make) as retriever:
        queries = [*QUERIES, QUERIES[0], replace(QUERIES[1], id="again")]
        found = _retrieve(retriever, queries, 3)
        for query, ranking in zip(queries, found, strict=True):
            differs = difference(query, ranking.query, "query")
            require(
                not differs, retriever, f"gives a ranking of another query: {differs}", "Ranking(query, ...) as it came"
            )
        differs = difference(found[0].hits, found[len(QUERIES)].hits, "hits")
        require(
            not differs, retriever, f"answers a repeated query otherwise: {differs}", "a query's place does not matter"
        )
    return None


def check_rankings_say_what_scores_are(make: Make) -> str | None:
    """Every ranking names its source and its kind of score, the same for all queries."""
    with opened("retriever", make) as retriever:
        found = _retrieve(retriever, QUERIES, 3)
        for ranking in found:
            named = bool(ranking.stage) and isinstance(ranking.kind, ScoreKind) and bool(ranking.kind.name)
            require(
                named,
                retriever,
                f"gives a ranking with stage {ranking.stage!r} and kind {ranking.kind!r}",
                'Ranking(query, hits, "acme", ScoreKind("bm25", ...))',
            )
        kinds = {ranking.kind for ranking in found if ranking.hits}
        require(
            len(kinds) < 2, retriever, f"mixes the kinds {sorted(map(str, kinds))}", "one kind of score a retriever"
        )
    return None


def check_smaller_k_is_a_prefix(make: Make) -> str | None:
    """The first two at k = 2 are the first two at k = 5. A retriever whose depth follows k declares this one."""
    with opened("retriever", make) as retriever:
        pairs = zip(_retrieve(retriever, QUERIES, 2), _retrieve(retriever, QUERIES, 5), strict=True)
        for two, five in pairs:
            require(
                _ids(two) == _ids(five)[:2],
                retriever,
                f"begins query {two.query.id!r} otherwise at k = 2 than at k = 5",
                "cut one order; a depth of candidates must not follow k below it",
            )
    return None


def check_k_may_exceed_what_is_there(make: Make) -> str | None:
    """k = 1,000 gives what there is, at least as much as k = 5."""
    with opened("retriever", make) as retriever:
        pairs = zip(_retrieve(retriever, QUERIES, ALL), _retrieve(retriever, QUERIES, 5), strict=True)
        for everything, five in pairs:
            require(
                len(everything.hits) >= len(five.hits),
                retriever,
                f"finds {len(everything.hits)} hits at k = {ALL} and {len(five.hits)} at k = 5",
                "k may exceed the number of chunks",
            )
    return None


def check_k_of_nought_gives_no_hits(make: Make) -> str | None:
    """k = 0 gives a ranking without hits for each query."""
    with opened("retriever", make) as retriever:
        _retrieve(retriever, QUERIES, 0)
    return None


def check_odd_queries_are_answered(make: Make) -> str | None:
    """Empty texts, unseen words, quotes, operators, NUL and long texts give rankings, not errors."""
    texts = [
        "",
        " \n",
        UNSEEN,
        "\x00",
        '"zeppelin" AND (x OR',
        "* ? ~ ^ : \\ [a TO b]",
        "' OR 1=1 --",
        "文" * 50,
        "a b " * 2_000,
    ]
    with opened("retriever", make) as retriever:
        _retrieve(retriever, [Query(f"odd{i}", text) for i, text in enumerate(texts)], 5)
    return None


def check_history_is_accepted(make: Make) -> str | None:
    """A query with earlier turns of a conversation is answered."""
    turns = (Message("user", "What is BM25?"), Message("assistant", "A ranking by shared words."))
    with opened("retriever", make) as retriever:
        _retrieve(retriever, [replace(QUERIES[1], history=turns)], 3)
    return None


def _filters(rankings: Sequence[Ranking]) -> list[Filter]:
    """Filters made of the metadata that the hits have, and of a field that none has."""
    made: list[Filter] = [Not(Exists(_NOWHERE)), Exists(_NOWHERE), Compare(_NOWHERE, "!=", "x")]
    for ranking in rankings:
        for hit in ranking.hits:
            for field, value in hit.chunk.metadata.items():
                if field and isinstance(value, str | int) and value == value and len(made) < 20:
                    same = Compare(field, "==", value)
                    made += [same, Not(same), And((Exists(field), Compare(field, "!=", value)))]
    return made


def check_where_is_obeyed(make: Make) -> str | None:
    """With a filter only matching chunks come, and every match that was found without it; each query has its own filter."""
    with opened("retriever", make) as retriever:
        everything = _retrieve(retriever, QUERIES, ALL)
        for where in _filters(everything):
            found = _retrieve(retriever, [replace(query, where=where) for query in QUERIES], ALL)
            for ranking, unfiltered in zip(found, everything, strict=True):
                expected = {hit.chunk.id for hit in unfiltered.hits if matches(where, hit.chunk.metadata)}
                require(
                    set(_ids(ranking)) >= expected,
                    retriever,
                    f"loses {len(expected - set(_ids(ranking)))} matching chunks of query {ranking.query.id!r} with a filter",
                    "pass query.where to the search instead of dropping hits afterwards",
                )
        mixed = [replace(QUERIES[0], where=Exists(_NOWHERE)), QUERIES[0]]
        none, some = _retrieve(retriever, mixed, 5)
        (alone,) = _retrieve(retriever, QUERIES[:1], 5)
        require(
            not none.hits and not difference(some.hits, alone.hits),
            retriever,
            "gives a query the filter of its neighbour",
            "group the batch by query.where",
        )
    return None


def _prepare(retriever: Any, folder: Path) -> list[Query]:
    return copy.deepcopy(list(QUERIES))


def _call(retriever: Any, queries: Sequence[Query]) -> list[Ranking]:
    return _retrieve(retriever, queries, 5)


CHECKS: tuple[Check, ...] = (
    *general_checks(Trial("retriever", _prepare, _call)),
    check_finds_something,
    check_gives_one_ranking_a_query,
    check_rankings_say_what_scores_are,
    check_smaller_k_is_a_prefix,
    check_k_may_exceed_what_is_there,
    check_k_of_nought_gives_no_hits,
    check_odd_queries_are_answered,
    check_history_is_accepted,
    check_where_is_obeyed,
)
