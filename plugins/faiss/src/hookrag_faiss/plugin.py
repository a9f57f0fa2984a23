"""What this package offers to hookrag."""

from __future__ import annotations

from hookrag import Component, Components, hookimpl

hookrag_api = 1


@hookimpl
def stores() -> Components:
    return {"faiss": Component("hookrag_faiss.store:Faiss", "Dense vectors in files of its own, mapped into memory.")}
