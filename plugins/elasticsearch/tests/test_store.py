"""The store on a real server: what is kept, what is found, who wins, and what is refused."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hookrag import Document, HookragError, IdentityError, Row, TransientError, chunk_of, parse_filter
from hookrag.testing.fakes import HashEmbedder
from hookrag_elasticsearch import reading
from hookrag_elasticsearch.index import own_alias
from hookrag_elasticsearch.store import Elasticsearch

pytestmark = pytest.mark.service

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]


def row(text: str, number: int = 0, **vectors: Any) -> Row:
    document = Document(f"d{number}", text, metadata={"n": number})
    return Row(chunk_of(document, 0, len(text)), "o", number, **vectors)


def texts(count: int, seed: int = 0) -> list[str]:
    made = np.random.default_rng(seed)
    return [" ".join(made.choice(WORDS, size=int(made.integers(1, 30)))) for _ in range(count)]


def ids(hits: Any) -> list[str]:
    return [hit.chunk.id for hit in hits]


def sparse(weights: dict[int, float]) -> tuple[Any, Any]:
    return np.array(list(weights), np.int32), np.array(list(weights.values()), np.float32)


# What the server keeps.


def test_the_server_is_told_to_lose_nothing(make: Callable[..., Any], client: Any, index: str) -> None:
    make()
    ((name, about),) = client.indices.get(index=index).items()
    settings = about["settings"]["index"]
    assert name == f"{index}_g1"
    assert set(about["aliases"]) == {index, own_alias(index, 1)}
    assert (settings["translog"]["durability"], settings["gc_deletes"]) == ("request", "1h")
    assert about["mappings"]["dynamic"] == "strict"


@pytest.mark.parametrize("known", [True, False], ids=["a row that was there", "a row that never was"])
def test_a_write_that_is_late_does_not_bring_a_row_back(make: Callable[..., Any], known: bool) -> None:
    store = make()
    rows = [row(f"text {n}", n) for n in range(20)]
    if known:
        store.put(rows, version=100)
    store.drop([one.chunk.id for one in rows], version=300)
    assert store.put(rows, version=200) == {}
    store.sync()
    assert (store.count(), store.fetch([one.chunk.id for one in rows])) == (0, [None] * 20)
    assert store.put(rows, version=400) == {}
    store.drop([one.chunk.id for one in rows], version=350)
    store.sync()
    assert store.count() == 20


def test_vectors_come_back_bit_by_bit(make: Callable[..., Any]) -> None:
    store = make(embedder=HashEmbedder())
    dense = np.array([1e-30, -1.0000001, 3.3333333, 1e10], np.float32)
    kept = sparse({3: 0.1234567, 7: 1e-42, 9: 0.0, 70_000: 3.0e38})
    one = row("text", dense=dense, sparse=kept)
    assert store.put([one], version=1) == {}
    (found,) = store.fetch([one.chunk.id], vectors=True)
    assert found.dense.tobytes() == dense.tobytes()
    assert [part.tobytes() for part in found.sparse] == [part.tobytes() for part in kept]


def test_one_bad_row_is_refused_by_itself(make: Callable[..., Any]) -> None:
    store = make(embedder=HashEmbedder())
    good = {"dense": np.ones(3, np.float32), "sparse": sparse({1: 1.0})}
    bad = {
        "wide": row("wide", 1, **{**good, "dense": np.ones(4, np.float32)}),
        "nan": row("nan", 2, **{**good, "dense": np.array([1, np.nan, 1], np.float32)}),
        "zero": row("zero", 3, **{**good, "dense": np.zeros(3, np.float32)}),
        "negative": row("negative", 4, **{**good, "sparse": sparse({1: -0.5})}),
        "none": row("none", 5),
        "half": row("half \ud800", 6, **good),
        "name": replace(row("name", 7, **good), chunk=replace(row("name").chunk, document_id="x" * 40_000)),
    }
    rows = [row("first", 0, **good), *bad.values(), *(row(f"text {n}", n, **good) for n in range(10, 40))]
    refused = store.put(rows, version=1)
    store.sync()
    assert set(refused) == {one.chunk.id for one in bad.values()}
    told = {name: refused[one.chunk.id] for name, one in bad.items()}
    assert "than defined in the mapping [3]" in told.pop("wide")
    assert "caused by illegal_argument_exception" in told.pop("name")
    assert told == {
        "nan": "its dense vector has a value that is not finite",
        "zero": "its dense vector is all zeros, which has no cosine with anything",
        "negative": "its sparse vector has a weight that is negative or not finite, which Elasticsearch cannot hold",
        "none": "it has no dense vector",
        "half": "its texts hold half of a surrogate pair, which UTF-8 cannot hold",
    }
    assert store.count() == 31


def test_a_write_never_makes_an_index(make: Callable[..., Any], client: Any, index: str) -> None:
    for settings in ({}, {"generation": 2}):
        store = make(**settings)
        before = store.card().uuid
        name = f"{index}_g{settings.get('generation', 1)}"
        client.indices.delete(index=name)
        with pytest.raises(HookragError, match="the index was deleted, or is not there yet: open the store anew"):
            store.put([row("text")], version=1)
        with pytest.raises(HookragError, match="the index was deleted, or is not there yet: open the store anew"):
            store.drop(["a" * 32], version=2)
        assert not client.indices.exists(index=f"{index}*", allow_no_indices=False)
        assert make(**settings).card().uuid != before
        client.indices.delete(index=name)


# The card.


def test_of_two_writers_who_read_the_card_one_stamps_it(make: Callable[..., Any]) -> None:
    first, second = make(), make()
    mine, theirs = first.card(), second.card()
    assert mine == theirs
    first.stamp(replace(mine, owner="a", epoch=1))
    with pytest.raises(HookragError) as caught:
        second.stamp(replace(theirs, owner="b", epoch=1))
    assert str(caught.value) == (
        f"{first.url}, index {first.index}: another process has stamped the card since this one read it (epoch 1, owner a): "
        "let one of them write, and begin anew"
    )
    assert second.card().owner == "a"
    second.stamp(replace(second.card(), epoch=2))
    assert first.card().epoch == 2


def test_a_stamp_whose_answer_was_lost_is_repeated(make: Callable[..., Any]) -> None:
    store, other = make(), make()
    wanted = replace(store.card(), owner="a", epoch=1, identity={"x": 0.5})
    other.card()
    store.stamp(wanted)
    other.stamp(wanted)  # as the same process would, with what it knew before
    assert store.card() == wanted


def test_the_card_is_no_row(make: Callable[..., Any]) -> None:
    store = make()
    store.stamp(replace(store.card(), owner="a"))
    store.sync()
    assert (store.count(), store.count(parse_filter("not exists(n)")), list(store.scan())) == (0, 0, [])
    kept = store.card()
    store.drop(["(card)", "0" * 32], version=2**60)
    assert store.fetch(["(card)"]) == [None]
    store.stamp(replace(kept, epoch=3))
    assert (store.card().owner, store.card().epoch) == ("a", 3)


# Generations.


def test_a_generation_is_filled_beside_the_other_and_promoted(
    make: Callable[..., Any], client: Any, index: str
) -> None:
    live, new = make(), make(generation=2)
    live.put([row("old words")], version=1)
    new.put([row("new words"), row("more new words", 1)], version=1)
    live.sync()
    new.sync()
    assert (live.card().generation, new.card().generation) == (1, 2)
    assert live.card().uuid != new.card().uuid
    assert (live.count(), new.count()) == (1, 2)
    with pytest.raises(HookragError, match=f"{index}_g1 is what searches use: promote another generation before"):
        new.retire(1)
    new.promote()
    assert live.count() == 2
    assert ids(live.search_text(["new"], k=5, where=None)[0]) == ids(new.search_text(["new"], k=5, where=None)[0])
    assert list(client.indices.get_alias(name=index)) == [f"{index}_g2"]
    new.promote()
    for _ in range(2):
        new.retire(1)
    assert not client.indices.exists(index=f"{index}_g1")
    with pytest.raises(HookragError, match="promote needs a store that was opened with a generation"):
        make().promote()


# Scores.


def bm25(query: str, corpus: list[str], k1: float, b: float) -> list[float]:
    """Robertson's formula with Lucene's idf; lengths under 40 are exact in Lucene's one byte."""
    documents = [Counter(text.split()) for text in corpus]
    lengths = [sum(one.values()) for one in documents]
    average = sum(lengths) / len(lengths)
    scores = [0.0] * len(corpus)
    for word in query.split():
        df = sum(word in one for one in documents)
        idf = math.log(1 + (len(corpus) - df + 0.5) / (df + 0.5))
        for n, one in enumerate(documents):
            scores[n] += idf * one[word] / (one[word] + k1 * (1 - b + b * lengths[n] / average))
    return scores


