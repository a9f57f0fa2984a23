"""The stores compared with the journal: by a scan of every row, by fetching every row, or by fetching some."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import dataclass, replace

from hookrag.errors import HookragError, IdentityError, IngestStopped
from hookrag.ingest import claims, plans
from hookrag.ingest.compare import compare, live_pages
from hookrag.ingest.journal import Journal, failure
from hookrag.ingest.report import StoreCheck, VerifyReport
from hookrag.ingest.stores import Stores
from hookrag.ingest.target import Target
from hookrag.values import Card

EXAMPLES = 5

# What a scan found of ours, and what is bad, on disk rather than in memory: a store may hold many millions of rows.
_FOUND = """
CREATE TABLE scan.found (chunk TEXT PRIMARY KEY, document TEXT NOT NULL, "check" INTEGER NOT NULL) WITHOUT ROWID
"""
_BAD = """
CREATE TABLE scan.bad (chunk TEXT PRIMARY KEY, document TEXT NOT NULL, finding TEXT NOT NULL) WITHOUT ROWID
"""
_EXPECTED = "FROM placed p JOIN row r USING (document, store, v) JOIN document d ON d.n = p.document WHERE p.store = ?1"
_PENDING = """
(SELECT chunk FROM owed WHERE store = ?1 UNION SELECT chunk FROM planned JOIN row USING (document, store, v) WHERE store = ?1)
"""
_MISSING_OR_WRONG = """
SELECT r.chunk, d.id, CASE WHEN f.chunk IS NULL THEN 'missing' ELSE 'wrong' END
FROM placed p JOIN row r USING (document, store, v) JOIN document d ON d.n = p.document
LEFT JOIN scan.found f ON f.chunk = r.chunk
WHERE p.store = ?1 AND (f.chunk IS NULL OR f."check" <> r."check" OR f.document <> d.id)
"""
_UNEXPECTED = f"""
SELECT f.chunk, f.document, 'unexpected' FROM scan.found f
WHERE f.chunk NOT IN (SELECT r.chunk {_EXPECTED}) AND f.chunk NOT IN {_PENDING}
"""


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """How closely to look: a scan of all rows, and with `deep` all fetched; or a `sample` fetched and embedded again."""

    sample: int | None
    deep: bool
    repair: bool
    patience: float


@dataclass(frozen=True, slots=True)
class _Scan:
    """How many rows a scan met, of ours, of ours again, and of others; and why it cannot be relied on."""

    rows: int
    doubled: int = 0
    foreign: int = 0
    incomplete: str = ""


@dataclass(frozen=True, slots=True)
class _Fetched:
    """How many rows were fetched and compared, and why not all of them were."""

    compared: int = 0
    incomplete: str = ""


def verify(journal: Journal, stores: Stores, options: VerifyOptions) -> VerifyReport:
    """What each store holds, compared with what it should; with `repair`, made ready for the next run to mend."""
    try:
        cards = [_card(stores, target) for target in stores.targets]
        pairs = list(zip(stores.targets, cards, strict=True))
        usable = [target for target, card in pairs if isinstance(card, Card)]
        if options.repair and plans.recover(journal) and usable:
            stores.wait_for_late_writes(*usable)
        return VerifyReport(
            [
                _store(journal, stores, target, card, options)
                if isinstance(card, Card)
                else _unusable(journal, target, card)
                for target, card in pairs
            ]
        )
    except sqlite3.DatabaseError as error:
        raise failure(journal.path, "read", error) from error


def _card(stores: Stores, target: Target) -> Card | IngestStopped | IdentityError:
    """The store's card, or why it cannot even give that: the other stores are looked at all the same."""
    try:
        return stores.card(target)
    except (IngestStopped, IdentityError) as error:
        return error


