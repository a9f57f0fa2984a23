"""What every operation promises, checked on its result: a bad component is named where it breaks its word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress, count, islice, pairwise
from math import isfinite
from operator import eq
from typing import Any, NoReturn

from hookrag.errors import ContractError
from hookrag.filters import Filter, matches, render
from hookrag.protocols import Call
from hookrag.runtime.request import current
from hookrag.values import Answer, Chunk, Completion, Hit, Ranking, Vectors


def broken(call: Call, what: str, todo: str = "") -> NoReturn:
    advice = f": {todo}" if todo else ""
    raise ContractError(f"{call.step} (use = {call.step.use!r}) {what}{advice}")


def anything(call: Call, result: Any) -> None:
    """No promise about the result."""


def _length(call: Call, result: Any, expected: int, what: str, items: str) -> None:
    if not isinstance(result, Sequence) or isinstance(result, str):
        broken(
            call,
            f"returned {type(result).__name__} from {call.operation}()",
            f"a list with one {what} for each of the {items}",
        )
    if len(result) != expected:
        broken(call, f"returned {len(result)} for {expected} {items}", f"one {what} each, in their order")


def chunk(call: Call, result: Any) -> None:
    """A list of chunks for each document; each text is its span of the document, or the chunk names its sources."""
    _length(call, result, len(call.items), "list of chunks", "documents")
    for document, chunks in zip(call.items, result, strict=True):
        ids = set()
        for made in chunks:
            if not isinstance(made, Chunk):
                broken(
                    call,
                    f"returned {type(made).__name__} among the chunks of document {document.id!r}",
                    "make them with chunk_of()",
                )
            if made.document_id != document.id:
                broken(
                    call,
                    f"returned a chunk of document {made.document_id!r} for document {document.id!r}",
                    "use chunk_of()",
                )
            if not made.sources and made.text != document.text[made.start : made.end]:
                broken(
                    call,
                    f"returned a chunk of document {document.id!r} whose text is not its span {made.start}:{made.end}",
                    "a chunk is an exact span of its document; use chunk_of()",
                )
            if made.id in ids:
                broken(
                    call,
                    f"returned the chunk {made.start}:{made.end} of document {document.id!r} twice",
                    "drop the copy",
                )
            ids.add(made.id)


def embed(call: Call, result: Any) -> None:
    """Exactly the outputs asked for, one vector a text, float32, finite."""
    import numpy as np

    n = len(call.items)
    if not isinstance(result, Vectors):
        broken(call, f"returned {type(result).__name__} from embed()", "a hookrag.Vectors")
    wanted = set(call.options["outputs"])
    given = {name for name in ("dense", "sparse", "multi") if getattr(result, name) is not None}
    if given != wanted:
        broken(call, f"returned the outputs {sorted(given)}", f"exactly {sorted(wanted)} were asked for")
    if result.dense is not None:
        dense = result.dense
        if dense.ndim != 2 or len(dense) != n or dense.dtype != np.float32:
            broken(
                call, f"returned dense vectors {dense.dtype}{list(dense.shape)} for {n} texts", f"float32[{n}, width]"
            )
        if not np.isfinite(dense).all():
            broken(
                call, f"returned a dense vector that is not finite (text {_bad_row(dense)})", "no NaN and no infinity"
            )
    if result.sparse is not None:
        sparse = result.sparse
        if len(sparse) != n or sparse.values.dtype != np.float32 or not np.isfinite(sparse.values).all():
            broken(
                call,
                f"returned {len(sparse)} sparse rows of {sparse.values.dtype} for {n} texts",
                "finite float32, one row each",
            )
    if result.multi is not None:
        if len(result.multi) != n:
            broken(
                call, f"returned {len(result.multi)} token matrices for {n} texts", "one float32[tokens, width] each"
            )
        for row in result.multi:
            if row.ndim != 2 or row.dtype != np.float32 or not np.isfinite(row).all():
                broken(call, f"returned a token matrix {row.dtype}{list(row.shape)}", "finite float32[tokens, width]")


def _bad_row(dense: Any) -> int:
    import numpy as np

    return int(np.flatnonzero(~np.isfinite(dense).all(axis=1))[0])


def hits(call: Call, found: Sequence[Hit], k: int, what: str) -> None:
    """At most k hits, none twice, finite scores that descend, equal scores by chunk id."""
    try:
        scores = [hit.score for hit in found]
    except (AttributeError, TypeError):
        broken(call, f"returned something other than hits for {what}", "a list of hookrag.Hit")
    if len(found) > k:
        broken(call, f"returned {len(found)} hits for {what}", f"at most k = {k}")
    # Sums, sorts and maps run in C, and equal scores are few: this runs twice for each list of a thousand.
    ordered = isfinite(sum(scores)) and sorted(scores, reverse=True) == scores
    if ordered:
        tied = compress(count(), map(eq, scores, islice(scores, 1, None)))
        ordered = all(found[place].chunk.id <= found[place + 1].chunk.id for place in tied)
    if len({hit.chunk.id for hit in found}) != len(found):
        broken(call, f"returned a chunk twice for {what}", "each chunk at most once")
    if not ordered:
        _check_order(call, found, what)


def _check_order(call: Call, found: Sequence[Hit], what: str) -> None:
    """What is wrong with the scores; nothing where they are so large that only their sum is infinite."""
    for hit in found:
        if not isfinite(hit.score):
            broken(call, f"returned the score {hit.score} for {what}", "scores are finite numbers")
    wrong = [(a, b) for a, b in pairwise(found) if (-a.score, a.chunk.id) > (-b.score, b.chunk.id)]
    if not wrong:
        return
    one, two = wrong[0]
    broken(
        call,
        f"returned hits out of order for {what}: {one.score:g} ({one.chunk.id}) before {two.score:g} ({two.chunk.id})",
        "order by score, highest first, then by chunk id; hookrag.best() does",
    )


def within(call: Call, chunks: Iterable[Chunk], where: Filter | None, what: str) -> None:
    """Every chunk matches the filter and the request's scope."""
    for limit, name in ((current().scope, "scope"), (where, "filter")):
        if limit is None:
            continue
        for one in chunks:
            if not matches(limit, one.metadata):
                broken(
                    call,
                    f"returned a chunk of document {one.document_id!r} for {what} outside its {name} {render(limit)}",
                )


