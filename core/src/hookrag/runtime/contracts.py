"""What every operation promises, checked on its result: a bad component is named where it breaks its word.

`table.py` says which operation has which.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress, islice, pairwise
from itertools import count as naturals
from math import isfinite
from operator import eq
from typing import Any, NoReturn

from hookrag.errors import ContractError
from hookrag.filters import Filter, matches, render
from hookrag.protocols import Call
from hookrag.runtime.request import current_request
from hookrag.values import Answer, Card, Chunk, Completion, Hit, Identity, Ranking, Vectors


def violation(call: Call, what: str, todo: str = "") -> NoReturn:
    advice = f": {todo}" if todo else ""
    raise ContractError(f"{call.step} (use = {call.step.use!r}) {what}{advice}")


def no_contract(call: Call, result: Any) -> None:
    """No promise about the result."""


def _length(call: Call, result: Any, expected: int, what: str, items: str) -> None:
    if not isinstance(result, Sequence) or isinstance(result, str):
        violation(
            call,
            f"returned {type(result).__name__} from {call.operation}()",
            f"a list with one {what} for each of the {items}",
        )
    if len(result) != expected:
        violation(call, f"returned {len(result)} for {expected} {items}", f"one {what} each, in their order")


def chunk(call: Call, result: Any) -> None:
    """A list of chunks for each document; each text is its span of the document, or the chunk names what it is made of."""
    _length(call, result, len(call.items), "list of chunks", "documents")
    for document, chunks in zip(call.items, result, strict=True):
        ids, it = set(), f"document {document.id!r}"
        for made in chunks:
            if not isinstance(made, Chunk):
                violation(call, f"returned {type(made).__name__} among the chunks of {it}", "make them with chunk_of()")
            if made.document_id != document.id:
                violation(call, f"returned a chunk of document {made.document_id!r} for {it}", "use chunk_of()")
            if not made.made_of and made.text != document.text[made.start : made.end]:
                violation(
                    call,
                    f"returned a chunk of {it} whose text is not its span {made.start}:{made.end}",
                    "a chunk is an exact span of its document; use chunk_of()",
                )
            if made.id in ids:
                violation(call, f"returned the chunk {made.start}:{made.end} of {it} twice", "drop the copy")
            ids.add(made.id)


def embed(call: Call, result: Any) -> None:
    """Exactly the outputs asked for, one vector a text, float32, finite."""
    import numpy as np

    n = len(call.items)
    if not isinstance(result, Vectors):
        violation(call, f"returned {type(result).__name__} from embed()", "a hookrag.Vectors")
    wanted = set(call.options["outputs"])
    given = {name for name in ("dense", "sparse", "multi") if getattr(result, name) is not None}
    if given != wanted:
        violation(call, f"returned the outputs {sorted(given)}", f"exactly {sorted(wanted)} were asked for")
    if result.dense is not None:
        dense = result.dense
        if dense.ndim != 2 or len(dense) != n or dense.dtype != np.float32:
            violation(
                call, f"returned dense vectors {dense.dtype}{list(dense.shape)} for {n} texts", f"float32[{n}, width]"
            )
        if not np.isfinite(dense).all():
            violation(
                call, f"returned a dense vector that is not finite (text {_bad_row(dense)})", "no NaN and no infinity"
            )
    if result.sparse is not None:
        sparse = result.sparse
        if len(sparse) != n or sparse.values.dtype != np.float32 or not np.isfinite(sparse.values).all():
            violation(
                call,
                f"returned {len(sparse)} sparse rows of {sparse.values.dtype} for {n} texts",
                "finite float32, one row each",
            )
    if result.multi is not None:
        if len(result.multi) != n:
            violation(
                call, f"returned {len(result.multi)} token matrices for {n} texts", "one float32[tokens, width] each"
            )
        for row in result.multi:
            if row.ndim != 2 or row.dtype != np.float32 or not np.isfinite(row).all():
                violation(
                    call, f"returned a token matrix {row.dtype}{list(row.shape)}", "finite float32[tokens, width]"
                )


def _bad_row(dense: Any) -> int:
    import numpy as np

    return int(np.flatnonzero(~np.isfinite(dense).all(axis=1))[0])


def hits(call: Call, found: Sequence[Hit], k: int, query: str | int) -> None:
    """At most k hits, none twice, finite scores that descend, equal scores by chunk id."""
    try:
        scores = [hit.score for hit in found]
    except (AttributeError, TypeError):
        violation(call, f"returned something other than hits for query {query!r}", "a list of hookrag.Hit")
    if len(found) > k:
        violation(call, f"returned {len(found)} hits for query {query!r}", f"at most k = {k}")
    # Sums, sorts and maps run in C, and equal scores are few: this runs twice for each list of a thousand.
    ordered = isfinite(sum(scores)) and sorted(scores, reverse=True) == scores
    if ordered:
        tied = compress(naturals(), map(eq, scores, islice(scores, 1, None)))
        ordered = all(found[place].chunk.id <= found[place + 1].chunk.id for place in tied)
    if len({hit.chunk.id for hit in found}) != len(found):
        violation(call, f"returned a chunk twice for query {query!r}", "each chunk at most once")
    if not ordered:
        _check_order(call, found, query)


def _check_order(call: Call, found: Sequence[Hit], query: str | int) -> None:
    """What is wrong with the scores; nothing where they are so large that only their sum is infinite."""
    for hit in found:
        if not isfinite(hit.score):
            violation(call, f"returned the score {hit.score} for query {query!r}", "scores are finite numbers")
    wrong = [(a, b) for a, b in pairwise(found) if (-a.score, a.chunk.id) > (-b.score, b.chunk.id)]
    if not wrong:
        return
    one, two = wrong[0]
    violation(
        call,
        f"returned hits out of order for query {query!r}: {one.score:g} ({one.chunk.id}) before {two.score:g} ({two.chunk.id})",
        "order by score, highest first, then by chunk id; hookrag.best() does",
    )


def within(
    call: Call,
    chunks: Sequence[Chunk],
    where: Filter | None,
    query: str | int,
    outside: Mapping[str, str] | None = None,
) -> None:
    """Every chunk matches the filter and the request's scope, but those from outside of the stores where they are allowed."""
    request = current_request()
    excused = outside if outside and request.outside else {}
    for limit, name in ((request.scope, "scope"), (where, "filter")):
        if limit is not None:
            _matching(call, (chunk for chunk in chunks if chunk.id not in excused), limit, name, query)


