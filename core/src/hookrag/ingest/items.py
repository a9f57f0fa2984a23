"""What a source yields, and the keys that tell whether it changed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from hookrag.errors import ItemRejected
from hookrag.values import Document

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Item:
    """What a source holds under one name: a file with one document, or with many.

    `key` changes whenever `load` would give something else; an item whose key is the one of its last complete run is not
    loaded. Each document has a key of its own besides, so that of a changed file only the changed documents are indexed.
    `load` raises ReadError where the item cannot be read to its end: then nothing of it changes. An item that does not fit in a
    batch is loaded twice, first only to see that it can be read. `locator` says to a person where it is ("notes/a.jsonl").
    """

    id: str
    key: str
    load: Callable[[], Iterator[Document]]
    locator: str = ""


@dataclass(frozen=True, slots=True)
class Unread:
    """An item, or a whole folder of them, that could not be read: what is indexed of it stays, and nothing is removed."""

    id: str
    locator: str
    reason: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """An item that is not for the index; where it has been indexed before, it counts as Unread instead."""

    id: str
    locator: str
    reason: str


Entry = Document | Item | Unread | Skipped
"""What a source yields."""


def printable(text: str) -> str:
    """`text` with what UTF-8 cannot hold written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _cleaned_text(text: str) -> tuple[str, int]:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return _LONE_SURROGATE.subn("\ufffd", text)
    return text, 0


def _cleaned_value(value: Any) -> tuple[Any, int]:
    if isinstance(value, str):
        return _cleaned_text(value)
    if isinstance(value, list | tuple):
        parts = [_cleaned_value(part) for part in value]
        return [part for part, _ in parts], sum(count for _, count in parts)
    if isinstance(value, Mapping):
        pairs = [(_cleaned_value(name), _cleaned_value(part)) for name, part in value.items()]
        return {name: part for (name, _), (part, _) in pairs}, sum(a + b for (_, a), (_, b) in pairs)
    return value, 0


def cleaned(document: Document) -> tuple[Document, int]:
    """The document with every lone surrogate replaced by U+FFFD, and how many there were; offsets stay as they are.

    Raises ItemRejected for an id that UTF-8 cannot hold: replaced, it could be the id of another document.
    """
    for name, value in (("id", document.id), ("text", document.text), ("title", document.title)):
        if not isinstance(value, str):
            raise ItemRejected(f"{name} of document {document.id!r}: expected text, got {type(value).__name__}")
    if not isinstance(document.metadata, Mapping):
        raise ItemRejected(
            f"metadata of document {document.id!r}: expected a mapping, got {type(document.metadata).__name__}"
        )
    if not document.id or document.id != printable(document.id):
        raise ItemRejected(f"document id {document.id!r}: expected text that is not empty and that UTF-8 can hold")
    text, in_text = _cleaned_text(document.text)
    title, in_title = _cleaned_text(document.title)
    metadata, in_metadata = _cleaned_value(document.metadata) if document.metadata else (document.metadata, 0)
    count = in_text + in_title + in_metadata
    return (replace(document, text=text, title=title, metadata=metadata), count) if count else (document, 0)


def content_key(document: Document) -> bytes:
    """16 bytes that differ when title, text or metadata do. Raises ItemRejected for metadata that JSON cannot hold."""
    try:
        metadata = json.dumps(dict(document.metadata), sort_keys=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ItemRejected(f"metadata of document {document.id!r} must be JSON values: {error}") from error
    return digest(document.id, document.title, document.text, metadata)


def digest(*parts: str | bytes) -> bytes:
    """blake2b-128 of the number of parts, their lengths, and the parts."""
    data = [part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part for part in parts]
    lengths = [len(part).to_bytes(8, "little") for part in data]
    return blake2b(b"".join([len(data).to_bytes(8, "little"), *lengths, *data]), digest_size=16).digest()


def number64(*parts: str | bytes) -> int:
    """The first 64 bits of the digest as a signed integer, which every store and SQLite can hold."""
    return int.from_bytes(digest(*parts)[:8], "little", signed=True)


def readable(item: Item, limit: int) -> Iterator[Document]:
    """The documents of an item that was seen to be readable to its end; at most `limit` characters of it are held at once."""
    held: list[Document] = []
    size = 0
    documents = item.load()
    for document in documents:
        held.append(document)
        size += len(document.text)
        if size > limit:
            break
    else:
        return iter(held)
    held.clear()
    for _ in documents:
        pass  # raises where something later cannot be read
    return item.load()
