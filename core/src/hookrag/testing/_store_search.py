"""What each search of a store promises; a store without a search must really lack it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from hookrag.components.vectors import take
from hookrag.errors import ComponentError
from hookrag.filters import Filter, matches
from hookrag.testing._kit import Check, Make, difference, opened, refusal, require
from hookrag.testing.samples import EDGE_FILTERS, FILTERS, QUERIES, UNSEEN, chunks, filters, put
from hookrag.values import Document, Hit, Output, Row, ScoreKind, SparseRows, Vectors

TOLERANCE = 1e-4
"""How far a score may be from the one computed here, in its own unit and relative to its size."""

ALL = 1_000


@dataclass(frozen=True, slots=True)
class Search:
    """One of the four searches: its method and the embedder's output that it needs, None for words."""

    name: str
    output: Output | None

    @property
    def word(self) -> str:
        return self.output or "text"

    def queries(self, store: Any, texts: Sequence[str]) -> Any:
        """What the search takes for these texts."""
        if self.output is None:
            return list(texts)
        made = store.embedders[self.output].embed(texts, role="query", outputs={self.output})
        return getattr(made, self.output)

    def find(self, store: Any, queries: Any, *, k: int = ALL, where: Filter | None = None) -> list[list[Hit]]:
        found: list[list[Hit]] = getattr(store, self.name)(queries, k=k, where=where)
        return found

    def absent(self, store: Any) -> str:
        """Why there is nothing to check, "" where the store has the search. Fails where it half has it."""
        component = store.instance.component
        if hasattr(type(component), self.name):
            require(
                self.output is None or self.output in store.embedders,
                store,
                f"has {self.name}() and was made without an embedder for {self.word} vectors",
                "give make() one, hookrag.testing.fakes.HashEmbedder(): what is offered is checked",
            )
            return ""
        require(
            not hasattr(component, self.name),
            store,
            f"has {self.name} on the object alone, which no pipeline sees",
            "write it as a method of the class",
        )
        empty: Any = [""] if self.output is None else np.zeros((1, 4), np.float32)
        error = refusal(lambda: self.find(store, [empty[0]], k=1))
        require(
            isinstance(error, ComponentError),
            store,
            f"answers {self.name}, which it does not have",
            "define it in the class",
        )
        return f"it has no {self.name}()"


SEARCHES = (
    Search("search_dense", "dense"),
    Search("search_sparse", "sparse"),
    Search("search_text", None),
    Search("search_multi", "multi"),
)


def _rows(items: Any, rows: Sequence[int]) -> Any:
    """Some of the queries, of whatever search."""
    if isinstance(items, SparseRows):
        return take(Vectors(sparse=items), rows).sparse
    return items[np.asarray(rows)] if isinstance(items, np.ndarray) else [items[i] for i in rows]


def _kit_queries(search: Search, store: Any) -> Any:
    return search.queries(store, [query.text for query in QUERIES])


def _ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.chunk.id for hit in hits]


def is_exact(search: Search, store: Any) -> None:
    """Search {word} finds the k best rows with their exact scores. A store whose search approximates declares this one."""
    rows = put(store, chunks())
    if search.output is None:
        _require_words(store, rows)
        return
    queries = _kit_queries(search, store)
    kind = store.dense_kind if search.output == "dense" else ScoreKind("inner product")
    for number, found in enumerate(search.find(store, queries, k=5)):
        scores = {row.chunk.id: _score(search.output, kind, queries, number, row, store) for row in rows}
        if search.output == "sparse":
            scores = {name: score for name, score in scores.items() if score > 0}
        best = sorted(scores.values(), reverse=True)[:5]
        require(
            len(found) == len(best),
            store,
            f"finds {len(found)} rows for query {number} in {search.name}, where {len(best)} are to be found",
            "the k best of the rows that match, all of them where there are fewer",
        )
        for place, (hit, score) in enumerate(zip(found, best, strict=True)):
            exact = scores.get(hit.chunk.id, float("nan"))
            near = abs(hit.score - exact) <= TOLERANCE * max(1, abs(exact)) and abs(exact - score) <= TOLERANCE * max(
                1, abs(score)
            )
            require(
                near,
                store,
                f"gives place {place + 1} of query {number} in {search.name} the score {hit.score:.6f}; the row's {kind} is "
                f"{exact:.6f} and the place's {score:.6f}",
                "return mathematical scores, and search exactly or declare that it approximates",
            )


