from __future__ import annotations

from hookrag.testing import parametrize_checks
from hookrag.testing.fakes import OverlapReranker
from hookrag_extractive.generator import Extractive


def make():
    return Extractive(reranker=OverlapReranker(), kind="overlap", threshold=0.1)


@parametrize_checks("generator", make)
def test_conformance(check, make):
    check(make)
