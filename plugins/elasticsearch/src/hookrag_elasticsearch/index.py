"""The index on the server: its names, settings and fields, the alias, and the card.

`<index>` is an alias of one physical index `<index>_g<generation>`. Each physical index has an alias of its own besides, so
that it too can be written to by way of an alias: out of a write to a missing index the server makes one, with types that it
guesses; out of one to a missing alias nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from hookrag import Card, HookragError, IdentityError, Output
from hookrag_stores.rows import card_from, card_json, new_card

from hookrag_elasticsearch.connection import Connection, Json
from hookrag_elasticsearch.errors import Conflict, NotFound
from hookrag_elasticsearch.rows import CARD_ID
from hookrag_elasticsearch.where import FIELD

FORMAT = 1
ROWS: Json = {"exists": {"field": "id"}}
"""The query that every row matches, and the card does not."""

Metric = Literal["COSINE", "IP"]
DenseIndex = Literal["hnsw", "int8_hnsw", "bbq_hnsw", "flat"]

_SIMILARITY = "hookrag"
_SIMILARITIES = {"COSINE": "cosine", "IP": "max_inner_product"}


@dataclass(frozen=True, slots=True)
class Options:
    """What an index is made with; `replicas` None makes one as soon as there is a second node."""

    analyzer: str
    k1: float
    b: float
    metric: Metric
    dense_index: DenseIndex
    m: int
    ef_construction: int
    shards: int
    replicas: int | None


@dataclass(frozen=True, slots=True)
class Found:
    """An index that fits, and whether it has a field for each kind of vectors."""

    physical: str
    generation: int
    vectors: frozenset[Output]


def physical(index: str, generation: int) -> str:
    """The name of the index that holds the rows of a generation."""
    return f"{index}_g{generation}"


def own_alias(index: str, generation: int) -> str:
    """The alias that this generation has for as long as it exists."""
    return f"rows_of_{index}_g{generation}"


def opened(connection: Connection, index: str, generation: int | None, options: Options) -> Found:
    """The index behind the connection's alias, which is made where there is none."""
    found = _described(connection)
    if found is None:
        _create(connection, index, 1 if generation is None else generation, options, public=generation is None)
        found = _described(connection)
    if found is None:
        name = physical(index, 1 if generation is None else generation)
        raise HookragError(
            f"{connection.where}: there is an index {name}, and no alias {connection.target} of it: open it by its generation "
            "and promote it, or delete it"
        )
    name, about = found
    _check(connection, name, about, options)
    return _found(name, about)


def described(connection: Connection) -> Found:
    """The index behind the connection's alias as it is now."""
    found = _described(connection)
    if found is None:
        raise NotFound(f"{connection.where}: the index was deleted: open the store anew")
    return _found(*found)


def add_vectors(connection: Connection, options: Options, dims: int | None, *, sparse: bool) -> None:
    """Make the fields of the vectors; where they are there already, as they would be made, nothing happens."""
    fields: Json = {}
    if dims is not None:
        index: Json = {"type": options.dense_index}
        if options.dense_index != "flat":
            index |= {"m": options.m, "ef_construction": options.ef_construction}
        fields["dense"] = {
            "type": "dense_vector",
            "dims": dims,
            "index": True,
            "similarity": _SIMILARITIES[options.metric],
            "index_options": index,
        }
    if sparse:
        fields["sparse"] = {"type": "sparse_vector"}
    connection.call(
        "add fields for vectors",
        lambda: connection.client.indices.put_mapping(index=connection.target, properties=fields),
    )


def promote(connection: Connection, index: str, generation: int) -> None:
    """Make the alias `<index>` one of this generation, and of no other, in one step."""
    actions: list[Mapping[str, Any]] = [
        {"remove": {"index": f"{index}_g*", "alias": index, "must_exist": False}},
        {"add": {"index": physical(index, generation), "alias": index}},
    ]
    connection.call("promote", lambda: connection.client.indices.update_aliases(actions=actions))


