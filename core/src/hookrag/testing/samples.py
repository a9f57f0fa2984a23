"""The documents, queries and filters that the checks use; `filled` puts the documents into a store."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from hookrag.chunks import chunk_of
from hookrag.components.vectors import take
from hookrag.config.objects import Adoption
from hookrag.filters import Filter
from hookrag.filters import parse as parse_filter
from hookrag.runtime.shared import Shared
from hookrag.testing._kit import CheckFailed, class_of, close
from hookrag.values import Chunk, Document, Output, Query, Row, Vectors

_TEXTS: Mapping[str, str] = MappingProxyType(
    {
        "fusion": "Reciprocal rank fusion adds the reciprocal ranks that several retrievers give to a document.",
        "bm25": "BM25 ranks documents by the words they share with the query, rare words more than common ones.",
        "dense": "A dense retriever compares the vector of the query with the vectors of all documents.",
        "rerank": "A reranker reads query and document together and ranks the first documents anew.",
        "airship": "The zeppelin crossed the ocean and landed beside the harbour.",
        "breakfast": "She spread marmalade on toast; the marmalade was bitter.",
        "volcano": "Ash of the volcano fell on the harbour for a week.",
        "chunk": "A chunk is a span of a document. Its text is quoted by citations, which name the document.",
        "chinese": "检索增强生成 先找到文档 再写出答案。",
        "arabic": "البحث عن وثائق ثم كتابة الجواب.",
        "emoji": "Launch day 🚀👩‍🚀: the crew reads documents, café, naïve, ﬁne.",
        "quotes": "\"Robert'); DROP TABLE documents;--\" said O'Hara, 100% sure_ly \\ or not.",
    }
)

_METADATA: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "fusion": {"lang": "en", "year": 2009, "tags": ["ranking", "fusion"], "draft": False, "price": 1.5},
        "bm25": {"lang": "en", "year": 1994, "tags": ["ranking"], "draft": False, "price": 2},
        "dense": {"lang": "en", "year": 2020, "tags": [], "draft": True, "price": 2.25},
        "rerank": {"lang": "en", "year": 2019, "draft": True},
        "airship": {"lang": "de", "year": 1929, "tags": ["news"]},
        "breakfast": {"lang": "en-GB", "price": -0.5},
        "volcano": {"lang": "EN", "year": 2010, "tags": ["news", "Nature"]},
        "chunk": {},
        "chinese": {"lang": "zh", "year": 2023, "where": "北京"},
        "arabic": {"lang": "ar", "year": None},
        "emoji": {"lang": "en", "year": 2021, "odd name": "O'Hara \"%_\\"},
        "quotes": {"lang": "", "year": 0, "odd name": "100%"},
    }
)


def documents() -> list[Document]:
    """Twelve short documents in several scripts, with metadata of every kind and with gaps in it; new ones at each call."""
    return [
        Document(name, text, f"About {name}", copy.deepcopy(dict(_METADATA[name]))) for name, text in _TEXTS.items()
    ]


QUERIES: tuple[Query, ...] = tuple(
    Query(f"q{number}", text)
    for number, text in enumerate(
        (
            "how are the ranks of several retrievers added",
            "documents that share words with the query",
            "zeppelin harbour",
            "marmalade",
            "volcano",
            "检索增强生成",
        )
    )
)

UNSEEN = "qxzvwk jjkqzx"
"""Words that no document has."""

FILTERS: tuple[str, ...] = (
    'lang == "en"',
    'lang != "en"',
    'not lang == "en"',
    "year >= 2010",
    "year < 2010",
    "year > 1929 and year <= 2020",
    'year < 2000 or lang == "zh"',
    'lang in ["en", "de"]',
    'lang not in ["en", "de"]',
    "exists(year)",
    "not exists(year)",
    "exists(tags)",
    'tags contains "news"',
    'not tags contains "news"',
    'lang startswith "e"',
    "draft == true",
    "draft != true",
    "price > 1.5",
    "price == 2.0",
    'lang == "en" and (year >= 2020 or not exists(tags))',
    'nowhere == "x"',
    "not exists(nowhere)",
)
"""Every operator on every kind of value, with missing fields."""

EDGE_FILTERS: tuple[str, ...] = (
    'lang == ""',
    "year == 0",
    "price < 0",
    'lang == "e%"',
    'lang startswith "e_"',
    'lang == "En"',
    '`odd name` == "100%"',
    r'`odd name` == "O\'Hara \"%_\\"',
    r'`odd name` == "\" or 1 == 1 or \""',
    r'lang == "en\" or lang != \""',
    "lang == 1",
    'year == "2020"',
    "year == 2020.5",
    "draft == 1",
    'lang contains "en"',
    'tags == "news"',
    "year != true",
    'where == "北京"',
)
"""Values that look like wildcards, quotes and injections, and comparisons across kinds, which are false."""


def filters(texts: Sequence[str] = FILTERS) -> list[tuple[str, Filter]]:
    """Each filter's text with its tree."""
    return [(text, parse_filter(text)) for text in texts]


