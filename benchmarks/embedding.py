"""Embedding: hookrag-transformers beside sentence-transformers, the same weights, texts of mixed lengths.

    .venv-bench/bin/python benchmarks/embedding.py [--rounds 5] [--documents 100] [--queries 100]

Documents and questions in one list, as they come: sentence-transformers sorts by length too. Two threads each. It is asked with
its default batch size of 32 and with 8, which is better on a processor.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import collection
import numpy as np
import run
from harness import Line, Side, Table, alternated, seconds
from imports import compared
from numpy.typing import NDArray
from options import Options

MODEL = "all-MiniLM-L6-v2"
SMALL = 8
OURS = f"""
from hookrag.config.catalogue import Catalogue
[offer] = Catalogue.installed().offers["embedder", "transformers"]
embedder = offer.load()(model={MODEL!r})
embedder.open()
embedder.embed(["one text"], role="query", outputs=("dense",))
"""
THEIRS = """
from sentence_transformers import SentenceTransformer
SentenceTransformer({folder!r}, device="cpu").encode(["one text"])
"""


def folder_of(model: str) -> Path:
    """Where `hookrag models fetch` put it: a folder that sentence-transformers reads too."""
    from hookrag_transformers.models import locate

    return locate(model).folder


class _Embedding:
    def __init__(self, options: Options) -> None:
        held = collection.read(options)
        self._texts = [*held.documents.values(), *held.queries.values()]
        random.Random(0).shuffle(self._texts)
        self._path = options.folder / "vectors.npy"

    def _keep(self, vectors: NDArray[np.float32]) -> str:
        np.save(self._path, vectors)
        return str(self._path)


class Ours(_Embedding):
    """The embedder that a configuration names `transformers`, with its defaults."""

    def __init__(self, options: Options) -> None:
        from hookrag.config.catalogue import Catalogue

        super().__init__(options)
        [offer] = Catalogue.installed().offers["embedder", "transformers"]
        self._embedder: Any = offer.load()(model=MODEL)
        self._embedder.open()
        self._embedder.embed(self._texts[:4], role="document", outputs=("dense",))

    def _embed(self) -> Any:
        return self._embedder.embed(self._texts, role="document", outputs=("dense",)).dense

    def embed(self) -> float:
        """Texts a second."""
        return len(self._texts) / seconds(self._embed)

    def vectors(self) -> str:
        return self._keep(self._embed())


class SentenceTransformers(_Embedding):
    """`encode`."""

    def __init__(self, options: Options) -> None:
        from sentence_transformers import SentenceTransformer

        super().__init__(options)
        self._model: Any = SentenceTransformer(str(folder_of(MODEL)), device="cpu")
        self._model.encode(self._texts[:4])

    def embed(self, batch: int) -> float:
        """Texts a second."""
        return len(self._texts) / seconds(lambda: self._model.encode(self._texts, batch_size=batch))

    def vectors(self) -> str:
        return self._keep(self._model.encode(self._texts, batch_size=SMALL))

    def tokens(self) -> list[int]:
        """How many tokens each text has, as far as they are read."""
        length = self._model.max_seq_length
        encoded = self._model.tokenizer(self._texts, truncation=True, max_length=length)
        return [len(ids) for ids in encoded["input_ids"]]


SIDES = {"hookrag": Ours, "sentence-transformers": SentenceTransformers}


def cosines(ours: Path, theirs: Path) -> NDArray[np.float64]:
    """Of each text's two vectors."""
    a, b = np.load(ours).astype(np.float64), np.load(theirs).astype(np.float64)
    return np.asarray((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))


def measure(options: Options) -> list[Table]:
    """Texts a second, memory, and the first vector of a fresh process. Raises RuntimeError where the vectors differ."""
    options = options.sized(documents=100, queries=100)
    with (
        Side(__file__, "hookrag", options) as ours,
        Side(__file__, "sentence-transformers", options) as theirs,
    ):
        calls = {
            "ours": ours.asking("embed"),
            "sentence-transformers, batches of 32": theirs.asking("embed", batch=32),
            f"sentence-transformers, batches of {SMALL}": theirs.asking("embed", batch=SMALL),
        }
        lines = [Line("embed", "texts/s", alternated(options.rounds, calls), more=True)]
        lines.append(Line("memory, at most", "MB", {side.name: [side.peak()] for side in (ours, theirs)}))
        lengths = theirs.ask("tokens")
        same = cosines(Path(ours.ask("vectors")), Path(theirs.ask("vectors")))
    if same.min() < 1 - 1e-4:
        raise RuntimeError(f"the vectors differ: the least cosine is {same.min():.6f}")
    first = {"hookrag": OURS, "sentence-transformers": THEIRS.format(folder=str(folder_of(MODEL)))}
    lines += compared("first vector of a process", first, min(options.rounds, 3), options.folder)[:3]
    mean = sum(lengths) / len(lengths)
    notes = [
        f"{MODEL}, {len(lengths)} texts of {min(lengths)} to {max(lengths)} tokens, {mean:.0f} on average; least cosine of the "
        f"two vectors of a text {same.min():.7f}."
    ]
    return [Table("Embedding", notes, lines)]


if __name__ == "__main__":
    run.alone(measure, SIDES)