def _matching(call: Call, chunks: Iterable[Chunk], limit: Filter, name: str, query: str | int) -> None:
    for chunk in chunks:
        if not matches(limit, chunk.metadata):
            violation(
                call,
                f"returned a chunk of document {chunk.document_id!r} for query {query!r} outside its {name} {render(limit)}",
            )


def retrieve(call: Call, result: Any) -> None:
    """One ranking a query, in order, each within k and the query's filter."""
    _length(call, result, len(call.items), "ranking", "queries")
    k, scope = call.options["k"], current_request().scope
    for query, ranking in zip(call.items, result, strict=True):
        _ranking(call, ranking, query.id, k)
        if ranking.query.where is not query.where and ranking.query.where != query.where:
            violation(call, f"returned query {query.id!r} with another filter", "give back the query that came in")
        if query.where is not None or scope is not None:
            within(call, [hit.chunk for hit in ranking.hits], query.where, query.id, ranking.outside)


def retrieve_outside(call: Call, result: Any) -> None:
    """The same of a retriever whose chunks come from no store, and have no metadata to compare with a filter."""
    _length(call, result, len(call.items), "ranking", "queries")
    for query, ranking in zip(call.items, result, strict=True):
        _ranking(call, ranking, query.id, call.options["k"])


def _ranking(call: Call, ranking: Any, query_id: str, k: int) -> None:
    if not isinstance(ranking, Ranking):
        violation(call, f"returned {type(ranking).__name__} for query {query_id!r}", "a hookrag.Ranking")
    if ranking.query.id != query_id:
        violation(
            call,
            f"returned the ranking of query {ranking.query.id!r} in the place of query {query_id!r}",
            "keep the order",
        )
    hits(call, ranking.hits, k, query_id)
    if ranking.notes:
        _notes(call, ranking.notes, query_id)