@pytest.mark.parametrize(("shards", "k1", "b"), [(1, 0.9, 0.4), (3, 1.2, 0.75)])
def test_scores_are_those_of_the_formula_on_any_number_of_shards(
    make: Callable[..., Any], shards: int, k1: float, b: float
) -> None:
    corpus = [text for text in texts(40) for _ in range(2)]
    store = make(analyzer="standard", shards=shards, k1=k1, b=b)
    rows = [row(text, n) for n, text in enumerate(corpus)]
    store.put(rows, version=1)
    store.sync()
    queries = ["alpha", "alpha alpha beta", "gamma zeta unseen", "nowhere"]
    for query, hits in zip(queries, store.search_text(queries, k=7, where=None), strict=True):
        expected = zip(rows, bm25(query, corpus, k1, b), strict=True)
        best = sorted(
            ((one.chunk.id, score) for one, score in expected if score), key=lambda pair: (-round(pair[1], 5), pair[0])
        )
        assert ids(hits) == [name for name, _ in best[:7]]
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in best[:7]], rel=1e-5)
    assert store.matching_terms("The Zeta, alpha? unseen ALPHA", [rows[0].chunk.id, "0" * 32]) == [
        tuple(word for word in ("zeta", "alpha") if word in corpus[0].split()),
        (),
    ]


