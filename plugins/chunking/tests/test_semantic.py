from __future__ import annotations

import statistics

import numpy as np
import pytest
from hookrag import Document, Identity, Vectors
from hookrag_chunking.breakpoints import breakpoints, distances
from hookrag_chunking.semantic import Semantic
from hookrag_chunking.spans import words
from hypothesis import given, settings
from hypothesis import strategies as st


class Topics:
    """A text's vector counts the letters a to d in it; it notes what it was asked."""

    outputs = ("dense",)

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def identity(self):
        return Identity({}, {})

    def embed(self, texts, *, role, outputs):
        assert role == "document"
        assert set(outputs) == {"dense"}
        self.calls.append(list(texts))
        return Vectors(dense=np.array([[text.count(letter) for letter in "abcd"] for text in texts], dtype=np.float32))


def cut(text, **options):
    (chunks,) = Semantic(embedder=Topics(), **options).chunk([Document("d", text)])
    return [chunk.text for chunk in chunks]


def test_there_is_a_cut_where_the_topic_turns():
    text = "Aaa aaa. Aaa aa. Aaa aaaa. Bbb bbb. Bbb bb. Ccc ccc ccc. Ccc ccc."
    assert cut(text, buffer=0, amount=70) == ["Aaa aaa. Aaa aa. Aaa aaaa.", "Bbb bbb. Bbb bb.", "Ccc ccc ccc. Ccc ccc."]
    assert cut(text, buffer=0, threshold="standard_deviation", amount=1) == [
        "Aaa aaa. Aaa aa. Aaa aaaa.", "Bbb bbb. Bbb bb.", "Ccc ccc ccc. Ccc ccc.",
    ]  # fmt: skip
    assert cut(text, buffer=0, threshold="standard_deviation") == [text]


def test_small_groups_are_joined_and_large_ones_cut():
    text = "Aaa aaa. Aaa aa. Aaa aaaa. Bbb bbb. Bbb bb. Ccc ccc ccc. Ccc ccc."
    assert cut(text, buffer=0, amount=70, min_size=5) == [
        "Aaa aaa. Aaa aa. Aaa aaaa.",
        "Bbb bbb. Bbb bb. Ccc ccc ccc. Ccc ccc.",
    ]
    assert cut(text, buffer=0, amount=70, size=4) == [
        "Aaa aaa. Aaa aa.",
        "Aaa aaaa.",
        "Bbb bbb. Bbb bb.",
        "Ccc ccc ccc.",
        "Ccc ccc.",
    ]
    assert cut("Aa. " * 3 + "Bb bb bb bb bb.", buffer=0, amount=0, size=2, min_size=2) == [
        "Aa. Aa.", "Aa.", "Bb bb", "bb bb", "bb.",
    ]  # fmt: skip


def test_sentences_of_all_documents_are_embedded_in_one_call_with_their_neighbours():
    embedder = Topics()
    documents = [Document("1", "Aaa. Bbb. Ccc."), Document("2", ""), Document("3", "Dd."), Document("4", "Aaa. Bbb.")]
    chunks = Semantic(embedder=embedder, buffer=1).chunk(documents)
    assert embedder.calls == [["Aaa. Bbb.", "Aaa. Bbb. Ccc.", "Bbb. Ccc.", "Aaa. Bbb.", "Aaa. Bbb."]]
    assert [len(of_one) for of_one in chunks] == [1, 0, 1, 1]


def test_many_sentences_go_through_in_batches_without_a_seam(monkeypatch):
    text = " ".join(f"{'ab'[i // 7 % 2] * (i % 3 + 1)} word." for i in range(60)).title()
    documents = [Document("d", text), Document("e", "Aaa. Bbb."), Document("f", text[:200])]
    whole = Semantic(embedder=Topics(), amount=80).chunk(documents)
    monkeypatch.setattr("hookrag_chunking.semantic._TEXTS", 7)
    assert Semantic(embedder=Topics(), amount=80).chunk(documents) == whole
    assert len(whole[0]) > 3


def plain_percentile(values, amount):
    ordered = sorted(values)
    place = (len(ordered) - 1) * amount / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@given(
    st.lists(st.integers(0, 20).map(lambda n: n / 16), min_size=2, max_size=30), st.sampled_from([0, 25, 50, 95, 100])
)
def test_thresholds_are_those_of_a_plain_reading(found, amount):
    def over(values, limit):
        # what is equal up to rounding may fall on either side
        near = {i for i, value in enumerate(values) if abs(value - limit) < 1e-9}
        return {i for i, value in enumerate(values) if value > limit} - near, near

    mean, spread = statistics.fmean(found), statistics.pstdev(found)
    ranges = plain_percentile(found, 75) - plain_percentile(found, 25)
    last = len(found) - 1
    slopes = [
        (found[min(i + 1, last)] - found[max(i - 1, 0)]) / (min(i + 1, last) - max(i - 1, 0)) for i in range(len(found))
    ]
    for threshold, values, limit in (
        ("percentile", found, plain_percentile(found, amount)),
        ("standard_deviation", found, mean + amount / 50 * spread),
        ("interquartile", found, mean + amount / 50 * ranges),
        ("gradient", slopes, plain_percentile(slopes, amount)),
    ):
        told = set(
            breakpoints(np.array(found), threshold, amount if threshold in ("percentile", "gradient") else amount / 50)
        )
        sure, near = over(values, limit)
        assert sure <= told <= sure | near, threshold


def test_distances_of_vectors_without_direction_are_one():
    assert distances(np.array([[0, 0], [1, 0], [-1, 0]], dtype=np.float32)).tolist() == [1.0, 2.0]
    assert distances(np.zeros((1, 2), dtype=np.float32)).tolist() == []
    assert breakpoints(np.zeros(0), "gradient", 95) == []
    assert breakpoints(np.array([0.5]), "gradient", 0) == []


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.sampled_from(["Aa. ", "Bb bb. ", "Cc cc", "\n\n", "今天。", "x" * 120, "e\u0301! ", "- d\n"]), max_size=25
    ).map("".join),
    st.sampled_from(["percentile", "standard_deviation", "interquartile", "gradient"]),
    st.integers(0, 2),
    st.integers(1, 9),
    st.data(),
)
def test_chunks_are_exact_complete_and_of_the_size(text, threshold, buffer, size, data):
    least = data.draw(st.integers(0, size))
    chunker = Semantic(embedder=Topics(), threshold=threshold, amount=50, buffer=buffer, size=size, min_size=least)
    (chunks,) = chunker.chunk([Document("d", text)])
    covered = set()
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end] == chunk.text.strip() != ""
        assert len(words(chunk.text)) <= size
        assert covered.isdisjoint(range(chunk.start, chunk.end))
        covered.update(range(chunk.start, chunk.end))
    assert all(character.isspace() for at, character in enumerate(text) if at not in covered)


class Sparse(Topics):
    outputs = ("sparse",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"amount": 101}, 'amount must be in [0, 100] for threshold = "percentile", got 101'),
        ({"buffer": -1}, "buffer must be at least 0, got -1"),
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"size": 9, "min_size": 10}, "min_size must be in [0, size], which is [0, 9], got 10"),
        ({"embedder": Sparse()}, "embedder must give dense vectors, got one that gives sparse"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError) as error:
        Semantic(**{"embedder": Topics(), **options})
    assert str(error.value) == message
