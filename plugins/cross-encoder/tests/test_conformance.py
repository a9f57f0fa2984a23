from __future__ import annotations

from hookrag.testing import parametrize_checks
from hookrag_cross_encoder.reranker import CrossEncoder


@parametrize_checks("reranker", lambda: CrossEncoder(max_tokens=64))
def test_conformance(check, make):
    check(make)
