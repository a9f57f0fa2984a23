"""What this package offers to hookrag."""

from __future__ import annotations

from hookrag import Component, Components, hookimpl

hookrag_api = 1


@hookimpl
def stores() -> Components:
    return {"lexical": Component("hookrag_lexical.store:Lexical", "BM25 and sparse vectors in files of its own.")}
