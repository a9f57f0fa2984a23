"""Dense vectors in Milvus: embedded by default, or on a server."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from hookrag import (
    Card,
    Chunk,
    Chunker,
    Embedder,
    Filter,
    Hit,
    HookragError,
    ItemRejected,
    Row,
    RowKey,
    ScoreKind,
    best,
    note,
)
from numpy.typing import NDArray

from hookrag_milvus import card as cards
from hookrag_milvus import collection as schema
from hookrag_milvus.connection import RETRIES, Connection, embedded, server
from hookrag_milvus.errors import Refused, TooLarge
from hookrag_milvus.exact import nearest
from hookrag_milvus.rows import (
    CHUNK_FIELDS,
    KEY_FIELDS,
    Record,
    batches,
    chunk_from,
    halves,
    is_id,
    key_from,
    queries_of,
    record,
    row_from,
)
from hookrag_milvus.settings import check_collection, check_range, check_uri
from hookrag_milvus.where import expression, one_of

MAX_K = 16_384
_IDS = 1_000
_HITS = 16_384
_FLUSH_ROWS = 1_000
_EXACT_ROWS, _EXACT_SHARE = 20_000, 0.1


class Milvus:
    """A store of dense vectors in Milvus.

    `path` is a folder that belongs to this store alone: the embedded engine (Milvus Lite) keeps its database there, one process
    at a time; with `uri` a server keeps the rows, and the folder only the card until there is a collection. `token_env` names
    the environment variable that holds the server's token. `m`, `ef_construction` and `ef` belong to the HNSW index; a search
    uses max(ef, 2 k). `timeout` is for one call, in seconds; what takes longer fails as transient.

    `version` is not kept: the embedded engine is fenced because its writes end with its process, a server is not. Rows survive
    the death of the process, not a loss of power (Milvus Lite does not fsync them). Equal scores are ordered by chunk id, but
    which of several rows that tie at the k-th place are returned is the engine's choice.
    """

    version = 1

    def __init__(
        self,
        *,
        chunker: Chunker,
        embedder: Embedder,
        path: Path,
        uri: str | None = None,
        token_env: str | None = None,
        collection: str = "hookrag",
        metric: Literal["COSINE", "IP"] = "COSINE",
        index: Literal["FLAT", "HNSW"] = "FLAT",
        m: int = 16,
        ef_construction: int = 200,
        ef: int = 64,
        timeout: float = 60.0,
    ) -> None:
        if uri is not None:
            check_uri(uri)
        elif token_env is not None:
            raise ValueError("token_env is for a server, got no uri: set uri, or leave token_env out")
        check_collection(collection)
        if metric not in ("COSINE", "IP"):
            raise ValueError(f"metric must be COSINE or IP, got {metric!r}")
        if index not in ("FLAT", "HNSW"):
            raise ValueError(f"index must be FLAT or HNSW, got {index!r}")
        check_range("m", m, 2, 2048)
        check_range("ef_construction", ef_construction, 8, 32_768)
        check_range("ef", ef, 1, 32_768)
        if not 0 < timeout < math.inf:
            raise ValueError(f"timeout must be a number of seconds over 0, got {timeout}")
        self.chunker = chunker
        self.embedder = embedder
        self.embedders = {"dense": embedder}
        self.path = path
        self.uri = uri
        self.fenced = uri is None
        self.token_env = token_env
        self.collection = collection
        self.metric: Literal["COSINE", "IP"] = metric
        self.index: Literal["FLAT", "HNSW"] = index
        self.m = m
        self.ef_construction = ef_construction
        self.ef = ef
        self.timeout = timeout
        self._options = schema.Options(metric, index, m, ef_construction)
        self._connection: Connection | None = None
        self._dim: int | None = None  # None until there is a collection
        self._unflushed = 0

    @property
    def dense_kind(self) -> ScoreKind:
        return ScoreKind("cosine" if self.metric == "COSINE" else "inner product")

    # The life of the store.

    def open(self) -> None:
        """Connect, and load the collection if there is one. IndexLocked names the process that has the folder open."""
        if self.uri is None:
            database = Path(os.path.realpath(self.path)) / "milvus.db"
            self._connection = embedded(database, self.collection, self.timeout)
        else:
            self._connection = server(self.uri, self.token_env, self.collection, self.timeout)
        try:
            self.card()
            if self._dim is not None:
                schema.warn_of_size(self._connection)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Disconnect; the last to close an embedded database writes what it holds and lets other processes open it."""
        connection, self._connection = self._connection, None
        self._dim = None
        if connection is not None:
            connection.close()

    def card(self) -> Card:
        """The card; rows that are wiped take it with them, and the next one has another uuid."""
        connection = self._open()
        with connection.writer:
            if self._ready() is not None:
                return schema.card(connection)
            kept = cards.read(self._card_file)
            if kept is None:
                kept = cards.new()
                self.path.mkdir(parents=True, exist_ok=True)
                cards.write(self._card_file, kept)
            return kept

    def stamp(self, card: Card, /) -> None:
        """Save the card; its uuid has to be this store's."""
        connection = self._open()
        with connection.writer:
            uuid = self.card().uuid
            if card.uuid != uuid:
                raise HookragError(
                    f"{connection.where}: got a card of the store {card.uuid}, expected one of the store {uuid}"
                )
            if self._ready() is None:
                cards.write(self._card_file, card)
            else:
                schema.save_card(connection, card)

    # Writing.

    def put(self, rows: Sequence[Row], /, *, version: int) -> Mapping[str, str]:
        """Insert or replace rows; {chunk id: reason} for those that are malformed, too long for Milvus, or refused by it."""
        connection = self._open()
        rejected: dict[str, str] = {}
        records: dict[str, Record] = {}
        with connection.writer:
            dim = self._ready()
            for row in rows:
                try:
                    made = record(row, dim=dim, directed=self.metric == "COSINE")
                except ItemRejected as error:
                    rejected[row.chunk.id] = str(error)
                    continue
                dim = len(made.fields["dense"])
                records[made.id] = made
            if not records:
                return rejected
            if self._dim is None:
                assert dim is not None, "there is a record"
                schema.create(connection, dim, self._options, self.card())
                self._ready()
            for batch in batches(records.values()):
                self._upsert(connection, batch, rejected)
                self._unflushed += len(batch)
        return rejected

    def drop(self, chunk_ids: Sequence[str], /, *, version: int) -> None:
        """Delete rows by their ids."""
        connection = self._open()
        with connection.writer:
            if self._ready() is None:
                return
            for ids in _ids(chunk_ids):
                self._delete(connection, one_of("pk", ids))

    def sync(self) -> None:
        """Return when searches see every write.

        A server is asked for a consistent count, and waited for while it builds its index, at most `timeout`: it searches what
        is not indexed yet by force. The embedded engine always sees its writes.
        """
        connection = self._open()
        if not connection.is_lite and self._ready() is not None:
            schema.settle(connection, self.timeout)

    # Reading rows.

    def scan(self) -> Iterator[list[RowKey]]:
        """Every row once, in pages of 10,000."""
        connection = self._open()
        if self._ready() is not None:
            for page in connection.pages("", KEY_FIELDS):
                yield [key_from(found) for found in page]

    def fetch(self, chunk_ids: Sequence[str], /, *, vectors: bool = False) -> list[Row | None]:
        """The rows in the order asked for, None where there is none."""
        self._open()
        fields = [*CHUNK_FIELDS, "owner", "check", *(["dense"] if vectors else [])]
        found = {one["pk"]: row_from(one) for one in self._by_id(chunk_ids, fields)}
        return [found.get(chunk_id) for chunk_id in chunk_ids]

    def count(self, where: Filter | None = None, /) -> int:
        """How many rows there are, or match."""
        connection = self._open()
        return 0 if self._ready() is None else connection.count("" if where is None else expression(where))

    # Searching.

    def search_dense(self, vectors: NDArray[np.float32], /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        """The k best of the rows that match; scores are cosines in [-1, 1] or inner products.

        FLAT is exact. HNSW is approximate, but exact scores are computed where the filter leaves at most 20,000 rows or a tenth
        of them, and where the index returns fewer than min(k, matching rows): a graph loses its way in few rows.
        """
        connection = self._open()
        if not 1 <= k <= MAX_K:
            raise HookragError(
                f"{connection.where}: got k = {k}, expected 1 to {MAX_K:,}, the most that Milvus returns"
            )
        dim = self._ready()
        if dim is None or len(vectors) == 0:
            return [[] for _ in range(len(vectors))]
        try:
            queries = queries_of(vectors, dim=dim, directed=self.metric == "COSINE")
        except ValueError as error:
            raise HookragError(f"{connection.where}: {error}") from error
        self._flush(connection)
        selected = "" if where is None else expression(where)
        if selected and self.index == "HNSW":
            matching = connection.count(selected)
            if matching <= max(_EXACT_ROWS, _EXACT_SHARE * connection.count("")):
                return self._exact(connection, queries, k, selected)
        # As many queries a call as may be: the embedded engine walks all its rows once a call, not once a query.
        at_once = max(1, _HITS // k)
        hits: list[list[Hit]] = []
        for start in range(0, len(queries), at_once):
            hits += self._search(connection, queries[start : start + at_once], k, selected)
        fewest = min(map(len, hits))
        if fewest < k and fewest < connection.count(selected):
            return self._exact(connection, queries, k, selected)
        return hits

    def _search(self, connection: Connection, queries: NDArray[np.float32], k: int, selected: str) -> list[list[Hit]]:
        params = {"ef": min(max(self.ef, 2 * k), 32_768)} if self.index == "HNSW" else {}
        fields = CHUNK_FIELDS if len(queries) > 1 or k <= _IDS else ("pk",)
        try:
            answers = connection.call(
                "search",
                lambda: connection.client.search(
                    self.collection,
                    data=list(queries),
                    anns_field="dense",
                    filter=selected,
                    limit=k,
                    output_fields=list(fields),
                    search_params={"metric_type": self.metric, "params": params},
                    **RETRIES,
                ),
            )
        except TooLarge:
            if len(queries) == 1:
                raise
            first, rest = halves(queries)  # type: ignore[arg-type]  # an array is sliced like a sequence
            return [*self._search(connection, first, k, selected), *self._search(connection, rest, k, selected)]  # type: ignore[arg-type]  # as above
        scored = [[(one["pk"], self._score(one["distance"])) for one in answer] for answer in answers]
        if fields is CHUNK_FIELDS:
            chunks = {one["pk"]: one["entity"] for answer in answers for one in answer}
            return _hits(scored, {pk: chunk_from({"pk": pk, **entity}) for pk, entity in chunks.items()}, k)
        return _hits(scored, self._chunks(scored), k)

    def _exact(self, connection: Connection, queries: NDArray[np.float32], k: int, selected: str) -> list[list[Hit]]:
        note(exact=len(queries))
        pages = (
            ([one["pk"] for one in page], np.asarray([one["dense"] for one in page], dtype=np.float32))
            for page in connection.pages(selected, ["pk", "dense"])
        )
        scored = nearest(queries, pages, k, self.metric)
        return _hits(scored, self._chunks(scored), k)

    def _score(self, distance: float) -> float:
        return min(1.0, max(-1.0, distance)) if self.metric == "COSINE" else distance

    def _chunks(self, scored: Sequence[Sequence[tuple[str, float]]]) -> dict[str, Chunk]:
        ids = dict.fromkeys(pk for answer in scored for pk, _ in answer)
        return {one["pk"]: chunk_from(one) for one in self._by_id(list(ids), CHUNK_FIELDS)}

    def _by_id(self, chunk_ids: Sequence[str], fields: Sequence[str]) -> Iterator[dict[str, Any]]:
        connection = self._open()
        if self._ready() is None:
            return
        pending = list(_ids(chunk_ids))[::-1]
        while pending:
            ids = pending.pop()
            try:
                yield from connection.query("fetch", one_of("pk", ids), fields)
            except TooLarge:
                if len(ids) == 1:
                    raise
                pending += map(list, halves(ids)[::-1])

    def _delete(self, connection: Connection, selected: str) -> None:
        def operation() -> None:
            connection.client.delete(self.collection, filter=selected, **RETRIES)

        connection.call("delete", operation, writes=True)

    def _flush(self, connection: Connection) -> None:
        """Move rows of a bulk load to where Milvus Lite searches them ten times faster."""
        if connection.is_lite and self._unflushed >= _FLUSH_ROWS:
            with connection.writer:
                connection.call("flush", lambda: connection.client.flush(self.collection, **RETRIES), writes=True)
                self._unflushed = 0
            schema.warn_of_size(connection)

    def _upsert(self, connection: Connection, batch: Sequence[Record], rejected: dict[str, str]) -> None:
        rows = [one.fields for one in batch]
        try:
            connection.call("write", lambda: connection.client.upsert(self.collection, rows, **RETRIES), writes=True)
        except (Refused, TooLarge) as error:
            if len(batch) == 1:
                rejected[batch[0].id] = str(error)
                return
            for half in halves(batch):
                self._upsert(connection, half, rejected)

    # The state of this component.

    @property
    def _card_file(self) -> Path:
        return self.path / "card.json"

    def _open(self) -> Connection:
        if self._connection is None:
            raise HookragError(f"{self.path}: the store is not open: call open() first")
        return self._connection

    def _ready(self) -> int | None:
        """The width of the vectors, None while there is no collection; another component of the process may have made it."""
        if self._dim is None:
            connection = self._open()
            if schema.exists(connection):
                self._dim = schema.adopt(connection, self._options)
                # The card is in the collection now; the file would outlive rows that are wiped.
                self._card_file.unlink(missing_ok=True)
        return self._dim


def _hits(scored: Sequence[Sequence[tuple[str, float]]], chunks: Mapping[str, Chunk], k: int) -> list[list[Hit]]:
    # A row that was deleted since it was found has no chunk any more.
    return [list(best((Hit(chunks[pk], score) for pk, score in answer if pk in chunks), k)) for answer in scored]


def _ids(chunk_ids: Sequence[str]) -> Iterator[list[str]]:
    """The different ids that can be in a store, a thousand at a time."""
    ids = [chunk_id for chunk_id in dict.fromkeys(chunk_ids) if is_id(chunk_id)]
    for start in range(0, len(ids), _IDS):
        yield ids[start : start + _IDS]
