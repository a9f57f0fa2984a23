"""What this package registers."""

from __future__ import annotations

from hookrag import Component, Components, hookimpl

hookrag_api = 1


@hookimpl
def embedders() -> Components:
    return {
        "transformers": Component(
            "hookrag_transformers.embedder:TransformersEmbedder",
            "Sentence embeddings of a transformer on ONNX Runtime or torch.",
        )
    }


@hookimpl
def commands() -> Components:
    return {"models": Component("hookrag_transformers.commands:models", "Fetch, list and verify models.")}
