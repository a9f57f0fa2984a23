"""What a store tells this library about itself: the columns of its own, and what it makes of a committed state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hookrag import Row

from hookrag_segments.files import Array, File, Layout

if TYPE_CHECKING:
    from hookrag_segments.live import LiveSegment
    from hookrag_segments.manifest import Kind
    from hookrag_segments.segment import Segment
    from hookrag_segments.snapshot import Opened, Snapshot

View = TypeVar("View")


@dataclass(frozen=True, slots=True)
class Columns:
    """Arrays on their way into a segment: their types and counts, and (name, piece) in any interleaving of the arrays."""

    layout: Layout
    pieces: Iterable[tuple[str, Array]]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Pending(Protocol):
    """What a store keeps in memory of the rows that are put, besides what every store keeps."""

    def take(self, row: Row, /) -> int:
        """Keep what is needed of the next row and return about how many bytes that is; raises ItemRejected before it does."""
        ...

    def columns(self) -> Columns:
        """The columns of the rows that were taken, in their order."""
        ...


class Content(Protocol[View]):
    """A kind of store. `View` is what it searches in a committed state."""

    @property
    def kind(self) -> Kind:
        """Whose folders they are."""
        ...

    def identity(self) -> Mapping[str, str]:
        """What its columns depend on: rows that were made with another one are refused."""
        ...

    def pending(self, parts: Sequence[Opened], /) -> Pending:
        """For the rows of a new segment beside these parts."""
        ...

    def merged(self, sources: Sequence[LiveSegment], /) -> Columns:
        """The columns of the live rows of these segments, in their order, in pieces of bounded size."""
        ...

    def plan(self, parts: Sequence[Opened], /) -> list[list[int]]:
        """Which parts to make one of before a commit, as groups of their places; a group's rows follow one another."""
        ...

    def companion(self, path: Path, segment: Segment, base: Opened | None, /) -> File | None:
        """Write what searches need besides a segment, durably, and return its file; None where they need nothing yet.

        `base` is a part whose rows the segment begins with, all of them and in their order: its companion may be extended.
        """
        ...

    def with_vectors(self, segment: Segment, number: int, row: Row, /) -> Row:
        """The row with the vectors that were put with it."""
        ...

    def view(self, snapshot: Snapshot, before: View | None, /) -> View:
        """What searches a committed state; `before` is that of the state before, of which it may keep what is the same."""
        ...
