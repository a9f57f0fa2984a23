from hookrag.testing import parametrize_checks
from hookrag.testing.fakes import ListRetriever
from hookrag_recency.retriever import Recency


def make() -> Recency:
    return Recency(retriever=ListRetriever(texts=["one", "two", "three"]), today="2026-01-01")


@parametrize_checks("retriever", make)
def test_conformance(check, make):
    check(make)