def _unusable(journal: Journal, target: Target, error: IngestStopped | IdentityError) -> StoreCheck:
    known, cause = journal.store(target.name), error.__cause__
    (expected,) = journal.one(f"SELECT count(*) {_EXPECTED}", (known.n if known else 0,))
    found = StoreCheck(target.name, expected=expected)
    if isinstance(error, IdentityError):
        return replace(found, card=str(error))
    # What may pass, is not said by the store itself, or comes of the file system's refusal is no damage to its files.
    if target.check_files is None or type(cause) is not HookragError or isinstance(cause.__cause__, OSError):
        return replace(found, incomplete=str(error))
    return replace(found, files=str(cause), rebuild=True)


def _store(journal: Journal, stores: Stores, target: Target, card: Card, options: VerifyOptions) -> StoreCheck:
    strange = claims.stranger(journal, target, card)
    error = strange or claims.disagreement(journal, target, card)
    known = journal.store(target.name)
    if known is None and not card.owner:
        return StoreCheck(target.name, rows=target.store.count())
    number = known.n if known else 0
    journal.db.execute("ATTACH DATABASE '' AS scan")
    try:
        # It is thrown away whatever happens, so nothing of it is kept to be undone.
        journal.db.execute("PRAGMA scan.journal_mode = OFF")
        journal.db.execute("PRAGMA scan.cache_size = -32768")
        journal.db.execute(_FOUND)
        journal.db.execute(_BAD)
        scanned = _Scan(0)
        if options.sample is None:
            scanned = _scan(journal, stores, target)
            _note_differences(journal, number)
        fetched = _Fetched()
        if (options.deep or options.sample is not None) and not strange:
            fetched = _fetch(journal, stores, target, number, options)
        files = _files(target) if options.deep else ""
        found = _told(journal, stores, target, number, scanned, fetched, options)
        found = replace(found, card=str(error) if error else "", files=files, rebuild=found.rebuild or bool(files))
        # What only a scan can tell is not guessed from a sample, and what lies about itself is not believed.
        if not options.repair or strange or found.incomplete or found.rebuild or (error and options.sample is not None):
            return found
        _repair(journal, stores, target, card)
        return replace(found, repaired=True)
    except sqlite3.DatabaseError as error:
        raise failure(journal.path, f"compared with {target}", error) from error
    finally:
        # A statement that met damage holds it: that error is told, and the connection is closed.
        with suppress(sqlite3.DatabaseError):
            if journal.db.in_transaction:
                journal.db.execute("ROLLBACK")
            journal.db.execute("DETACH DATABASE scan")


def _scan(journal: Journal, stores: Stores, target: Target) -> _Scan:
    owner, rows, ours, foreign = journal.uuid, 0, 0, 0
    try:
        for page in stores.scan(target):
            mine = [(key.chunk_id, key.document_id, key.check) for key in page if key.owner == owner]
            rows += len(page)
            ours += len(mine)
            foreign += len(page) - len(mine)
            journal.db.execute("BEGIN")
            journal.db.executemany("INSERT OR REPLACE INTO scan.found VALUES (?, ?, ?)", mine)
            journal.db.execute("COMMIT")
    except IngestStopped as error:
        return _Scan(rows, 0, foreign, str(error))
    (distinct,) = journal.one("SELECT count(*) FROM scan.found")
    count = stores.call(target, "count", target.store.count)
    cut = f"the scan gave {rows} rows, the store says it has {count}" if count != rows else ""
    return _Scan(rows, ours - distinct, foreign, cut)


def _note_differences(journal: Journal, number: int) -> None:
    """Note how what a scan found differs from what the journal expects."""
    journal.db.execute(f"INSERT INTO scan.bad {_MISSING_OR_WRONG}", (number,))
    (found,) = journal.one("SELECT count(*) FROM scan.found")
    (missing,) = journal.one("SELECT count(*) FROM scan.bad WHERE finding = 'missing'")
    (expected,) = journal.one(f"SELECT count(*) {_EXPECTED}", (number,))
    if found > expected - missing:
        journal.db.execute(f"INSERT INTO scan.bad {_UNEXPECTED}", (number,))


