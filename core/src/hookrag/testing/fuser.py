"""What a fuser promises: one ranking a query out of the legs' hits; a leg without hits changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hookrag.testing._kit import Check, Make, difference, opened, require
from hookrag.testing._rankings import emptied, ids, ranking, rankings
from hookrag.testing.general import Trial, general_checks
from hookrag.testing.samples import QUERIES, chunks
from hookrag.values import Ranking, ScoreKind

ALL = 1_000


def _legs() -> list[list[Ranking]]:
    return [rankings("dense"), rankings("text")]


def _fuse(fuser: Any, legs: Sequence[Sequence[Ranking]], k: int = ALL) -> list[Ranking]:
    made: list[Ranking] = fuser.fuse(legs, k=k)
    return made


def check_gives_one_ranking_a_query(make: Make) -> str | None:
    """Each query gets one ranking of that query, in the order of the legs."""
    with opened("fuser", make) as fuser:
        for query, fused in zip(QUERIES, _fuse(fuser, _legs()), strict=True):
            differs = difference(query, fused.query, "query")
            require(not differs, fuser, f"gives the ranking of another query: {differs}", "take it from the legs")
    return None


def check_queries_are_fused_alone(make: Make) -> str | None:
    """A query's ranking does not depend on the other queries of the batch."""
    with opened("fuser", make) as fuser:
        legs = _legs()
        for number, fused in enumerate(_fuse(fuser, legs)):
            (alone,) = _fuse(fuser, [[leg[number]] for leg in legs])
            differs = difference(alone, fused, "ranking")
            require(not differs, fuser, f"fuses a query otherwise alone: {differs}", "fuse each query by itself")
    return None


def check_all_hits_are_kept(make: Make) -> str | None:
    """At a large k every chunk of every leg comes back, with its content."""
    with opened("fuser", make) as fuser:
        known = {chunk.id: chunk for chunk in chunks()}
        legs = _legs()
        for number, fused in enumerate(_fuse(fuser, legs)):
            lost = {name for leg in legs for name in ids(leg[number])} - set(ids(fused))
            require(
                not lost,
                fuser,
                f"loses {len(lost)} of the legs' chunks at k = {ALL}",
                "cut by k alone, after all are scored",
            )
            for hit in fused.hits:
                differs = difference(known[hit.chunk.id], hit.chunk, "chunk")
                require(not differs, fuser, f"changes a chunk: {differs}", "pass the chunk on as it came")
    return None


def check_smaller_k_is_a_prefix(make: Make) -> str | None:
    """The hits at k = 2 are the first two of all; k = 0 gives none."""
    with opened("fuser", make) as fuser:
        for two, everything in zip(_fuse(fuser, _legs(), 2), _fuse(fuser, _legs()), strict=True):
            require(
                ids(two) == ids(everything)[:2],
                fuser,
                "begins otherwise at k = 2 than at a larger k",
                "score all hits, then hookrag.best(hits, k)",
            )
        _fuse(fuser, _legs(), 0)
    return None


def check_empty_leg_is_neutral(make: Make) -> str | None:
    """A leg without hits leaves the order of the other leg's hits as it was, whichever of the two it is."""
    with opened("fuser", make) as fuser:
        full = rankings("dense")
        for legs, which in (([full, emptied(full)], "second"), ([emptied(full), full], "first")):
            for given, fused in zip(full, _fuse(fuser, legs), strict=True):
                require(
                    ids(fused) == ids(given),
                    fuser,
                    f"reorders or loses hits when the {which} leg is empty",
                    "an empty leg adds nothing to any score",
                )
    return None


def check_single_leg_keeps_order(make: Make) -> str | None:
    """A single leg comes back in its order."""
    with opened("fuser", make) as fuser:
        full = rankings("dense")
        for given, fused in zip(full, _fuse(fuser, [full]), strict=True):
            require(
                ids(fused) == ids(given),
                fuser,
                "reorders or loses the hits of a single leg",
                "a higher score in a leg never lowers the fused one",
            )
    return None


def check_empty_legs_give_empty_rankings(make: Make) -> str | None:
    """Where no leg has hits, the ranking has none; one leg with one hit gives that hit."""
    with opened("fuser", make) as fuser:
        nothing = emptied(rankings())
        for fused in _fuse(fuser, [nothing, nothing]):
            require(not fused.hits, fuser, "makes hits of empty legs", "an empty ranking where no leg has hits")
        one = [ranking(query, "dense", 1) for query in QUERIES]
        for given, fused in zip(one, _fuse(fuser, [one, nothing]), strict=True):
            require(
                ids(fused) == ids(given),
                fuser,
                "loses the only hit",
                "mind lists of one hit: their scores do not spread",
            )
    return None


def check_agreement_wins(make: Make) -> str | None:
    """A chunk that both legs rank first is first."""
    with opened("fuser", make) as fuser:
        legs = [rankings("dense"), [ranking(query, "dense", 4) for query in QUERIES]]
        for given, fused in zip(legs[0], _fuse(fuser, legs), strict=True):
            require(
                ids(fused)[:1] == ids(given)[:1],
                fuser,
                "does not put first what both legs put first",
                "a better place in a leg never lowers the fused score",
            )
    return None


def check_says_what_scores_are(make: Make) -> str | None:
    """The fused rankings name a source and one kind of score."""
    with opened("fuser", make) as fuser:
        fused = _fuse(fuser, _legs())
        kinds = {one.kind for one in fused}
        named = all(one.stage and isinstance(one.kind, ScoreKind) and one.kind.name for one in fused)
        require(
            named and len(kinds) == 1,
            fuser,
            f"gives the kinds {sorted(map(str, kinds))}",
            'Ranking(query, hits, "rrf", ScoreKind("rrf"))',
        )
    return None


def _prepare(fuser: Any, folder: Path) -> list[list[Ranking]]:
    return _legs()


def _call(fuser: Any, legs: Sequence[Sequence[Ranking]]) -> list[Ranking]:
    return _fuse(fuser, legs)


CHECKS: tuple[Check, ...] = (
    *general_checks(Trial("fuser", _prepare, _call, separate=False)),
    check_gives_one_ranking_a_query,
    check_queries_are_fused_alone,
    check_all_hits_are_kept,
    check_smaller_k_is_a_prefix,
    check_empty_leg_is_neutral,
    check_single_leg_keeps_order,
    check_empty_legs_give_empty_rankings,
    check_agreement_wins,
    check_says_what_scores_are,
)
