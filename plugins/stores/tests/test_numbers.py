"""Numbers compare as Python's do, whatever they are kept as."""

from __future__ import annotations

import itertools
import operator

import pytest
from hookrag_stores.numbers import INT_MAX, INT_MIN, parted, parted_order, sortable
from hypothesis import given
from hypothesis import strategies as st

SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
EDGES = [
    0, 1, -1, 2.5, -2.5, -0.0, 0.1, 5e-324, -5e-324, 1e-7, 2**53 - 1, 2**53, 2**53 + 1, 2.0**53, 2**62 + 1, INT_MAX, INT_MIN,
    INT_MIN + 1, 2.0**63, -(2.0**63), 2.0**63 + 2048, 2**64, 1e300, -1e300, 1.7976931348623157e308, 2.0**60, 2.0**52 + 0.5,
]  # fmt: skip
LARGE = [2**64 + 1, -(2**64) - 1, 10**30, 10**400, -(10**400)]
numbers = st.sampled_from(EDGES) | st.integers(INT_MIN, INT_MAX) | st.floats(allow_nan=False, allow_infinity=False)


def check(one, other):
    kept, same = parted(one)
    assert same == one
    assert (parted(one) == parted(other)) == (one == other)
    assert (sortable(one) < sortable(other), sortable(one) == sortable(other)) == (one < other, one == other)
    for op, compare in SIGNS.items():
        asked = [(sign, bound) for part, sign, bound in parted_order(op, other) if part == kept]
        assert any(sign is None or SIGNS[sign](same, bound) for sign, bound in asked) == compare(one, other), (
            one,
            op,
            other,
        )


def test_every_pair_of_edges():
    for one, other in itertools.product(EDGES, EDGES):
        check(one, other)


@given(numbers, numbers)
def test_any_two(one, other):
    check(one, other)


@given(numbers, st.sampled_from(LARGE) | st.integers())
def test_text_sorts_ints_of_any_size_beside_what_a_filter_can_ask(asked, kept):
    assert (sortable(kept) < sortable(asked), sortable(kept) == sortable(asked)) == (kept < asked, kept == asked)


@given(numbers)
def test_bounds_of_floats_are_floats_and_of_ints_ints_of_64_bits(value):
    for op in SIGNS:
        for part, _, bound in parted_order(op, value):
            assert isinstance(bound, float if part == "f" else int)
            assert part == "f" or INT_MIN <= bound <= INT_MAX


def test_an_int_that_nothing_holds_is_refused():
    for value in (2**64 + 1, 10**400):
        with pytest.raises(ValueError) as error:
            parted(value)
        assert str(error.value) == "an integer that neither 64 bits nor a float hold: write it as text"
