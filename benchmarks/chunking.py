"""How much of the answers' text each chunker lets a retriever find, and how fast each cuts.

    .venv/bin/python benchmarks/chunking.py FOLDER [--documents NAME ...] [--only NAME ...] [--cache FOLDER]
    .venv/bin/python benchmarks/chunking.py FOLDER --speed 10

FOLDER holds queries.jsonl, whose metadata have `doc` and `references` ({"start_index", "end_index"} of each span that answers),
and extra/documents/<doc>.md: the layout of the collection of Smith and Troynikov, "Evaluating Chunking Strategies for
Retrieval" (Chroma, 2024). Chunks of all chosen documents are searched together, by BM25 and by a dense model.

With e the characters of the spans that answer and t those of the chunks taken, best first, until there are `budget` of them
(the last chunk is cut there), a character that two chunks repeat counting twice in t and once in the intersection:

    recall = |e & t| / |e|    precision = |e & t| / |t|    IoU = |e & t| / (|e| + |t| - |e & t|)

The report takes a fixed number of chunks instead, so that larger chunks get more text; equal budgets compare what a generator
gets for the same price. Figures are means over queries; +- is the half-width of a 95 % interval of the recall (1.96 standard
errors, queries taken as independent).

--speed N cuts N million characters with each chunker that needs no embedder, and prints millions of characters a second of
processor time.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from time import process_time

import numpy as np
from hookrag import Chunk, Chunker, Document, Hit, Row
from hookrag_chunking.chunkers import Sentences, WholeDocument, Words
from hookrag_chunking.measured import FixedCharacters, FixedTokens, Recursive, Sections
from hookrag_chunking.semantic import Semantic
from hookrag_lexical.store import Lexical
from hookrag_transformers.embedder import TransformersEmbedder
from kept import KeptEmbedder

DEPTH = 400
LETTERS = 6
"""Characters of a word with the blank behind it, to give `characters` sizes like the others'."""


@dataclass(frozen=True, slots=True)
class Question:
    """A query with the document that answers it and the spans there."""

    text: str
    document: str
    spans: tuple[tuple[int, int], ...]