def chunks(some: Sequence[Document] | None = None) -> list[Chunk]:
    """One chunk of each document, the whole of it; of the kit's own where none are given."""
    return [chunk_of(document, 0, len(document.text)) for document in (documents() if some is None else some)]


def odd_chunks() -> list[Chunk]:
    """Chunks whose text, document id or metadata is hard to keep."""
    texts = [
        "before\x00after",
        "\ufeff\u200b\u202eodd\u2028marks\ufffd",
        "a" * 20_000,
        "'; DROP TABLE rows; --",
        '{"json": "x"} ${x}',
    ]
    names = ["", "../../etc/passwd", "a'b\"c\\d", "é/ü/文/🚀", " spaces ", "x" * 400, "null", "%_*?", "new\nline"]
    metadata: list[dict[str, Any]] = [
        {"": "empty name", "a.b": 1, "a": {"b": [1, {"c": None}]}},
        {"big": 2**53 + 1, "small": -(2**63), "float": 1e-300, "neg": -0.0},
        {"text": "x" * 5_000, "quote": 'O\'Hara "x" \\', "nul": "a\x00b"},
        {"id": "mine", "text": "mine", "document_id": "mine", "owner": "mine", "check": 1, "vector": [0.5]},
        {"$where": "1", "__proto__": {}, "list": [], "mixed": [1, "a", True, None]},
    ]
    made = [Document(f"text/{i}", text) for i, text in enumerate(texts)]
    made += [Document(name, f"The document number {i}.") for i, name in enumerate(names)]
    made += [Document(f"metadata/{i}", "Plain text.", "", each) for i, each in enumerate(metadata)]
    return chunks(made)


def rows_of(store: Any, some: Sequence[Chunk], *, owner: str = "kit") -> list[Row]:
    """The chunks as rows, with the vectors that the store's embedders make of them; `check` differs from row to row."""
    texts = [chunk.input for chunk in some]
    vectors = {
        output: embedder.embed(texts, role="document", outputs={output}) for output, embedder in store.embedders.items()
    }
    return [_row(chunk, i, vectors, owner) for i, chunk in enumerate(some)]


def _row(chunk: Chunk, i: int, vectors: Mapping[Output, Vectors], owner: str) -> Row:
    dense = vectors["dense"].dense if "dense" in vectors else None
    multi = vectors["multi"].multi if "multi" in vectors else None
    sparse = take(vectors["sparse"], [i]).sparse if "sparse" in vectors else None
    return Row(
        chunk,
        owner,
        # Both ends of the signed 64 bits: a store that keeps them as another number shows it here.
        2**63 - 1 - i if i % 2 else -(2**63) + i,
        None if dense is None else np.ascontiguousarray(dense[i]),
        None if sparse is None else (sparse.indices, sparse.values),
        None if multi is None else multi[i],
    )


def put(store: Any, some: Sequence[Chunk], *, version: int = 1, owner: str = "kit") -> list[Row]:
    """Put the chunks into a store, which must take all of them, and sync."""
    rows = rows_of(store, some, owner=owner)
    refused = store.put(rows, version=version)
    if refused:
        name, reason = next(iter(refused.items()))
        raise CheckFailed(
            f"{class_of(store).__name__} refused {len(refused)} of {len(rows)} ordinary rows, {name}: {reason}: "
            f"put() takes every chunk and returns only those it cannot keep"
        )
    store.sync()
    return rows


def filled(store: Any) -> Any:
    """The store itself with `documents()` in it, one chunk each: for a retriever to be checked over it."""
    proxy = Adoption(Shared()).adopt("store", store)
    put(proxy, chunks())
    close(proxy)
    return store
