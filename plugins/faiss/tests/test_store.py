"""Dense vectors go in, come out as they were, and are found by exact scores, whatever was deleted and merged."""

from __future__ import annotations

import importlib
import subprocess
import sys

import numpy as np
import pytest
from hookrag import Chunk, HookragError, IdentityError, Row, ScoreKind, parse_filter
from hookrag.filters import matches
from hookrag_faiss import planning, plugin, search
from hookrag_faiss.store import Faiss
from hookrag_segments import merge, writer

DIM = 8


class Dense:
    """An embedder that is never asked: the rows of these tests bring their vectors."""

    outputs = ("dense",)


def made(path, **settings):
    store = Faiss(chunker=None, embedder=Dense(), path=path, **settings)
    store.open()
    return store


def row(name, vector, **metadata):
    chunk = Chunk(name, "d", f"text {name}", 0, 5 + len(name), metadata=metadata)
    return Row(chunk, "me", 7, np.asarray(vector, dtype=np.float32))


def twin(rows, query, metric, k):
    """{chunk id: score} of the k best, in order, over plain arrays."""
    query = np.asarray(query, dtype=np.float64)
    scores = {}
    for name, one in rows.items():
        vector = one.dense.astype(np.float64)
        if metric == "COSINE":
            score = vector @ query / np.sqrt((vector @ vector) * (query @ query))
        else:
            score = vector @ query if metric == "IP" else -((vector - query) ** 2).sum()
        scores[name] = np.float32(score)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:k]


def found(store, query, k=10, where=None):
    [hits] = store.search_dense(np.asarray([query], dtype=np.float32), k=k, where=where)
    return [(hit.chunk.id, hit.score) for hit in hits]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vectors"


@pytest.fixture
def small(monkeypatch):
    """Graphs of few rows that grow to a few more, and blocks of a few rows."""
    monkeypatch.setattr(planning, "ENOUGH_BYTES", 30 * 4 * DIM)
    monkeypatch.setattr(planning, "MOST_BYTES", 150 * 4 * DIM)
    monkeypatch.setattr(search, "SCANNED", 0)
    monkeypatch.setattr(search, "BLOCK_BYTES", 40 * 4 * DIM)
    monkeypatch.setattr(merge, "ROWS", 16)
    monkeypatch.setattr(merge, "BLOCK", 100)


@pytest.mark.parametrize("index", ["FLAT", "HNSW"])
@pytest.mark.parametrize(("metric", "scale"), [("COSINE", 1.0), ("COSINE", 3.0), ("IP", 3.0), ("L2", 3.0)])
def test_a_history_is_searched_like_the_rows_that_are_left(path, small, metric, index, scale):
    rng = np.random.default_rng(1)
    store, rows = made(path, metric=metric, index=index, ef=400), {}
    for turn in range(14):
        vectors = rng.normal(size=(25, DIM))
        vectors *= (scale if scale == 1 else rng.uniform(0.2, scale, (25, 1))) / np.linalg.norm(
            vectors, axis=1, keepdims=True
        )
        new = {f"{turn:02}-{at}": row(f"{turn:02}-{at}", one, n=at % 5) for at, one in enumerate(vectors)}
        assert store.put(list(new.values()), version=1) == {}
        rows |= new
        gone = rng.choice(sorted(rows), 8 if turn % 3 == 0 else 0, replace=False).tolist()
        store.drop(gone, version=1)
        for name in gone:
            del rows[name]
        store.sync()
        if turn % 6 == 5:
            store.close()
            store.open()
        for where in (None, parse_filter("n == 1"), parse_filter("n < 4")):
            left = {n: one for n, one in rows.items() if where is None or matches(where, one.chunk.metadata)}
            query = rng.normal(size=DIM)
            for k in (1, 7, 1000):
                want, got = twin(left, query.astype(np.float32), metric, k), found(store, query, k, where)
                assert [name for name, _ in got] == [name for name, _ in want]
                assert [score for _, score in got] == pytest.approx([score for _, score in want], rel=1e-6)
    opened = store._files.snapshot().opened
    assert 1 < len(opened) <= 12
    assert any(part.companion is not None for part in opened) == (index == "HNSW")
    names = sorted(rows)
    for name, kept in zip(names, store.fetch(names, vectors=True), strict=True):
        assert kept.dense.tobytes() == rows[name].dense.tobytes()
        assert (kept.chunk, kept.check) == (rows[name].chunk, 7)
    assert store.fetch(names[:1])[0].dense is None
    store.verify()


