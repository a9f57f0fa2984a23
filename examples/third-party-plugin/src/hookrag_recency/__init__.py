"""Registration: what this package offers, without importing it."""

from hookrag import Component, hookimpl

hookrag_api = 1


@hookimpl
def retrievers() -> dict[str, Component]:
    return {"recency": Component("hookrag_recency.retriever:Recency", "Prefers recent documents.")}
