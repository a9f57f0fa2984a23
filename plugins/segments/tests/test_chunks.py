"""What is kept of chunks in memory: the right ones, a bounded amount, and nothing that a caller could spoil."""

from __future__ import annotations

import copy
import gc
import json
import os
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hookrag import Chunk, Hit
from hookrag_segments.chunks import SLOT_BYTES, Chunks
from hookrag_segments.frozen import MANY, frozen, instances


def chunk(number, size=20):
    return Chunk(str(number), "d", "x" * size, 0, size)


def numbered(*numbers):
    return np.array(numbers, dtype=np.int64)


class Source:
    """Reads chunks, which cost `size`, and remembers which."""

    def __init__(self, size=20):
        self.size = size
        self.read = []

    def __call__(self, numbers):
        assert numbers.tolist() == sorted(set(numbers.tolist()))
        self.read += numbers.tolist()
        return [chunk(number, self.size) for number in numbers.tolist()], np.full(len(numbers), self.size)


def test_each_chunk_is_read_once_while_there_is_room():
    chunks, source = Chunks(64 * SLOT_BYTES), Source()
    chunks.bases([("a", 6)])
    for numbers in ([5, 3, 5], [3, 4], [], [5, 4, 3]):
        found = chunks.of(numbered(*numbers), source)
        assert [one.id for one in found] == [str(number) for number in numbers]
    assert source.read == [3, 5, 4]


@pytest.mark.parametrize("limit", [0, 1, 3 * SLOT_BYTES, 10 * SLOT_BYTES])
def test_any_limit_gives_the_right_chunks_within_it(limit):
    chunks = Chunks(limit)
    chunks.bases([("a", 40)])
    rng = np.random.default_rng(1)
    for _ in range(200):
        size = int(rng.integers(1, 3000))
        numbers = rng.integers(0, 40, rng.integers(0, 9))
        found = chunks.of(numbers, Source(size))
        assert [one.id for one in found] == [str(number) for number in numbers]
        held = [one for one in chunks._held.tolist() if one is not None]
        assert sum(len(one.text) for one in held) <= limit


def test_there_are_no_more_slots_than_rows_have_use_for_and_what_is_held_stays():
    chunks, source = Chunks(10**15), Source()
    for segments in ([("a", 4)], [("a", 4), ("b", 5000)], [("b", 5000)]):
        chunks.bases(segments)
        chunks.of(numbered(0, 3), source)
    assert source.read == [0, 3]


def test_threads_get_the_chunks_that_they_ask_for():
    chunks = Chunks(4 * SLOT_BYTES)
    chunks.bases([("a", 50)])

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
    for what, change in (
        ("the metadata", lambda: value.update(n=2)),
        ("the metadata", lambda: value.__setitem__("n", 2)),
        ("the metadata", lambda: value.pop("n")),
        ("a list in the metadata", lambda: dict(value)["tags"].append("c")),
        ("a list in the metadata", lambda: value["tags"][1]["b"].clear()),
    ):
        with pytest.raises(TypeError) as error:
            change()
        assert str(error.value) == (
            f"{what} that a store returns is shared and cannot be changed: change a copy.deepcopy(chunk.metadata)"
        )
    assert value == plain
    assert json.dumps(value) == json.dumps(plain)
    for other in (copy.deepcopy(value), pickle.loads(pickle.dumps(value)), dict(value), value | {"m": 1}):
        assert type(other) is dict
    assert type(copy.deepcopy(value)["tags"][1]["b"]) is list


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_fork_while_another_thread_makes_many_values_leaves_the_collector_on():
    begun = threading.Event()

    def scores():
        begun.set()
        time.sleep(0.3)  # in which the collector is off
        yield from range(MANY)

    making = threading.Thread(target=lambda: instances(Hit, MANY, [None] * MANY, scores(), [()] * MANY))
    making.start()
    begun.wait()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if gc.isenabled() else 1)
    making.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert gc.isenabled()