def rankings(call: Call, result: Any) -> None:
    """One ranking a query, in order, each within k and the query's filter."""
    _length(call, result, len(call.items), "ranking", "queries")
    k, scope = call.options["k"], current().scope
    for query, ranking in zip(call.items, result, strict=True):
        what = f"query {query.id!r}"
        _ranking(call, ranking, query.id, k, what)
        if ranking.query.where is not query.where and ranking.query.where != query.where:
            broken(call, f"returned {what} with another filter", "give back the query that came in")
        if query.where is not None or scope is not None:
            within(call, [hit.chunk for hit in ranking.hits], query.where, what)


def _ranking(call: Call, ranking: Any, query_id: str, k: int, what: str) -> None:
    if not isinstance(ranking, Ranking):
        broken(call, f"returned {type(ranking).__name__} for {what}", "a hookrag.Ranking")
    if ranking.query.id != query_id:
        broken(call, f"returned the ranking of query {ranking.query.id!r} in the place of {what}", "keep the order")
    hits(call, ranking.hits, k, what)


def reranked(call: Call, result: Any) -> None:
    """One ranking a ranking, each a subset of what came in."""
    _length(call, result, len(call.items), "ranking", "rankings")
    for given, ranking in zip(call.items, result, strict=True):
        what = f"query {given.query.id!r}"
        _ranking(call, ranking, given.query.id, call.options["k"], what)
        _subset(call, ranking, {hit.chunk.id for hit in given.hits}, what)


def fused(call: Call, result: Any) -> None:
    """One ranking a query, made of the hits that came in."""
    legs = call.items
    _length(call, result, len(legs[0]) if legs else 0, "ranking", "queries")
    for index, ranking in enumerate(result):
        query = legs[0][index].query
        what = f"query {query.id!r}"
        _ranking(call, ranking, query.id, call.options["k"], what)
        _subset(call, ranking, {hit.chunk.id for leg in legs for hit in leg[index].hits}, what)


def _subset(call: Call, ranking: Ranking, allowed: set[str], what: str) -> None:
    for hit in ranking.hits:
        if hit.chunk.id not in allowed:
            broken(
                call, f"returned the chunk {hit.chunk.id} for {what}, which it was not given", "only hits that came in"
            )


def searched(call: Call, result: Any) -> None:
    """A list of hits for each query vector or text, each within k and the filter."""
    _length(call, result, len(call.items), "list of hits", "queries")
    where = call.options["where"]
    for index, found in enumerate(result):
        what = f"query {index}"
        hits(call, found, call.options["k"], what)
        if where is not None:
            for hit in found:
                if not matches(where, hit.chunk.metadata):
                    broken(
                        call,
                        f"returned a chunk of document {hit.chunk.document_id!r} outside the filter {render(where)}",
                    )


def fetched(call: Call, result: Any) -> None:
    """A row or None for each id, in order."""
    _length(call, result, len(call.items), "row", "ids")
    for wanted, row in zip(call.items, result, strict=True):
        if row is not None and row.chunk.id != wanted:
            broken(
                call,
                f"returned the row {row.chunk.id} for the id {wanted}",
                "keep the order, None where there is no row",
            )


def completions(call: Call, result: Any) -> None:
    """n completions of each prompt."""
    _length(call, result, len(call.items), "list of completions", "prompts")
    n = call.options.get("n", 1)
    for index, made in enumerate(result):
        if len(made) != n or not all(isinstance(one, Completion) for one in made):
            broken(call, f"returned {len(made)} completions of prompt {index}", f"{n} hookrag.Completion")


def counts(call: Call, result: Any) -> None:
    """One number a text."""
    _length(call, result, len(call.items), "count", "texts")


def answers(call: Call, result: Any) -> None:
    """One answer a ranking; citations lie in the text and name chunks of the answer's context; the filter holds."""
    _length(call, result, len(call.items), "answer", "rankings")
    for ranking, answer in zip(call.items, result, strict=True):
        what = f"query {ranking.query.id!r}"
        if not isinstance(answer, Answer):
            broken(call, f"returned {type(answer).__name__} for {what}", "a hookrag.Answer")
        if answer.query.id != ranking.query.id:
            broken(call, f"returned the answer to query {answer.query.id!r} in the place of {what}", "keep the order")
        context = {hit.chunk.id: hit.chunk for hit in answer.context}
        for citation in answer.citations:
            if not 0 <= citation.start <= citation.end <= len(answer.text):
                broken(
                    call,
                    f"cites the span {citation.start}:{citation.end} of an answer of {len(answer.text)} characters",
                )
            if citation.chunk.id not in context:
                broken(
                    call, f"cites the chunk {citation.chunk.id}, which is not in the answer's context", "list it there"
                )
            if citation.status == "exact" and citation.quote and citation.quote not in citation.chunk.text:
                broken(call, f"calls the quote {citation.quote[:60]!r} exact, which its chunk does not contain")
        within(call, context.values(), ranking.query.where, what)