def test_ties_are_cut_by_the_chunk_id_in_every_segment(path, small):
    store, same = made(path), [1, 2, 3, 4, 5, 6, 7, 8]
    names = [f"{at * 37 % 100:02}" for at in range(100)]
    for start in range(0, 100, 20):
        store.put([row(name, same) for name in names[start : start + 20]], version=1)
        store.put([row(f"far-{start}-{at}", -np.array(same) - at) for at in range(30)], version=1)
        store.sync()
    for k in (1, 13, 100):
        assert [name for name, _ in found(store, same, k)] == sorted(names)[:k]


def test_recall_of_graphs_is_high_and_rises_with_ef(path, monkeypatch):
    monkeypatch.setattr(planning, "ENOUGH_BYTES", 600 * 4 * 32)
    monkeypatch.setattr(planning, "MOST_BYTES", 2000 * 4 * 32)
    monkeypatch.setattr(search, "SCANNED", 0)
    rng = np.random.default_rng(2)
    vectors, queries = rng.normal(size=(3000, 32)).astype(np.float32), rng.normal(size=(50, 32)).astype(np.float32)
    store = made(path, m=8, ef_construction=60)
    for start in range(0, 3000, 300):
        store.put([row(f"{at:04}", vectors[at], n=at % 10) for at in range(start, start + 300)], version=1)
        store.sync()
    assert sum(part.companion is not None for part in store._files.snapshot().opened) >= 2
    store.close()

    def recall(where, **settings):
        asked = made(path, **settings)
        exact = made(path, index="FLAT").search_dense(queries, k=10, where=where)
        hits = asked.search_dense(queries, k=10, where=where)
        assert all(len(one) == 10 for one in hits)
        scores = {(number, hit.chunk.id): hit.score for number, one in enumerate(exact) for hit in one}
        same = [(number, hit.chunk.id) in scores for number, one in enumerate(hits) for hit in one]
        assert all(
            scores.get((number, hit.chunk.id), hit.score) == hit.score for number, one in enumerate(hits) for hit in one
        )
        return sum(same) / len(same)

    assert recall(None, ef=20) < recall(None, ef=200)
    assert recall(None, ef=200) > 0.97
    assert recall(parse_filter("n == 3"), ef=64) > 0.97
    assert recall(parse_filter("n < 5"), ef=64) > 0.9


def test_a_filter_that_few_rows_match_finds_all_of_them(path, small, monkeypatch):
    store = made(path, ef=1)
    rng = np.random.default_rng(3)
    store.put([row(f"{at:03}", rng.normal(size=DIM), rare=at % 50 == 0) for at in range(140)], version=1)
    store.sync()
    assert len(found(store, rng.normal(size=DIM), 10, parse_filter("rare == true"))) == 3
    lost = []
    scan = search.Searches._scan
    monkeypatch.setattr(search.Searches, "_scan", lambda *args: lost.append(1) or scan(*args))
    from hookrag_faiss import graph

    monkeypatch.setattr(graph.Graph, "search", lambda self, queries, *_: np.full((len(queries), 3), -1))
    assert len(found(store, rng.normal(size=DIM), 10)) == 10
    assert lost


def test_a_graph_grows_by_the_new_rows_alone(path, small, monkeypatch):
    from hookrag_faiss import graph

    added = []
    blocks = graph._blocks

    def counted(segment, metric, start, stop):
        added.append((start, stop))
        return blocks(segment, metric, start, stop)

    monkeypatch.setattr(graph, "_blocks", counted)
    store, rng = made(path), np.random.default_rng(4)
    for turn in range(4):
        store.put([row(f"{turn}-{at}", rng.normal(size=DIM)) for at in range(35)], version=1)
        store.sync()
    # First what is copied from the graph before, then what is entered.
    assert added[:1] == [(0, 35)]
    assert [one for one in added if one[0]] == [(35, 70), (70, 105), (105, 140)]
    assert len(store._files.snapshot().opened) == 1
    store.drop(["0-1"], version=1)
    store.put([row(f"z-{at}", rng.normal(size=DIM)) for at in range(35)], version=1)
    store.sync()
    assert added[-1] == (0, 35)


def test_a_damaged_graph_is_an_error_before_it_is_followed(path, small):
    store, rng = made(path), np.random.default_rng(5)
    store.put([row(f"{at}", rng.normal(size=DIM)) for at in range(50)], version=1)
    store.sync()
    store.close()
    [file] = path.glob("*.companion")
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 255
    file.write_bytes(data)
    for call in (lambda store: found(store, np.ones(DIM)), lambda store: store.verify()):
        with pytest.raises(HookragError) as error:
            call(made(path))
        assert str(error.value).startswith(f"{file} is damaged: got digest ")
    assert len(found(made(path, index="FLAT"), np.ones(DIM))) == 10
    file.write_bytes(data[:-1])
    with pytest.raises(HookragError, match=f"is damaged: got {len(data) - 1} bytes, expected {len(data)}"):
        made(path)


