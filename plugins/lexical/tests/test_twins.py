"""Brute-force twins: whatever was put, dropped and merged, scores are those of the formula over the rows that are left."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hookrag import Chunk, Row, SparseRows, parse_filter
from hookrag.filters import matches
from hookrag_lexical import analysis, merging
from hookrag_lexical.scoring import Formula, lucene_lengths
from hookrag_lexical.store import Lexical
from hookrag_segments import merge, writer
from hookrag_segments.select import select
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

WORDS = ["ant", "bee", "cat", "dog", "eel", "the", "fox's", "foxes"]
FILTERS = [parse_filter(text) for text in ("n >= 2", 'lang == "a"', "not exists(lang) or n == 1")]
QUERIES = ["ant", "ant bee the cat", "fox fox dog", "eel " * 3 + "bee", "unknown"]


class Embedder:
    outputs = ("sparse",)


def byte4(length):
    """Lucene's SmallFloat, as its Java source has it, number by number."""

    def to_int4(number):
        bits = number.bit_length()
        if bits < 4:
            return number
        shift = bits - 4
        return (number >> shift) & 7 | (shift + 1) << 3

    def from_int4(code):
        shift = (code >> 3) - 1
        return code & 7 if shift == -1 else (code & 7 | 8) << shift

    code = length if length < 24 else 24 + to_int4(length - 24)
    assert code < 256
    return code if code < 24 else 24 + from_int4(code - 24)


def bm25_twin(rows, text, *, k1, b, norms, chain):
    """{chunk id: score} over plain dicts."""
    bags = {name: Counter(chain.terms(row.chunk.input)) for name, row in rows.items()}
    lengths = {name: sum(bag.values()) for name, bag in bags.items() if bag}
    scores = {}
    for term, times in Counter(chain.terms(text)).items():
        having = [name for name, bag in bags.items() if term in bag]
        weight = math.log(1 + (len(lengths) - len(having) + 0.5) / (len(having) + 0.5))
        for name in having:
            length = lengths[name] if norms == "exact" else byte4(lengths[name])
            average = sum(lengths.values()) / len(lengths)
            tf = bags[name][term]
            scores[name] = scores.get(name, 0.0) + times * weight * tf / (tf + k1 * (1 - b + b * length / average))
    return scores


def sparse_twin(rows, query):
    scores = {}
    for name, row in rows.items():
        own = {} if row.sparse is None else dict(zip(row.sparse[0].tolist(), row.sparse[1].tolist(), strict=True))
        shared = [dim for dim, value in query.items() if value and own.get(dim)]
        if shared:
            scores[name] = sum(query[dim] * own[dim] for dim in shared)
    return scores


def ordered(scores, k):
    return sorted(scores.items(), key=lambda item: (-np.float32(item[1]), item[0]))[:k]


def agrees(hits, scores, k):
    """The same scores at each place, and the same ids but where rounding may have swapped neighbours that nearly tie."""
    expected = ordered(scores, k)
    assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], rel=2e-6, abs=1e-6)
    for hit in hits:
        assert hit.score == pytest.approx(scores[hit.chunk.id], rel=2e-6, abs=1e-6)
    assert len({hit.chunk.id for hit in hits}) == len(hits)
    for one, two in pairwise(hits):
        assert (-one.score, one.chunk.id) < (-two.score, two.chunk.id)


dims = st.dictionaries(st.integers(0, 6), st.sampled_from([-1.5, -1.0, 0.0, 0.25, 1.0, 2.0]), max_size=4)


