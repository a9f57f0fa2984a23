"""Calls of components as the ingest makes them: retried, and with a place where a test can make the process die."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from hookrag.errors import ConfigError, IdentityError, IndexLocked, IngestRefused, IngestStopped, PluginError
from hookrag.ingest import plans
from hookrag.ingest.failures import bisected, persistently, refuses_item
from hookrag.ingest.journal import Journal
from hookrag.ingest.target import Target
from hookrag.values import Card, Row, RowKey

T = TypeVar("T")

ROWS_AT_ONCE = 1000
SETTLE_SECONDS = 2.0


def attempt(what: str, call: Callable[[], T], refuses: Callable[[Exception], bool], patience: float) -> T:
    """The result of the call, tried for `patience` seconds; IngestStopped where it fails, unless an item is to blame for it."""
    try:
        return persistently(call, patience)
    except (IngestStopped, ConfigError, IdentityError, IndexLocked, IngestRefused, PluginError):
        raise
    except Exception as error:
        if refuses(error):
            raise
        told = "\n".join([f"{what}: {error or type(error).__name__}", *getattr(error, "__notes__", ())])
        raise IngestStopped(told) from error


class Stores:
    """The stores of a run; a failure that may pass is tried again for `patience` seconds."""

    def __init__(self, targets: Sequence[Target], *, patience: float, fault: Callable[[str], None]) -> None:
        self.targets = targets
        self.patience = patience
        self._fault = fault

    def call(self, target: Target, operation: str, call: Callable[[], T]) -> T:
        """The result of one operation of a store."""
        self._fault(f"{target.name} {operation}: before")
        result = attempt(f"{target} failed in {operation}", call, refuses_item, self.patience)
        self._fault(f"{target.name} {operation}: after")
        return result

    def card(self, target: Target) -> Card:
        """What the store knows about itself."""
        return self.call(target, "card", target.store.card)

    def stamp(self, target: Target, card: Card) -> None:
        """Save the card in the store."""
        self.call(target, "stamp", lambda: target.store.stamp(card))

    def put(
        self, target: Target, rows: Sequence[Row], version: int
    ) -> Iterator[tuple[Sequence[Row], Mapping[str, str]]]:
        """Write rows and return those that were tried together with {chunk id: reason} of those that were refused."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE]

            def write(some: Sequence[Row]) -> Mapping[str, str]:
                return self.call(target, "put", lambda: target.store.put(some, version=version))

            for tried, result in bisected(part, write, refuses_item):
                yield tried, {tried[0].chunk.id: str(result)} if isinstance(result, Exception) else result

    def sync(self, target: Target) -> None:
        """Wait until what was written is durable and visible."""
        self.call(target, "sync", target.store.sync)

    def wait_for_late_writes(self, *targets: Target) -> None:
        """Wait until what a run before sent has arrived at those (all by default) that would not know it for outdated."""
        waiting = [target for target in targets or self.targets if not target.fenced]
        for target in waiting:
            self.sync(target)
        if waiting:
            time.sleep(SETTLE_SECONDS)
        for target in waiting:
            self.sync(target)

    def scan(self, target: Target) -> Iterator[list[RowKey]]:
        """Every row, in pages; a failure stops the run, for a scan cannot be continued."""
        self._fault(f"{target.name} scan: before")
        try:
            yield from target.store.scan()
        except Exception as error:
            raise IngestStopped(f"{target} failed in scan: {error or type(error).__name__}") from error

    def fetch(self, target: Target, ids: Sequence[str]) -> list[Row | None]:
        """Rows with their vectors."""
        return self.call(target, "fetch", lambda: target.store.fetch(ids, vectors=True))

    def pay(self, journal: Journal, target: Target, store: int) -> None:
        """D and T3 of `hookrag.ingest`: delete from a store what is owed, wait until it is gone, and erase the debts."""
        for version, ids in plans.owed(journal, store, 10 * ROWS_AT_ONCE):
            for start in range(0, len(ids), ROWS_AT_ONCE):
                self._drop(target, ids[start : start + ROWS_AT_ONCE], version)
            self.sync(target)
            plans.paid(journal, store, version, ids)

    def _drop(self, target: Target, ids: Sequence[str], version: int) -> None:
        self.call(target, "drop", lambda: target.store.drop(ids, version=version))