def test_index_and_ef_may_change_and_the_metric_may_not(path, small):
    store, rng = made(path, index="FLAT"), np.random.default_rng(6)
    rows = [row(f"{at}", rng.normal(size=DIM)) for at in range(60)]
    store.put(rows, version=1)
    store.sync()
    assert not list(path.glob("*.companion"))
    before = found(store, np.ones(DIM))
    store.close()
    store = made(path, index="HNSW", ef=99, m=4)
    assert found(store, np.ones(DIM)) == before
    store.put([row("more", -np.ones(DIM))], version=1)
    store.sync()
    assert list(path.glob("*.companion"))
    assert found(store, np.ones(DIM)) == before
    store.close()
    with pytest.raises(IdentityError) as error:
        made(path, metric="L2")
    assert str(error.value) == (
        f"{path} was made with metric = 'COSINE', expected 'L2': go back to it, or make the index anew with hookrag reindex "
        "PATH...; where the store has a `path`, give it another one and run hookrag index --rebuild NAME PATH..."
    )
    assert Faiss(chunker=None, embedder=Dense(), path=path, ef=5).identity() == {"metric": "COSINE"}
    assert Faiss(chunker=None, embedder=Dense(), path=path, metric="L2").dense_kind == ScoreKind(
        "negated squared distance"
    )


def test_rows_that_cannot_be_kept_are_named_with_the_reason_and_the_others_are_kept(path):
    store, one = made(path), np.ones(DIM, dtype=np.float32)
    chunk = Chunk("text", "d", "t", 0, 1)
    bad = [
        row("shape", [[1, 2]]),
        row("nan", one * np.nan),
        row("zero", one * 0),
        row("tiny", one * 1e-30),
        row("huge", one * 1e30),
        Row(chunk, "me", 1),
        Row(Chunk("multi", "d", "t", 0, 1), "me", 1, one, multi=one[None]),
        Row(Chunk("sparse", "d", "t", 0, 1), "me", 1, one, sparse=(np.zeros(1, np.int32), np.ones(1, np.float32))),
    ]
    assert store.put([*bad, row("good", one), row("wide", np.ones(9))], version=1) == {
        "shape": "its dense vector has the shape [1, 2], expected [d] with d from 1 to 32768",
        "nan": "its dense vector has a value that is not finite",
        "zero": "its dense vector is all zeros, which has no cosine with anything",
        "tiny": "its dense vector has the squared length 0, expected one that 32 bits hold: scale it",
        "huge": "its dense vector has the squared length inf, expected one that 32 bits hold: scale it",
        "text": "it has no dense vector",
        "multi": "it has a multi vector, which a faiss store does not keep",
        "sparse": "it has a sparse vector, which a faiss store does not keep",
        "wide": "its dense vector has 9 dimensions, expected 8, those of the rows before it",
    }
    store.sync()
    assert [name for name, _ in found(store, one)] == ["good"]
    assert store.put([row("late", np.ones(9))], version=1).keys() == {"late"}
    for query, text in (
        (np.ones((1, 9)), "query vectors have the shape [1, 9], expected [n, 8]: use the embedder of this index"),
        (np.zeros((1, 8)), "query vector 0 is all zeros, which has no cosine with anything"),
    ):
        with pytest.raises(HookragError) as error:
            store.search_dense(query, k=1, where=None)
        assert str(error.value) == f"{path}: {text}"
    store.drop(["good"], version=2)
    store.sync()
    assert store.put([row("late", np.ones(9))], version=2) == {}
    store.sync()
    assert store.count() == 1


def test_a_full_buffer_goes_to_disk_and_is_searched_after_the_commit(path, small, monkeypatch):
    monkeypatch.setattr(writer, "BUFFER_BYTES", 20 * 600)
    store, rng = made(path), np.random.default_rng(8)
    rows = {f"{at:03}": row(f"{at:03}", rng.normal(size=DIM)) for at in range(500)}
    for start in range(0, 500, 10):
        store.put(list(rows.values())[start : start + 10], version=1)
    assert store.count() == 0
    store.sync()
    sizes = [len(part.segment) for part in store._files.snapshot().opened]
    assert sum(sizes) == 500
    assert max(sizes) <= 150
    assert found(store, np.ones(DIM), 500) == [
        (name, pytest.approx(score, rel=1e-6)) for name, score in twin(rows, np.ones(DIM, np.float32), "COSINE", 500)
    ]


