"""The generations of an index on a server: collections `<name>_g<number>`, one of which the alias `<name>` leads to."""

from __future__ import annotations

from hookrag import HookragError

from hookrag_milvus.connection import RETRIES, Connection


def collection_of(alias: str, generation: int) -> str:
    """The name of a generation's collection.

    >>> collection_of("hookrag", 2)
    'hookrag_g2'
    """
    return f"{alias}_g{generation}"


def led_to(connection: Connection, alias: str) -> str | None:
    """The collection that the alias leads to, None where there is no such alias; a collection of this name is itself."""
    client = connection.client
    if not connection.call("look up", lambda: client.has_collection(alias, **RETRIES)):
        return None
    described = connection.call("describe", lambda: client.describe_collection(alias, **RETRIES))
    return str(described["collection_name"])


def promote(connection: Connection, alias: str, collection: str) -> None:
    """Lead the alias to the collection, in one step for whoever searches through it."""
    client = connection.client
    now = led_to(connection, alias)
    if now == collection:
        return
    if now == alias:
        raise HookragError(
            f"{connection.where}: {alias} is a collection, expected an alias that leads to one: rename it to "
            f"{collection_of(alias, 1)}, or choose another collection"
        )
    if not connection.call("look up", lambda: client.has_collection(collection, **RETRIES)):
        raise HookragError(
            f"{connection.where}: the collection {collection} cannot be promoted, for it does not exist: put rows into this "
            "generation first"
        )
    if now is None:
        connection.call("promote", lambda: client.create_alias(collection, alias, **RETRIES))
    else:
        connection.call("promote", lambda: client.alter_alias(collection, alias, **RETRIES))


def retire(connection: Connection, alias: str, collection: str) -> None:
    """Drop the collection, which the alias must not lead to; one that is not there is a success."""
    # Asked by us: a server of version 2.3 drops it with the alias still on it.
    if led_to(connection, alias) == collection:
        raise HookragError(
            f"{connection.where}: the collection {collection} is what searches use: promote another generation before this one "
            "is retired"
        )
    connection.call("retire", lambda: connection.client.drop_collection(collection, **RETRIES))
