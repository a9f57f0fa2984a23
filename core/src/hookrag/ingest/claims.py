"""Whether each store is the one that the journal remembers; R1 of `hookrag.ingest`, where a run claims the stores."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hookrag.errors import HookragError, IdentityError, IngestRefused, IngestStopped
from hookrag.ingest.journal import Journal, StoreRecord
from hookrag.ingest.reading import reading
from hookrag.ingest.stores import Stores
from hookrag.ingest.target import Flat, Target, identity_error
from hookrag.values import Card


def check_identity(folder: Path, targets: Sequence[Target]) -> None:
    """Raise IdentityError where a store was made with other settings than it is opened with, or is not the one that was filled.

    A store that was never written is fine, and so is one without a journal: the documents were indexed on another machine.
    """
    cards = [(target, target.store.card()) for target in targets]
    error = identity_error([(target, card) for target, card in cards if card.owner], folder)
    if error is not None:
        raise error
    filled = _filled(folder)
    for target, card in cards:
        if not card.owner and target.name in filled:
            raise IdentityError(
                f"{target} is empty, but the journal in {folder} filled it: its folder was deleted, or its server emptied.\n"
                f"Fill it again: hookrag index --rebuild {target.name} PATH..."
            )


def _filled(folder: Path) -> set[str]:
    """The stores that hold documents by what the journal says; none where it cannot be read, which only an ingest minds."""
    sql = "SELECT name FROM store s WHERE EXISTS (SELECT 1 FROM placed p WHERE p.store = s.n AND p.key <> X'')"
    with suppress(IngestStopped, IdentityError), reading(folder) as db:
        return {name for (name,) in db.execute(sql)} if db else set()
    return set()


def refusal(journal: Journal, target: Target, card: Card) -> HookragError | None:
    """Why the store must not be written, with the command that mends it; None where it may."""
    return stranger(journal, target, card) or disagreement(journal, target, card)


def stranger(journal: Journal, target: Target, card: Card) -> HookragError | None:
    """The refusal of a store that is not the one the journal knows."""
    known, folder = journal.store(target.name), journal.path.parent
    rebuild = f"Fill it again: hookrag index --rebuild {target.name} PATH..."
    if card.owner and card.owner != journal.uuid:
        return IngestRefused(
            f"{target} belongs to another journal: its owner is {card.owner}, the journal in {folder} is {journal.uuid}.\n"
            f"Was the journal deleted, or does another index write here? Give this index a store of its own, "
            f"or make the store this index's: hookrag index --take-over PATH..."
        )
    if known is not None and card.uuid != known.uuid:
        return IngestRefused(
            f"{target} was replaced or emptied: it is the store {card.uuid}, the journal in {folder} filled {known.uuid}.\n"
            f"{rebuild}"
        )
    if known is not None and not card.owner and known.epoch:
        return IngestRefused(f"{target} was reset: it has no owner, but the journal in {folder} filled it.\n{rebuild}")
    return None


def disagreement(journal: Journal, target: Target, card: Card) -> HookragError | None:
    """The refusal of a store that is the right one but of another time, or made with other settings."""
    known, folder = journal.store(target.name), journal.path.parent
    mend = "Compare and mend them: hookrag verify --repair"
    if known is None:
        if not card.owner:
            return None
        return IngestRefused(
            f"the journal in {folder} is older than {target}: the store was written from it, but it does not remember that.\n"
            f"Was the journal restored from a backup? {mend}"
        )
    if known.wiping:
        return None
    if card.epoch != known.epoch and card.epoch != known.pending:
        older, newer = str(target), f"the journal in {folder}"
        if card.epoch > known.epoch:
            older, newer = newer, older
        return IngestRefused(
            f"{older} is older than {newer}: the store is at epoch {card.epoch}, the journal at {known.epoch}.\n"
            f"Was {'the store' if card.epoch < known.epoch else 'the journal'} restored from a backup or copied? {mend}"
        )
    return identity_error([(target, card)], folder) if journal.has_rows(known.n) else None


def numbers_unclaimed(journal: Journal, stores: Stores) -> dict[str, int]:
    """The journal's numbers of the stores for a run that writes nothing, negative for new ones; raises where one is refused."""
    numbers: dict[str, int] = {}
    for target in stores.targets:
        error = refusal(journal, target, stores.card(target))
        if error is not None:
            raise error
        known = journal.store(target.name)
        # A store that is new has nothing placed under any number.
        numbers[target.name] = known.n if known else -1 - len(numbers)
    return numbers


def claim_and_wipe(journal: Journal, stores: Stores, *, rebuild: Collection[str], take_over: bool) -> dict[str, int]:
    """Claim every store for this run, wipe those to be rebuilt, and return the journal's numbers of them.

    Nothing is written where one is refused. A store that is taken over is wiped where its rows cannot be continued.
    """
    cards = {target.name: stores.card(target) for target in stores.targets}
    unknown = [name for name in rebuild if name not in cards]
    if unknown:
        raise IngestRefused(f"no store {unknown[0]!r} to rebuild; stores of this index: {', '.join(cards)}")
    wipe = set(rebuild)
    adopt = [name for name, card in cards.items() if take_over and name not in wipe and _adoptable(journal, name, card)]
    owners = {cards[name].owner for name in adopt}
    if len(owners) > 1:
        raise IngestRefused(
            f"the stores {', '.join(adopt)} belong to different journals: {', '.join(sorted(owners))}.\n"
            f"Take over one and fill the others again: hookrag index --take-over --rebuild {adopt[-1]} PATH..."
        )
    apart = []
    for target in stores.targets:
        card = cards[target.name]
        error: HookragError | None
        if target.name in adopt:
            error = identity_error([(target, card)], journal.path.parent)
        elif take_over and card.owner and card.owner != journal.uuid:
            wipe.add(target.name)
            continue
        elif target.name in wipe:
            error = stranger(journal, target, card) if card.owner not in ("", journal.uuid) else None
        else:
            error = refusal(journal, target, card)
        if isinstance(error, IdentityError):
            apart.append((target, card))
        elif error is not None:
            raise error
    different = identity_error(apart, journal.path.parent)
    if different is not None:
        raise different
    for target in stores.targets:
        card = cards[target.name]
        if target.name in adopt:
            _adopt(journal, stores, target, card)
        known = journal.store(target.name)
        if target.name in wipe or (known is not None and known.wiping):
            _wipe(journal, stores, target, card)
    return {
        target.name: stamped(journal, stores, target, cards[target.name], target.identity) for target in stores.targets
    }