def _notes(call: Call, notes: Any, query: str) -> None:
    if not _is_json(notes):
        what = f"returned notes for query {query!r} that JSON cannot hold: {notes!r:.80}"
        violation(call, what, "a dict of JSON values")


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return isinstance(value, Mapping)


def rerank(call: Call, result: Any) -> None:
    """One ranking a ranking, each a subset of what came in."""
    _length(call, result, len(call.items), "ranking", "rankings")
    for given, ranking in zip(call.items, result, strict=True):
        _ranking(call, ranking, given.query.id, call.options["k"])
        _subset(call, ranking, {hit.chunk.id for hit in given.hits})


def fuse(call: Call, result: Any) -> None:
    """One ranking a query, made of the hits that came in."""
    legs = call.items
    _length(call, result, len(legs[0]) if legs else 0, "ranking", "queries")
    for index, ranking in enumerate(result):
        query = legs[0][index].query
        _ranking(call, ranking, query.id, call.options["k"])
        _subset(call, ranking, {hit.chunk.id for leg in legs for hit in leg[index].hits})


def _subset(call: Call, ranking: Ranking, allowed: set[str]) -> None:
    for hit in ranking.hits:
        if hit.chunk.id not in allowed:
            violation(
                call,
                f"returned the chunk {hit.chunk.id} for query {ranking.query.id!r}, which it was not given",
                "only hits that came in",
            )


def search(call: Call, result: Any) -> None:
    """A list of hits for each query vector or text, each within k and the filter."""
    _length(call, result, len(call.items), "list of hits", "queries")
    k, where = call.options["k"], call.options["where"]
    for index, found in enumerate(result):
        hits(call, found, k, index)
        if where is not None:
            _matching(call, (hit.chunk for hit in found), where, "filter", index)


def fetch(call: Call, result: Any) -> None:
    """A row or None for each id, in order."""
    _length(call, result, len(call.items), "row", "ids")
    for wanted, row in zip(call.items, result, strict=True):
        if row is not None and row.chunk.id != wanted:
            violation(
                call,
                f"returned the row {row.chunk.id} for the id {wanted}",
                "keep the order, None where there is no row",
            )


def complete(call: Call, result: Any) -> None:
    """n completions of each prompt."""
    _length(call, result, len(call.items), "list of completions", "prompts")
    n = call.options.get("n", 1)
    for index, made in enumerate(result):
        if len(made) != n or not all(isinstance(one, Completion) for one in made):
            violation(call, f"returned {len(made)} completions of prompt {index}", f"{n} hookrag.Completion")


def count(call: Call, result: Any) -> None:
    """One number a text."""
    _length(call, result, len(call.items), "count", "texts")


