"""Which segments to merge, so that a row enters a graph about once and no graph outgrows the memory of its building."""

from __future__ import annotations

from collections.abc import Sequence

from hookrag_segments.merge import MAX_SEGMENTS, tiered

ENOUGH_BYTES = 24 << 20
"""Vectors of this many bytes get a graph; fewer are searched exactly, in less than a millisecond."""
MOST_BYTES = 128 << 20
"""A graph grows up to this many bytes of vectors, which are in memory while it is built."""


def plan(
    live: Sequence[int], dead: Sequence[int], graphs: Sequence[bool], *, enough: int, most: int
) -> list[list[int]]:
    """Groups of places from the numbers of live and of deleted rows and from which segments have a graph.

    Segments without a graph are few (`tiered`) until they have `enough` rows together. Then they are appended to a graph that
    lost no row, which grows by them, and the rest of them becomes new ones of up to `most` rows.

    >>> plan([60, 6, 6], [0, 0, 0], [True, False, False], enough=10, most=100)
    [[0, 1, 2]]
    >>> plan([60, 6, 6], [1, 0, 0], [True, False, False], enough=10, most=100)
    [[1, 2]]
    >>> plan([95, 60, 6, 6], [0, 0, 0, 0], [True, True, False, False], enough=10, most=100)
    [[1, 2, 3]]
    >>> plan([60, 3, 3], [61, 0, 0], [True, False, False], enough=10, most=100)
    [[0]]
    """
    loose = [at for at, graph in enumerate(graphs) if not graph]
    if sum(live[at] for at in loose) < enough:
        chosen = tiered([live[at] for at in loose], [dead[at] for at in loose])
        groups = [[loose[at] for at in group] for group in chosen]
    else:
        bases = [at for at, graph in enumerate(graphs) if graph and not dead[at]]
        groups = [
            group for group in _packed(loose, bases, live, most) if len(group) > 1 or dead[group[0]] > live[group[0]]
        ]
    merged = {at for group in groups for at in group}
    rest = [at for at in range(len(live)) if at not in merged and graphs[at]]
    groups += [[at] for at in rest if dead[at] > live[at]]
    small = sorted((at for at in rest if dead[at] <= live[at] and 2 * live[at] <= most), key=lambda at: (live[at], at))
    if len(small) > MAX_SEGMENTS:
        taken = small[:2]
        for at in small[2:]:
            if sum(live[one] for one in taken) + live[at] > most:
                break
            taken.append(at)
        groups.append(sorted(taken, key=lambda at: (dead[at] > 0, -live[at])))
    return groups


def _packed(loose: Sequence[int], bases: list[int], live: Sequence[int], most: int) -> list[list[int]]:
    """The loose ones in groups of up to `most` rows, each behind the largest base that has room for the first of them."""
    groups: list[list[int]] = []
    total = most
    for at in loose:
        if total + live[at] > most:
            fitting = [base for base in bases if live[base] + live[at] <= most]
            base = max(fitting, key=lambda base: live[base], default=None)
            groups.append([] if base is None else [base])
            total = 0 if base is None else live[base]
            if base is not None:
                bases.remove(base)
        groups[-1].append(at)
        total += live[at]
    return groups
