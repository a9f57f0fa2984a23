"""What the defaults of `hookrag init` rest on: chunkers, fusers with their depth, and the reranker's depth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import corpora
import numpy as np
from asking import WHOLE, Way, ask, indexed, measure
from chunking import scores
from corpora import Collection
from hookrag import Pipeline, Ranking
from hookrag_fusion.fusers import LINEAR
from hookrag_fusion.learning import Case, case, quality
from measures import Comparison, Floats, Sample, compare
from tables import beside, figure, probability, signed, table

DEFAULT = "words 200, overlap 40"
CHUNKERS: Mapping[str, str] = {
    DEFAULT: 'use = "words"\nsize = 200\noverlap = 40',
    "words 100": 'use = "words"\nsize = 100\noverlap = 0',
    "recursive 100": 'use = "recursive"\nsize = 100',
    "recursive 150": 'use = "recursive"\nsize = 150',
    "sections 100": 'use = "sections"\nsize = 100',
    "sections 150": 'use = "sections"\nsize = 150',
    "document": WHOLE,
}
FULL = ("docs-qa", "cranfield")
"""Collections whose documents are long enough for every chunker to cut them differently."""
SHORT = ("musique-100", "hotpotqa-train100", "xquad-en")
"""Paragraphs, most of which are one chunk to a chunker of 150 words and more."""
BUDGETS = (1500, 3000, 6000)
"""Characters that are retrieved: 6,000 are about five chunks of 200 words, or ten of 100."""
WHOLE_DOCUMENTS = ("scifact", "nfcorpus")
"""Abstracts, which the study of fusers takes whole."""
TODAY = "rrf, depth 100"
BEST = "dbsf, depth 100"
FUSERS = ("rrf", "min-max", "z-score", "dbsf")
DEPTHS = (10, 50, 100, 1000)
LEGS: Mapping[str, Mapping[str, str]] = {
    "BM25": {"pipelines.default.retriever": "bm25"},
    "MiniLM": {"pipelines.default.retriever": "dense"},
    "both": {},
}

Means = dict[str, dict[str, Floats]]


def chunkers() -> Iterator[str]:
    """Documents found, and characters that answer, by each chunker."""
    of_leg: dict[str, Means] = {name: defaultdict(dict) for name in LEGS}
    groups: dict[str, Sequence[str]] = {}
    for name in (*FULL, *SHORT, *WHOLE_DOCUMENTS):
        collection = corpora.read(name)
        groups[name] = collection.groups
        # Embedding these two by every chunker would take an hour; BM25 takes seconds.
        legs = ("BM25",) if name in WHOLE_DOCUMENTS else tuple(LEGS)
        for chunker, settings in CHUNKERS.items():
            if name in SHORT and chunker not in (DEFAULT, "recursive 150", "document"):
                continue
            first = "bm25" if legs == ("BM25",) else "hybrid"
            with indexed(collection, chunker=settings, depth=100, retriever=first) as pipeline:
                for leg, told in measure(pipeline, collection, [Way(leg, LEGS[leg], k=100) for leg in legs]).items():
                    of_leg[leg][chunker][name] = told["nDCG@10"]
    for leg, values in of_leg.items():
        names = (*FULL, *SHORT, *(WHOLE_DOCUMENTS if leg == "BM25" else ()))
        yield f"Documents found by {leg}, nDCG@10:\n\n" + beside(
            values, groups, DEFAULT, head="chunker", collections=names
        )
    yield from _spans()


def _spans() -> Iterator[str]:
    """For each budget, the share of the answers' characters that is retrieved within it."""
    collection = corpora.read("chunking-eval")
    told: dict[str, dict[tuple[str, int], Floats]] = {}
    for chunker, settings in CHUNKERS.items():
        if settings == WHOLE:
            continue  # five documents, each larger than any budget
        values = told.setdefault(chunker, {})
        for leg in LEGS:
            values |= {(leg, budget): np.zeros(len(collection.queries)) for budget in BUDGETS}

        def look(way: Way, number: int, ranking: Ranking, values: Mapping[tuple[str, int], Floats] = values) -> None:
            chunks = [hit.chunk for hit in ranking.hits]
            for budget in BUDGETS:
                values[way.name, budget][number] = scores(chunks, collection.spans[number], budget)[0]

        with indexed(collection, chunker=settings, depth=100) as pipeline:
            ask(pipeline, collection, [Way(leg, LEGS[leg], k=100) for leg in LEGS], look)
    for budget in BUDGETS:
        lines = [["chunker", *LEGS, "both: difference", "95 % interval by document", "by question"]]
        for chunker, values in told.items():
            means = [figure(float(values[leg, budget].mean())) for leg in LEGS]
            differences = values["both", budget] - told[DEFAULT]["both", budget]
            by = [collection.groups, [query.id for query in collection.queries]]
            both = [compare([Sample(differences, groups)]) for groups in by]
            bounds = [f"{signed(one.low)} to {signed(one.high)}" for one in both]
            shown = ["", "", ""] if chunker == DEFAULT else [signed(both[0].difference), *bounds]
            lines.append([f"**{chunker}**" if chunker == DEFAULT else chunker, *means, *shown])
        yield f"Share of the answer found in the first {budget:,} characters, chunking-eval:\n\n" + table(lines)


