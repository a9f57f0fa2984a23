"""What this package registers."""

from __future__ import annotations

from hookrag import Component, Components, hookimpl

hookrag_api = 1


@hookimpl
def rerankers() -> Components:
    return {
        "cross-encoder": Component(
            "hookrag_cross_encoder.reranker:CrossEncoder", "A transformer that reads query and passage together."
        )
    }