def test_plans_name_each_segment_once_and_keep_graphs_within_their_size():
    rng = np.random.default_rng(9)
    for _ in range(500):
        count = int(rng.integers(0, 30))
        live, dead = (
            rng.integers(1, 120, count).tolist(),
            (rng.integers(0, 60, count) * rng.integers(0, 2, count)).tolist(),
        )
        graphs = [bool(one) for one in rng.integers(0, 2, count)]
        groups = planning.plan(live, dead, graphs, enough=30, most=120)
        named = [at for group in groups for at in group]
        assert len(named) == len(set(named))
        for group in groups:
            if any(graphs[at] for at in group):
                assert sum(live[at] for at in group) <= 120 or len(group) == 1
                assert len(group) > 1 or dead[group[0]] > live[group[0]]


def test_a_long_load_enters_each_row_about_once():
    sizes: list[tuple[int, bool]] = []
    entered = 0
    for _ in range(1000):
        sizes.append((1000, False))
        live, graphs = [size for size, _ in sizes], [graph for _, graph in sizes]
        for group in planning.plan(live, [0] * len(live), graphs, enough=16_000, most=131_000):
            total, base = sum(live[at] for at in group), live[group[0]] if graphs[group[0]] else 0
            sizes = [one for at, one in enumerate(sizes) if at not in group] + [(total, base > 0)]
        for at, (size, graph) in enumerate(sizes):
            if size >= 16_000 and (not graph or size not in live):
                entered += size - (0 if not graph else max(one for one in live if one < size and one >= 16_000))
                sizes[at] = (size, True)
        assert len(sizes) <= 8 + 1_000_000 // 100_000
    assert sum(size for size, _ in sizes) == 1_000_000
    assert entered < 1_100_000


def test_constructor_refuses_what_it_cannot_do(path):
    class Sparse:
        outputs = ("sparse",)

    for settings, text in (
        ({"metric": "HAMMING"}, "metric must be one of 'COSINE', 'IP', 'L2', got 'HAMMING' (str)"),
        ({"index": "IVF"}, "index must be one of 'FLAT', 'HNSW', got 'IVF' (str)"),
        ({"m": 1}, "m must be in [2, 2048], got 1"),
        ({"ef_construction": 7}, "ef_construction must be in [8, 32768], got 7"),
        ({"ef": 0}, "ef must be in [1, 32768], got 0"),
        (
            {"embedder": Sparse()},
            "embedder must give dense vectors, got one that gives sparse: keep those in another store",
        ),
    ):
        with pytest.raises(ValueError) as error:
            Faiss(**{"chunker": None, "embedder": Dense(), "path": path, **settings})
        assert str(error.value) == text
    assert not path.exists()


def test_faiss_is_imported_when_a_graph_is_made_or_searched_and_not_before(path):
    script = (
        "import sys; from pathlib import Path; import numpy as np; from hookrag import Chunk, Row; "
        "from hookrag_faiss.store import Faiss; E = type('E', (), {'outputs': ('dense',)}); "
        "store = Faiss(chunker=None, embedder=E(), path=Path(sys.argv[1])); store.open(); "
        "store.put([Row(Chunk('a', 'd', 't', 0, 1), 'me', 1, np.ones(4, np.float32))], version=1); store.sync(); "
        "assert store.search_dense(np.ones((1, 4), np.float32), k=1, where=None)[0]; assert 'faiss' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)


LOADER = """
import sys
from pathlib import Path
import numpy as np
from hookrag import Chunk, Row
from hookrag_faiss import planning
from hookrag_faiss.store import Faiss

planning.ENOUGH_BYTES, planning.MOST_BYTES = 1 << 20, 16 << 20
Dense = type("Dense", (), {"outputs": ("dense",)})
store = Faiss(chunker=None, embedder=Dense(), path=Path(sys.argv[1]), m=4, ef_construction=8)
store.open()
rng = np.random.default_rng(0)
for turn in range(24):
    vectors = rng.normal(size=(2000, 256)).astype(np.float32)
    chunks = [Chunk(f"{turn}-{at}", "d", "t", 0, 1) for at in range(2000)]
    store.put([Row(chunk, "me", 1, vector) for chunk, vector in zip(chunks, vectors)], version=1)
    store.sync()
    store.search_dense(vectors[:1], k=1, where=None)
    if turn in (7, 23):
        [line] = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("RssAnon:")]
        print(int(line.split()[1]) // 1024, flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
def test_memory_does_not_grow_with_the_collection(path):
    told = subprocess.run([sys.executable, "-c", LOADER, str(path)], check=True, capture_output=True, text=True).stdout
    after_16_mb, after_48_mb = map(int, told.split())
    assert after_48_mb < after_16_mb + 16


def test_the_plugin_offers_the_store():
    module, _, name = plugin.stores()["faiss"].target.partition(":")
    assert getattr(importlib.import_module(module), name) is Faiss
