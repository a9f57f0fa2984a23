"""Our figures beside those that were published, or measured with the reference implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import corpora
from asking import Way, indexed, measure
from measures import Floats
from tables import figure, signed, table

BM25 = "BM25, k1 = 0.9, b = 0.4, lengths as Lucene's byte"
EXACT = "BM25, the same with exact lengths"
MINILM = "all-MiniLM-L6-v2, 256 tokens"
BGE = "bge-small-en-v1.5, 512 tokens"
DESIGN = "design"
"""A figure that was measured for the design, before there was this code."""
FUSERS = {"rrf": "RRF", "min-max": "min-max", "z-score": "z-score", "dbsf": "DBSF"}
DEPTHS = (10, 100, 1000)
FUSED: Mapping[tuple[str, str], tuple[float, float, float]] = {
    ("scifact", "rrf"): (0.7102, 0.7191, 0.7189),
    ("scifact", "min-max"): (0.7125, 0.7255, 0.7320),
    ("scifact", "z-score"): (0.7197, 0.7326, 0.7386),
    ("scifact", "dbsf"): (0.7198, 0.7367, 0.7421),
    ("nfcorpus", "rrf"): (0.3214, 0.3294, 0.3319),
    ("nfcorpus", "min-max"): (0.3202, 0.3299, 0.3311),
    ("nfcorpus", "z-score"): (0.3180, 0.3252, 0.3274),
    ("nfcorpus", "dbsf"): (0.3196, 0.3300, 0.3337),
}
"""nDCG@10 of both legs fused at each depth, as measured for the design, before there was this code."""

NAMES = {"scifact": "SciFact", "nfcorpus": "NFCorpus dev"}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `explanation` says why it may be out of tolerance, "" where it may not."""

    collection: str
    system: str
    measure: str
    ours: float
    reference: float
    source: str
    tolerance: float
    explanation: str = ""
    fused: tuple[str, int] | None = None
    """The fuser and the depth, of a figure of both legs."""

    @property
    def within(self) -> bool:
        return abs(self.ours - self.reference) <= self.tolerance + 1e-9

    @property
    def failed(self) -> bool:
        return not self.within and not self.explanation

    @property
    def cells(self) -> list[str]:
        verdict = "ok" if self.within else f"explained: {self.explanation}" if self.explanation else "**out**"
        told = [figure(self.ours), figure(self.reference), signed(self.ours - self.reference)]
        return [self.collection, self.system, self.measure, *told, self.source, f"{self.tolerance:g}", verdict]


HEAD = ["collection", "system", "measure", "hookrag", "reference", "difference", "of", "tolerance", ""]


def render(rows: Sequence[Row]) -> str:
    """A line for each figure; those of both legs fused in a table of their own, "ours (reference)"."""
    single = [row for row in rows if not row.fused]
    shown = table([HEAD, *(row.cells for row in single)])
    fused = [row for row in rows if row.fused]
    if not fused:
        return shown
    lines = [["nDCG@10 (reference)", "depth", *FUSERS.values(), "tolerance", ""]]
    for collection, depth in dict.fromkeys((row.collection, row.fused[1]) for row in fused if row.fused):
        of_line = [row for row in fused if row.fused and (row.collection, row.fused[1]) == (collection, depth)]
        cells = [f"{figure(row.ours)} ({figure(row.reference)})" for row in of_line]
        verdict = "ok" if all(row.within for row in of_line) else "; ".join(row.cells[-1] for row in of_line)
        lines.append([collection, str(depth), *cells, f"{of_line[0].tolerance:g}", verdict])
    return f"{shown}\n\n{table(lines)}"


Told = Mapping[str, Mapping[str, Floats]]


def bm25() -> Iterator[Row]:
    """BM25 beside Lucene, by whole documents."""
    for name, expected in (("scifact", (0.6789, 0.9253, 0.6777)), ("nfcorpus", (0.2893, 0.2262, None))):
        with indexed(corpora.read(name), retriever="bm25") as pipeline:
            ways = [Way(BM25, {"stores.terms.norms": "lucene"}), Way(EXACT)]
            of = _means(measure(pipeline, corpora.read(name), ways))
        published = "Lucene, published" if name == "scifact" else DESIGN
        yield Row(NAMES[name], BM25, "nDCG@10", of(BM25, "nDCG@10"), expected[0], published, 0.0005)
        yield Row(NAMES[name], BM25, "recall@100", of(BM25, "recall@100"), expected[1], published, 0.0005)
        if expected[2] is not None:
            yield Row(NAMES[name], EXACT, "nDCG@10", of(EXACT, "nDCG@10"), expected[2], "bm25s", 0.0005)


def minilm() -> Iterator[Row]:
    """MiniLM, and both legs fused, by whole documents."""
    fused = [
        Way(f"{fuser} {depth}", {"fusers.fuser.use": fuser, "retrievers.hybrid.depth": depth}, k=depth)
        for fuser in FUSERS
        for depth in DEPTHS
    ]
    dense = Way(MINILM, {"pipelines.default.retriever": "dense"})
    later = []
    for name in NAMES:
        collection = corpora.read(name)
        with indexed(collection) as pipeline:
            of = _means(measure(pipeline, collection, [dense, *fused]))
        if name == "scifact":
            yield Row(NAMES[name], MINILM, "nDCG@10", of(MINILM, "nDCG@10"), 0.6451, "published as .645", 0.001)
            yield Row(NAMES[name], MINILM, "recall@100", of(MINILM, "recall@100"), 0.925, DESIGN, 0.001)
        else:
            yield Row(NAMES[name], MINILM, "nDCG@10", of(MINILM, "nDCG@10"), 0.3021, DESIGN, 0.001)
        for at, depth in enumerate(DEPTHS):
            for fuser, shown in FUSERS.items():
                expected = FUSED[name, fuser][at]
                ours = of(f"{fuser} {depth}", "nDCG@10")
                system, of_both = f"both, {shown}, depth {depth}", (fuser, depth)
                later.append(Row(NAMES[name], system, "nDCG@10", ours, expected, DESIGN, 0.002, fused=of_both))
    yield from later


def bge() -> Iterator[Row]:
    """A second embedder, whose weights come as 8-bit integers and are run as 32-bit floats."""
    collection = corpora.read("scifact")
    way = Way(BGE, {"pipelines.default.retriever": "dense"})
    with indexed(collection, model="bge-small-en-v1.5", retriever="dense") as pipeline:
        of = _means(measure(pipeline, collection, [way]))
    yield Row(NAMES["scifact"], BGE, "nDCG@10", of(BGE, "nDCG@10"), 0.7127, "MTEB, published", 0.01)


def _means(told: Told) -> Callable[[str, str], float]:
    return lambda way, measure: float(told[way][measure].mean())
