"""The ingest with one deliberate fault each: what the protocol would be without one of its steps.

The histories of `machine.py` have to find every one of them, or they would not find it in the real code either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hookrag.ingest import claims, plans, run
from hookrag.ingest.journal import Journal
from hookrag.ingest.stores import Stores

from .machine import Quick, World

Mutant = Callable[[pytest.MonkeyPatch], None]
REST_OF_PLANS = plans._OWE_REST_OF_PLANS


def sql(old: str, new: str, whole: bool = False) -> Mutant:
    """Statements with `new` where they have, or as a whole are, `old`; where none is met any more, no history fails."""

    def mutate(monkeypatch: pytest.MonkeyPatch) -> None:
        def change(statement: str) -> str:
            met = statement == old if whole else old in statement
            return statement.replace(old, new) if met else statement

        monkeypatch.setattr(Quick, "change", staticmethod(change))

    return mutate


def nothing(statement: str) -> Mutant:
    """The statement without its effect."""
    where = statement.replace("WHERE ", "WHERE 0 AND ", 1)
    assert where != statement
    return sql(statement, where, whole=True)


def no_plan_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    late: list = []
    plan, confirm = plans.plan, plans.confirm

    def only_a_version(journal: Journal, batch: list) -> int:
        late.append(batch)
        with journal.transaction("T1") as version:
            return version

    def both(journal: Journal, batch: list, *rest: object) -> None:
        plan(journal, late.pop())
        confirm(journal, batch, *rest)

    monkeypatch.setattr(plans, "plan", only_a_version)
    monkeypatch.setattr(plans, "confirm", both)


def no_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = claims.stranger

    def blind(journal, target, card):
        known = journal.store(target.name)
        return stranger(journal, target, replace(card, uuid=known.uuid, owner=journal.uuid) if known else card)

    monkeypatch.setattr(claims, "stranger", blind)
    # Nor does it see that an empty store is at another epoch.
    monkeypatch.setattr(claims, "disagreement", lambda journal, target, card: None)


def epoch_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    stamped = claims.stamped

    def same(journal, stores, target, card, identity):
        number = stamped(journal, stores, target, card, identity)
        epoch = max(card.epoch, 1)
        target.store.saved = replace(target.store.saved, epoch=epoch)
        journal.db.execute("UPDATE store SET epoch = ? WHERE n = ?", (epoch, number))
        return number

    monkeypatch.setattr(claims, "stamped", same)


def drop_before_confirm(monkeypatch: pytest.MonkeyPatch) -> None:
    put = Stores.put

    def first(self, target, rows, version):
        new = {row.chunk.id for row in rows}
        documents = {row.chunk.document_id for row in rows}
        old = [id for id, row in target.store.rows.items() if row.chunk.document_id in documents and id not in new]
        self.call(target, "drop", lambda: target.store.drop(old, version=version))
        yield from put(self, target, rows, version)

    monkeypatch.setattr(Stores, "put", first)


def debts_left_standing(monkeypatch: pytest.MonkeyPatch) -> None:
    claimed = run.claimed

    def unpaid(journal, stores, *about):
        stores.pay = lambda *_: None
        try:
            return claimed(journal, stores, *about)
        finally:
            del stores.pay

    monkeypatch.setattr(run, "claimed", unpaid)


def debts_erased_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def pay(self, journal, target, store):
        for version, ids in plans.owed(journal, store, 10_000):
            plans.paid(journal, store, version, ids)
            self._drop(target, ids, version)
        self.sync(target)

    monkeypatch.setattr(Stores, "pay", pay)


def placed_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    placed = Journal.placed

    def everywhere(self, document):
        found = placed(self, document)
        first = next(iter(found.values()), b"")
        return dict.fromkeys(range(1, 9), first) if found else found

    monkeypatch.setattr(Journal, "placed", everywhere)


def counted_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hookrag.ingest.journal.time.time_ns", lambda: 0)


MUTANTS: dict[str, Mutant] = {
    # The table of the protocol.
    "all old rows are owed, not only those that the new version lacks": sql(
        plans._OWE_REST_OF_LIVE, plans._OWE_REST_OF_LIVE.partition("WHERE NOT EXISTS")[0], whole=True
    ),
    "no plan is written ahead": no_plan_ahead,
    "the uuid of a store is not compared": no_uuid,
    "what a run left unfinished is forgotten (no R2)": nothing(REST_OF_PLANS.format(which="")),
    "a server that is not fenced is not given time to settle": lambda m: m.setattr(
        Stores, "wait_for_late_writes", lambda self, *targets: None
    ),
    "what a run left owed is not dropped before the next plan": debts_left_standing,
    # What its other steps are for.
    "T2 owes nothing of the old version": nothing(plans._OWE_REST_OF_LIVE),
    "a document that failed owes nothing": nothing(REST_OF_PLANS.format(which="p.document = ?2 AND")),
    "a document that was removed owes nothing": nothing(
        "INSERT OR REPLACE INTO owed SELECT store, chunk, ?1 FROM row WHERE document = ?2"
    ),
    "the epoch does not rise": epoch_stays,
    "old rows are dropped before the new ones are confirmed": drop_before_confirm,
    "rows are confirmed before they are synced": lambda m: m.setattr(Stores, "sync", lambda self, target: None),
    "debts are erased before they are paid": debts_erased_first,
    "an item that is not finished keeps its key": lambda m: m.setattr(
        plans, "_unsettle", lambda journal, item: plans._number(journal, item)
    ),
    "an item keeps its key when its document is removed": nothing(
        "UPDATE item SET key = NULL WHERE n = (SELECT item FROM document WHERE n = ?)"
    ),
    "a document that is placed in one store is skipped in all": placed_anywhere,
    "versions are counted and not taken from the clock": counted_versions,
    "a repair does not mark the documents whose rows are missing": sql(
        "SET key = X'' WHERE", "SET key = X'' WHERE 0 AND"
    ),
    "a repair leaves debts at versions that a store ignores": nothing("UPDATE owed SET v = ? WHERE store = ?"),
}


def store_put_back(world: World) -> None:
    world.indexed({"a/x": "a\nb"})
    world.back_up()
    world.indexed({"a/x": "c"})
    world.put_back("terms")
    world.indexed({})


def journal_put_back(world: World) -> None:
    world.indexed({"a/x": "a\nb"})
    world.back_up()
    world.indexed({"a/x": "c"})
    world.indexed({"a/x": "a"})
    world.put_back("journal")
    world.indexed({"a/x": "c"})


def back_while_half_written(world: World) -> None:
    for cut in world.cuts:
        world.indexed({"b/z": "a\nb"})
        world.cut_off({"b/z": "c"}, cut)
        world.indexed({"b/z": "a\nb"})


def back_while_half_removed(world: World) -> None:
    for cut in world.cuts:
        world.indexed({"b/z": "a\nb"})
        world.cut_off({"b/z": None}, cut)
        world.indexed({"b/z": "a\nb"})


def store_replaced(world: World) -> None:
    world.indexed({"a/x": "a\nb"})
    world.stores["vectors"] = world.new("vectors")
    world.indexed({})


def store_put_back_and_repaired(world: World) -> None:
    world.indexed({"a/x": "a\nb"})
    world.back_up()
    world.indexed({"a/x": "c"})
    world.put_back("terms")
    world.ingest().verify(repair=True)
    world.indexed({})


def journal_with_old_debts_put_back(world: World) -> None:
    for cut in world.cuts:
        world.indexed({"a/x": "a"})
        world.cut_off({"a/x": "b"}, cut)
        world.back_up()
        world.indexed({"a/x": "a"})
        world.put_back("journal")
        world.indexed({"a/x": "c"})


def repaired_while_writes_are_under_way(world: World) -> None:
    for cut in world.cuts:
        world.indexed({"a/x": "c"})
        world.cut_off({"a/x": "a\nb\nc"}, cut)
        world.edit({"a/x": "c"})
        world.ingest().verify(repair=True)
        world.settles()
        world.check()


def rebuilt_while_writes_are_under_way(world: World) -> None:
    for cut in world.cuts:
        world.indexed({"a/x": "c"})
        world.cut_off({"a/x": "a\nb\nc"}, cut)
        world.edit({"a/x": "c"})
        world.index("one", rebuild=("vectors",))
        world.settles()
        world.check()


DIRECTED: dict[Callable[[World], None], tuple[str, ...]] = {
    store_put_back: ("the epoch does not rise",),
    journal_put_back: ("versions are counted and not taken from the clock",),
    back_while_half_written: ("an item that is not finished keeps its key",),
    back_while_half_removed: ("an item keeps its key when its document is removed",),
    store_replaced: ("the uuid of a store is not compared", "a document that is placed in one store is skipped in all"),
    store_put_back_and_repaired: ("a repair does not mark the documents whose rows are missing",),
    journal_with_old_debts_put_back: ("a repair leaves debts at versions that a store ignores",),
    repaired_while_writes_are_under_way: (),
    rebuilt_while_writes_are_under_way: (),
}
"""Histories that random ones meet rarely, each with the mutants that it finds."""
