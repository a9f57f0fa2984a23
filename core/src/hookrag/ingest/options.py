"""What an ingest is given and asked to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from hookrag.ingest.items import Entry
from hookrag.ingest.report import Progress


@dataclass(frozen=True, slots=True)
class Given:
    """Documents, and the source that they are from.

    `complete` says that they are all there is of the source, or of the part of it that `under` names: the item of that id and
    those whose ids begin with it and a slash. `root` is the folder that they lie in: on another
    device than the last time, what is gone is not removed. `count` says how many items there are,
    for showing progress. Of files, `path` is what was given, and `doubled` are the paths in it whose documents are in the
    index by other ids. `remade_by` is the command that makes these documents again, where they are made from what else is in
    the index (summaries of a graph): then re-indexing does without them and says so.
    """

    documents: Iterable[Entry]
    source: str
    complete: bool = False
    under: str = ""
    root: Path | None = None
    count: Callable[[], int] | None = None
    path: Path | None = None
    doubled: Sequence[Path] = ()
    remade_by: str = ""


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How to bring in what was given; see `Ingest.run`.

    `prune` allows removals that are hard to believe, and removes what a taken-over store held of no known source, too.
    `retry_failed` tries documents again that failed in their present form. `dry_run` reads and cuts but writes nothing.
    `rebuild` names stores whose rows are made again; `take_over` makes stores of another journal this one's: with a new
    journal their rows are kept, otherwise made again. `progress` is called now and then. Raises ValueError for a dry run that
    would change stores.
    """

    prune: bool = False
    retry_failed: bool = False
    dry_run: bool = False
    take_over: bool = False
    rebuild: Collection[str] = ()
    progress: Callable[[Progress], None] | None = None

    def __post_init__(self) -> None:
        if self.dry_run and (self.take_over or self.rebuild):
            raise ValueError("dry_run cannot be combined with take_over or rebuild: they change stores")


class IndexOptions(TypedDict, total=False):
    """The keywords of `IngestOptions`, as `Pipeline.index` takes them."""

    prune: bool
    retry_failed: bool
    dry_run: bool
    take_over: bool
    rebuild: Collection[str]
    progress: Callable[[Progress], None] | None
