"""Retrievers, fusers and rerankers that break one promise each."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hookrag import ScoreKind, best
from hookrag.testing.fakes import ListRetriever, OverlapReranker, RankFuser


class Own(ListRetriever):
    """`ListRetriever` over five texts, changed."""

    def __init__(self) -> None:
        super().__init__(texts=["one", "two", "three", "four", "five"])


class FindsNothing(Own):
    def __init__(self) -> None:
        ListRetriever.__init__(self, texts=[])


class RewritesTheQuery(Own):
    def retrieve(self, queries, *, k):
        return super().retrieve([replace(query, text=query.text.upper()) for query in queries], k=k)


class NamesNoKind(Own):
    def retrieve(self, queries, *, k):
        return [replace(ranking, kind=ScoreKind("")) for ranking in super().retrieve(queries, k=k)]


class MixesKinds(Own):
    def retrieve(self, queries, *, k):
        return [
            replace(ranking, kind=ScoreKind("bm25" if "volcano" in ranking.query.text else "cosine"))
            for ranking in super().retrieve(queries, k=k)
        ]


class LooksDeeperForMore(Own):
    def retrieve(self, queries, *, k):
        found = super().retrieve(queries, k=9)
        return [replace(ranking, hits=ranking.hits[-k:] if k == 2 else ranking.hits[:k]) for ranking in found]


class ReturnsTwoForNone(Own):
    def retrieve(self, queries, *, k):
        return super().retrieve(queries, k=k or 2)


class GivesUpOnALot(Own):
    def retrieve(self, queries, *, k):
        return super().retrieve(queries, k=k if k < 100 or queries[0].where is not None else 1)


class NeedsWords(Own):
    def retrieve(self, queries, *, k):
        for query in queries:
            query.text.split()[0]
        return super().retrieve(queries, k=k)


class ForgetsTheHistory(Own):
    def retrieve(self, queries, *, k):
        return [
            replace(ranking, query=replace(ranking.query, id="x")) if ranking.query.history else ranking
            for ranking in super().retrieve(queries, k=k)
        ]


class FiltersByTheFirst(Own):
    def retrieve(self, queries, *, k):
        found = super().retrieve(
            [replace(query, where=queries[0].where) for query in queries[:1]] + list(queries[1:]), k=k
        )
        if queries and queries[0].where is not None and len(queries) == 2:
            return [replace(ranking, hits=()) for ranking in found]
        return found


class IgnoresFilters(Own):
    def retrieve(self, queries, *, k):
        found = super().retrieve([replace(query, where=None) for query in queries], k=k)
        return [replace(ranking, query=query) for ranking, query in zip(found, queries, strict=True)]


class SharesItsBatch(Own):
    def retrieve(self, queries, *, k):
        self.queries = queries
        time.sleep(0.002)
        return super().retrieve(self.queries, k=k)


RETRIEVERS = [
    (FindsNothing, ["check_finds_something"], "for instance in hookrag.testing.filled(store)"),
    (
        RewritesTheQuery,
        ["check_gives_one_ranking_a_query"],
        "RewritesTheQuery gives a ranking of another query: query.text is",
    ),
    (NamesNoKind, ["check_rankings_say_what_scores_are"], 'Ranking(query, hits, "acme", ScoreKind("bm25", ...))'),
    (MixesKinds, ["check_rankings_say_what_scores_are"], "mixes the kinds ['bm25', 'cosine']"),
    (LooksDeeperForMore, ["check_smaller_k_is_a_prefix"], "begins query 'q0' otherwise at k = 2 than at k = 5"),
    (ReturnsTwoForNone, ["check_k_of_nought_gives_no_hits"], "returned 2 hits for query 'q0': at most k = 0"),
    (
        GivesUpOnALot,
        ["check_k_may_exceed_what_is_there"],
        "finds 1 hits at k = 1000 and 5 at k = 5",
    ),
    (NeedsWords, ["check_odd_queries_are_answered"], "IndexError: list index out of range"),
    (ForgetsTheHistory, ["check_history_is_accepted"], "returned the ranking of query 'x' in the place of query 'q1'"),
    (FiltersByTheFirst, ["check_where_is_obeyed"], "group the batch by query.where"),
    (IgnoresFilters, ["check_where_is_obeyed"], "outside its filter exists("),
    (SharesItsBatch, ["check_works_from_eight_threads"], "keep no state of a call on self"),
]


@pytest.mark.parametrize(("cls", "names", "text"), RETRIEVERS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_bad_retriever_fails_the_check_it_should(fails, cls, names, text):
    fails("retriever", cls, names, text)


class NeedsEveryLeg(RankFuser):
    def fuse(self, legs, *, k):
        fused = super().fuse(legs, k=k)
        return [
            replace(one, hits=() if not all(leg[i].hits for leg in legs) else one.hits) for i, one in enumerate(fused)
        ]


class NeedsTwoLegs(RankFuser):
    def fuse(self, legs, *, k):
        if len(legs) < 2:
            raise ValueError("nothing to fuse")
        return super().fuse(legs, k=k)


class KeepsEight(RankFuser):
    def fuse(self, legs, *, k):
        return super().fuse(legs, k=min(k, 8))


class TurnsOver(RankFuser):
    def fuse(self, legs, *, k):
        made = super().fuse(legs, k=1_000)
        turned = [[replace(hit, score=-hit.score) for hit in one.hits] for one in made]
        return [replace(one, hits=best(hits, k)) for one, hits in zip(made, turned, strict=True)]


class AddsUpQueries(RankFuser):
    def fuse(self, legs, *, k):
        made = super().fuse(legs, k=k)
        return [replace(one, hits=tuple(replace(hit, score=hit.score / len(made)) for hit in one.hits)) for one in made]


class CutsBeforeScoring(RankFuser):
    def fuse(self, legs, *, k):
        if k == 2:
            return super().fuse([[replace(one, hits=one.hits[1:]) for one in leg] for leg in legs], k=k)
        return super().fuse(legs, k=k)


class ChangesChunks(RankFuser):
    def fuse(self, legs, *, k):
        return [
            replace(one, hits=tuple(replace(hit, chunk=replace(hit.chunk, context="")) for hit in one.hits))
            for one in super().fuse(legs, k=k)
        ]


class SaysNoKind(RankFuser):
    def fuse(self, legs, *, k):
        return [replace(one, stage="") for one in super().fuse(legs, k=k)]


FUSERS = [
    (
        NeedsEveryLeg,
        ["check_empty_leg_is_neutral", "check_empty_legs_give_empty_rankings"],
        "an empty leg adds nothing to any score",
    ),
    (NeedsTwoLegs, ["check_single_leg_keeps_order"], "ValueError: nothing to fuse"),
    (KeepsEight, ["check_all_hits_are_kept"], "cut by k alone, after all are scored"),
    (
        TurnsOver,
        ["check_agreement_wins", "check_empty_leg_is_neutral", "check_single_leg_keeps_order"],
        "does not put first what both legs put first",
    ),
    (AddsUpQueries, ["check_queries_are_fused_alone"], "fuses a query otherwise alone: ranking.hits[0].score is"),
    (CutsBeforeScoring, ["check_smaller_k_is_a_prefix"], "score all hits, then hookrag.best(hits, k)"),
    (ChangesChunks, ["check_all_hits_are_kept"], "ChangesChunks changes a chunk: chunk.context is"),
    (SaysNoKind, ["check_says_what_scores_are"], 'Ranking(query, hits, "rrf", ScoreKind("rrf"))'),
]


@pytest.mark.parametrize(("cls", "names", "text"), FUSERS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_bad_fuser_fails_the_check_it_should(fails, cls, names, text):
    fails("fuser", cls, names, text)


class Scales(OverlapReranker):
    def rerank(self, rankings, *, k):
        made = super().rerank(rankings, k=k)
        tops = [max((hit.score for hit in one.hits), default=0.0) or 1.0 for one in made]
        return [
            replace(one, hits=tuple(replace(hit, score=hit.score / top) for hit in one.hits))
            for one, top in zip(made, tops, strict=True)
        ]


class Mixes(OverlapReranker):
    def rerank(self, rankings, *, k):
        made = super().rerank(rankings, k=1_000)
        given = [{hit.chunk.id: hit.score for hit in one.hits} for one in rankings]
        mixed = [
            [replace(hit, score=hit.score + before[hit.chunk.id]) for hit in one.hits]
            for one, before in zip(made, given, strict=True)
        ]
        return [replace(one, hits=best(hits, k)) for one, hits in zip(made, mixed, strict=True)]


class DropsParts(OverlapReranker):
    def rerank(self, rankings, *, k):
        return [
            replace(one, hits=tuple(replace(hit, parts=()) for hit in one.hits))
            for one in super().rerank(rankings, k=k)
        ]


class ReadsTextAlone(OverlapReranker):
    def rerank(self, rankings, *, k):
        bare = [
            replace(one, hits=tuple(replace(hit, chunk=replace(hit.chunk, context="")) for hit in one.hits))
            for one in rankings
        ]
        made = super().rerank(bare, k=1_000)
        chunks = {hit.chunk.id: hit.chunk for one in rankings for hit in one.hits}
        return [
            replace(one, hits=tuple(replace(hit, chunk=chunks[hit.chunk.id]) for hit in one.hits[:k])) for one in made
        ]


class NeedsHits(OverlapReranker):
    def rerank(self, rankings, *, k):
        if rankings:
            min(len(one.hits) or 1 / 0 for one in rankings)
        return super().rerank(rankings, k=k)


class NeedsShortTexts(OverlapReranker):
    def rerank(self, rankings, *, k):
        if any(len(hit.chunk.text) > 512 for one in rankings for hit in one.hits):
            raise ValueError("sequence of 5000 tokens, at most 512")
        return super().rerank(rankings, k=k)


class Shortlists(OverlapReranker):
    def rerank(self, rankings, *, k):
        if k == 2:
            return super().rerank([replace(one, hits=one.hits[3:]) for one in rankings], k=k)
        return super().rerank(rankings, k=k)


class ForgetsTheQuery(OverlapReranker):
    def rerank(self, rankings, *, k):
        return [replace(one, query=replace(one.query, text="")) for one in super().rerank(rankings, k=k)]


RERANKERS = [
    (Scales, ["check_hits_are_scored_alone"], "mask the padding, and normalise no score over the list"),
    (Mixes, ["check_first_stage_scores_do_not_matter"], "score the pair of query and chunk anew"),
    (DropsParts, ["check_chunks_and_parts_are_passed_on"], "drops what earlier stages said of a hit"),
    (ReadsTextAlone, ["check_context_is_read"], "read chunk.input, which is the context with the text"),
    (NeedsHits, ["check_empty_ranking_stays_empty"], "ZeroDivisionError"),
    (NeedsShortTexts, ["check_odd_texts_are_scored"], "sequence of 5000 tokens, at most 512"),
    (Shortlists, ["check_smaller_k_is_a_prefix"], "otherwise at k = 2 than at a larger k"),
    (ForgetsTheQuery, ["check_gives_one_ranking_a_query"], "replace(ranking, hits=...)"),
]


@pytest.mark.parametrize(("cls", "names", "text"), RERANKERS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_bad_reranker_fails_the_check_it_should(fails, cls, names, text):
    fails("reranker", cls, names, text)
