"""What a store promises to ingest: rows that are kept, dropped, told and found again.

Its card is in `_store_card`, its searches are in `_store_search`.

`make(folder)` gives a store whose rows lie under that folder (or in a collection of a server named after `folder.name`), with a
chunker and with an embedder for each search that the store has. Called again with the same folder, it gives the same store.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hookrag.chunks import chunk_of, derived
from hookrag.filters import matches
from hookrag.testing._kit import Check, Make, difference, opened, require, temporary_folder
from hookrag.testing._store_card import CARD_CHECKS
from hookrag.testing._store_search import SEARCH_CHECKS
from hookrag.testing.general import Trial, general_checks
from hookrag.testing.samples import EDGE_FILTERS, FILTERS, chunks, documents, filters, odd_chunks, put, rows_of
from hookrag.values import Chunk, Document, Row

OUTPUTS = ("dense", "sparse", "multi")


def _keys(store: Any) -> Counter[str]:
    return Counter(key.chunk_id for page in store.scan() for key in page)


def _require_same_row(store: Any, kept: Row | None, row: Row, when: str, *, vectors: bool = False) -> None:
    keeps = getattr(store.instance.component, "keeps_vectors", "exact")
    if kept is None:
        require(False, store, f"does not have a row {when}", "keep every row that put() did not refuse")
        return
    if vectors and keeps != "exact":
        _require_vectors_as_said(store, kept, row, keeps)
        kept, vectors = replace(kept, dense=None, sparse=None, multi=None), False
    wanted = row if vectors else replace(row, dense=None, sparse=None, multi=None)
    differs = difference(wanted, kept, "row")
    require(
        not differs,
        store,
        f"gives another row {when} than was put: {differs}",
        "keep all fields as they are, and return them",
    )


def _require_vectors_as_said(store: Any, kept: Row, row: Row, keeps: str) -> None:
    for output in OUTPUTS:
        given, back = getattr(row, output), getattr(kept, output)
        if given is None or keeps == "none":
            what = f"gives {output} vectors back and says keeps_vectors = {keeps!r}"
            require(back is None, store, what, 'say "exact" or "lossy", or give None')
        else:
            alike = back is not None and (output == "sparse" or back.shape == given.shape)
            what = f'gives {output} vectors of another shape, or none, and says keeps_vectors = "lossy"'
            require(alike, store, what, 'give what is kept of them, or say "none"')


def check_rows_survive_reopening(make: Make) -> str | None:
    """A store that is opened again in the same place has all rows that were put and none that were dropped."""
    with temporary_folder() as folder:
        with opened("store", make, folder) as store:
            rows = put(store, chunks())
            store.drop([rows[0].chunk.id], version=2)
            store.sync()
        with opened("store", make, folder) as store:
            found = store.fetch([row.chunk.id for row in rows], vectors=True)
            require(
                found[0] is None, store, "has a dropped row after it is opened again", "sync() makes drops durable too"
            )
            for kept, row in zip(found[1:], rows[1:], strict=True):
                _require_same_row(store, kept, row, "after it is opened again", vectors=True)
            require(
                store.count() == len(rows) - 1,
                store,
                f"counts {store.count()} of {len(rows) - 1} rows after it is opened again",
                "count() agrees with scan()",
            )
    return None


def check_rows_are_fetched_whole(make: Make) -> str | None:
    """`fetch` gives rows as they were put, in the order asked for, None where there is none, repeated where repeated."""
    with opened("store", make) as store:
        rows = put(store, [*chunks(), *_families()])
        asked = [rows[3], rows[0], None, rows[-1], rows[-2], rows[3]]
        found = store.fetch([row.chunk.id if row else "0" * 32 for row in asked])
        for kept, row in zip(found, asked, strict=True):
            if row is None:
                require(kept is None, store, "gives a row for an unknown id", "None where there is no row")
            else:
                _require_same_row(store, kept, row, "from fetch()")
        require(store.fetch([]) == [], store, "gives rows for no ids", "an empty list for an empty list")
    return None


def _families() -> list[Chunk]:
    document = documents()[0]
    parent = chunk_of(document, 0, len(document.text), level="parent")
    child = chunk_of(document, 0, 30, level="child", parent=parent.id, context="About fusion > first")
    return [parent, child, derived(document.id, "A summary.", made_of=[parent.id, child.id], level="summary")]


def check_fetch_gives_vectors_when_asked(make: Make) -> str | None:
    """`fetch(vectors=True)` gives the vectors as they were put, `fetch()` none."""
    with opened("store", make) as store:
        rows = put(store, chunks())
        for kept, row in zip(store.fetch([row.chunk.id for row in rows], vectors=True), rows, strict=True):
            _require_same_row(store, kept, row, "from fetch(vectors=True)", vectors=True)
        (bare,) = store.fetch([rows[0].chunk.id])
        given = [output for output in OUTPUTS if getattr(bare, output) is not None]
        require(not given, store, f"gives {given} vectors unasked", "None for vectors unless fetch(..., vectors=True)")
    return None


def check_put_is_idempotent(make: Make) -> str | None:
    """A row that is there already is put again with success and is there once."""
    with opened("store", make) as store:
        rows = put(store, chunks())
        for version in (1, 2):
            refused = store.put(rows[:5], version=version)
            store.sync()
            require(
                not refused, store, f"refuses a row that it has: {refused}", "a row that is there already is a success"
            )
        require(
            store.count() == len(rows) and _keys(store) == Counter(row.chunk.id for row in rows),
            store,
            f"has {store.count()} rows after {len(rows)} were put twice",
            "insert by chunk id, once",
        )
    return None


def check_put_of_nothing_is_taken(make: Make) -> str | None:
    """Putting and dropping nothing does nothing, also in an empty store."""
    with opened("store", make) as store:
        require(store.put([], version=1) == {}, store, "refuses something of nothing", "return {} for an empty list")
        store.drop([], version=1)
        store.sync()
        require(store.count() == 0, store, f"counts {store.count()} rows of none", "count() is 0 in an empty store")
        require(not _keys(store), store, "scans rows of none", "scan() gives no keys in an empty store")
        require(store.fetch(["0" * 32]) == [None], store, "fetches a row of none", "None for an unknown id")
    return None


def check_dropped_rows_are_gone(make: Make) -> str | None:
    """A dropped row is in no count, scan or fetch; dropping it again or an unknown id is a success; the others stay."""
    with opened("store", make) as store:
        rows = put(store, chunks())
        gone, kept = rows[:4], rows[4:]
        for version in (2, 3):
            store.drop([*(row.chunk.id for row in gone), "f" * 32], version=version)
            store.sync()
        require(
            _keys(store) == Counter(row.chunk.id for row in kept),
            store,
            f"scans {sum(_keys(store).values())} rows where {len(kept)} are left",
            "drop() deletes exactly the ids it gets; sync() makes it visible",
        )
        require(
            store.fetch([gone[0].chunk.id, kept[0].chunk.id])[0] is None,
            store,
            "fetches a dropped row",
            "None once it is dropped",
        )
        require(
            store.count() == len(kept),
            store,
            f"counts {store.count()} of {len(kept)} rows",
            "count() agrees with scan()",
        )
    return None


def check_dropped_rows_can_be_put_again(make: Make) -> str | None:
    """A row that was dropped and is put again with a higher version is there."""
    with opened("store", make) as store:
        rows = put(store, chunks())
        store.drop([row.chunk.id for row in rows[:3]], version=2)
        store.sync()
        again = put(store, [row.chunk for row in rows[:3]], version=3)
        for kept, row in zip(store.fetch([row.chunk.id for row in again]), again, strict=True):
            _require_same_row(store, kept, row, "that was dropped and put again")
        require(
            store.count() == len(rows),
            store,
            f"counts {store.count()} of {len(rows)} rows",
            "forget the drop once put again",
        )
    return None


def check_scan_tells_every_row_once(make: Make) -> str | None:
    """`scan` gives the chunk id, document id, owner and 64-bit check of every row, once, over several pages."""
    with opened("store", make) as store:
        texts = [Document(f"many/{i}", f"Number {i} of many short documents.") for i in range(1_100)]
        made = chunks(texts)
        (like,) = rows_of(store, made[:1])  # one vector for all: an embedder may be slow
        rows = [replace(like, chunk=chunk, owner="journal-2", check=(-1) ** i * i**6) for i, chunk in enumerate(made)]
        require(
            not store.put(rows, version=1), store, "refuses ordinary rows", "take rows that differ in their text alone"
        )
        store.sync()
        pages = list(store.scan())
        told = {key.chunk_id: key for page in pages for key in page}
        require(
            sum(map(len, pages)) == len(told) == len(rows),
            store,
            f"scans {sum(map(len, pages))} keys of {len(told)} rows where there are {len(rows)}",
            "give every row once, whatever the page",
        )
        for row in rows:
            key = told[row.chunk.id]
            same = (key.document_id, key.owner, key.check) == (row.chunk.document_id, row.owner, row.check)
            require(
                same,
                store,
                f"scans {key} where the owner {row.owner!r}, document {row.chunk.document_id!r} and check {row.check} were put",
                "keep them as they are; check is a signed integer of 64 bits",
            )
    return None


def check_odd_rows_are_kept_or_refused(make: Make) -> str | None:
    """Rows with odd texts, document ids, owners and metadata are kept exactly, or refused by id with a reason."""
    with opened("store", make) as store:
        rows = [
            replace(row, owner=owner)
            for row, owner in zip(rows_of(store, odd_chunks()), ["kit", "o'w\"ner", "ü", "kit 🚀"] * 10, strict=False)
        ]
        refused = store.put(rows, version=1)
        store.sync()
        for name, reason in refused.items():
            require(
                name in {row.chunk.id for row in rows} and bool(str(reason).strip()),
                store,
                f"refuses {name!r} with the reason {reason!r}",
                "return {chunk id: why} for rows that it got",
            )
        kept = [row for row in rows if row.chunk.id not in refused]
        for found, row in zip(store.fetch([row.chunk.id for row in kept]), kept, strict=True):
            _require_same_row(store, found, row, f"of document {row.chunk.document_id[:30]!r}")
        require(
            store.count() == len(kept) and _keys(store) == Counter(row.chunk.id for row in kept),
            store,
            f"counts {store.count()} rows where it kept {len(kept)}",
            "a refused row is not there, a kept one once",
        )
    return None


def check_odd_ids_find_nothing(make: Make) -> str | None:
    """Fetching and dropping ids that no row can have finds nothing and leaves the rows alone."""
    with opened("store", make) as store:
        rows = put(store, chunks())
        odd = ["", "*", "%", "' OR 1=1 --", '"] or true', "a" * 3_000, "\x00", "é🚀", "../x", "null", "{}"]
        found = store.fetch(odd)
        require(found == [None] * len(odd), store, "finds rows for ids that none has", "compare ids as whole values")
        store.drop(odd, version=2)
        store.sync()
        require(
            store.count() == len(rows),
            store,
            f"has {store.count()} of {len(rows)} rows after odd ids were dropped",
            "pass ids as parameters, never inside an expression",
        )
    return None


def _require_counts(store: Any, texts: Sequence[str]) -> None:
    rows = put(store, chunks())
    require(store.count() == len(rows), store, f"counts {store.count()} of {len(rows)} rows", "count() counts all rows")
    for text, where in filters(texts):
        expected = sum(matches(where, row.chunk.metadata) for row in rows)
        told = store.count(where)
        require(
            told == expected,
            store,
            f"counts {told} rows for the filter {text}, which {expected} match",
            "translate filters so that they mean what hookrag.filters.matches says",
        )


def check_count_obeys_filters(make: Make) -> str | None:
    """`count(where)` is the number of rows that `hookrag.filters.matches` accepts, for every operator and missing field."""
    with opened("store", make) as store:
        _require_counts(store, FILTERS)
    return None


def check_count_obeys_odd_filters(make: Make) -> str | None:
    """`count(where)` is exact for wildcards, quotes, injections and comparisons across kinds too."""
    with opened("store", make) as store:
        _require_counts(store, EDGE_FILTERS)
    return None


def check_fetched_rows_may_be_kept(make: Make) -> str | None:
    """What was fetched stays as it was, whatever happens to the store afterwards."""
    with opened("store", make) as store:
        rows = put(store, chunks())
        found = store.fetch([row.chunk.id for row in rows], vectors=True)
        before = copy.deepcopy(found)
        store.drop([row.chunk.id for row in rows], version=2)
        store.sync()
        put(store, chunks([Document("other", "Other text.", "", {"lang": "fr"})]), version=3)
    differs = difference(before, found, "rows")
    require(
        not differs, store, f"changes rows that it has given: {differs}", "give copies, not views of its own memory"
    )
    return None


def _prepare(store: Any, folder: Path) -> list[str]:
    rows = put(store, chunks())
    return [*(row.chunk.id for row in rows), "0" * 32]


def _call(store: Any, ids: Sequence[str]) -> Any:
    return store.fetch(ids, vectors=True)


CHECKS: tuple[Check, ...] = (
    *general_checks(Trial("store", _prepare, _call)),
    *CARD_CHECKS,
    check_rows_survive_reopening,
    check_rows_are_fetched_whole,
    check_fetch_gives_vectors_when_asked,
    check_put_is_idempotent,
    check_put_of_nothing_is_taken,
    check_dropped_rows_are_gone,
    check_dropped_rows_can_be_put_again,
    check_scan_tells_every_row_once,
    check_odd_rows_are_kept_or_refused,
    check_odd_ids_find_nothing,
    check_count_obeys_filters,
    check_count_obeys_odd_filters,
    check_fetched_rows_may_be_kept,
    *SEARCH_CHECKS,
)
