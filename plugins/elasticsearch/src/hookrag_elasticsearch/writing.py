"""Bulk requests: of bounded size, and every item's answer looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hookrag import HookragError, TransientError
from hookrag_stores import batches as stores_batches
from hookrag_stores.batches import halves

from hookrag_elasticsearch.connection import Connection
from hookrag_elasticsearch.errors import Refused, TooLarge, answered, reason_of
from hookrag_elasticsearch.rows import CARD_ID, Operation

MAX_BYTES = 8 * 2**20
MAX_OPERATIONS = 2_000

# An update that changes nothing. Deletions with a version make a missing index, require_alias or not, unless something that is
# no deletion is sent with them.
_GUARD = Operation(CARD_ID, (b'{"update":{"_id":"%s"}}' % CARD_ID.encode(), b'{"doc":{}}'))


def write(connection: Connection, operations: Iterable[Operation]) -> dict[str, str]:
    """Send the operations; {chunk id: reason} for those that the server refuses by themselves.

    A row that is there in a newer version, or not there to be deleted, is a success. Raises TransientError where trying the
    same again may help, HookragError where it is not about the rows.
    """
    refused: dict[str, str] = {}
    for batch in batches(operations):
        _send(connection, batch, refused)
    return refused


def batches(operations: Iterable[Operation]) -> Iterator[list[Operation]]:
    """The operations in order, in batches of at most 2,000 and 8 MiB."""
    return stores_batches.batches(operations, lambda one: one.size, most=MAX_OPERATIONS, most_bytes=MAX_BYTES)


def _send(connection: Connection, batch: Sequence[Operation], refused: dict[str, str]) -> None:
    if len(batch[0].lines) == 1:
        batch = [_GUARD, *batch]
    # The client takes lines that are encoded already, whatever its types say.
    lines: list[Any] = [line for one in batch for line in one.lines]
    try:
        answer = connection.call(
            "write", lambda: connection.client.bulk(index=connection.target, operations=lines, require_alias=True)
        )
    except TooLarge as error:
        batch = [one for one in batch if one is not _GUARD]
        if len(batch) == 1:
            refused[batch[0].id] = str(error)
            return
        for half in halves(batch):
            _send(connection, half, refused)
        return
    if not answer["errors"]:
        return
    failures = []
    for one, item in zip(batch, answer["items"], strict=True):
        failure = _failure(connection, item)
        if failure is None:
            continue
        if not isinstance(failure, Refused):
            failures.append(failure)
        refused[one.id] = str(failure)
    if failures:
        # What concerns everything before what may pass: of the latter the caller tries all again.
        raise min(failures, key=lambda error: isinstance(error, TransientError))


def _failure(connection: Connection, item: Mapping[str, Any]) -> HookragError | None:
    (result,) = item.values()
    error = result.get("error")
    if error is None or result["status"] == 409 or error.get("type") == "document_missing_exception":
        return None
    if result["status"] == 400 and error.get("type") != "index_closed_exception":
        return Refused(reason_of(error))
    return answered(result["status"], error, f"{connection.where}: write failed")
