"""Numbers, exactly, in engines that have no number which holds every int of 64 bits and every float.

hookrag compares ints and floats by their values: 2**53 + 1 is greater than 2.0**53. An engine that makes floats of ints does
not see that. Two ways around it: text that sorts as the numbers do, or ints and floats apart, and a comparison for each.
"""

from __future__ import annotations

import math
from struct import pack, unpack
from typing import Literal

from hookrag.filters import Operator

INT_MIN, INT_MAX = -(2**63), 2**63 - 1

Part = Literal["i", "f"]
"""Whole numbers of 64 bits, whatever type they came as, and all others, which are floats."""


def sortable(value: int | float) -> str:
    """19 hexadecimal digits that sort as the numbers do, ints and floats together.

    They are the greatest float of 64 bits that is not above the number, its bits made to sort, and what is left to it. An int
    that no 64 bits hold has its place between the floats around it, which is all that a filter can ask for.

    >>> numbers = [-1e300, -2.5, -1, 0, 0.1, 1, 2**53, 2**53 + 1, 2.0**53 + 2, 2**63 - 1, 2**63, 10**400]
    >>> [sortable(one) for one in numbers] == sorted(sortable(one) for one in numbers)
    True
    >>> sortable(1) == sortable(1.0), sortable(0.0) == sortable(-0.0)
    (True, True)
    """
    try:
        floor = float(value)
    except OverflowError:
        floor = math.inf if value > 0 else -math.inf
    if floor > value:
        floor = math.nextafter(floor, -math.inf)
    (bits,) = unpack(">Q", pack(">d", floor + 0.0))  # of 0.0 and -0.0, which are equal, both become 0.0
    bits = bits ^ (2**64 - 1) if bits >> 63 else bits | 1 << 63
    rest = 0xFFF if math.isinf(floor) else min(int(value) - int(floor), 0xFFF) if isinstance(value, int) else 0
    return f"{bits:016x}{rest:03x}"


def parted(value: int | float) -> tuple[Part, int | float]:
    """The part that a finite number belongs to, and what it is there: numbers that are equal become the same.

    Raises ValueError for an int that neither 64 bits nor a float hold.

    >>> parted(2020.0), parted(2.5), parted(2**70)
    (('i', 2020), ('f', 2.5), ('f', 1.1805916207174113e+21))
    """
    if _is_whole(value):
        return "i", int(value)
    try:
        same = float(value)
    except OverflowError:
        same = math.inf
    if same != value:
        raise ValueError("an integer that neither 64 bits nor a float hold: write it as text")
    return "f", same


def parted_order(op: Operator, value: int | float) -> list[tuple[Part, Operator | None, int | float]]:
    """The comparisons of which one holds where `number op value` does, for < <= > and >=; one without operator holds always.

    >>> parted_order("<", 2.5)
    [('f', '<', 2.5), ('i', '<=', 2)]
    >>> parted_order(">", -1e300)
    [('f', '>', -1e+300), ('i', None, 0)]
    """
    part, same = parted(value)
    if part == "i":
        # Between 2**53 and 2**63 there are no floats but whole ones, which are in the other part, so any number there serves
        # as the bound, and one is chosen that a float holds.
        bound = float(same) if abs(same) <= 2**53 else math.copysign(2.0**60, same)
        return [("i", op, same), ("f", op, bound)]
    below = op in ("<", "<=")
    if abs(same) >= 2**63:
        return [("f", op, same), ("i", None, 0)] if below == (same > 0) else [("f", op, same)]
    nearest = math.floor(same) if below else math.ceil(same)
    return [("f", op, same), ("i", "<=" if below else ">=", nearest)]


def _is_whole(value: int | float) -> bool:
    return INT_MIN <= value <= INT_MAX and int(value) == value
