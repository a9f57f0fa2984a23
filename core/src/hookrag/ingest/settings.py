"""What a run of the ingest was asked to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from hookrag.filters import FieldType
from hookrag.ingest.report import Progress


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run was asked to do."""

    source: str
    complete: bool
    under: str
    root: Path | None
    prune: bool
    retry_failed: bool
    dry_run: bool
    take_over: bool
    rebuild: Collection[str]
    fields: Mapping[str, FieldType]
    batch_bytes: int | None
    patience: float
    progress: Callable[[Progress], None] | None
