"""Dense vectors in Milvus: embedded by default, or on a server."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

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
    checked,
)
from hookrag_stores.batches import halves, parts
from hookrag_stores.rows import new_card
from hookrag_stores.vectors import Metric, queries_of, unwarned
from numpy.typing import NDArray

from hookrag_milvus import card as cards
from hookrag_milvus import collection as schema
from hookrag_milvus import generations
from hookrag_milvus.connection import RETRIES, Connection, embedded, server
from hookrag_milvus.errors import Refused, TooLarge
from hookrag_milvus.index import MAX_K, Ef, EfConstruction, IndexType, M, Nlist, Nprobe, options
from hookrag_milvus.rows import (
    CHUNK_FIELDS,
    KEY_FIELDS,
    Record,
    batches,
    chunk_from,
    is_id,
    key_from,
    record,
    row_from,
)
from hookrag_milvus.search import search
from hookrag_milvus.settings import Collection, Generation, Timeout, check_collection, check_server
from hookrag_milvus.where import expression, one_of

_IDS = 1_000
_FLUSH_ROWS = 1_000


class Milvus:
    """A store of dense vectors in Milvus.

    `path` is a folder that belongs to this store alone: the embedded engine (Milvus Lite) keeps its database there, one process
    at a time; with `uri` a server keeps the rows, and the folder only the card until there is a collection. `token_env` names
    the environment variable that holds the server's token.

    `metric` ranks by cosine, inner product, or negated squared distance (L2). `index` is exact (FLAT), lists around `nlist`
    centres (128) of which a search reads the `nprobe` nearest (16), or a graph (HNSW) of `m` neighbours a node (16), built with
    `ef_construction` candidates (200) and searched with the greater of `ef` (64) and 2 k. A parameter of another index than the
    chosen one is refused. `timeout` is for one call, in seconds; what takes longer fails as transient.

    On a server `collection` is an alias that leads to a generation of the index, at first to `<collection>_g1`. `generation`,
    which reindexing fills in, means one of them, without regard to the alias.

    `version` is not kept: the embedded engine is fenced because its writes end with its process, a server is not. Rows survive
    the death of the process, not a loss of power (Milvus Lite does not fsync them). Equal scores are ordered by chunk id, but
    which of several rows that tie at the k-th place are returned is the engine's choice.
    """

    version = 1

    @checked
    def __init__(
        self,
        *,
        chunker: Annotated[Chunker, "cuts the documents"],
        embedder: Annotated[Embedder, "gives the dense vectors that are kept"],
        path: Annotated[
            Path, "the folder of the embedded database; with `uri` it holds only the card until there is a collection"
        ],
        uri: Annotated[str | None, "a server; a secret inside it is refused"] = None,
        token_env: Annotated[str | None, "the name of the environment variable with the server's token"] = None,
        collection: Collection = "hookrag",
        metric: Annotated[
            Metric, "scores are cosines in [-1, 1], inner products, or negated squared distances"
        ] = "COSINE",
        index: Annotated[IndexType, "`FLAT` is exact, the others are approximate"] = "FLAT",
        m: M = None,
        ef_construction: EfConstruction = None,
        ef: Ef = None,
        nlist: Nlist = None,
        nprobe: Nprobe = None,
        timeout: Timeout = 60.0,
        generation: Generation = None,
    ) -> None:
        check_server(uri, token_env, generation)
        check_collection(collection, served=uri is not None)
        given = {"m": m, "ef_construction": ef_construction, "ef": ef, "nlist": nlist, "nprobe": nprobe}
        self._options = options(metric, index, given)
        self.chunker = chunker
        self.embedder = embedder
        self.embedders = {"dense": embedder}
        self.path = path
        self.uri = uri
        self.fenced = uri is None
        self.token_env = token_env
        self.collection = collection
        self.metric: Metric = metric
        self.index: IndexType = index
        self.m = m
        self.ef_construction = ef_construction
        self.ef = ef
        self.nlist = nlist
        self.nprobe = nprobe
        self.timeout = timeout
        self.generation = generation
        self._connection: Connection | None = None
        self._dim: int | None = None  # None until there is a collection
        self._unflushed = 0

    @property
    def dense_kind(self) -> ScoreKind:
        return self._options.kind

    # The life of the store.

    def open(self) -> None:
        """Connect, and load the collection if there is one. IndexLocked names the process that has the folder open."""
        if self.uri is None:
            database = Path(os.path.realpath(self.path)) / "milvus.db"
            self._connection = embedded(database, self.collection, self.timeout)
        else:
            name = self.collection if self.generation is None else self._made
            self._connection = server(self.uri, self.token_env, name, self.timeout)
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
                return schema.card(connection, connection.collection)
            kept = cards.read(self._card_file)
            if kept is None:
                kept = new_card(self.generation or 1)
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
            with unwarned():
                for row in rows:
                    try:
                        made = record(row, dim=dim, metric=self.metric)
                    except ItemRejected as error:
                        rejected[row.chunk.id] = str(error)
                        continue
                    dim = len(made.fields["dense"])
                    records[made.id] = made
            if not records:
                return rejected
            if self._dim is None:
                assert dim is not None, "there is a record"
                self._create(connection, dim)
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

    # Generations, on a server.

    def promote(self) -> None:
        """Lead the alias, and by it every search, to this store's generation; at once, whatever it led to before."""
        generations.promote(self._served(), self.collection, self._made)

    def retire(self, generation: int, /) -> None:
        """Drop the collection of a generation that the alias does not lead to; one that is not there is a success."""
        generations.retire(self._served(), self.collection, generations.collection_of(self.collection, generation))

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
        """The k best of the rows that match; scores are cosines in [-1, 1], inner products, or negated squared distances.

        FLAT is exact. IVF_FLAT and HNSW are approximate, and search more widely under a filter; where they return fewer than
        min(k, matching rows), exact scores are computed.
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
            queries = queries_of(vectors, self.metric, dim=dim)
        except ValueError as error:
            raise HookragError(f"{connection.where}: {error}") from error
        self._flush(connection)
        selected = "" if where is None else expression(where)
        return search(connection, self._options, queries, k, selected, self._chunks)

    def _chunks(self, chunk_ids: Iterable[str]) -> dict[str, Chunk]:
        return {one["pk"]: chunk_from(one) for one in self._by_id(chunk_ids, CHUNK_FIELDS)}

    def _by_id(self, chunk_ids: Iterable[str], fields: Sequence[str]) -> Iterator[dict[str, Any]]:
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
                pending += halves(ids)[::-1]

    def _delete(self, connection: Connection, selected: str) -> None:
        def operation() -> None:
            connection.client.delete(connection.collection, filter=selected, **RETRIES)

        connection.call("delete", operation, writes=True)

    def _flush(self, connection: Connection) -> None:
        """Move rows of a bulk load to where Milvus Lite searches them ten times faster."""
        if connection.is_lite and self._unflushed >= _FLUSH_ROWS:
            with connection.writer:
                connection.call("flush", lambda: connection.client.flush(connection.collection, **RETRIES), writes=True)
                self._unflushed = 0
            schema.warn_of_size(connection)

    def _upsert(self, connection: Connection, batch: Sequence[Record], rejected: dict[str, str]) -> None:
        rows = [one.fields for one in batch]
        try:
            connection.call(
                "write", lambda: connection.client.upsert(connection.collection, rows, **RETRIES), writes=True
            )
        except (Refused, TooLarge) as error:
            if len(batch) == 1:
                rejected[batch[0].id] = str(error)
                return
            for half in halves(batch):
                self._upsert(connection, half, rejected)

    # The state of this component.

    @property
    def _card_file(self) -> Path:
        return self.path / ("card.json" if self.generation is None else f"card_g{self.generation}.json")

    @property
    def _made(self) -> str:
        """The collection that is made where there is none."""
        if self.uri is None:
            return self.collection
        return generations.collection_of(self.collection, self.generation or 1)

    def _open(self) -> Connection:
        if self._connection is None:
            raise HookragError(f"{self.path}: the store is not open: call open() first")
        return self._connection

    def _served(self) -> Connection:
        connection = self._open()
        if self.uri is None:
            raise HookragError(
                f"{connection.where}: an embedded database has one generation: index the next one into another path"
            )
        return connection

    def _ready(self) -> int | None:
        """The width of the vectors, None while there is no collection; another component of the process may have made it."""
        if self._dim is None:
            connection = self._open()
            if schema.exists(connection, connection.collection) or self._resumed(connection):
                self._dim = schema.adopt(connection, self._options)
                # The card is in the collection now; the file would outlive rows that are wiped.
                self._card_file.unlink(missing_ok=True)
        return self._dim

    def _create(self, connection: Connection, dim: int) -> None:
        if self._made != connection.collection and schema.exists(connection, self._made):
            raise HookragError(
                f"{connection.where}: the collection {self._made} is there, but the alias {self.collection} leads nowhere: "
                "promote a generation, or choose another collection"
            )
        schema.create(connection, self._made, dim, self._options, self.card())
        self._lead(connection)
        self._ready()

    def _resumed(self, connection: Connection) -> bool:
        """Whether this store made the first generation, died before the alias led to it, and has made that good now."""
        if self._made == connection.collection or not self._card_file.exists():
            return False
        kept = cards.read(self._card_file)
        if kept is None or not schema.exists(connection, self._made):
            return False
        if schema.card(connection, self._made).uuid != kept.uuid:
            return False
        self._lead(connection)
        return True

    def _lead(self, connection: Connection) -> None:
        if self._made != connection.collection:
            generations.promote(connection, self.collection, self._made)


def _ids(chunk_ids: Iterable[str]) -> Iterator[Sequence[str]]:
    """The different ids that can be in a store, a thousand at a time."""
    return parts([chunk_id for chunk_id in dict.fromkeys(chunk_ids) if is_id(chunk_id)], _IDS)