class Histories(RuleBasedStateMachine):
    """Any history of puts, drops, syncs, merges, flushes and reopenings, against a dict."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(merge, "MAX_SEGMENTS", 3)
        self.patch.setattr(merge, "MIN_MERGED", 2)
        self.patch.setattr(merging, "POSTINGS", 3)
        self.patch.setattr(merge, "ROWS", 2)
        self.patch.setattr(merge, "BLOCK", 5)
        self.path = Path(self.folder.name) / "index"
        self.pending, self.rows = {}, {}
        self.store = self.opened()

    def opened(self):
        store = Lexical(chunker=None, embedder=Embedder(), path=self.path)
        store.open()
        return store

    @rule(
        words=st.lists(st.sampled_from(WORDS), max_size=60),
        name=st.integers(0, 12),
        vector=st.none() | dims,
        n=st.integers(0, 3),
        lang=st.sampled_from(["a", "b", None]),
        owner=st.sampled_from(["me", "you"]),
    )
    def put(self, words, name, vector, n, lang, owner):
        metadata = {"n": n} if lang is None else {"n": n, "lang": lang}
        text = " ".join(words)
        name = "i" * (name % 3) + str(name)
        sparse = None
        if vector is not None:
            keys = sorted(vector)
            sparse = (np.array(keys, dtype=np.int32), np.array([vector[key] for key in keys], dtype=np.float32))
        row = Row(Chunk(name, "d", text, 0, len(text), "", metadata=metadata), owner, n, sparse=sparse)
        assert self.store.put([row], version=1) == {}
        self.pending.setdefault(name, row)

    @rule(names=st.lists(st.integers(0, 12), max_size=5))
    def drop(self, names):
        names = ["i" * (name % 3) + str(name) for name in names]
        self.store.drop(names, version=1)
        for name in names:
            self.pending.pop(name, None)

    @rule(limit=st.sampled_from([1, writer.BUFFER_BYTES]))
    def flush_when(self, limit):
        self.patch.setattr(writer, "BUFFER_BYTES", limit)

    @rule()
    def sync(self):
        self.store.sync()
        self.rows = dict(self.pending)
        assert len(self.store._index.snapshot().opened) <= 4

    @rule()
    def reopen(self):
        self.store.close()
        self.store = self.opened()
        self.pending = dict(self.rows)

    @invariant()
    def rows_are_there(self):
        keys = sorted((key for page in self.store.scan() for key in page), key=lambda key: key.chunk_id)
        assert [(key.chunk_id, key.owner, key.check) for key in keys] == [
            (name, row.owner, row.check) for name, row in sorted(self.rows.items())
        ]
        assert self.store.count() == len(self.rows)
        names = sorted(self.pending | self.rows)
        for name, got in zip(names, self.store.fetch(names, vectors=True), strict=True):
            want = self.rows.get(name)
            assert (got is None) == (want is None)
            if want is not None:
                assert (got.chunk, got.sparse is None) == (want.chunk, want.sparse is None)
                assert want.sparse is None or all(
                    np.array_equal(*pair) for pair in zip(got.sparse, want.sparse, strict=True)
                )

    @invariant()
    def searches_agree(self):
        for where in [None, *FILTERS]:
            left = {n for n, row in self.rows.items() if where is None or matches(where, row.chunk.metadata)}
            assert self.store.count(where) == len(left)
            for query, hits in zip(QUERIES, self.store.search_text(QUERIES, k=5, where=where), strict=True):
                scores = bm25_twin(self.rows, query, k1=0.9, b=0.4, norms="exact", chain=self.store._chain)
                agrees(hits, {name: score for name, score in scores.items() if name in left}, 5)
            query = {0: 1.0, 2: -1.0, 3: 0.5, 5: 0.0}
            vector = SparseRows(
                np.array([0, 4]),
                np.array([0, 2, 3, 5], dtype=np.int32),
                np.array([1.0, -1.0, 0.5, 0.0], dtype=np.float32),
                7,
            )
            scores = sparse_twin({name: self.rows[name] for name in left}, query)
            hits = self.store.search_sparse(vector, k=4, where=where)[0]
            assert [(hit.chunk.id, hit.score) for hit in hits] == ordered(scores, 4)
        for (name, row), terms in zip(
            self.rows.items(), self.store.matching_terms("bees ant fox", list(self.rows)), strict=True
        ):
            own = self.store._chain.terms(row.chunk.input)
            assert terms == tuple(term for term in ("bee", "ant", "fox") if term in own), name

    @invariant()
    def history_leaves_no_trace(self):
        with tempfile.TemporaryDirectory() as folder:
            fresh = Lexical(chunker=None, embedder=Embedder(), path=Path(folder))
            fresh.open()
            fresh.put(list(self.rows.values()), version=1)
            fresh.sync()
            mine, theirs = (s.search_text(QUERIES, k=20, where=None) for s in (self.store, fresh))
            fresh.close()
        assert mine == theirs  # to the last bit

    def teardown(self):
        self.store.close()
        self.patch.undo()
        self.folder.cleanup()


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


@pytest.mark.parametrize("seed", range(4))
def test_statistics_are_of_the_rows_that_are_left(tmp_path, seed):
    # Segments that keep some of their rows: the histories above seldom make any, because theirs are small.
    rng = np.random.default_rng(seed)
    store = Lexical(chunker=None, path=tmp_path / "index")
    store.open()
    rows = {}
    for turn in range(4):
        for at in range(25):
            text = " ".join(rng.choice(WORDS, rng.integers(0, 30)))
            name = f"{rng.integers(10**6):06}-{turn}-{at}"
            rows[name] = Row(Chunk(name, "d", text, 0, len(text)), "me", turn)
        store.put(list(rows.values()), version=1)
        gone = sorted(rows)[turn :: 4 + turn]
        store.sync()
        store.drop(gone, version=1)
        store.sync()
        for name in gone:
            del rows[name]
        assert store.fetch(gone) == [None] * len(gone)
        assert store.fetch(sorted(rows)) == [rows[name] for name in sorted(rows)]
        assert store.matching_terms("ant", gone) == [()] * len(gone)
        assert {key.chunk_id for page in store.scan() for key in page} == rows.keys()
        assert any(part.dead is not None for part in store._index.snapshot().opened)
        for query, hits in zip(QUERIES, store.search_text(QUERIES, k=200, where=None), strict=True):
            twin = bm25_twin(rows, query, k1=0.9, b=0.4, norms="exact", chain=store._chain)
            agrees(hits, twin, 200)
            assert {hit.chunk.id for hit in hits} == twin.keys()
    store.close()


@given(
    rows=st.lists(st.lists(st.sampled_from(WORDS), max_size=80), min_size=1, max_size=12),
    query=st.lists(st.sampled_from(WORDS), max_size=5),
    k1=st.floats(0, 3),
    b=st.floats(0, 1),
    norms=st.sampled_from(["exact", "lucene"]),
    analyzer=st.sampled_from(["lucene-english", "unicode"]),
)
@settings(max_examples=80, deadline=None)
def test_bm25_is_the_formula(rows, query, k1, b, norms, analyzer):
    with tempfile.TemporaryDirectory() as folder:
        store = Lexical(chunker=None, path=Path(folder), k1=k1, b=b, norms=norms, analyzer=analyzer)
        store.open()
        texts = {f"{at:02}": " ".join(words) for at, words in enumerate(rows)}
        put = {name: Row(Chunk(name, "d", text, 0, len(text)), "", 0) for name, text in texts.items()}
        store.put(list(put.values()), version=1)
        store.sync()
        [hits] = store.search_text([" ".join(query)], k=100, where=None)
        store.close()
    agrees(hits, bm25_twin(put, " ".join(query), k1=k1, b=b, norms=norms, chain=analysis.analyzer(analyzer)), 100)


def test_lengths_are_those_of_lucenes_byte():
    lengths = np.concatenate([np.arange(5000), np.random.default_rng(1).integers(5000, 2**31 - 1, 2000)])
    assert lucene_lengths(lengths).tolist() == [byte4(int(length)) for length in lengths]


def test_k1_of_zero_counts_which_terms_are_there():
    formula = Formula("lucene", 0.0, 0.0, "exact", ())
    assert formula.saturation(np.array([1.0, 5.0]), np.array([0.4, 3.0])).tolist() == [1.0, 1.0]


@given(
    scores=st.lists(st.sampled_from([0.5, 1.0, 1.5, 2.0]), min_size=0, max_size=40),
    k=st.integers(0, 45),
    seed=st.integers(0, 99),
)
@settings(max_examples=200, deadline=None)
def test_select_is_a_full_sort(scores, k, seed):
    ids = np.array([f"{at:03}".encode() for at in np.random.default_rng(seed).permutation(len(scores))], dtype="S3")
    values = np.array(scores, dtype=np.float32)
    rows, best = select(np.arange(len(scores)), values, k, lambda rows: ids[rows])
    expected = sorted(range(len(scores)), key=lambda row: (-scores[row], ids[row]))[:k]
    assert rows.tolist() == expected
    assert best.tolist() == [scores[row] for row in expected]


@given(live=st.lists(st.integers(0, 10**6), max_size=60), seed=st.integers(0, 99))
@settings(max_examples=200, deadline=None)
def test_a_plan_leaves_few_segments_and_names_each_once(live, seed):
    dead = np.random.default_rng(seed).integers(0, 10**6, len(live)).tolist()
    groups = merge.tiered(live, dead)
    named = [at for group in groups for at in group]
    assert len(named) == len(set(named))
    if len(live) <= merge.MAX_SEGMENTS:
        assert groups == [[at] for at in range(len(live)) if dead[at] > live[at]]


def test_segments_stay_few_and_rows_are_copied_a_logarithm_of_times():
    sizes, copied = [], 0
    for _ in range(2000):
        sizes.append(500)
        for group in merge.tiered(sizes, [0] * len(sizes)):
            total = sum(sizes[at] for at in group)
            copied += total
            sizes = [size for at, size in enumerate(sizes) if at not in group] + [total]
        assert len(sizes) <= merge.MAX_SEGMENTS
    assert sum(sizes) == 2000 * 500
    assert copied / sum(sizes) < 2 * math.log2(2000)
