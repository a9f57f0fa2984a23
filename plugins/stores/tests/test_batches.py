"""Nothing is lost between batches, and none is larger than it may be."""

from __future__ import annotations

import itertools

import numpy as np
from hookrag_stores.batches import batches, halves, parts
from hypothesis import given
from hypothesis import strategies as st

sizes = st.lists(st.integers(0, 12), max_size=30)


@given(sizes, st.integers(1, 5), st.integers(1, 20))
def test_batches_are_bounded_and_as_few_as_in_order(items, most, most_bytes):
    made = list(batches(iter(items), lambda size: size, most=most, most_bytes=most_bytes))
    assert [one for batch in made for one in batch] == items
    for batch in made:
        assert 1 <= len(batch) <= most
        assert sum(batch) <= most_bytes or len(batch) == 1
    for batch, following in itertools.pairwise(made):
        assert len(batch) == most or sum(batch) + following[0] > most_bytes


@given(sizes, st.integers(1, 5))
def test_parts_and_halves_hold_everything_in_order(items, size):
    made = list(parts(items, size))
    assert [one for part in made for one in part] == items
    assert all(len(part) == size for part in made[:-1])
    first, rest = halves(items)
    assert first + rest == items
    assert 0 <= len(rest) - len(first) <= 1


def test_halves_of_an_array():
    first, rest = halves(np.arange(5))
    assert (first.tolist(), rest.tolist()) == ([0, 1], [2, 3, 4])
