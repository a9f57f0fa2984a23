"""What this package offers to hookrag."""

from __future__ import annotations

from hookrag import Component, Components, hookimpl

hookrag_api = 1


@hookimpl
def stores() -> Components:
    return {"milvus": Component("hookrag_milvus.store:Milvus", "Dense vectors in Milvus, embedded or on a server.")}
