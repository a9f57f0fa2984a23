"""Rows, their brute-force ranking, and comparisons that the tests of this package share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hookrag import Document, Hit, Row, chunk_of
from hookrag_milvus.store import Milvus
from numpy.typing import NDArray


def made(path: Path, **settings: Any) -> Milvus:
    """A store that is not open; its references are not needed by what is tested here."""
    return Milvus(chunker=None, embedder=None, path=path, **settings)


def random_vectors(n: int, dim: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def clustered(n: int, dim: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(30, dim))
    return (centres[rng.integers(0, 30, n)] + 0.4 * rng.normal(size=(n, dim))).astype(np.float32)


def make_rows(vectors: NDArray[np.float32], **metadata: object) -> list[Row]:
    """Rows with the metadata n (from 0) and even, and n as their check."""
    rows = []
    for number, vector in enumerate(vectors):
        document = Document(
            f"doc-{number}", f"text of {number}", "Title", {"n": number, "even": number % 2 == 0, **metadata}
        )
        rows.append(Row(chunk_of(document, 0, len(document.text)), "owner", number, vector))
    return rows


def brute_force(rows: list[Row], query: NDArray[np.float32], k: int, metric: str = "COSINE") -> list[tuple[str, float]]:
    """The k best (id, score) in 64 bits: score descending, then id ascending."""
    vectors = np.stack([row.dense for row in rows]).astype(np.float64)
    wide = query.astype(np.float64)
    scores = -((vectors - wide) ** 2).sum(axis=1) if metric == "L2" else vectors @ wide
    if metric == "COSINE":
        scores = scores / np.linalg.norm(vectors, axis=1) / np.linalg.norm(wide)
    pairs = [(row.chunk.id, float(score)) for row, score in zip(rows, scores, strict=True)]
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:k]


def assert_hits(hits: list[Hit], expected: list[tuple[str, float]]) -> None:
    assert [hit.chunk.id for hit in hits] == [chunk_id for chunk_id, _ in expected]
    assert [hit.score for hit in hits] == pytest.approx(
        [score for _, score in expected], rel=1e-5, abs=max(abs(score) for _, score in expected) * 1e-6 + 1e-6
    )


def remove(address: str, prefix: str) -> None:
    """Drop the collections and aliases whose names begin so."""
    from pymilvus import MilvusClient

    client = MilvusClient(address)
    for name in client.list_collections():
        if name.startswith(prefix):
            for alias in client.list_aliases(name)["aliases"]:
                client.drop_alias(alias)
            client.drop_collection(name)
    client.close()
