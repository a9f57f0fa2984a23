"""The collection: its schema, its index, and the card in its properties."""

from __future__ import annotations

import logging
from time import monotonic, sleep
from typing import Any

from hookrag import Card, HookragError, IdentityError, TransientError, note
from hookrag_stores.rows import card_json

from hookrag_milvus import card as cards
from hookrag_milvus.connection import RETRIES, Connection
from hookrag_milvus.index import BUILT, Options
from hookrag_milvus.rows import MAX_DOCUMENT_ID, MAX_ID, MAX_OWNER, MAX_TEXT

log = logging.getLogger(__name__)

_LITE_ROWS = 100_000
_FIELDS = frozenset({"pk", "document_id", "owner", "check", "text", "chunk", "dense"})


def exists(connection: Connection, name: str) -> bool:
    """Whether there is a collection or an alias of this name."""
    return bool(connection.call("look up", lambda: connection.client.has_collection(name, **RETRIES)))


def create(connection: Connection, name: str, dim: int, options: Options, card: Card) -> None:
    """Make the collection with its card and index."""
    from pymilvus import DataType

    made = connection.client.create_schema(auto_id=False, enable_dynamic_field=True)
    made.add_field("pk", DataType.VARCHAR, is_primary=True, max_length=MAX_ID)
    made.add_field("document_id", DataType.VARCHAR, max_length=MAX_DOCUMENT_ID)
    made.add_field("owner", DataType.VARCHAR, max_length=MAX_OWNER)
    made.add_field("check", DataType.INT64)
    made.add_field("text", DataType.VARCHAR, max_length=MAX_TEXT)
    # Text, not JSON: it comes back as it was written, and what is filtered on are the facets in the dynamic field.
    made.add_field("chunk", DataType.VARCHAR, max_length=MAX_TEXT)
    made.add_field("dense", DataType.FLOAT_VECTOR, dim=dim)
    connection.call(
        "create",
        lambda: connection.client.create_collection(
            name,
            schema=made,
            properties={cards.PROPERTY: card_json(card)},
            consistency_level="Bounded",
            **RETRIES,
        ),
        writes=True,
    )
    _create_index(connection, name, options)


def adopt(connection: Connection, options: Options) -> int:
    """The width of the collection's vectors; it is loaded, and must be hookrag's and indexed as the options say."""
    described = _described(connection, connection.collection)
    fields = {field["name"]: field for field in described["fields"]}
    if not fields.keys() >= _FIELDS or cards.PROPERTY not in described["properties"]:
        raise HookragError(
            f"{connection.where}: the collection {connection.collection} was not made by hookrag (got the fields "
            f"{', '.join(sorted(fields))}, expected {', '.join(sorted(_FIELDS))} and a card): choose another collection"
        )
    _check_index(connection, options)
    load(connection, options)
    return int(fields["dense"]["params"]["dim"])


def card(connection: Connection, name: str) -> Card:
    """The card of the collection."""
    text = _described(connection, name)["properties"].get(cards.PROPERTY, "")
    return cards.decode(text, f"{connection.where}, collection {name}")


def load(connection: Connection, options: Options) -> None:
    """Make the collection ready to be searched, which it is not after the engine or the server was started.

    Milvus Lite writes the file of an index in place, so a process that dies meanwhile leaves half of one, and the collection
    cannot be loaded. What it is made of is whole: it is made anew.
    """
    try:
        _load(connection)
        return
    except HookragError as error:
        if not connection.is_lite or isinstance(error, TransientError):
            raise
        log.warning("%s: the files of the index are damaged, they are made anew: %s", connection.where, error)
    try:
        name = connection.collection
        connection.call("drop the index", lambda: connection.client.drop_index(name, "dense", **RETRIES), writes=True)
        _create_index(connection, name, options)
        _load(connection)
    except HookragError as error:
        raise HookragError(
            f"{error}: the files of the rows may be damaged: restore the folder from a backup, or move it away and index again"
        ) from error


def save_card(connection: Connection, card: Card) -> None:
    """Replace the card of the collection."""
    connection.call(
        "save the card",
        lambda: connection.client.alter_collection_properties(
            connection.collection, properties={cards.PROPERTY: card_json(card)}, **RETRIES
        ),
        writes=True,
    )


def settle(connection: Connection, seconds: float) -> None:
    """Wait until a server's searches see every write, and at most so long until nothing waits to be indexed."""
    connection.count("")
    until = monotonic() + seconds
    while pending := int(_described_index(connection).get("pending_index_rows", 0)):
        if monotonic() >= until:
            note(pending_index_rows=pending)
            return
        sleep(0.2)


def warn_of_size(connection: Connection) -> None:
    """Log a warning where Milvus Lite holds more than it searches in a useful time."""
    if connection.is_lite and (rows := connection.count("")) > _LITE_ROWS:
        log.warning(
            "%s: %s rows in Milvus Lite, which walks them all on every search: above %s use a Milvus server (uri)",
            connection.where,
            f"{rows:,}",
            f"{_LITE_ROWS:,}",
        )


def _load(connection: Connection) -> None:
    connection.call("load", lambda: connection.client.load_collection(connection.collection, **RETRIES))


def _create_index(connection: Connection, name: str, options: Options) -> None:
    params: dict[str, Any] = dict(options.build)
    if params and connection.is_lite:
        # Lite reads them only from inside a key "params", and pymilvus sends each as a key of its own.
        params["params"] = dict(options.build)
    wanted = connection.client.prepare_index_params()
    wanted.add_index("dense", index_name="dense", index_type=options.index, metric_type=options.metric, params=params)
    connection.call(
        "index",
        lambda: connection.client.create_index(name, wanted, sync=False, **RETRIES),
        writes=True,
    )


def _check_index(connection: Connection, options: Options) -> None:
    described = _described_index(connection)
    if not described:
        # The process died between making the collection and its index.
        _create_index(connection, connection.collection, options)
        return
    built = {**described, **described.get("params", {})}
    got = {"metric": built.get("metric_type"), "index": built.get("index_type")}
    expected: dict[str, str | int] = {"metric": options.metric, "index": options.index}
    if got["index"] == options.index:
        for name, called in BUILT.items():
            if name in options.parameters:
                got[name], expected[name] = int(built.get(called, 0)), options.parameters[name]
    for name, value in expected.items():
        if got[name] != value:
            raise IdentityError(
                f"{connection.where}: the collection {connection.collection} was made with {name} = {got[name]!r}, opened with "
                f"{name} = {value!r}: set it back, or index into another path or collection"
            )


def _described(connection: Connection, name: str) -> dict[str, Any]:
    return dict(connection.call("describe", lambda: connection.client.describe_collection(name, **RETRIES)))


def _described_index(connection: Connection) -> dict[str, Any]:
    def operation() -> Any:
        return connection.client.describe_index(connection.collection, "dense", **RETRIES)

    return dict(connection.call("describe the index", operation) or {})