def chunkers(embedder: KeptEmbedder, model: TransformersEmbedder) -> dict[str, Callable[[int], Chunker]]:
    """Each chunker by name, given a size in words; `embedder` keeps the vectors of `model`."""
    return {
        "words": lambda size: Words(size=size, overlap=0),
        "words, overlap 20 %": lambda size: Words(size=size, overlap=size // 5),
        "words, overlap 50 %": lambda size: Words(size=size, overlap=size // 2),
        "characters": lambda size: FixedCharacters(size=size * LETTERS, overlap=0),
        "tokens": lambda size: FixedTokens(embedder=model, size=None if size >= 200 else size * 4 // 3),
        "sentences, overlap 0": lambda size: Sentences(size=size, overlap=0),
        "sentences, overlap 1": lambda size: Sentences(size=size, overlap=1),
        "recursive": lambda size: Recursive(size=size),
        "recursive, overlap 20 %": lambda size: Recursive(size=size, overlap=size // 5),
        "sections": lambda size: Sections(size=size),
        "semantic": lambda size: Semantic(embedder=embedder, size=size),
        "semantic, min_size 50": lambda size: Semantic(embedder=embedder, size=size, min_size=50),
    }


def questions(folder: Path, names: Sequence[str]) -> list[Question]:
    """The queries that these documents answer."""
    found = []
    with (folder / "queries.jsonl").open(encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            told = record["metadata"]
            if told["doc"] in names:
                spans = tuple((one["start_index"], one["end_index"]) for one in told["references"])
                found.append(Question(record["text"], told["doc"], spans))
    return found


def scores(ranked: Sequence[Chunk], asked: Question, budget: int) -> tuple[float, float, float]:
    """Recall, precision and IoU of the first `budget` characters of the ranked chunks.

    >>> chunks = [Chunk("a", "d", "x" * 10, 0, 10), Chunk("b", "d", "x" * 10, 8, 18)]
    >>> scores(chunks, Question("?", "d", ((6, 12),)), 14)  # |e| = 6, |t| = 14, both: 6 to 12
    (1.0, 0.42857142857142855, 0.42857142857142855)
    """
    wanted = {place for start, end in asked.spans for place in range(start, end)}
    covered: set[int] = set()
    left = budget
    for chunk in ranked:
        end = min(chunk.end, chunk.start + left)
        left -= end - chunk.start
        if chunk.document_id == asked.document:
            covered |= wanted.intersection(range(chunk.start, end))
        if left == 0:
            break
    both, taken = len(covered), budget - left
    return both / len(wanted), both / taken, both / (len(wanted) + taken - both)


def by_bm25(chunks: Sequence[Chunk], asked: Sequence[Question], chunker: Chunker) -> list[list[Chunk]]:
    with tempfile.TemporaryDirectory() as folder:
        store = Lexical(chunker=chunker, path=Path(folder) / "terms")
        store.open()
        store.put([Row(chunk, "benchmark", 0) for chunk in chunks], version=1)
        store.sync()
        found: list[list[Hit]] = store.search_text([one.text for one in asked], k=DEPTH, where=None)
        store.close()
    return [[hit.chunk for hit in hits] for hits in found]


def by_vectors(chunks: Sequence[Chunk], asked: Sequence[Question], embedder: KeptEmbedder) -> list[list[Chunk]]:
    rows = embedder.embed([chunk.input for chunk in chunks], role="document", outputs={"dense"}).dense
    queries = embedder.embed([one.text for one in asked], role="query", outputs={"dense"}).dense
    order = np.argsort(-(queries @ rows.T), axis=1, kind="stable")[:, :DEPTH]
    return [[chunks[place] for place in best] for best in order]


def measure(
    folder: Path, names: Sequence[str], only: Sequence[str], sizes: Sequence[int], budgets: Sequence[int], cache: Path
) -> Iterator[tuple[str, int, int, float, Mapping[tuple[str, int], list[tuple[float, float, float]]]]]:
    """Chunker, size, chunks, their mean characters, and the scores of each query by (retriever, budget)."""
    model = TransformersEmbedder(model="all-MiniLM-L6-v2")
    model.open()
    embedder = KeptEmbedder(embedder=model, folder=cache)
    embedder.open()
    asked = questions(folder, names)
    documents = [Document(name, text_of(folder, name)) for name in names]
    for name, make in chunkers(embedder, model).items():
        if only and name not in only:
            continue
        for size in sizes:
            chunker = make(size)
            chunks = [chunk for of_one in chunker.chunk(documents) for chunk in of_one]
            found = {
                "BM25": by_bm25(chunks, asked, chunker),
                "MiniLM": by_vectors(chunks, asked, embedder),
            }
            told = {
                (retriever, budget): [scores(*one, budget) for one in zip(ranked, asked, strict=True)]
                for retriever, ranked in found.items()
                for budget in budgets
            }
            yield name, size, len(chunks), mean(len(chunk.text) for chunk in chunks), told


def text_of(folder: Path, name: str) -> str:
    with (folder / "extra" / "documents" / f"{name}.md").open(encoding="utf-8", newline="") as file:
        return file.read()


def quality(chosen: argparse.Namespace, names: Sequence[str], cache: Path) -> None:
    asked = questions(chosen.folder, names)
    size = sum(len(text_of(chosen.folder, name)) for name in names)
    print(f"documents: {', '.join(names)} ({size:,} characters); {len(asked)} questions")
    head = f"| {'chunker':<24} | size | chunks | characters | budget |"
    for retriever in ("BM25", "MiniLM"):
        head += f" {retriever}: recall | precision | IoU |"
    print(head + "\n|" + "---|" * (head.count("|") - 1), flush=True)
    for name, words, chunks, length, told in measure(
        chosen.folder, names, chosen.only, chosen.sizes, chosen.budgets, cache
    ):
        for budget in chosen.budgets:
            row = f"| {name:<24} | {words:>4} | {chunks:>6} | {length:>10.0f} | {budget:>6} |"
            for retriever in ("BM25", "MiniLM"):
                recalls, precisions, ious = zip(*told[retriever, budget], strict=True)
                error = 1.96 * stdev(recalls) / math.sqrt(len(recalls))
                row += f" {mean(recalls):.3f} +- {error:.3f} | {mean(precisions):.3f} | {mean(ious):.3f} |"
            print(row, flush=True)


def speed(folder: Path, names: Sequence[str], millions: float) -> None:
    whole = "\n\n".join(text_of(folder, name) for name in names)
    length = int(millions * 1e6)
    text = (whole * (length // len(whole) + 1))[:length]
    documents = [Document("text", text)]
    for name, chunker in {
        "words, size 200, overlap 40": Words(),
        "characters, size 1000, overlap 200": FixedCharacters(),
        "sentences, size 200, overlap 1": Sentences(),
        "recursive, size 200 words": Recursive(),
        "recursive, size 200 words, overlap 40": Recursive(overlap=40),
        "recursive, size 1000 characters, overlap 200": Recursive(units="characters", overlap=200),
        "the same without sentences": Recursive(
            separators=["paragraph", "line", "word"], units="characters", overlap=200
        ),
        "sections, size 200 words": Sections(),
        "document": WholeDocument(),
    }.items():
        started = process_time()
        (chunks,) = chunker.chunk(documents)
        seconds = process_time() - started
        print(f"| {name:<46} | {len(chunks):>6} | {millions / seconds:>7.1f} |", flush=True)


def main() -> None:
    """Read the collection, cut, search, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", nargs="*", default=[], help="only these (default: all)")
    parser.add_argument("--only", nargs="*", default=[], help="only these chunkers")
    parser.add_argument("--sizes", nargs="*", type=int, default=[100, 200, 400], help="words of a chunk")
    parser.add_argument("--budgets", nargs="*", type=int, default=[1000, 4000], help="characters to retrieve")
    parser.add_argument("--cache", type=Path, help="keep vectors in this folder (default: a temporary one)")
    parser.add_argument("--speed", type=float, default=0, help="cut so many million characters instead")
    chosen = parser.parse_args()
    texts = sorted(path.stem for path in (chosen.folder / "extra" / "documents").glob("*.md"))
    if not texts or not (chosen.folder / "queries.jsonl").exists():
        sys.exit(
            f"{chosen.folder} has no queries.jsonl with extra/documents/*.md beside it: give the folder of the collection "
            f"(brandonstarxel/chunking_evaluation, converted as the docstring of this file says)"
        )
    names = chosen.documents or texts
    if missing := sorted(set(names) - set(texts)):
        sys.exit(f"no such documents: {', '.join(missing)}; there are {', '.join(texts)}")
    if chosen.speed:
        speed(chosen.folder, names, chosen.speed)
        return
    with tempfile.TemporaryDirectory() as temporary:
        cache = chosen.cache or Path(temporary)
        cache.mkdir(parents=True, exist_ok=True)
        quality(chosen, names, cache)


if __name__ == "__main__":
    main()
