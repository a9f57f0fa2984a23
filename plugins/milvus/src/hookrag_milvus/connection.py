"""A connection to one collection, of the embedded engine or of a server, with one policy for errors, deadlines and retries."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hookrag import HookragError, TransientError

from hookrag_milvus.errors import NotLoaded, Refused, TooLarge, raised, translated
from hookrag_milvus.lite import Engine, acquire, quiet, release

if TYPE_CHECKING:
    from pymilvus import MilvusClient

T = TypeVar("T")

RETRIES = {"retry_times": 0}
"""For every call of pymilvus, which otherwise repeats a failed one 75 times: with TransientError the core does."""

STRONG = {**RETRIES, "consistency_level": "Strong"}
"""For reads that must see every write before them. The embedded engine always does."""

PAGE = 10_000
# The engine lies in this process. It takes a ping every 10 s for an attack, hangs up, and gRPC says so on standard error.
_NO_PINGS: dict[str, Any] = {"grpc.keepalive_time_ms": 2**31 - 1, "grpc.keepalive_permit_without_calls": 0}
_SERVICE = "milvus.proto.milvus.MilvusService"
_LOAD_SECONDS = 3_600


@dataclass(slots=True)
class Connection:
    """An open client. `where` names the place in errors; `engine` is the embedded one, None for a server.

    `is_lite` says that Milvus Lite answers, embedded or served: its writers wait for each other, and it needs other words.
    """

    client: MilvusClient
    where: str
    collection: str
    engine: Engine | None
    writer: AbstractContextManager[Any]
    is_lite: bool
    process: int
    broken: str = ""

    def call(self, what: str, operation: Callable[[], T], *, writes: bool = False) -> T:
        """The operation's result; what pymilvus raises comes as an error of hookrag. A collection is loaded where need be."""
        self._usable()
        try:
            return self._once(what, operation)
        except NotLoaded:
            self._once("load", lambda: self.client.load_collection(self.collection, **RETRIES))
            return self._once(what, operation)
        except (Refused, TooLarge, TransientError):
            raise
        except HookragError as error:
            # Measured on a full disk: later answers leave out rows that were acknowledged, until the database is opened anew.
            if writes and self.is_lite:
                self.broken = str(error)
            raise

    def pages(self, where: str, fields: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        """The rows that an expression selects ("" for all), in pages of these fields."""
        cursor = self.call(
            "scan",
            lambda: self.client.query_iterator(
                self.collection, batch_size=PAGE, filter=where, output_fields=list(fields), **STRONG
            ),
        )
        try:
            while page := self.call("scan", cursor.next):
                yield list(page)
        finally:
            cursor.close()

    def query(self, what: str, where: str, fields: Sequence[str]) -> list[dict[str, Any]]:
        """The rows that an expression selects, which must be few."""
        return list(
            self.call(
                what, lambda: self.client.query(self.collection, filter=where, output_fields=list(fields), **STRONG)
            )
        )

    def count(self, where: str) -> int:
        """How many rows an expression selects ("" for all)."""
        return int(self.query("count", where, ["count(*)"])[0]["count(*)"])

    def close(self) -> None:
        """Give back what was opened; in a forked child nothing is, for it belongs to the parent."""
        if self.process != os.getpid():
            return
        self.client.close()
        if self.engine is not None:
            release(self.engine)

    def _once(self, what: str, operation: Callable[[], T]) -> T:
        try:
            return operation()
        except raised() as error:
            raise translated(error, f"{self.where}, collection {self.collection}: {what} failed") from error

    def _usable(self) -> None:
        if self.process != os.getpid():
            raise HookragError(
                f"{self.where}: opened by process {self.process}, used in process {os.getpid()}: a connection does not survive "
                "a fork; open the store in the process that uses it (start processes by spawn)"
            )
        if self.broken:
            raise HookragError(
                f"{self.where}: a write failed, so the store has to be closed and opened again: {self.broken}"
            )


def embedded(database: Path, collection: str, timeout: float) -> Connection:
    """A connection to the embedded engine, which is started if need be; `database` is its folder, named *.db."""
    quiet()
    engine = acquire(database)
    try:
        client = _client(str(database), None, {**_deadlines(timeout), **_NO_PINGS}, timeout)
    except BaseException:
        release(engine)
        raise
    return Connection(client, str(database), collection, engine, engine.writer, True, os.getpid())


def server(uri: str, token_env: str | None, collection: str, timeout: float) -> Connection:
    """A connection to a server; the token is read from the environment now."""
    quiet()
    token = None
    if token_env is not None:
        token = os.environ.get(token_env)
        if not token:
            raise HookragError(
                f"{uri}: token_env names the variable {token_env}, which is not set: export it with the token"
            )
    client = _client(uri, token, _deadlines(timeout), timeout)
    connection = Connection(client, uri, collection, None, threading.RLock(), False, os.getpid())
    connection.is_lite = connection.call("connect", client.get_server_version).startswith("milvus_lite")
    return connection


def _client(uri: str, token: str | None, options: dict[str, Any], timeout: float) -> MilvusClient:
    from pymilvus import MilvusClient

    try:
        # A shared channel is never closed, and one to a port that an earlier engine had would be found again.
        return MilvusClient(uri, token=token or "", timeout=timeout, dedicated=True, grpc_options=options)
    except raised() as error:
        raise translated(error, f"{uri}: no connection") from error


def _deadlines(timeout: float) -> dict[str, Any]:
    # A `timeout` given to a call of pymilvus is also for how long that call is repeated: so gRPC keeps the deadline itself.
    # Loading may build an index, of minutes.
    config = {
        "methodConfig": [
            {"name": [{}], "timeout": f"{timeout:.3f}s"},
            {"name": [{"service": _SERVICE, "method": "LoadCollection"}], "timeout": f"{_LOAD_SECONDS}s"},
        ]
    }
    return {"grpc.service_config": json.dumps(config)}