def retire(connection: Connection, index: str, generation: int) -> None:
    """Delete the index of a generation; none is a success. Refused for the one that `<index>` is an alias of."""
    name = physical(index, generation)
    try:
        aliases = connection.call("look up", lambda: connection.client.indices.get_alias(index=name))
    except NotFound:
        return
    if index in aliases[name]["aliases"]:
        raise HookragError(
            f"{connection.where}: {name} is what searches use: promote another generation before it is retired"
        )
    connection.call("retire", lambda: connection.client.indices.delete(index=name, ignore_unavailable=True))


# The card. It lies in the index, beside the rows, so that it is deleted, snapshotted and restored with them.

Revision = tuple[int, int]


def read_card(connection: Connection, generation: int) -> tuple[Card, Revision]:
    """The card, and what `save_card` needs to know that nobody else has changed it; a new card where there is none."""
    while True:
        try:
            answer = connection.call(
                "read the card", lambda: connection.client.get(index=connection.target, id=CARD_ID, realtime=True)
            )
        except NotFound as error:
            if "index_not_found" in str(error):
                raise
        else:
            return _decoded(connection, answer["_source"]["card"]), (answer["_seq_no"], answer["_primary_term"])
        with suppress(Conflict):  # another process was faster: its card is the card
            _write_card(connection, new_card(generation), None)


def save_card(connection: Connection, card: Card, revision: Revision) -> Revision:
    """Replace the card that was read at this revision. HookragError where another process has changed it since."""
    try:
        return _write_card(connection, card, revision)
    except Conflict as error:
        found, now = read_card(connection, card.generation)
        if found == replace(card, identity=dict(card.identity)):
            return now  # an answer was lost, and this is the second try
        raise HookragError(
            f"{connection.where}: another process has stamped the card since this one read it (epoch {found.epoch}, owner "
            f"{found.owner or 'none'}): let one of them write, and begin anew"
        ) from error


def _write_card(connection: Connection, card: Card, revision: Revision | None) -> Revision:
    text = card_json(card)
    guard: Json = (
        {"op_type": "create"} if revision is None else {"if_seq_no": revision[0], "if_primary_term": revision[1]}
    )
    answer = connection.call(
        "save the card",
        lambda: connection.client.index(
            index=connection.target, id=CARD_ID, document={"card": text}, require_alias=True, **guard
        ),
    )
    return answer["_seq_no"], answer["_primary_term"]


def _decoded(connection: Connection, text: str) -> Card:
    advice = "restore a snapshot of the index, or delete it and index again"
    return card_from(text, connection.where, advice)


# Making and checking.


def _described(connection: Connection) -> tuple[str, Mapping[str, Any]] | None:
    try:
        answer = connection.call("look up", lambda: connection.client.indices.get(index=connection.target))
    except NotFound:
        return None
    if connection.target in answer:
        raise HookragError(
            f"{connection.where}: there is an index of this name, where an alias is expected: choose another index"
        )
    names = sorted(answer)
    if len(names) > 1:
        raise HookragError(
            f"{connection.where}: the alias stands for {len(names)} indices ({', '.join(names[:5])}), expected one: "
            "promote the generation that is to be searched"
        )
    return (names[0], answer[names[0]]) if names else None


def _found(name: str, about: Mapping[str, Any]) -> Found:
    fields = about["mappings"].get("properties", {})
    vectors: frozenset[Output] = frozenset(output for output in ("dense", "sparse") if output in fields)
    return Found(name, int(about["mappings"]["_meta"]["hookrag"]["generation"]), vectors)


