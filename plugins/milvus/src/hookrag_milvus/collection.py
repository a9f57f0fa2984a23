"""The collection: its schema, its index, and the card in its properties."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, Literal

from hookrag import Card, HookragError, IdentityError, note

from hookrag_milvus import card as cards
from hookrag_milvus.connection import RETRIES, Connection
from hookrag_milvus.rows import MAX_DOCUMENT_ID, MAX_ID, MAX_OWNER, MAX_TEXT

log = logging.getLogger(__name__)

_LITE_ROWS = 100_000
_FIELDS = frozenset({"pk", "document_id", "owner", "check", "text", "chunk", "dense"})


@dataclass(frozen=True, slots=True)
class Options:
    """How vectors are compared and indexed; m and ef_construction are of HNSW."""

    metric: Literal["COSINE", "IP"]
    index: Literal["FLAT", "HNSW"]
    m: int
    ef_construction: int

    @property
    def build(self) -> dict[str, int]:
        """The index's own parameters, as Milvus names them."""
        return {"M": self.m, "efConstruction": self.ef_construction} if self.index == "HNSW" else {}


def exists(connection: Connection) -> bool:
    """Whether the collection is there."""
    return bool(connection.call("look up", lambda: connection.client.has_collection(connection.collection, **RETRIES)))


def create(connection: Connection, dim: int, options: Options, card: Card) -> None:
    """Make the collection with its card and index, and load it."""
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
            connection.collection,
            schema=made,
            properties={cards.PROPERTY: cards.encode(card)},
            consistency_level="Bounded",
            **RETRIES,
        ),
        writes=True,
    )
    _create_index(connection, options)
    load(connection)


def adopt(connection: Connection, options: Options) -> int:
    """The width of the collection's vectors; it is loaded, and must be hookrag's and indexed as the options say."""
    described = _described(connection)
    fields = {field["name"]: field for field in described["fields"]}
    if not fields.keys() >= _FIELDS or cards.PROPERTY not in described["properties"]:
        raise HookragError(
            f"{connection.where}: the collection {connection.collection} was not made by hookrag (got the fields "
            f"{', '.join(sorted(fields))}, expected {', '.join(sorted(_FIELDS))} and a card): choose another collection"
        )
    _check_index(connection, options)
    load(connection)
    return int(fields["dense"]["params"]["dim"])


def card(connection: Connection) -> Card:
    """The card of the collection."""
    text = _described(connection)["properties"].get(cards.PROPERTY, "")
    return cards.decode(text, f"{connection.where}, collection {connection.collection}")


def load(connection: Connection) -> None:
    """Make the collection ready to be searched, which it is not after the engine or the server was started."""
    try:
        connection.call("load", lambda: connection.client.load_collection(connection.collection, **RETRIES))
    except HookragError as error:
        if not connection.is_lite:
            raise
        raise HookragError(
            f"{error}: the files of the index may be damaged: restore the folder from a backup, or move it away and index again"
        ) from error


def save_card(connection: Connection, card: Card) -> None:
    """Replace the card of the collection."""
    connection.call(
        "save the card",
        lambda: connection.client.alter_collection_properties(
            connection.collection, properties={cards.PROPERTY: cards.encode(card)}, **RETRIES
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


def _create_index(connection: Connection, options: Options) -> None:
    params: dict[str, Any] = dict(options.build)
    if params and connection.is_lite:
        # Lite reads them only from inside a key "params", and pymilvus sends each as a key of its own.
        params["params"] = dict(options.build)
    wanted = connection.client.prepare_index_params()
    wanted.add_index("dense", index_name="dense", index_type=options.index, metric_type=options.metric, params=params)
    connection.call(
        "index",
        lambda: connection.client.create_index(connection.collection, wanted, sync=False, **RETRIES),
        writes=True,
    )


def _check_index(connection: Connection, options: Options) -> None:
    described = _described_index(connection)
    if not described:
        # The process died between making the collection and its index.
        _create_index(connection, options)
        return
    built = {**described, **described.get("params", {})}
    got = {"metric": built.get("metric_type"), "index": built.get("index_type")}
    expected: dict[str, str | int] = {"metric": options.metric, "index": options.index}
    if options.index == "HNSW" and got["index"] == "HNSW":
        got |= {"m": int(built.get("M", 0)), "ef_construction": int(built.get("efConstruction", 0))}
        expected |= {"m": options.m, "ef_construction": options.ef_construction}
    for name, value in expected.items():
        if got[name] != value:
            raise IdentityError(
                f"{connection.where}: the collection {connection.collection} was made with {name} = {got[name]!r}, opened with "
                f"{name} = {value!r}: set it back, or index into another path or collection"
            )


def _described(connection: Connection) -> dict[str, Any]:
    return dict(
        connection.call("describe", lambda: connection.client.describe_collection(connection.collection, **RETRIES))
    )


def _described_index(connection: Connection) -> dict[str, Any]:
    def operation() -> Any:
        return connection.client.describe_index(connection.collection, "dense", **RETRIES)

    return dict(connection.call("describe the index", operation) or {})
