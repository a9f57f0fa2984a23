"""What this package offers."""

from __future__ import annotations

from hookrag import Component, Components, hookimpl

hookrag_api = 1


@hookimpl
def llms() -> Components:
    return {"openai": Component("hookrag_openai.llm:OpenAIChat", "Chat models of any OpenAI-compatible server.")}


@hookimpl
def embedders() -> Components:
    return {
        "openai": Component("hookrag_openai.embedder:OpenAIEmbeddings", "Embeddings of any OpenAI-compatible server.")
    }
