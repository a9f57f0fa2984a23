"""The fakes as a plugin: `Pipeline.from_config(..., plugins={"fakes": hookrag.testing.plugin})`."""

from __future__ import annotations

from hookrag.hookspecs import Component, Components, hookimpl

hookrag_api = 1

_FAKES = "hookrag.testing.fakes"


@hookimpl
def chunkers() -> Components:
    return {"fake-words": Component(f"{_FAKES}:WordChunker", "Every so many words.")}


@hookimpl
def embedders() -> Components:
    return {"fake-hash": Component(f"{_FAKES}:HashEmbedder", "Counts of hashed words.")}


@hookimpl
def stores() -> Components:
    return {"fake-memory": Component(f"{_FAKES}:MemoryStore", "Rows in a dictionary.")}


@hookimpl
def retrievers() -> Components:
    return {"fake-list": Component(f"{_FAKES}:ListRetriever", "The same texts for every query.")}


@hookimpl
def fusers() -> Components:
    return {"fake-rank": Component(f"{_FAKES}:RankFuser", "Sums of 1 / rank.")}


@hookimpl
def rerankers() -> Components:
    return {"fake-overlap": Component(f"{_FAKES}:OverlapReranker", "Shared words.")}


@hookimpl
def llms() -> Components:
    return {"fake-llm": Component(f"{_FAKES}:ScriptedLLM", "Says what it was told to say.")}


@hookimpl
def generators() -> Components:
    return {"fake-first": Component(f"{_FAKES}:FirstHit", "The text of the first hit.")}