def _adoptable(journal: Journal, name: str, card: Card) -> bool:
    """Whether the journal may continue what another one wrote: it knows nothing yet, or has begun to continue it."""
    return bool(card.owner) and journal.store(name) is None and (journal.empty or card.owner == journal.uuid)


def remember(journal: Journal, target: Target, card: Card, epoch: int) -> StoreRecord:
    """Remember a store; inside a transaction."""
    sql = """INSERT INTO store (name, uuid, epoch, generation, identity) VALUES (?, ?, ?, ?, '{}')
             ON CONFLICT DO UPDATE SET uuid = excluded.uuid, epoch = excluded.epoch, pending = NULL"""
    journal.db.execute(sql, (target.name, card.uuid, epoch, card.generation))
    known = journal.store(target.name)
    assert known is not None
    return known


def stamped(journal: Journal, stores: Stores, target: Target, card: Card, identity: Flat) -> int:
    """Raise the epoch: pending in the journal, then the store, then the journal. Returns the journal's number of the store."""
    with journal.transaction("epoch pending"):
        known = journal.store(target.name) or remember(journal, target, card, 0)
        epoch = max(known.epoch, card.epoch) + 1
        # Where the run before died between the store and the journal, the epoch that was pending is settled by this.
        settled = card.epoch if card.epoch == known.pending else known.epoch
        journal.db.execute("UPDATE store SET epoch = ?, pending = ? WHERE n = ?", (settled, epoch, known.n))
    stores.stamp(target, replace(card, owner=journal.uuid, epoch=epoch, identity=dict(identity)))
    with journal.transaction("epoch"):
        sql = "UPDATE store SET epoch = ?, pending = NULL WHERE n = ?"
        journal.db.execute(sql, (epoch, known.n))
        journal.save_identity(known.n, identity)
    return known.n


def _wipe(journal: Journal, stores: Stores, target: Target, card: Card) -> None:
    """Delete every row of ours, and of the owner before, from a store; begun again where it was cut off.

    The epoch goes on from the highest that either side has seen, and not from that of a store that was put back or is new: a
    copy of the journal from before would take the store for its own.
    """
    # What a run that was cut off has sent may still be under way, and would arrive after the scan.
    stores.wait_for_late_writes(target)
    with journal.transaction("wipe") as version:
        before = journal.store(target.name)
        seen = (before.epoch, before.pending or 0) if before else (0,)
        known = remember(journal, target, card, max(*seen, card.epoch))
        db = journal.db
        db.execute("UPDATE store SET wiping = 1 WHERE n = ?", (known.n,))
        db.execute("INSERT OR REPLACE INTO owed SELECT store, chunk, ? FROM row WHERE store = ?", (version, known.n))
        for table in ("row", "placed", "planned"):
            db.execute(f"DELETE FROM {table} WHERE store = ?", (known.n,))
        db.execute("UPDATE item SET key = NULL")
    owners = {journal.uuid, card.owner}
    with journal.transaction("wipe scan") as version:
        for page in stores.scan(target):
            rows = [(known.n, key.chunk_id, version) for key in page if key.owner in owners]
            journal.db.executemany("INSERT OR REPLACE INTO owed VALUES (?, ?, ?)", rows)
    stores.pay(journal, target, known.n)
    stores.stamp(target, replace(card, owner=journal.uuid, epoch=known.epoch + 1))
    with journal.transaction("wiped"):
        journal.db.execute("UPDATE store SET wiping = 0, epoch = ? WHERE n = ?", (known.epoch + 1, known.n))


def _adopt(journal: Journal, stores: Stores, target: Target, card: Card) -> None:
    """Make a journal out of a scan: the rows that are there are live, and every document is to be looked at again."""
    with journal.transaction("adopt") as version:
        db = journal.db
        db.execute("UPDATE meta SET value = ? WHERE name = 'uuid'", (card.owner,))
        known = remember(journal, target, card, card.epoch)
        item = journal.item(journal.source(""), "")[0] or journal.add_item(journal.source(""), "", "")
        for page in stores.scan(target):
            ours = [key for key in page if key.owner == card.owner]
            names = json.dumps(sorted({key.document_id for key in ours}))
            db.execute("INSERT OR IGNORE INTO document (id, item) SELECT value, ? FROM json_each(?)", (item, names))
            db.execute(
                "INSERT OR IGNORE INTO placed SELECT n, ?, ?, X'' FROM document WHERE id IN (SELECT value FROM json_each(?))",
                (known.n, version, names),
            )
            db.executemany(
                "INSERT OR IGNORE INTO row SELECT n, ?, ?, ?, ?, 0 FROM document WHERE id = ?",
                [(known.n, version, key.chunk_id, key.check, key.document_id) for key in ours],
            )
