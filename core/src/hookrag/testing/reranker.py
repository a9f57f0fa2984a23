"""What a reranker promises: the best of the hits that came in, each pair of query and chunk scored by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hookrag.chunks import chunk_of
from hookrag.testing._kit import Check, Make, difference, opened, require
from hookrag.testing._rankings import emptied, ids, rankings
from hookrag.testing._tokens import tokens_check
from hookrag.testing.general import Trial, general_checks
from hookrag.values import Chunk, Document, Hit, Ranking, ScoreKind

ALL = 1_000


def _rerank(reranker: Any, given: Sequence[Ranking], k: int = ALL) -> list[Ranking]:
    made: list[Ranking] = reranker.rerank(given, k=k)
    return made


def check_gives_one_ranking_a_query(make: Make) -> str | None:
    """Each ranking comes back as one of the same query, in order."""
    with opened("reranker", make) as reranker:
        given = rankings()
        for before, after in zip(given, _rerank(reranker, given), strict=True):
            differs = difference(before.query, after.query, "query")
            require(not differs, reranker, f"gives a ranking of another query: {differs}", "replace(ranking, hits=...)")
    return None


def check_chunks_and_parts_are_passed_on(make: Make) -> str | None:
    """A hit keeps its chunk, and what earlier stages said of it (`parts`)."""
    with opened("reranker", make) as reranker:
        given = rankings()
        for before, after in zip(given, _rerank(reranker, given), strict=True):
            known = {hit.chunk.id: hit for hit in before.hits}
            for hit in after.hits:
                own = known[hit.chunk.id]
                require(
                    not difference(own.chunk, hit.chunk),
                    reranker,
                    "changes a chunk",
                    "write `replace(hit, score=score)`",
                )
                require(
                    hit.parts[: len(own.parts)] == own.parts,
                    reranker,
                    "drops what earlier stages said of a hit",
                    "write `replace(hit, score=score)`, which keeps hit.parts",
                )
    return None


def check_smaller_k_is_a_prefix(make: Make) -> str | None:
    """The hits at k = 2 are the first two of all; k = 0 gives none."""
    with opened("reranker", make) as reranker:
        given = rankings()
        for two, everything in zip(_rerank(reranker, given, 2), _rerank(reranker, given), strict=True):
            require(
                ids(two) == ids(everything)[:2],
                reranker,
                f"begins query {two.query.id!r} otherwise at k = 2 than at a larger k",
                "score all hits, then hookrag.best(hits, k)",
            )
        _rerank(reranker, given, 0)
    return None


def check_hits_are_scored_alone(make: Make) -> str | None:
    """A hit's score depends on the query and the chunk alone. One that compares hits with each other declares this."""
    with opened("reranker", make) as reranker:
        given = rankings()
        whole = _rerank(reranker, given)
        for before, after in zip(given, whole, strict=True):
            scores = {hit.chunk.id: hit.score for hit in after.hits}
            singles = [replace(before, hits=(hit,)) for hit in before.hits]
            for single in _rerank(reranker, singles):
                for hit in single.hits:
                    differs = difference(scores.get(hit.chunk.id, hit.score), hit.score, "score")
                    require(
                        not differs,
                        reranker,
                        f"scores a hit otherwise when it is alone: {differs}",
                        "mask the padding, and normalise no score over the list",
                    )
    return None


def check_first_stage_scores_do_not_matter(make: Make) -> str | None:
    """The reranker's own scores count, not those it gets. One that mixes them declares this one."""
    with opened("reranker", make) as reranker:
        given = rankings()
        other = [replace(one, hits=tuple(replace(hit, score=hit.score * 3 + 1) for hit in one.hits)) for one in given]
        for first, second in zip(_rerank(reranker, given), _rerank(reranker, other), strict=True):
            before, after = ([(hit.chunk.id, hit.score) for hit in one.hits] for one in (first, second))
            differs = difference(before, after, "hits")
            require(
                not differs,
                reranker,
                f"mixes in the scores it gets: {differs}",
                "score the pair of query and chunk anew: scores of other kinds do not compare",
            )
    return None


