"""A connection to a server, with one policy for errors, time limits and retries."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hookrag import HookragError

from hookrag_elasticsearch.errors import answered, raised, translated

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch as Client

T = TypeVar("T")

Json = dict[str, Any]

PAGE = 10_000
"""The most hits of one request, `index.max_result_window` of a server that nobody has changed."""

_KEEP_ALIVE = "5m"
# A search that misses a part of the index must fail; statistics are those of all shards, so that their number changes no score.
_WHOLE = {"allow_partial_search_results": False, "search_type": "dfs_query_then_fetch"}


@dataclass(frozen=True, slots=True)
class Connection:
    """An open client, and the alias through which the rows of one store are reached."""

    client: Client
    url: str
    target: str

    @property
    def where(self) -> str:
        """The place, for errors."""
        return f"{self.url}, index {self.target}"

    def call(self, what: str, operation: Callable[[], T]) -> T:
        """The operation's result; what the client raises comes as an error of hookrag."""
        try:
            return operation()
        except raised() as error:
            raise translated(error, f"{self.where}: {what} failed") from error

    def search(self, what: str, bodies: Sequence[Json], *, preference: Sequence[str] | None = None) -> list[list[Json]]:
        """The hits of each search, all of them sent as one request."""
        lines: list[Mapping[str, Any]] = []
        for number, body in enumerate(bodies):
            head = {"index": self.target, **_WHOLE}
            lines += [head if preference is None else {**head, "preference": preference[number]}, body]
        answer = self.call(what, lambda: self.client.msearch(searches=lines))
        found = []
        for one in answer["responses"]:
            if "error" in one:
                raise answered(one["status"], one["error"], f"{self.where}: {what} failed")
            found.append(one["hits"]["hits"])
        return found

    def count(self, what: str, query: Json) -> int:
        """How many documents a query selects."""
        answer = self.call(
            what,
            lambda: self.client.search(
                index=self.target, query=query, size=0, track_total_hits=True, allow_partial_search_results=False
            ),
        )
        return int(answer["hits"]["total"]["value"])

    def pages(self, what: str, query: Json, options: Json, *, size: int = PAGE) -> Iterator[list[Json]]:
        """Every document that a query selects, once, as the index is now, in pages."""
        client = self.client
        opened = self.call(what, lambda: client.open_point_in_time(index=self.target, keep_alive=_KEEP_ALIVE))
        pit = opened["id"]
        after: list[Any] | None = None
        try:
            while True:
                answer = self.call(
                    what,
                    lambda: client.search(
                        pit={"id": pit, "keep_alive": _KEEP_ALIVE},  # noqa: B023  # called at once
                        query=query,
                        sort=[{"_shard_doc": "asc"}],
                        search_after=after,  # noqa: B023  # called at once
                        size=size,
                        track_total_hits=False,
                        allow_partial_search_results=False,
                        **options,
                    ),
                )
                pit = answer.get("pit_id", pit)
                hits = answer["hits"]["hits"]
                if not hits:
                    return
                yield hits
                after = hits[-1]["sort"]
        finally:
            with suppress(HookragError):  # it ends by itself, and must not hide the error that ended the scan
                self.call(what, lambda: client.close_point_in_time(id=pit))


def connect(
    url: str,
    target: str,
    *,
    username_env: str | None,
    password_env: str | None,
    api_key_env: str | None,
    ca_file: Path | None,
    timeout: float,
) -> Connection:
    """A connection; nothing is sent yet. Credentials are read from the environment now."""
    from elasticsearch import Elasticsearch as Client

    credentials: Json = {}
    if username_env is not None and password_env is not None:
        credentials["basic_auth"] = (
            _secret(url, "username_env", username_env),
            _secret(url, "password_env", password_env),
        )
    if api_key_env is not None:
        credentials["api_key"] = _secret(url, "api_key_env", api_key_env)
    if ca_file is not None:
        if not ca_file.is_file():
            raise HookragError(f"{url}: ca_file is {ca_file}, and there is no such file")
        credentials["ca_certs"] = str(ca_file)
    # The core tries again what may pass, and knows when to stop.
    client = Client(url, request_timeout=timeout, max_retries=0, retry_on_timeout=False, **credentials)
    return Connection(client, url, target)


def _secret(url: str, parameter: str, name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise HookragError(f"{url}: {parameter} names the variable {name}, which is not set: export it")
    return value