def fusers() -> Iterator[str]:
    """What each leg finds, every fuser at every depth, and what weights learned on the other collections are worth."""
    ways = [Way(name, LEGS[name], k=100) for name in ("BM25", "MiniLM")]
    ways += [
        Way(f"{fuser}, depth {depth}", {"fusers.fuser.use": fuser, "retrievers.hybrid.depth": depth}, k=depth)
        for fuser in FUSERS
        for depth in DEPTHS
    ]
    values: Means = defaultdict(dict)
    groups: dict[str, Sequence[str]] = {}
    cases: dict[str, dict[str, list[Case]]] = {}
    names = (*WHOLE_DOCUMENTS, *FULL, *SHORT)
    legs = [["collection", "questions", "", "nDCG@10", "recall@100", "MRR@10", "MAP"]]
    for name in names:
        collection = corpora.read(name)
        groups[name] = collection.groups
        with indexed(collection, chunker=WHOLE if name in WHOLE_DOCUMENTS else CHUNKERS[DEFAULT]) as pipeline:
            told = measure(pipeline, collection, ways)
            cases[name] = _cases(pipeline, collection)
        for way, of_way in told.items():
            if way not in LEGS:
                values[way][name] = of_way["nDCG@10"]
        for way in ("BM25", "MiniLM", TODAY):
            means = [figure(float(told[way][measured].mean())) for measured in legs[0][3:]]
            legs.append([name, str(len(collection.queries)), way, *means])
    yield table(legs)
    yield beside(values, groups, TODAY, head="nDCG@10", collections=names)
    deep = {way: of_way for way, of_way in values.items() if way.endswith("depth 100")}
    yield "The fusers at depth 100 beside the best of them:\n\n" + beside(
        deep, groups, BEST, head="nDCG@10", collections=names
    )
    yield _weights(cases, groups)


def _cases(pipeline: Pipeline, collection: Collection) -> dict[str, list[Case]]:
    """What each leg adds to each document of each question, for each fuser, at depth 100."""
    legs: dict[int, list[Ranking]] = defaultdict(list)
    found: dict[str, list[Case]] = {fuser: [] for fuser in FUSERS}

    def look(way: Way, number: int, ranking: Ranking) -> None:
        legs[number].append(ranking)
        if len(legs[number]) == 2:
            rankings, gains = legs.pop(number), collection.qrels[ranking.query.id]
            for fuser in FUSERS:
                found[fuser].append(case(rankings, LINEAR[fuser], gains, 10))

    ask(pipeline, collection, [Way(name, LEGS[name], k=100) for name in ("MiniLM", "BM25")], look)
    return found


def _weights(cases: Mapping[str, Mapping[str, list[Case]]], groups: Mapping[str, Sequence[str]]) -> str:
    """For each fuser: the weight of MiniLM that is best on the other collections, and what it is worth on each."""
    grid = np.linspace(0, 1, 21)
    lines = [
        [
            "fuser",
            "weight of MiniLM, learned on the other collections",
            "difference to equal weights",
            "95 % interval",
            "p",
        ]
    ]
    for fuser in FUSERS:
        of = {name: np.array([quality(cases[name][fuser], np.array([w, 1 - w]), 10) for w in grid]) for name in cases}
        even = len(grid) // 2
        samples, chosen = [], []
        for name in cases:
            means = np.mean([of[other].mean(axis=1) for other in cases if other != name], axis=0)
            best = int(np.argmax(means))
            chosen.append(float(grid[best]))
            samples.append(Sample(of[name][best] - of[name][even], groups[name]))
        one: Comparison = compare(samples)
        weights = f"{min(chosen):.2f} to {max(chosen):.2f}"
        lines.append(
            [fuser, weights, signed(one.difference), f"{signed(one.low)} to {signed(one.high)}", probability(one.p)]
        )
    return table(lines)


RERANKED: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "docs-qa": {DEFAULT: (10, 20), "recursive 100": (20,)},
    "musique-100": {DEFAULT: (10, 20, 50), "recursive 100": (20,)},
}
"""How many passages are read again, by collection and chunker: the fifty of docs-qa would take as long as all the others."""
GIVEN = {DEFAULT: 5, "recursive 100": 10}
"""How many chunks an answer rests on: as much text with each chunker."""


def reranking() -> Iterator[str]:
    """How many candidates are worth reading, and passages of which size, by the chunks that an answer rests on."""
    values: Means = defaultdict(dict)
    groups: dict[str, Sequence[str]] = {}
    for name, cut in RERANKED.items():
        collection = corpora.read(name)
        groups[name] = collection.groups
        for chunker, depths in cut.items():
            k = GIVEN[chunker]
            best = {"pipelines.default.retriever": "best"}
            ways = [Way(f"{chunker}, k = {k}: none", k=k)]
            ways += [Way(f"{chunker}, k = {k}: {n} read", {**best, "retrievers.best.depth": n}, k) for n in depths]
            with indexed(collection, chunker=CHUNKERS[chunker], depth=100) as pipeline:
                for way, told in measure(pipeline, collection, ways).items():
                    values[way][name] = told["nDCG@5"]
    yield beside(values, groups, f"{DEFAULT}, k = 5: 20 read", head="nDCG@5", collections=tuple(RERANKED))
