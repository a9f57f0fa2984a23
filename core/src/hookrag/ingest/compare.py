"""Rows as a store gives them back, compared with what the journal remembers of them and with their texts embedded again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Literal

from hookrag.ingest.failures import bisected, refuses_text
from hookrag.ingest.items import number64
from hookrag.ingest.journal import Journal
from hookrag.ingest.rows import check_of
from hookrag.ingest.stores import Stores, attempt
from hookrag.ingest.target import Target
from hookrag.values import Output, Row, Vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ROWS = 500

SAME = 0.9999
"""The cosine from which a text embedded again has the vector that is stored.

Neighbours in a batch, threads and another processor move float32 vectors by about 1e-6, hosted models by about 1e-5;
another text, another prefix, or int8 weights in place of float32 move them by more than 1e-3.
"""

Finding = Literal["missing", "wrong", "damaged", "drifted", "inexact"]
LIVE = """
SELECT r.chunk, d.id, r."check", r.input FROM placed p JOIN row r USING (document, store, v) JOIN document d ON d.n = p.document
WHERE p.store = ?
"""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the journal remembers of a live row; an `input` of 0 is not known."""

    chunk: str
    document: str
    check: int
    input: int


@dataclass(frozen=True, slots=True)
class Compared:
    """What was found of the rows of a page that are not as they should be, and how many gave their check bit by bit."""

    findings: list[tuple[Expected, Finding]]
    exact: int


def live_pages(journal: Journal, store: int, sample: int | None) -> Iterator[list[Expected]]:
    """The live rows of a store in pages: all of them, or so many at random."""
    sql, bound = (LIVE, [store]) if sample is None else (f"{LIVE} ORDER BY random() LIMIT ?", [store, sample])
    with closing(journal.db.execute(sql, bound)) as found:
        while page := list(islice(found, ROWS)):
            yield [Expected(*row) for row in page]


def compare(
    stores: Stores, target: Target, page: Sequence[Expected], owner: str, *, embed: bool, patience: float
) -> Compared:
    """What is wrong with the rows of a page.

    `missing`: there is none, or one of another owner; `wrong`: of another document, or with another check than the journal's;
    `damaged`: text or vectors are not those that were sent; `drifted`: the vectors are, but the embedder gives others today;
    `inexact`: they do not give the check, but are what the embedder gives, or it was not asked. Vectors that the store does
    not keep as they were sent are not compared.
    """
    whole = target.keeps_vectors == "exact" or not target.embed_key
    rows = stores.fetch(target, [one.chunk for one in page])
    findings: list[tuple[Expected, Finding]] = []
    sound: list[tuple[Expected, Row]] = []
    for one, row in zip(page, rows, strict=True):
        finding = _kept(target, one, row, owner)
        if row is None or finding:
            findings.append((one, finding or "missing"))
        else:
            sound.append((one, row))
    drifted = _drifted(target, [row for _, row in sound], patience) if embed and whole else set()
    count = 0
    for one, row in sound:
        exact = not whole or check_of(row.chunk, row.dense, row.sparse, row.multi) == row.check
        count += exact
        if one.chunk in drifted:
            findings.append((one, "drifted" if exact else "damaged"))
        elif not exact:
            findings.append((one, "inexact" if target.embed_key else "damaged"))
    return Compared(findings, count)


def _kept(target: Target, one: Expected, row: Row | None, owner: str) -> Finding | None:
    """What is wrong with everything of a row but its vectors."""
    # A row of that id but of another owner is not ours to delete.
    if row is None or row.owner != owner:
        return "missing"
    chunk = row.chunk
    if row.check != one.check or chunk.document_id != one.document or chunk.id != one.chunk:
        return "wrong"
    if one.input and number64(chunk.input) != one.input:
        return "damaged"
    if not chunk.made_of and len(chunk.text) != chunk.end - chunk.start:
        return "damaged"
    lost = target.keeps_vectors != "none" and any(getattr(row, output) is None for output in target.embed_key)
    return "damaged" if lost else None


def _drifted(target: Target, rows: Sequence[Row], patience: float) -> set[str]:
    """The ids of the rows whose texts are given other vectors now than are stored."""
    groups: dict[str, list[Output]] = {}
    for output, key in target.embed_key.items():
        groups.setdefault(key, []).append(output)
    drifted: set[str] = set()
    for outputs in groups.values():
        for some, made in bisected(rows, partial(_embed, target, outputs, patience), refuses_text):
            for index, row in enumerate(some):
                if isinstance(made, Exception) or not all(_same(row, made, index, output) for output in outputs):
                    drifted.add(row.chunk.id)
    return drifted


def _embed(target: Target, outputs: Sequence[Output], patience: float, rows: Sequence[Row]) -> Vectors:
    embedder, texts = target.store.embedders[outputs[0]], [row.chunk.input for row in rows]
    what = f"an embedder of {target} failed"
    return attempt(what, lambda: embedder.embed(texts, role="document", outputs=outputs), refuses_text, patience)


def _same(row: Row, made: Vectors, index: int, output: Output) -> bool:
    if output == "dense" and row.dense is not None and made.dense is not None:
        return alike(row.dense, made.dense[index])
    if output == "multi" and row.multi is not None and made.multi is not None:
        return alike(row.multi, made.multi[index])
    if output == "sparse" and row.sparse is not None and made.sparse is not None:
        begin, end = made.sparse.indptr[index], made.sparse.indptr[index + 1]
        return alike_sparse(row.sparse, (made.sparse.indices[begin:end], made.sparse.values[begin:end]))
    return False


def alike(stored: NDArray[np.float32], made: NDArray[np.float32]) -> bool:
    """Whether two vectors, or the vectors of two lists of tokens, have the same shape and a cosine of at least `SAME`.

    cos(a, b) = a.b / (|a| |b|) in float64, over all numbers of all tokens; two that are zero are the same.

    >>> import numpy as np
    >>> one = np.array([3, 4], np.float32)
    >>> alike(one, one * 2), alike(one, np.array([4, 3], np.float32))
    (True, False)
    """
    import numpy as np

    if stored.shape != made.shape:
        return False
    return _cosine(np.asarray(stored, np.float64).ravel(), np.asarray(made, np.float64).ravel()) >= SAME


def alike_sparse(
    stored: tuple[NDArray[np.int32], NDArray[np.float32]], made: tuple[NDArray[np.int32], NDArray[np.float32]]
) -> bool:
    """Whether two sparse vectors, as (indices, values), have a cosine of at least `SAME`."""
    import numpy as np

    dimensions = np.union1d(stored[0], made[0])
    both = np.zeros((2, len(dimensions)))
    for line, (indices, values) in zip(both, (stored, made), strict=True):
        line[np.searchsorted(dimensions, indices)] = values
    return _cosine(both[0], both[1]) >= SAME


def _cosine(one: Floats, other: Floats) -> float:
    import numpy as np

    lengths = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if 0.0 in lengths:
        return 1.0 if lengths == (0.0, 0.0) else 0.0
    return float(one @ other) / (lengths[0] * lengths[1])
