"""What this store tells the library of its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hookrag import Row
from hookrag_segments.content import Columns
from hookrag_segments.files import File
from hookrag_segments.live import LiveSegment
from hookrag_segments.manifest import Kind
from hookrag_segments.merge import tiered
from hookrag_segments.segment import Segment
from hookrag_segments.snapshot import Opened, Snapshot
from hookrag_stores.vectors import Metric

from hookrag_faiss import planning
from hookrag_faiss.columns import PendingVectors, dim_of, matrix, merged
from hookrag_faiss.search import Searches


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors of one metric, with graphs or without."""

    metric: Metric
    graphs: bool
    m: int
    ef_construction: int

    @property
    def kind(self) -> Kind:
        return Kind("faiss", "hookrag-faiss")

    def identity(self) -> Mapping[str, str]:
        return {"metric": self.metric}

    def pending(self, parts: Sequence[Opened], /) -> PendingVectors:
        dims = (dim_of(part.segment) for part in parts if part.live)
        return PendingVectors(next(dims, None), self.metric)

    def merged(self, sources: Sequence[LiveSegment], /) -> Columns:
        return merged(sources)

    def plan(self, parts: Sequence[Opened], /) -> list[list[int]]:
        live = [part.live for part in parts]
        dead = [len(part.segment) - part.live for part in parts]
        if not self.graphs or not parts:
            return tiered(live, dead)
        size = 4 * dim_of(parts[0].segment)
        return planning.plan(
            live,
            dead,
            [part.companion is not None for part in parts],
            enough=planning.ENOUGH_BYTES // size,
            most=planning.MOST_BYTES // size,
        )

    def companion(self, path: Path, segment: Segment, base: Opened | None, /) -> File | None:
        """A graph, where there are enough vectors."""
        if not self.graphs or segment["vectors"].nbytes < planning.ENOUGH_BYTES:
            return None
        from hookrag_faiss import graph

        return graph.build(path, segment, base, self.metric, m=self.m, ef_construction=self.ef_construction)

    def with_vectors(self, segment: Segment, number: int, row: Row, /) -> Row:
        return replace(row, dense=matrix(segment)[number].copy())

    def view(self, snapshot: Snapshot, before: Searches | None, /) -> Searches:
        return Searches(snapshot, self.metric, before)