def generate(call: Call, result: Any) -> None:
    """One answer a ranking; citations lie in the text and name chunks of the answer's context; the filter holds."""
    _length(call, result, len(call.items), "answer", "rankings")
    for ranking, answer in zip(call.items, result, strict=True):
        query = ranking.query.id
        if not isinstance(answer, Answer):
            violation(call, f"returned {type(answer).__name__} for query {query!r}", "a hookrag.Answer")
        if answer.query.id != ranking.query.id:
            violation(
                call,
                f"returned the answer to query {answer.query.id!r} in the place of query {query!r}",
                "keep the order",
            )
        context = {hit.chunk.id: hit.chunk for hit in answer.context}
        for citation in answer.citations:
            if not 0 <= citation.start <= citation.end <= len(answer.text):
                violation(
                    call,
                    f"cites the span {citation.start}:{citation.end} of an answer of {len(answer.text)} characters",
                )
            if citation.chunk.id not in context:
                violation(
                    call, f"cites the chunk {citation.chunk.id}, which is not in the answer's context", "list it there"
                )
            if citation.status == "exact" and citation.quote and citation.quote not in citation.chunk.text:
                violation(call, f"calls the quote {citation.quote[:60]!r} exact, which its chunk does not contain")
        within(call, list(context.values()), ranking.query.where, query, answer.outside or ranking.outside)
        if answer.notes:
            _notes(call, answer.notes, query)


def identity(call: Call, result: Any) -> None:
    """An Identity."""
    _instance(call, result, Identity)


def json_object(call: Call, result: Any) -> None:
    """A dict that JSON can hold."""
    if not _is_json(result):
        violation(call, f"returned {result!r:.60} from {call.operation}()", "a dict of JSON values")


def card(call: Call, result: Any) -> None:
    """A Card."""
    _instance(call, result, Card)


def number(call: Call, result: Any) -> None:
    """A whole number of at least 0."""
    if isinstance(result, bool) or not isinstance(result, int) or result < 0:
        violation(call, f"returned {result!r:.60} from {call.operation}()", "a whole number of at least 0")


def rejections(call: Call, result: Any) -> None:
    """{chunk id: reason} of some of the rows."""
    if not isinstance(result, Mapping):
        violation(
            call,
            f"returned {type(result).__name__} from {call.operation}()",
            "{chunk id: reason} of the rows that it cannot take, {} where there is none",
        )


def tokens(call: Call, result: Any) -> None:
    """A list of spans for each text."""
    _length(call, result, len(call.items), "list of spans", "texts")


def terms(call: Call, result: Any) -> None:
    """A tuple of terms for each chunk id."""
    _length(call, result, len(call.arguments[1]), "tuple of terms", "chunk ids")


def score(call: Call, result: Any) -> None:
    """Logarithms of probabilities for each prompt."""
    _length(call, result, len(call.items), "tuple of logarithms", "prompts")
    for index, made in enumerate(result):
        if not made or not all(isfinite(one) and one <= _ABOVE for one in made):
            violation(call, f"returned {made!r:.60} for prompt {index}", "ln p of each token, finite and at most 0")


def next_logprobs(call: Call, result: Any) -> None:
    """{token: logarithm of its probability} for each prompt."""
    _length(call, result, len(call.items), "mapping of tokens", "prompts")
    for index, made in enumerate(result):
        if not isinstance(made, Mapping) or not all(one <= _ABOVE for one in made.values()):
            violation(call, f"returned {made!r:.60} for prompt {index}", "{token: ln p}, at most 0 each")


def session(call: Call, result: Any) -> None:
    """A Session."""
    lacking = [name for name in ("next_logprobs", "extend", "close") if not callable(getattr(result, name, None))]
    if lacking:
        violation(
            call, f"returned {type(result).__name__} from session(), without {'(), '.join(lacking)}()", "a Session"
        )


def measure(call: Call, result: Any) -> None:
    """A list of numbers, one a passage, and a number."""
    if not (isinstance(result, tuple) and len(result) == 2 and len(result[0]) == len(call.items)):
        violation(
            call,
            f"returned {result!r:.60} from measure() for {len(call.items)} passages",
            "the tokens of each passage, and those there is room for",
        )


_ABOVE = 1e-6
"""How far above 0 rounding may bring the logarithm of a probability."""


def _instance(call: Call, result: Any, cls: type) -> None:
    if not isinstance(result, cls):
        violation(call, f"returned {type(result).__name__} from {call.operation}()", f"a hookrag.{cls.__name__}")
