"""A full comparison of the stores with the journal."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hookrag.ingest import claims, plans
from hookrag.ingest.calls import Stores
from hookrag.ingest.failures import IngestStopped
from hookrag.ingest.journal import Journal
from hookrag.ingest.report import StoreCheck, VerifyReport
from hookrag.ingest.target import Target
from hookrag.values import Card

EXAMPLES = 5

# What a scan found of ours, on disk rather than in memory: a store may hold many millions of rows.
_FOUND = """
CREATE TABLE scan.found (chunk TEXT PRIMARY KEY, document TEXT NOT NULL, "check" INTEGER NOT NULL) WITHOUT ROWID
"""
_EXPECTED = "FROM placed p JOIN row r USING (document, store, v) JOIN document d ON d.n = p.document WHERE p.store = ?1"
_PENDING = """
(SELECT chunk FROM owed WHERE store = ?1 UNION SELECT chunk FROM planned JOIN row USING (document, store, v) WHERE store = ?1)
"""
_MISSING = f"SELECT r.chunk, d.id {_EXPECTED} AND r.chunk NOT IN (SELECT chunk FROM scan.found)"
_WRONG = f"""
SELECT r.chunk, d.id {_EXPECTED}
AND EXISTS (SELECT 1 FROM scan.found f WHERE f.chunk = r.chunk AND (f."check" <> r."check" OR f.document <> d.id))
"""
_UNEXPECTED = f"""
SELECT f.chunk, f.document FROM scan.found f
WHERE f.chunk NOT IN (SELECT r.chunk {_EXPECTED}) AND f.chunk NOT IN {_PENDING}
"""


@dataclass(frozen=True, slots=True)
class _Scan:
    """How many rows a scan met, of ours, of ours again, and of others; and why it cannot be relied on."""

    rows: int
    doubled: int
    foreign: int
    incomplete: str


def verify(journal: Journal, stores: Stores, *, repair: bool) -> VerifyReport:
    """What each store holds, compared with what it should; with `repair`, made ready for the next run to mend."""
    if repair:
        plans.recover(journal)
    return VerifyReport([_store(journal, stores, target, repair=repair) for target in stores.targets])


def _store(journal: Journal, stores: Stores, target: Target, *, repair: bool) -> StoreCheck:
    card = stores.card(target)
    error = claims.stranger(journal, target, card) or claims.disagreement(journal, target, card)
    strange = claims.stranger(journal, target, card) is not None
    known = journal.store(target.name)
    if known is None and not card.owner:
        return StoreCheck(target.name, rows=target.store.count())
    number = known.n if known else 0
    journal.db.execute("ATTACH DATABASE '' AS scan")
    try:
        journal.db.execute(_FOUND)
        found = _scan(journal, stores, target)
        compared = _compare(journal, target.name, number, found, str(error) if error else "")
        if not repair or strange or found.incomplete:
            return compared
        _repair(journal, stores, target, card)
        return replace(compared, repaired=True)
    finally:
        journal.db.execute("DETACH DATABASE scan")


def _scan(journal: Journal, stores: Stores, target: Target) -> _Scan:
    owner, rows, ours, foreign = journal.uuid, 0, 0, 0
    try:
        for page in stores.scan(target):
            mine = [(key.chunk_id, key.document_id, key.check) for key in page if key.owner == owner]
            rows += len(page)
            ours += len(mine)
            foreign += len(page) - len(mine)
            journal.db.executemany("INSERT OR REPLACE INTO scan.found VALUES (?, ?, ?)", mine)
    except IngestStopped as error:
        return _Scan(rows, 0, foreign, str(error))
    (distinct,) = journal.one("SELECT count(*) FROM scan.found")
    count = stores.call(target, "count", target.store.count)
    cut = f"the scan gave {rows} rows, the store says it has {count}" if count != rows else ""
    return _Scan(rows, ours - distinct, foreign, cut)


def _compare(journal: Journal, name: str, number: int, found: _Scan, card: str) -> StoreCheck:
    counts: dict[str, int] = {}
    examples: dict[str, list[str]] = {}
    for what, sql in (("missing", _MISSING), ("wrong", _WRONG), ("unexpected", _UNEXPECTED)):
        (counts[what],) = journal.one(f"SELECT count(*) FROM ({sql})", (number,))
        some = journal.db.execute(f"{sql} ORDER BY 2, 1 LIMIT {EXAMPLES}", (number,))
        examples[what] = [f"{chunk} of {document}" for chunk, document in some]
    (expected,) = journal.one(f"SELECT count(*) {_EXPECTED}", (number,))
    (pending,) = journal.one(f"SELECT count(*) FROM {_PENDING}", (number,))
    return StoreCheck(
        name, rows=found.rows, expected=expected, missing=counts["missing"], unexpected=counts["unexpected"],
        wrong=counts["wrong"], doubled=found.doubled, foreign=found.foreign, pending=pending, card=card,
        incomplete=found.incomplete,
        examples={what: listed for what, listed in examples.items() if listed},
    )  # fmt: skip


def _repair(journal: Journal, stores: Stores, target: Target, card: Card) -> None:
    """Owe what should not be there, forget what is not there, and pay at once; the next run writes what is lacking."""
    with journal.transaction("repair") as version:
        db = journal.db
        number = (journal.store(target.name) or claims.remember(journal, target, card, card.epoch - 1)).n
        db.execute("CREATE TABLE scan.bad (chunk TEXT PRIMARY KEY, lacking INTEGER NOT NULL) WITHOUT ROWID")
        db.execute(f"INSERT INTO scan.bad SELECT chunk, 1 FROM ({_MISSING})", (number,))
        db.execute(f"INSERT INTO scan.bad SELECT chunk, 0 FROM ({_WRONG})", (number,))
        # Debts of a journal that was put back may be older than what the store has seen since, and would be ignored there.
        db.execute("UPDATE owed SET v = ? WHERE store = ?", (version, number))
        db.execute(f"INSERT OR REPLACE INTO owed SELECT ?1, chunk, ?2 FROM ({_UNEXPECTED})", (number, version))
        db.execute("INSERT OR REPLACE INTO owed SELECT ?, chunk, ? FROM scan.bad WHERE NOT lacking", (number, version))
        marked = "(SELECT document FROM row WHERE store = ? AND chunk IN (SELECT chunk FROM scan.bad))"
        db.execute(f"UPDATE item SET key = NULL WHERE n IN (SELECT item FROM document WHERE n IN {marked})", (number,))
        db.execute(f"UPDATE placed SET key = X'' WHERE store = ? AND document IN {marked}", (number, number))
        db.execute("DELETE FROM row WHERE store = ? AND chunk IN (SELECT chunk FROM scan.bad)", (number,))
    stores.pay(journal, target, number)
    # The epoch rises last, so that a store that was refused is refused until all of this is done, and always, so that a copy
    # of the journal or the store from before is known for one.
    claims.stamped(journal, stores, target, card, card.identity)
