"""The store `elasticsearch`: BM25, and dense and sparse vectors, on a server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from hookrag import (
    Above,
    Between,
    Card,
    Chunker,
    Embedder,
    Filter,
    Finite,
    Hit,
    HookragError,
    ItemRejected,
    Output,
    Row,
    RowKey,
    ScoreKind,
    SparseRows,
    checked,
    note,
)
from hookrag_stores.vectors import KINDS, dense_of, unwarned
from numpy.typing import NDArray

from hookrag_elasticsearch import index as schema
from hookrag_elasticsearch import reading, searching
from hookrag_elasticsearch.connection import PAGE, Connection, Json, connect
from hookrag_elasticsearch.rows import (
    KEY_FIELDS,
    MAX_DIM,
    Operation,
    deletion,
    insertion,
    is_id,
    key_from,
    row_from,
    weights_of,
)
from hookrag_elasticsearch.settings import (
    IndexName,
    check_credentials,
    check_url,
    embedders_of,
)
from hookrag_elasticsearch.where import query
from hookrag_elasticsearch.writing import write


class Elasticsearch:
    """Ranks rows by the words of their context and text (BM25) on an Elasticsearch server, and by the vectors of an embedder.

    `index` is an alias, of the one index `<index>_g<generation>` that it is promoted to; both are made when the store is first
    opened. With a `generation` the store is that index, whatever the alias is: to be filled beside the one that searches use,
    and then promoted. `outputs` are those of the embedder's vectors that are kept; without it all that can be: dense and
    sparse. `analyzer` is one of the server's, or one that an index template defines.

    `k1`, `b`, `metric`, `dense_index` ("hnsw" with `m` and `ef_construction`; "int8_hnsw" and "bbq_hnsw" take a quarter and a
    thirtieth of the memory and approximate scores; "flat" is exact), `shards` and `replicas` are of an index that is made; an
    index that was made with others is refused, but for `replicas`. `num_candidates` may change at any time.

    `username_env`, `password_env` and `api_key_env` are the names of environment variables. `timeout` is for one call, in
    seconds; what takes longer fails as transient. Writes carry their version to the server, which ignores the older of two.
    """

    version = 1
    fenced = True

    @checked
    def __init__(
        self,
        *,
        chunker: Annotated[Chunker, "cuts the documents"],
        embedder: Annotated[Embedder | None, "its dense and sparse vectors are kept; without it, words alone"] = None,
        outputs: Annotated[
            list[Literal["dense", "sparse"]] | None,
            "which of the embedder's vectors are kept; without it, all that can be",
        ] = None,
        url: Annotated[str, "the server, with its port"] = "http://localhost:9200",
        index: IndexName = "hookrag",
        generation: Annotated[int | None, Between(1, 10**9), "filled in by `hookrag reindex`"] = None,
        username_env: Annotated[str | None, "the environment variable with the user's name"] = None,
        password_env: Annotated[str | None, "the environment variable with the password"] = None,
        api_key_env: Annotated[str | None, "the environment variable with an API key, instead of a password"] = None,
        ca_file: Annotated[
            Path | None, "the certificate of the authority that a server with https is trusted by"
        ] = None,
        analyzer: Annotated[
            str, "one of the server's, or one that an index template defines; changing it means indexing again"
        ] = "english",
        k1: Annotated[
            float, Between(0, 1_000), "of BM25; changing it needs the index closed for a moment, and the error says how"
        ] = 0.9,
        b: Annotated[float, Between(0, 1), "of BM25; as `k1`"] = 0.4,
        metric: Annotated[schema.Metric, "scores are cosines in [-1, 1], or inner products"] = "COSINE",
        dense_index: Annotated[
            schema.DenseIndex,
            "`flat` is exact, `hnsw` a graph; `int8_hnsw` and `bbq_hnsw` need less memory and approximate the scores too",
        ] = "hnsw",
        m: Annotated[int, Between(2, 512), "of the graph: neighbours of a row"] = 16,
        ef_construction: Annotated[
            int, Between(1, 3_200), "of the graph: rows that are looked at while it is built"
        ] = 100,
        num_candidates: Annotated[
            int, Between(1, PAGE), "rows that a search in the graph looks at; at least 2 k; may change at any time"
        ] = 100,
        shards: Annotated[int, Between(1, 1_024), "of a new index"] = 1,
        replicas: Annotated[
            int | None,
            Between(0, 100),
            "of a new index; without it there is one as soon as there is a second node",
        ] = None,
        timeout: Annotated[
            float, Finite(), Above(0, "seconds"), "seconds that a call may take; longer is a transient error"
        ] = 60.0,
    ) -> None:
        check_url(url)
        check_credentials(url, username_env, password_env, api_key_env, ca_file)
        self.chunker = chunker
        self.embedder = embedder
        self.outputs = outputs
        self.embedders = embedders_of(embedder, outputs)
        self.url = url
        self.index = index
        self.generation = generation
        self.username_env = username_env
        self.password_env = password_env
        self.api_key_env = api_key_env
        self.ca_file = ca_file
        self.analyzer = analyzer
        self.k1 = k1
        self.b = b
        self.metric: schema.Metric = metric
        self.dense_index: schema.DenseIndex = dense_index
        self.m = m
        self.ef_construction = ef_construction
        self.num_candidates = num_candidates
        self.shards = shards
        self.replicas = replicas
        self.timeout = timeout
        self._options = schema.Options(analyzer, k1, b, metric, dense_index, m, ef_construction, shards, replicas)
        self._connection: Connection | None = None
        self._found: schema.Found | None = None
        self._card_revision: schema.Revision | None = None

    # The life of the store.

    def open(self) -> None:
        """Connect, and make the index where there is none. Raises IdentityError where it was made with other settings."""
        connection = connect(
            self.url,
            self.index if self.generation is None else schema.own_alias(self.index, self.generation),
            username_env=self.username_env,
            password_env=self.password_env,
            api_key_env=self.api_key_env,
            ca_file=self.ca_file,
            timeout=self.timeout,
        )
        try:
            self._found = schema.opened(connection, self.index, self.generation, self._options)
            self._connection = connection
            self.card()
        except BaseException:
            self._connection = connection
            self.close()
            raise

    def close(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        self._found = self._card_revision = None
        if connection is not None:
            connection.client.close()

    def identity(self) -> Mapping[str, str | int | float | bool | None]:
        """What the rows depend on besides chunker and embedder: the analyzer."""
        return {"analyzer": self.analyzer}

    def card(self) -> Card:
        """The card; rows that are wiped take it with them, and the next one has another uuid."""
        connection, found = self._open()
        card, self._card_revision = schema.read_card(connection, found.generation)
        return card

    def stamp(self, card: Card, /) -> None:
        """Save the card, unless another process has since this one read it; its uuid has to be this store's."""
        connection, found = self._open()
        revision = self._card_revision
        kept, now = schema.read_card(connection, found.generation)
        if card.uuid != kept.uuid:
            raise HookragError(
                f"{connection.where}: got a card of the store {card.uuid}, expected one of the store {kept.uuid}"
            )
        self._card_revision = schema.save_card(connection, card, revision or now)

    def promote(self) -> None:
        """Make this generation the one that `index` stands for, and so the one that stores without a generation search."""
        connection, found = self._open()
        if self.generation is None:
            raise HookragError(f"{connection.where}: promote needs a store that was opened with a generation")
        schema.promote(connection, self.index, found.generation)

    def retire(self, generation: int) -> None:
        """Delete the index of a generation; one that is not there is a success. Refused for the one that is promoted."""
        connection, _ = self._open()
        schema.retire(connection, self.index, generation)

    # Writing.

    def put(self, rows: Sequence[Row], /, *, version: int) -> Mapping[str, str]:
        """Insert rows; {chunk id: reason} for those that are malformed, or that the server refuses by themselves."""
        connection, _ = self._open()
        rejected: dict[str, str] = {}
        operations: dict[str, Operation] = {}
        dims = None
        with unwarned():
            for row in rows:
                try:
                    made = insertion(row, version, self.embedders, self.metric)
                except ItemRejected as error:
                    rejected[row.chunk.id] = str(error)
                    continue
                operations[made.id] = made
                dims = dims or (None if row.dense is None else len(row.dense))
        if operations and not self._vectors() >= self.embedders.keys():
            schema.add_vectors(
                connection,
                self._options,
                dims if "dense" in self.embedders else None,
                sparse="sparse" in self.embedders,
            )
        return rejected | write(connection, operations.values())

    def drop(self, chunk_ids: Sequence[str], /, *, version: int) -> None:
        """Delete rows by their ids. The server remembers it for an hour, so that an older write cannot bring them back."""
        connection, _ = self._open()
        refused = write(connection, (deletion(one, version) for one in dict.fromkeys(chunk_ids) if is_id(one)))
        if refused:
            name, reason = next(iter(refused.items()))
            raise HookragError(f"{connection.where}: {len(refused)} rows could not be deleted, {name}: {reason}")

    def sync(self) -> None:
        """Make searches see every write. Durable they are already: the server writes them to its disk before it answers."""
        connection, _ = self._open()
        answer = connection.call(
            "refresh", lambda: connection.client.indices.refresh(index=connection.target, ignore_unavailable=False)
        )
        if answer["_shards"]["failed"]:
            raise HookragError(
                f"{connection.where}: refresh failed on {answer['_shards']['failed']} shards: see its log"
            )

    # Reading rows.

    def scan(self) -> Iterator[list[RowKey]]:
        """Every row that was synced, once, in pages of 10,000."""
        connection, _ = self._open()
        options: Json = {"source": False, "docvalue_fields": list(KEY_FIELDS)}
        for page in connection.pages("scan", schema.ROWS, options):
            yield [key_from(hit["fields"]) for hit in page]

    def fetch(self, chunk_ids: Sequence[str], /, *, vectors: bool = False) -> list[Row | None]:
        """The rows in the order asked for, None where there is none; vectors as they were put, bit by bit."""
        connection, _ = self._open()
        found = {source["id"]: row_from(source) for source in reading.sources(connection, chunk_ids, vectors=vectors)}
        return [found.get(chunk_id) for chunk_id in chunk_ids]

    def count(self, where: Filter | None = None, /) -> int:
        """How many rows there are, or match, of those that were synced."""
        connection, _ = self._open()
        return connection.count("count", searching.rows(where))

    # Searching.

    @property
    def text_kind(self) -> ScoreKind:
        return ScoreKind("bm25")

    @property
    def dense_kind(self) -> ScoreKind:
        return KINDS[self.metric]

    def search_text(self, texts: Sequence[str], /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        """The k best rows for each text: the sum over its words of idf * tf / (tf + k1 * (1 - b + b * length / average)).

        idf = ln(1 + (N - df + 0.5) / (df + 0.5)); lengths as Lucene's one byte remembers them. The server's own scores are
        k1 + 1 times as high. N, df and the average count rows that were deleted until the server has merged them away.
        """
        selected = None if where is None else query(where)
        bodies = [searching.text_body(text, k, selected) for text in texts]
        keys = [text.encode("utf-8", "surrogatepass") for text in texts]
        return reading.hits(self._open()[0], bodies, keys, k, lambda score: score / (self.k1 + 1))

    def matching_terms(self, text: str, chunk_ids: Sequence[str], /) -> list[tuple[str, ...]]:
        """The analyzed terms of `text` that each of these rows contains, in the order of the text."""
        return reading.matching(self._open()[0], text, chunk_ids)

    def search_dense(self, vectors: NDArray[np.float32], /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        """The k best of the rows that match; scores are cosines in [-1, 1] or inner products.

        "flat" is exact. The graphs are approximate, but exact where the filter leaves no more rows than there are candidates,
        and exact scores are computed where they return fewer than min(k, matching rows).
        """
        connection, _ = self._open()
        self._needs("dense")
        if "dense" not in self._vectors():
            return [[] for _ in range(len(vectors))]
        try:
            with unwarned():
                queries = [dense_of(vector, self.metric, most=MAX_DIM) for vector in vectors]
        except ItemRejected as error:
            raise HookragError(f"{connection.where}: a query cannot be searched: {error}") from error
        selected = None if where is None else query(where)
        candidates = min(PAGE, max(self.num_candidates, 2 * k))
        bodies = [searching.dense_body(vector.tolist(), k, candidates, selected) for vector in queries]
        keys = [vector.tobytes() for vector in queries]
        found = reading.hits(connection, bodies, keys, k, lambda score: searching.similarity(score, self.metric))
        fewest = min(map(len, found), default=k)
        if fewest < k and fewest < self.count(where):
            note(exact=len(queries))
            return reading.exact(connection, np.stack(queries), k, where, self.metric)
        return found

    def search_sparse(self, vectors: SparseRows, /, *, k: int, where: Filter | None) -> list[list[Hit]]:
        """The k best rows for each vector by inner product, among those that share a dimension with it.

        The server keeps 9 bits of a row's weights, so that a score is up to 0.4 % below the mathematical one.
        """
        connection, _ = self._open()
        self._needs("sparse")
        if "sparse" not in self._vectors():
            return [[] for _ in range(len(vectors))]
        selected = None if where is None else query(where)
        found: list[list[Hit]] = [[] for _ in range(len(vectors))]
        bodies: dict[int, Json] = {}
        for number in range(len(vectors)):
            span = slice(vectors.indptr[number], vectors.indptr[number + 1])
            try:
                weights = weights_of(vectors.indices[span], vectors.values[span])
            except ItemRejected as error:
                raise HookragError(f"{connection.where}: a query cannot be searched: {error}") from error
            if weights:
                bodies[number] = searching.sparse_body(weights, k, selected)
        keys = [repr(body["query"]).encode() for body in bodies.values()]
        hits = reading.hits(connection, list(bodies.values()), keys, k, float)
        for number, one in zip(bodies, hits, strict=True):
            found[number] = one
        return found

    # The state of this component.

    def _open(self) -> tuple[Connection, schema.Found]:
        if self._connection is None or self._found is None:
            raise HookragError(f"{self.url}, index {self.index}: the store is not open: call open() first")
        return self._connection, self._found

    def _vectors(self) -> frozenset[Output]:
        """The vectors that the index has fields for; another process may have made them since it was opened."""
        connection, found = self._open()
        if not found.vectors >= self.embedders.keys():
            found = self._found = schema.described(connection)
        return found.vectors

    def _needs(self, output: Output) -> None:
        if output not in self.embedders:
            raise HookragError(
                f"{self.url}, index {self.index}: the store keeps no {output} vectors: give it an embedder of {output} vectors"
            )
