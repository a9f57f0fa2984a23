"""What the core itself offers: the components that only combine others, and readers of plain text."""

from __future__ import annotations

from hookrag.hookspecs import Component, Components, hookimpl

hookrag_api = 1


@hookimpl
def retrievers() -> Components:
    return {
        "dense": Component("hookrag.components.search:Dense", "Nearest vectors of a store."),
        "sparse": Component("hookrag.components.search:Sparse", "Highest inner products of sparse vectors of a store."),
        "text": Component("hookrag.components.search:Text", "Best matching words of a store (BM25)."),
        "fused": Component(
            "hookrag.components.fused:Fused", "Several retrievers at once, made one ranking by a fuser."
        ),
        "reranked": Component(
            "hookrag.components.reranked:Reranked", "A retriever whose first hits a reranker scores anew."
        ),
        "parents": Component("hookrag.components.parents:Parents", "The larger chunks that a retriever's hits lie in."),
    }


@hookimpl
def middleware() -> Components:
    return {
        "retry": Component("hookrag.components.middleware:Retry", "Calls that failed in passing are made again."),
        "cache": Component("hookrag.components.middleware:Cache", "Results of equal calls are kept in memory."),
        "budget": Component("hookrag.components.middleware:Budget", "A limit on the calls and items of a component."),
        "redact": Component("hookrag.components.middleware:Redact", "Patterns in texts are masked before they go on."),
    }


@hookimpl
def readers() -> Components:
    return {
        "text": Component("hookrag.components.readers:Text", "Plain text files."),
        "markdown": Component("hookrag.components.readers:Markdown", "Markdown files, titled by their first heading."),
        "jsonl": Component("hookrag.components.readers:JsonLines", "One JSON object a line, BEIR's corpus.jsonl too."),
        "csv": Component("hookrag.components.readers:Csv", "Tables with a header."),
    }
