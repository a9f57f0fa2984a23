"""What this package offers to hookrag."""

from __future__ import annotations

from hookrag import Component, Components, hookimpl

hookrag_api = 1


@hookimpl
def stores() -> Components:
    return {
        "elasticsearch": Component(
            "hookrag_elasticsearch.store:Elasticsearch", "BM25, dense and sparse vectors in Elasticsearch."
        )
    }