def _fetch(journal: Journal, stores: Stores, target: Target, number: int, options: VerifyOptions) -> _Fetched:
    """Fetch all live rows, or some, and note what is wrong with them beside what a scan has found."""
    owner, sampling, compared, exact, cut = journal.uuid, options.sample is not None, 0, 0, ""
    try:
        for page in live_pages(journal, number, options.sample):
            differing = compare(stores, target, page, owner, embed=sampling, patience=options.patience)
            bad = [(one.chunk, one.document, finding) for one, finding in differing.findings]
            journal.db.executemany("INSERT OR IGNORE INTO scan.bad VALUES (?, ?, ?)", bad)
            compared += len(page)
            exact += differing.exact
    except IngestStopped as error:
        cut = str(error)
    # A store that gives no vector back bit by bit, but those that the embedder gives, keeps its numbers in another way.
    if sampling and not exact:
        journal.db.execute("DELETE FROM scan.bad WHERE finding = 'inexact'")
    journal.db.execute("UPDATE scan.bad SET finding = 'damaged' WHERE finding = 'inexact'")
    return _Fetched(compared, cut)


def _files(target: Target) -> str:
    """What the store's own check of its files says, "" where it has none or finds nothing."""
    if target.check_files is None:
        return ""
    try:
        target.check_files()
    except HookragError as error:
        return str(error)
    return ""


def _told(
    journal: Journal,
    stores: Stores,
    target: Target,
    number: int,
    scanned: _Scan,
    fetched: _Fetched,
    options: VerifyOptions,
) -> StoreCheck:
    counts = dict(journal.db.execute("SELECT finding, count(*) FROM scan.bad GROUP BY finding"))
    some = (
        f"SELECT chunk || ' of ' || document FROM scan.bad WHERE finding = ? ORDER BY document, chunk LIMIT {EXAMPLES}"
    )
    examples = {what: [example for (example,) in journal.db.execute(some, (what,))] for what in counts}
    (expected,) = journal.one(f"SELECT count(*) {_EXPECTED}", (number,))
    (pending,) = journal.one(f"SELECT count(*) FROM {_PENDING}", (number,))
    rows, missing = scanned.rows, counts.get("missing", 0)
    if options.sample is not None:
        rows = stores.call(target, "count", target.store.count)
        missing = max(missing, expected - rows)
    remade = counts.get("damaged", 0) + counts.get("drifted", 0)
    return StoreCheck(
        target.name,
        rows=rows,
        expected=expected,
        compared=fetched.compared,
        missing=missing,
        unexpected=counts.get("unexpected", 0),
        wrong=counts.get("wrong", 0),
        damaged=counts.get("damaged", 0),
        drifted=counts.get("drifted", 0),
        doubled=scanned.doubled,
        foreign=scanned.foreign,
        pending=pending,
        rebuild=2 * remade > fetched.compared,
        incomplete=scanned.incomplete or fetched.incomplete,
        examples=examples,
    )


def _repair(journal: Journal, stores: Stores, target: Target, card: Card) -> None:
    """Owe what should not be there, forget what is not there, and pay at once; the next run writes what is lacking."""
    with journal.transaction("repair") as version:
        db = journal.db
        number = (journal.store(target.name) or claims.remember(journal, target, card, card.epoch - 1)).n
        # Debts of a journal that was put back may be older than what the store has seen since, and would be ignored there.
        db.execute("UPDATE owed SET v = ? WHERE store = ?", (version, number))
        db.execute(
            "INSERT OR REPLACE INTO owed SELECT ?, chunk, ? FROM scan.bad WHERE finding <> 'missing'", (number, version)
        )
        marked = "(SELECT document FROM row WHERE store = ? AND chunk IN (SELECT chunk FROM scan.bad))"
        db.execute(f"UPDATE item SET key = NULL WHERE n IN (SELECT item FROM document WHERE n IN {marked})", (number,))
        db.execute(f"UPDATE placed SET key = X'' WHERE store = ? AND document IN {marked}", (number, number))
        db.execute("DELETE FROM row WHERE store = ? AND chunk IN (SELECT chunk FROM scan.bad)", (number,))
    stores.pay(journal, target, number)
    # The epoch rises last, so that a store that was refused is refused until all of this is done, and always, so that a copy
    # of the journal or the store from before is known for one.
    claims.stamped(journal, stores, target, card, card.identity)
