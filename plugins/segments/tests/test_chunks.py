"""What is kept of chunks in memory: the right ones, a bounded amount, and nothing that a caller could spoil."""

from __future__ import annotations

import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hookrag import Chunk
from hookrag_segments.chunks import CHUNK_BYTES, SLOT_BYTES, Chunks
from hookrag_segments.frozen import frozen


def chunk(number, size=20):
    return Chunk(str(number), "d", "x" * size, 0, size)


class Source:
    """Reads chunks and remembers which."""

    def __init__(self, size=20):
        self.size = size
        self.read = []

    def __call__(self, numbers):
        assert numbers.tolist() == sorted(set(numbers.tolist()))
        self.read += numbers.tolist()
        return [chunk(number, self.size) for number in numbers.tolist()]


def test_each_chunk_is_read_once_while_there_is_room():
    chunks, source = Chunks(64 * SLOT_BYTES), Source()
    for numbers in ([5, 3, 5], [3, 4], [], [5, 4, 3]):
        found = chunks.of(np.array(numbers, dtype=np.int64), source)
        assert [one.id for one in found] == [str(number) for number in numbers]
    assert source.read == [3, 5, 4]


@pytest.mark.parametrize("limit", [0, 1, 3 * SLOT_BYTES, 10 * SLOT_BYTES])
def test_any_limit_gives_the_right_chunks_within_it(limit):
    chunks = Chunks(limit)
    rng = np.random.default_rng(1)
    for _ in range(200):
        size = int(rng.integers(1, 3000))
        numbers = rng.integers(0, 40, rng.integers(0, 9))
        found = chunks.of(numbers, Source(size))
        assert [one.id for one in found] == [str(number) for number in numbers]
        held = [one for one in chunks._held.tolist() if one is not None]
        assert sum(len(one.text) + CHUNK_BYTES for one in held) <= limit


def test_threads_get_the_chunks_that_they_ask_for():
    chunks = Chunks(4 * SLOT_BYTES)

    def ask(seed):
        rng = np.random.default_rng(seed)
        for _ in range(300):
            numbers = rng.integers(0, 50, 5)
            assert [one.id for one in chunks.of(numbers, Source())] == [str(number) for number in numbers]
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(8)))


def test_segments_keep_their_numbers_when_others_come():
    chunks = Chunks(0)
    assert chunks.bases([("a", 10), ("b", 5)]) == [0, 10]
    assert chunks.bases([("b", 5), ("c", 1), ("d", 2)]) == [10, 15, 16]
    assert chunks.bases([("d", 2), ("e", 2)]) == [16, 18]


def test_shared_metadata_cannot_be_changed_and_is_plain_for_everybody_else():
    plain = {"tags": ["a", {"b": [1]}], "n": 1}
    value = frozen(plain)
    for change in (
        lambda: value.update(n=2),
        lambda: value.__setitem__("n", 2),
        lambda: value.pop("n"),
        lambda: value["tags"].append("c"),
        lambda: value["tags"][1]["b"].clear(),
    ):
        with pytest.raises(TypeError) as error:
            change()
        assert str(error.value) == (
            "the metadata that a store returns is shared and cannot be changed: make a dict of it, and change that"
        )
    assert value == plain
    assert json.dumps(value) == json.dumps(plain)
    for other in (copy.deepcopy(value), pickle.loads(pickle.dumps(value)), dict(value), value | {"m": 1}):
        assert type(other) is dict
    assert type(copy.deepcopy(value)["tags"][1]["b"]) is list
