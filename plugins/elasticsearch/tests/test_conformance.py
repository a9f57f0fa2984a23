"""The kit's checks of a store, with an embedder and without."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from hookrag.testing import checks
from hookrag.testing.fakes import HashEmbedder, WordChunker
from hookrag_elasticsearch.store import Elasticsearch

pytestmark = pytest.mark.service

VECTORS = ("check_search_dense_", "check_search_sparse_", "check_search_multi_")


def name(folder: Path) -> str:
    return "hookrag-test-" + blake2b(folder.name.encode(), digest_size=8).hexdigest()


@pytest.mark.parametrize("check", [pytest.param(check, id=check.__name__) for check in checks("store")])
def test_with_vectors(check: Any, url: str, client: Any) -> None:
    check(lambda folder: Elasticsearch(chunker=WordChunker(), embedder=HashEmbedder(), url=url, index=name(folder)))


# What the embedder has no part in; without one the searches of vectors are refused, which test_store.py looks at.
@pytest.mark.parametrize(
    "check",
    [pytest.param(check, id=check.__name__) for check in checks("store") if not check.__name__.startswith(VECTORS)],
)
def test_of_text_alone(check: Any, url: str, client: Any) -> None:
    check(lambda folder: Elasticsearch(chunker=WordChunker(), url=url, index=name(folder), analyzer="standard"))
