"""Stores that keep vectors with loss or not at all, and say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hookrag import Document, Pipeline, Row
from hookrag.components.search import Dense
from hookrag.testing import run_checks
from hookrag.testing.fakes import HashEmbedder, MemoryStore, WordChunker


class Rounded(MemoryStore):
    """Keeps its vectors in one decimal."""

    def fetch(self, chunk_ids: Sequence[str], /, *, vectors: bool = False) -> list[Row | None]:
        found = super().fetch(chunk_ids, vectors=vectors)
        return [row and self._less(row) for row in found] if vectors else found

    def _less(self, row: Row) -> Row:
        return row if row.dense is None else replace(row, dense=np.round(row.dense, 1))


class SaysLossy(Rounded):
    keeps_vectors = "lossy"


class Bare(Rounded):
    """Searches by codes and gives no vector back."""

    def _less(self, row: Row) -> Row:
        return replace(row, dense=None)


class SaysNone(Bare):
    keeps_vectors = "none"


class Boasts(MemoryStore):
    keeps_vectors = "none"


DOCUMENTS = [Document(f"d{number}", f"the words of document {number} are its own") for number in range(6)]


@pytest.mark.parametrize(("store", "damaged"), [(Rounded, 6), (SaysLossy, 0), (Bare, 6), (SaysNone, 0)])
def test_verify_asks_for_what_the_store_keeps(tmp_path: Path, store: Any, damaged: int) -> None:
    made = store(chunker=WordChunker(), embedder=HashEmbedder())
    with Pipeline(retriever=Dense(store=made), folder=tmp_path) as pipeline:
        pipeline.index(DOCUMENTS)
        (found,) = pipeline.verify(deep=True).stores
        assert (found.damaged, found.ok) == (damaged, not damaged)
        assert pipeline.verify(sample=3).ok is not bool(damaged) or store is Rounded
        row = made.rows[next(iter(made.rows))]
        made.rows[row.chunk.id] = replace(row, chunk=replace(row.chunk, text="other words entirely, that nobody sent"))
        (found,) = pipeline.verify(deep=True).stores
        assert found.damaged >= 1, "a text is compared whatever becomes of vectors"


@pytest.mark.parametrize("store", [SaysLossy, SaysNone])
def test_vectors_that_are_not_kept_are_made_again(tmp_path: Path, store: Any) -> None:
    embedder = HashEmbedder()
    made = store(chunker=WordChunker(size=4), embedder=embedder)
    with Pipeline(retriever=Dense(store=made), folder=tmp_path) as pipeline:
        pipeline.index([Document("d", "one two three four five six seven eight")])
        report = pipeline.index([Document("d", "nine ten one two three four five six seven eight")])
        assert report.reused == 0
        assert pipeline.verify(deep=True).ok


@pytest.mark.parametrize(
    ("store", "message"),
    [
        (SaysLossy, ""),
        (SaysNone, ""),
        (Rounded, "Rounded gives another row from fetch(vectors=True) than was put"),
        (Boasts, "Boasts gives dense vectors back and says keeps_vectors = 'none'"),
    ],
)
def test_the_kit_holds_a_store_to_what_it_says(store: Any, message: str) -> None:
    results = run_checks("store", lambda folder: store(chunker=WordChunker(), embedder=HashEmbedder()))
    (found,) = (one for one in results if one.check == "check_fetch_gives_vectors_when_asked")
    assert found.outcome == ("failed" if message else "passed")
    assert message in (found.message or "")