def _create(connection: Connection, index: str, generation: int, options: Options, *, public: bool) -> None:
    copies: Json = (
        {"auto_expand_replicas": "0-1"} if options.replicas is None else {"number_of_replicas": options.replicas}
    )
    settings: Json = {
        "number_of_shards": options.shards,
        **copies,
        # What was acknowledged is on the disk.
        "translog.durability": "request",
        # A request that was on its way for this long cannot bring back a row that was deleted in the meantime.
        "gc_deletes": "1h",
        # sync() makes rows visible: between its calls nothing is to be seen.
        "refresh_interval": "-1",
        "similarity": {_SIMILARITY: {"type": "BM25", "k1": options.k1, "b": options.b}},
    }
    aliases: Json = {own_alias(index, generation): {}}
    if public:
        aliases[index] = {}
    kept: Json = {"type": "keyword", "index": False, "doc_values": False}
    told: Json = {"type": "keyword", "index": False}
    words: Json = {"type": "text", "index": False, "copy_to": "input"}
    mappings: Json = {
        "dynamic": "strict",
        "_meta": {"hookrag": {"format": FORMAT, "generation": generation, "analyzer": options.analyzer}},
        # Vectors are large as JSON; the *_bytes hold them exactly.
        "_source": {"excludes": ["dense", "sparse"]},
        "properties": {
            "id": {"type": "keyword"},
            "document_id": told,
            "owner": told,
            "check": {"type": "long", "index": False},
            "context": words,
            "text": words,
            "input": {"type": "text", "analyzer": options.analyzer, "similarity": _SIMILARITY},
            "chunk": kept,
            FIELD: {"type": "keyword", "doc_values": False},
            "dense_bytes": {"type": "binary"},
            "sparse_bytes": {"type": "binary"},
            "card": kept,
        },
    }
    name = physical(index, generation)
    try:
        connection.call(
            f"make {name}",
            lambda: connection.client.indices.create(index=name, settings=settings, mappings=mappings, aliases=aliases),
        )
    except Conflict:
        return  # another process was faster: what it made is checked as if it had always been there


def _check(connection: Connection, name: str, about: Mapping[str, Any], options: Options) -> None:
    meta = about["mappings"].get("_meta", {}).get("hookrag")
    if not isinstance(meta, Mapping):
        raise HookragError(f"{connection.where}: the index {name} was not made by hookrag: choose another index")
    if meta["format"] > FORMAT:
        raise IdentityError(
            f"{connection.where}: the index {name} has format {meta['format']}, expected at most {FORMAT}: use a newer "
            "hookrag-elasticsearch"
        )
    settings = about["settings"]["index"]
    shards = int(settings["number_of_shards"])
    for what, got, expected in (("analyzer", meta["analyzer"], options.analyzer), ("shards", shards, options.shards)):
        if got != expected:
            raise IdentityError(
                f"{connection.where}: the index {name} was made with {what} = {got!r}, opened with {what} = {expected!r}: set "
                "it back, or index into another index or generation"
            )
    if settings.get("translog", {}).get("durability", "request") != "request":
        raise HookragError(
            f"{connection.where}: the index {name} has index.translog.durability = async, so that a crash of the server loses "
            "rows that it acknowledged: set it to request"
        )
    similarity = settings["similarity"][_SIMILARITY]
    got_k1, got_b = float(similarity["k1"]), float(similarity["b"])
    if (got_k1, got_b) != (options.k1, options.b):
        change = json.dumps({"index.similarity.hookrag.k1": options.k1, "index.similarity.hookrag.b": options.b})
        raise IdentityError(
            f"{connection.where}: the index {name} scores with k1 = {got_k1} and b = {got_b}, opened with k1 = "
            f"{options.k1} and b = {options.b}: set them back, or change the index, which needs no indexing: POST "
            f"/{name}/_close, PUT /{name}/_settings {change}, POST /{name}/_open"
        )
    _check_dense(connection, name, about["mappings"].get("properties", {}).get("dense"), options)


def _check_dense(connection: Connection, name: str, field: Mapping[str, Any] | None, options: Options) -> None:
    if field is None:
        return
    index = field.get("index_options", {})
    got = {"metric": field.get("similarity"), "dense_index": index.get("type")}
    expected: Json = {"metric": _SIMILARITIES[options.metric], "dense_index": options.dense_index}
    if options.dense_index != "flat":
        got |= {"m": index.get("m"), "ef_construction": index.get("ef_construction")}
        expected |= {"m": options.m, "ef_construction": options.ef_construction}
    for what, value in expected.items():
        if got[what] != value:
            raise IdentityError(
                f"{connection.where}: the dense vectors of {name} were indexed with {what} = {got[what]!r}, opened with "
                f"{what} = {value!r}: set it back, or index into another index or generation"
            )