def _require_words(store: Any, rows: Sequence[Row]) -> None:
    for word in ("zeppelin", "marmalade", "volcano", "harbour"):
        expected = sorted(row.chunk.id for row in rows if word in row.chunk.text)
        (found,) = store.search_text([word], k=ALL, where=None)
        require(
            sorted(_ids(found)) == expected,
            store,
            f"finds {len(found)} rows for the word {word!r}, which {len(expected)} rows have",
            "find exactly the rows that share a term with the query",
        )
        told = store.matching_terms(word, _ids(found))
        require(
            len(told) == len(found) and all(told),
            store,
            f"names the matching terms {told} of the rows with {word!r}",
            "matching_terms() gives the terms of the query that each row has, as the index spells them",
        )
    kind = store.text_kind
    require(
        isinstance(kind, ScoreKind) and bool(kind.name), store, f"has the text_kind {kind!r}", 'ScoreKind("bm25", ...)'
    )


def _score(output: str, kind: ScoreKind, queries: Any, number: int, row: Row, store: Any) -> float:
    if output == "multi":
        assert row.multi is not None
        query = np.asarray(queries[number], np.float64)
        return float((query @ row.multi.astype(np.float64).T).max(axis=1).sum()) if len(row.multi) else float("-inf")
    if output == "sparse":
        assert row.sparse is not None
        one = _rows(queries, [number])
        weights = dict(zip(one.indices.tolist(), one.values.tolist(), strict=True))
        return float(sum(v * weights.get(i, 0.0) for i, v in zip(*(part.tolist() for part in row.sparse), strict=True)))
    assert row.dense is not None
    query, vector = np.asarray(queries[number], np.float64), row.dense.astype(np.float64)
    if kind.name == "cosine":
        return float(query @ vector / (np.linalg.norm(query) * np.linalg.norm(vector)))
    if kind.name == "inner product":
        return float(query @ vector)
    require(
        "distance" in kind.name,
        store,
        f"has the dense_kind {kind.name!r}",
        'ScoreKind("cosine"), ("inner product") or ("negated squared distance")',
    )
    return -float(((query - vector) ** 2).sum())


def gives_whole_chunks(search: Search, store: Any) -> None:
    """Hits of search {word} hold the chunk as it was put."""
    rows = {row.chunk.id: row.chunk for row in put(store, chunks())}
    for found in search.find(store, _kit_queries(search, store), k=3):
        for hit in found:
            differs = difference(rows.get(hit.chunk.id), hit.chunk, "chunk")
            require(
                not differs,
                store,
                f"gives another chunk in {search.name} than was put: {differs}",
                "return text, span, context, parent, made_of and metadata",
            )


def obeys_filters(search: Search, store: Any) -> None:
    """Search {word} with a filter finds what it finds without, less what `hookrag.filters.matches` refuses."""
    put(store, chunks())
    queries = _kit_queries(search, store)
    everything = search.find(store, queries)
    for text, where in filters((*FILTERS, *EDGE_FILTERS)):
        few = search.find(store, queries, k=2, where=where)
        for number, (found, unfiltered) in enumerate(
            zip(search.find(store, queries, where=where), everything, strict=True)
        ):
            expected = {hit.chunk.id for hit in unfiltered if matches(where, hit.chunk.metadata)}
            require(
                set(_ids(found)) == expected,
                store,
                f"finds {len(found)} rows for query {number} in {search.name} with the filter {text}, "
                f"where {len(expected)} match",
                "apply the filter as hookrag.filters.matches defines it",
            )
            require(
                len(few[number]) == min(2, len(expected)),
                store,
                f"finds {len(few[number])} rows at k = 2 in {search.name} with the filter {text}, where {len(expected)} match",
                "filter before taking the k best, not after",
            )


def keeps_the_smaller_k(search: Search, store: Any) -> None:
    """Search {word} gives at k = 2 the first two of k = 5, at k above the number of rows all it can find, at k = 0 none."""
    rows = put(store, chunks())
    queries = _kit_queries(search, store)
    two, five, more = (search.find(store, queries, k=k) for k in (2, 5, len(rows) + 50))
    for number in range(len(two)):
        prefix = [(hit.chunk.id, round(hit.score, 4)) for hit in two[number]]
        longer = [(hit.chunk.id, round(hit.score, 4)) for hit in five[number][:2]]
        require(
            prefix == longer,
            store,
            f"begins query {number} in {search.name} otherwise at k = 2 than at k = 5",
            "a smaller k cuts the same order",
        )
        require(
            len(more[number]) >= len(five[number]),
            store,
            f"finds fewer rows in {search.name} at k = {len(rows) + 50} than at k = 5",
            "k may exceed the number of rows",
        )
    if search.output in ("dense", "multi"):
        require(
            len(more[0]) == len(rows),
            store,
            f"finds {len(more[0])} of {len(rows)} rows in {search.name} with k = {len(rows) + 50}",
            "every row has a score, and k may exceed their number",
        )
    none = search.find(store, queries, k=0)
    require(not any(none), store, f"finds rows in {search.name} at k = 0", "nothing at k = 0")


