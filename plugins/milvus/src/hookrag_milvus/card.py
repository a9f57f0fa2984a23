"""Where a store's card is kept: in the collection's properties, and in a file only until there is a collection.

Never in both: rows that are wiped take the card with them, so a store that lost its rows has another uuid.
"""

from __future__ import annotations

from pathlib import Path

from hookrag import Card
from hookrag.disk import durable
from hookrag_stores.rows import card_from, card_json

PROPERTY = "hookrag.card"


def decode(text: str, where: str) -> Card:
    """The card of its JSON; HookragError names the place where it is damaged."""
    return card_from(text, where, "restore the store from a backup, or remove it and index again")


def read(file: Path) -> Card | None:
    """The card in the file, None where there is no file."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return None
    return decode(text, str(file))


def write(file: Path, card: Card) -> None:
    """Replace the file by one with this card; it survives a loss of power."""
    durable.write(file, card_json(card))
