"""Chunks and cards as JSON, and back. What is written here lies in databases: it is never written otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from hookrag import Card, Chunk, HookragError, ItemRejected

_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def rest_of(chunk: Chunk, *, context: bool = True) -> str:
    """What a store keeps of a chunk besides its id, document id and text: as text, so that it comes back as it was written.

    `context` is whether the chunk's context is in it. Raises ItemRejected for metadata that JSON cannot hold.
    """
    if not all(isinstance(field, str) for field in chunk.metadata):
        raise ItemRejected("its metadata have a key that is not a string")
    rest: dict[str, Any] = {"context": chunk.context} if context else {}
    rest |= {
        "start": chunk.start,
        "end": chunk.end,
        "parent": chunk.parent,
        "sources": list(chunk.made_of),
        "metadata": dict(chunk.metadata),
    }
    try:
        return _json(rest)
    except (TypeError, ValueError, RecursionError) as error:
        raise ItemRejected(f"its metadata are not JSON values: {error}") from error


def chunk_from(chunk_id: str, document_id: str, text: str, rest: str, context: str | None = None) -> Chunk:
    """The chunk whose rest this is; `context` where that is kept apart."""
    found = json.loads(rest)
    return Chunk(
        chunk_id,
        document_id,
        text,
        found["start"],
        found["end"],
        found["context"] if context is None else context,
        found["parent"],
        tuple(found["sources"]),
        found["metadata"],
    )


def new_card(generation: int = 1) -> Card:
    """A card that no store has had before."""
    return Card(uuid4().hex, generation=generation)


def card_fields(card: Card) -> dict[str, Any]:
    """The card as JSON values; `Card(**fields)` is the card again."""
    return {
        "uuid": card.uuid,
        "owner": card.owner,
        "epoch": card.epoch,
        "generation": card.generation,
        "identity": dict(card.identity),
    }


def card_json(card: Card) -> str:
    """The card as JSON."""
    return json.dumps(card_fields(card), sort_keys=True)


def card_from(text: str, where: str, advice: str) -> Card:
    """The card of its JSON; where that is damaged HookragError names the place and says what to do."""
    try:
        fields: Mapping[str, Any] = json.loads(text)
        return Card(fields["uuid"], fields["owner"], fields["epoch"], fields["generation"], fields["identity"])
    except (ValueError, KeyError, TypeError) as error:
        raise HookragError(
            f"{where}: the card is damaged (got {text[:80]!r}, expected a JSON object): {advice}"
        ) from error