def cuts_ties_by_id(search: Search, store: Any) -> None:
    """Of rows with equal scores search {word} keeps the lowest chunk ids. A server that cannot declares this one."""
    same = [Document(f"same/{i}", "The same words in every document.") for i in range(9)]
    rows = put(store, chunks([*same, *(Document(f"x/{i}", f"Volcano {i}") for i in range(3))]))
    expected = sorted(row.chunk.id for row in rows if row.chunk.document_id.startswith("same"))[:4]
    (found,) = search.find(store, search.queries(store, ["the same words in every document"]), k=4)
    require(
        _ids(found) == expected,
        store,
        f"does not keep the lowest ids of 9 rows with equal scores in {search.name}",
        "order by score, then by chunk id, before cutting to k: hookrag.best()",
    )


def answers_each_query_alone(search: Search, store: Any) -> None:
    """Search {word} finds the same for a query alone, in a batch, and from eight threads."""
    put(store, chunks())
    queries = _kit_queries(search, store)
    together = search.find(store, queries, k=5)
    for number in range(len(together)):
        (alone,) = search.find(store, _rows(queries, [number]), k=5)
        differs = difference(alone, together[number], "hits")
        require(
            not differs, store, f"finds other rows for a query alone: {differs}", "queries do not influence each other"
        )
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: search.find(store, queries, k=5), range(24)):
            differs = difference(together, found, "hits")
            require(
                not differs,
                store,
                f"finds other rows when 8 threads search: {differs}",
                "guard what is shared, or write `max_concurrency = 1` in the class",
            )


def works_on_an_empty_store(search: Search, store: Any) -> None:
    """Search {word} finds nothing in an empty store, before and after rows were in it."""
    queries = _kit_queries(search, store)
    for when in ("is new", "was emptied"):
        found = search.find(store, queries, k=5)
        require(
            found == [[] for _ in QUERIES],
            store,
            f"finds rows in {search.name} when it {when}",
            "an empty list for each query",
        )
        if when == "is new":
            rows = put(store, chunks())
            store.drop([row.chunk.id for row in rows], version=2)
            store.sync()


def sees_what_was_synced(search: Search, store: Any) -> None:
    """Search {word} finds a row once `sync` returned, and does not once its drop was synced."""
    first = put(store, chunks()[:6])
    queries = _kit_queries(search, store)
    search.find(store, queries)
    second = put(store, chunks()[6:], version=2)
    query = search.queries(store, ["Ash of the volcano fell on the harbour"])
    wanted = next(row.chunk.id for row in second if row.chunk.document_id == "volcano")
    (found,) = search.find(store, query)
    require(
        wanted in _ids(found),
        store,
        f"does not find a new row in {search.name} after sync()",
        "sync() returns once what was put is searchable",
    )
    store.drop([wanted, first[0].chunk.id], version=3)
    store.sync()
    for hits in search.find(store, queries) + search.find(store, query):
        require(
            not {wanted, first[0].chunk.id} & set(_ids(hits)),
            store,
            f"finds a dropped row in {search.name} after sync()",
            "sync() returns once drops are visible to searches",
        )


def takes_odd_queries(search: Search, store: Any) -> None:
    """Search {word} answers an empty query, unseen words, and texts with quotes, operators and NUL."""
    put(store, chunks())
    texts = [
        "",
        " ",
        UNSEEN,
        "\x00",
        '"zeppelin" AND (x OR',
        "* ? ~ ^ : \\ / [a TO b]",
        "' OR 1=1 --",
        "文" * 50,
        "a" * 5_000,
    ]
    found = search.find(store, search.queries(store, texts), k=5)
    if search.output is None:
        blank = [len(found[i]) for i in (0, 1, 2)]
        require(
            blank == [0, 0, 0],
            store,
            f"finds {blank} rows for an empty text, a space and unseen words",
            "only rows that share a term with the query",
        )


_PROMISES: tuple[Callable[[Search, Any], None], ...] = (
    is_exact,
    gives_whole_chunks,
    obeys_filters,
    keeps_the_smaller_k,
    cuts_ties_by_id,
    answers_each_query_alone,
    works_on_an_empty_store,
    sees_what_was_synced,
    takes_odd_queries,
)


def _check(search: Search, promise: Callable[[Search, Any], None]) -> Check:
    def check(make: Make) -> str | None:
        with opened("store", make) as store:
            absent = search.absent(store)
            if not absent:
                promise(search, store)
        return absent or None

    check.__name__ = check.__qualname__ = f"check_{search.name}_{promise.__name__}"
    check.__doc__ = (promise.__doc__ or "").format(word=search.word)
    return check


SEARCH_CHECKS: tuple[Check, ...] = tuple(_check(search, promise) for search in SEARCHES for promise in _PROMISES)
