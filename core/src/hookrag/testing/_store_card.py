"""What a store promises about its card: a uuid of its own, and all that was stamped, as long as it lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hookrag.testing._kit import Check, Make, difference, opened, require, temporary_folder
from hookrag.values import Card


def check_new_store_has_a_card(make: Make) -> str | None:
    """A new store has a card with a uuid, no owner and epoch 0; the card stays the same while it is open."""
    with opened("store", make) as store:
        first, second = store.card(), store.card()
        require(
            bool(first.uuid) and first == second,
            store,
            f"has the uuids {first.uuid!r} and {second.uuid!r} on its card",
            "make the uuid once, in open(), when there is none yet",
        )
        require(
            first.owner == "" and first.epoch == 0,
            store,
            f"is new and has the owner {first.owner!r} and epoch {first.epoch}",
            'a new store is Card(uuid4().hex): owner "" and epoch 0 until a journal claims it',
        )
    return None


def check_two_stores_have_two_uuids(make: Make) -> str | None:
    """Stores in different places have different uuids."""
    with opened("store", make) as first, opened("store", make) as second:
        require(
            first.card().uuid != second.card().uuid,
            first,
            "has the uuid of another store",
            "uuid4().hex when the store is made",
        )
    return None


def check_stamp_changes_the_card(make: Make) -> str | None:
    """`stamp` saves every field of the card, and the uuid stays."""
    with opened("store", make) as store:
        card = _stamped(store.card())
        store.stamp(card)
        differs = difference(card, store.card(), "card")
        require(not differs, store, f"has another card than was stamped: {differs}", "save all fields of the card")
    return None


def _stamped(card: Card) -> Card:
    identity: Mapping[str, str | int | float | bool | None] = {
        "chunker.use": "words",
        "chunker.size": 20,
        "dense.weights": "ab" * 32,
        "scale": 0.5,
        "ok": True,
        "no": None,
    }
    return replace(card, owner="journal-1", epoch=7, generation=2, identity=identity)


def check_card_survives_reopening(make: Make) -> str | None:
    """A store that is opened again in the same place has the card that was stamped, with its uuid."""
    with temporary_folder() as folder:
        with opened("store", make, folder) as store:
            card = _stamped(store.card())
            store.stamp(card)
        with opened("store", make, folder) as store:
            differs = difference(card, store.card(), "card")
    require(
        not differs,
        store,
        f"has another card after it is opened again: {differs}",
        "stamp() saves durably before it returns, and open() reads what is there",
    )
    return None


CARD_CHECKS: tuple[Check, ...] = (
    check_new_store_has_a_card,
    check_two_stores_have_two_uuids,
    check_stamp_changes_the_card,
    check_card_survives_reopening,
)
