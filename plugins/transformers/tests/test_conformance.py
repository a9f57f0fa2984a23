from __future__ import annotations

from hookrag.testing import parametrize_checks
from hookrag_transformers.embedder import TransformersEmbedder


@parametrize_checks("embedder", lambda: TransformersEmbedder(model="all-MiniLM-L6-v2"))
def test_conformance(check, make):
    check(make)


@parametrize_checks("embedder", lambda: TransformersEmbedder(model="all-MiniLM-L6-v2", backend="torch", threads=1))
def test_conformance_on_torch(check, make):
    check(make)
