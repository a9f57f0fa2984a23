"""Where a store's card is kept: in the collection's properties, and in a file only until there is a collection.

Never in both: rows that are wiped take the card with them, so a store that lost its rows has another uuid.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from hookrag import Card, HookragError
from hookrag.disk import durable

PROPERTY = "hookrag.card"


def new() -> Card:
    """A card that no store has had before."""
    return Card(uuid=uuid4().hex)


def encode(card: Card) -> str:
    """The card as JSON."""
    return json.dumps({**asdict(card), "identity": dict(card.identity)}, sort_keys=True)


def decode(text: str, where: str) -> Card:
    """The card that was encoded; HookragError names the place where it is damaged."""
    try:
        fields = json.loads(text)
        return Card(fields["uuid"], fields["owner"], fields["epoch"], fields["generation"], fields["identity"])
    except (ValueError, KeyError, TypeError) as error:
        raise HookragError(
            f"{where}: the card is damaged (got {text[:80]!r}, expected a JSON object): restore the store from a backup, or "
            "remove it and index again"
        ) from error


def read(file: Path) -> Card | None:
    """The card in the file, None where there is no file."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return None
    return decode(text, str(file))


def write(file: Path, card: Card) -> None:
    """Replace the file by one with this card; it survives a loss of power."""
    durable.write(file, encode(card))