@pytest.mark.parametrize(("metric", "index_type"), [("COSINE", "hnsw"), ("IP", "flat")])
def test_dense_scores_are_exact_and_so_is_the_fallback(make: Callable[..., Any], metric: str, index_type: str) -> None:
    store = make(embedder=HashEmbedder(), outputs=["dense"], metric=metric, dense_index=index_type)
    made = np.random.default_rng(1)
    vectors = made.normal(size=(60, 8)).astype(np.float32)
    vectors[30:40] = vectors[30]
    rows = [row(f"text {n}", n, dense=vector) for n, vector in enumerate(vectors)]
    assert store.put(rows, version=1) == {}
    store.sync()
    queries = made.normal(size=(3, 8)).astype(np.float32)
    queries[2] = vectors[30]
    where = parse_filter("n >= 20")
    found = store.search_dense(queries, k=9, where=where)
    scores = queries.astype(float) @ vectors[20:].T
    if metric == "COSINE":
        scores /= np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(vectors[20:], axis=1)
    for hits, again, exact in zip(
        found, reading.exact(store._connection, queries, 9, where, metric), scores, strict=True
    ):
        pairs = [(one.chunk.id, score) for one, score in zip(rows[20:], exact, strict=True)]
        best = sorted(pairs, key=lambda pair: (-round(pair[1], 5), pair[0]))[:9]
        assert ids(hits) == ids(again) == [name for name, _ in best]
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in best], abs=2e-6)
        assert [hit.score for hit in again] == pytest.approx([score for _, score in best], abs=1e-6)