def check_empty_ranking_stays_empty(make: Make) -> str | None:
    """A ranking without hits comes back without hits, between others too."""
    with opened("reranker", make) as reranker:
        full = rankings()
        given = [*emptied(full[:1]), full[1], *emptied(full[2:3])]
        empty, some, none = _rerank(reranker, given, 3)
        require(not empty.hits and not none.hits, reranker, "makes hits of an empty ranking", "an empty ranking")
        require(bool(some.hits), reranker, "loses all hits beside an empty ranking", "keep the rankings apart")
    return None


def check_context_is_read(make: Make) -> str | None:
    """Chunks are read with their context (`chunk.input`): it changes the score."""
    with opened("reranker", make) as reranker:
        base = rankings()[3]
        document = Document("context", "It was bitter and she liked it.")
        plain = chunk_of(document, 0, len(document.text), context="")
        titled = chunk_of(document, 0, len(document.text), context=base.query.text)
        given = replace(base, hits=_by_id([plain, titled]))
        (after,) = _rerank(reranker, [given])
        scores = {hit.chunk.id: hit.score for hit in after.hits}
        if len(scores) < 2:
            return "it keeps one of two hits"
        require(
            scores[plain.id] != scores[titled.id],
            reranker,
            "scores a chunk alike with and without its context",
            "read chunk.input, which is the context with the text",
        )
    return None


def check_odd_texts_are_scored(make: Make) -> str | None:
    """Empty, long, NUL and foreign texts in query and chunk get finite scores."""
    with opened("reranker", make) as reranker:
        texts = ["a", "\x00 NUL", "word " * 5_000, "文" * 600, "👩‍🚀" * 50, "<|endoftext|> [SEP] </s>"]
        odd = [chunk_of(Document(f"odd/{i}", text), 0, len(text)) for i, text in enumerate(texts)]
        base = rankings()
        given = [
            replace(base[0], hits=_by_id(odd)),
            replace(base[1], query=replace(base[1].query, text="")),
            replace(base[2], query=replace(base[2].query, text="long " * 3_000), hits=_by_id(odd)),
        ]
        _rerank(reranker, given)
    return None


def _by_id(some: Sequence[Chunk]) -> tuple[Hit, ...]:
    return tuple(Hit(chunk, 1.0) for chunk in sorted(some, key=lambda chunk: chunk.id))


def check_says_what_scores_are(make: Make) -> str | None:
    """The rankings name the reranker as source and one kind of score."""
    with opened("reranker", make) as reranker:
        after = _rerank(reranker, rankings())
        kinds = {one.kind for one in after}
        named = all(one.stage and isinstance(one.kind, ScoreKind) and one.kind.name for one in after)
        require(
            named and len(kinds) == 1,
            reranker,
            f"gives the kinds {sorted(map(str, kinds))}",
            'Ranking(query, hits, "acme", ScoreKind("logit", ...))',
        )
    return None


def _prepare(reranker: Any, folder: Path) -> list[Ranking]:
    return rankings()


def _call(reranker: Any, given: Sequence[Ranking]) -> list[Ranking]:
    return _rerank(reranker, given, 4)


CHECKS: tuple[Check, ...] = (
    *general_checks(Trial("reranker", _prepare, _call)),
    check_gives_one_ranking_a_query,
    check_chunks_and_parts_are_passed_on,
    check_smaller_k_is_a_prefix,
    check_hits_are_scored_alone,
    check_first_stage_scores_do_not_matter,
    check_empty_ranking_stays_empty,
    check_context_is_read,
    check_odd_texts_are_scored,
    check_says_what_scores_are,
    tokens_check("reranker", ["", "two words", "naïve 👩‍🚀 检索"]),
)