def test_rows_that_a_graph_does_not_reach_are_found(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    store = make(embedder=HashEmbedder(), outputs=["dense"])
    rows = [row(f"text {n}", n, dense=np.eye(12, dtype=np.float32)[n]) for n in range(12)]
    store.put(rows, version=1)
    store.sync()
    whole = reading.hits
    monkeypatch.setattr(reading, "hits", lambda *given: [hits[:5] for hits in whole(*given)])
    (found,) = store.search_dense(np.ones((1, 12), np.float32), k=50, where=parse_filter("n < 11"))
    assert ids(found) == sorted(one.chunk.id for one in rows[:11])


def test_what_the_store_does_not_keep_cannot_be_searched(make: Callable[..., Any]) -> None:
    store = make(embedder=HashEmbedder(), outputs=["sparse"])
    with pytest.raises(HookragError) as caught:
        store.search_dense(np.ones((1, 3), np.float32), k=1, where=None)
    where = f"{store.url}, index {store.index}"
    assert str(caught.value) == f"{where}: the store keeps no dense vectors: give it an embedder of dense vectors"
    with pytest.raises(HookragError) as caught:
        store.search_text(["x"], k=10_001, where=None)
    assert str(caught.value) == f"{where}: got k = 10001, expected at most 10,000, which the server returns at once"


# An index that does not fit.


def test_an_index_that_was_made_otherwise_is_refused(make: Callable[..., Any], client: Any, index: str) -> None:
    store = make()
    where = f"{store.url}, index {index}"
    for settings, name, got, expected in (
        ({"analyzer": "standard"}, "analyzer", "'english'", "'standard'"),
        ({"shards": 2}, "shards", "1", "2"),
    ):
        with pytest.raises(IdentityError) as caught:
            make(**settings)
        assert str(caught.value) == (
            f"{where}: the index {index}_g1 was made with {name} = {got}, opened with {name} = {expected}: set it back, or "
            "index into another index or generation"
        )
    with pytest.raises(IdentityError) as caught:
        make(k1=1.2)
    assert str(caught.value) == (
        f"{where}: the index {index}_g1 scores with k1 = 0.9 and b = 0.4, opened with k1 = 1.2 and b = 0.4: set them back, or "
        f"change the index, which needs no indexing: POST /{index}_g1/_close, PUT /{index}_g1/_settings "
        '{"index.similarity.hookrag.k1": 1.2, "index.similarity.hookrag.b": 0.4}, '
        f"POST /{index}_g1/_open"
    )
    client.indices.close(index=index)
    with pytest.raises(HookragError, match="open the index on the server"):
        store.count()
    client.indices.put_settings(
        index=index, settings={"index.similarity.hookrag.k1": 1.2, "index.similarity.hookrag.b": 0.4}
    )
    client.indices.open(index=index, wait_for_active_shards=1)
    assert make(k1=1.2).card() == store.card()
    client.indices.put_settings(index=index, settings={"index.translog.durability": "async"})
    with pytest.raises(HookragError, match="loses rows that it acknowledged: set it to request"):
        make(k1=1.2)


def test_indices_that_are_not_ours_are_left_alone(make: Callable[..., Any], client: Any, index: str) -> None:
    client.indices.create(index=index)
    with pytest.raises(
        HookragError, match="there is an index of this name, where an alias is expected: choose another"
    ):
        make()
    client.indices.delete(index=index)
    client.indices.create(index=f"{index}_a", aliases={index: {}})
    with pytest.raises(HookragError, match=f"the index {index}_a was not made by hookrag: choose another index"):
        make()
    client.indices.create(index=f"{index}_b", aliases={index: {}})
    with pytest.raises(HookragError, match=rf"the alias stands for 2 indices \({index}_a, {index}_b\), expected one"):
        make()
    client.indices.delete(index=[f"{index}_a", f"{index}_b"])
    make(generation=1)
    with pytest.raises(HookragError, match=f"there is an index {index}_g1, and no alias {index} of it"):
        make()


# Settings and servers that do not answer.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "localhost:9200"}, "url must be http://host:port or https://host:port, got 'localhost:9200'"),
        ({"url": "http://localhost"}, "url must be http://host:port or https://host:port, got 'http://localhost'"),
        (
            {"url": "http://me:hunter2@localhost:9200"},
            "url holds a secret: take it out, and name the environment variables that have it by username_env and password_env",
        ),
        (
            {"index": "Notes"},
            "index must be up to 200 lower-case letters, digits, dots, underscores and hyphens and begin with a letter or "
            "digit, got 'Notes'",
        ),
        ({"username_env": "U"}, "username_env and password_env belong together, got one of them"),
        (
            {"username_env": "U", "password_env": "P", "api_key_env": "K"},
            "got a password and an API key, expected one kind of credentials",
        ),
        (
            {"ca_file": Path("ca.crt")},
            "ca_file is for https, got the url 'http://localhost:9200': write https, or leave ca_file out",
        ),
        ({"b": 7.0}, "b must be in [0, 1], got 7.0"),
        ({"generation": 0}, "generation must be in [1, 1000000000], got 0"),
        ({"timeout": 0.0}, "timeout must be above 0 seconds, got 0.0"),
        ({"outputs": ["dense"]}, "outputs are of an embedder, got ['dense'] and no embedder"),
        (
            {"embedder": HashEmbedder(), "outputs": []},
            "embedder must give some vectors, got one that gives dense, multi, sparse",
        ),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Elasticsearch(chunker=None, **settings)
    assert str(caught.value) == message


def test_nobody_answers_and_nothing_is_set() -> None:
    store = Elasticsearch(chunker=None, url="http://127.0.0.1:1", timeout=2.0)
    with pytest.raises(TransientError) as caught:
        store.open()
    assert str(caught.value).startswith("http://127.0.0.1:1, index hookrag: look up failed: no connection: ")
    assert str(caught.value).endswith(": is the server running, and is the url right, http or https?")
    with pytest.raises(HookragError) as closed:
        store.count()
    assert str(closed.value) == "http://127.0.0.1:1, index hookrag: the store is not open: call open() first"
    with pytest.raises(HookragError) as unset:
        Elasticsearch(chunker=None, api_key_env="HOOKRAG_TEST_UNSET").open()
    assert str(unset.value) == (
        "http://localhost:9200: api_key_env names the variable HOOKRAG_TEST_UNSET, which is not set: export it"
    )
