"""What this store tells the library of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hookrag import Row
from hookrag_segments.content import Columns
from hookrag_segments.files import File
from hookrag_segments.live import LiveSegment
from hookrag_segments.manifest import Kind
from hookrag_segments.merge import tiered
from hookrag_segments.segment import Segment
from hookrag_segments.snapshot import Opened, Snapshot

from hookrag_lexical.analysis import Analyzer
from hookrag_lexical.columns import PendingTerms, vector
from hookrag_lexical.merging import merged
from hookrag_lexical.scoring import Formula
from hookrag_lexical.search import Searches


class Terms:
    """Terms of one analyzer, by field where there are several, and sparse vectors where there is an embedder of them."""

    kind = Kind("lexical", "hookrag-lexical")

    def __init__(self, chain: Analyzer, formula: Formula, *, sparse: bool) -> None:
        self._chain = chain
        self._formula = formula
        self._fields = formula.fields
        self._sparse = sparse

    def identity(self) -> Mapping[str, str]:
        named = [field.name for field in self._fields if field.name]
        return {**self._chain.identity(), **({"fields": json.dumps(named, ensure_ascii=False)} if named else {})}

    def pending(self, parts: Sequence[Opened], /) -> PendingTerms:
        return PendingTerms(self._chain, self._fields, sparse=self._sparse)

    def merged(self, sources: Sequence[LiveSegment], /) -> Columns:
        return merged(sources, self._fields)

    def plan(self, parts: Sequence[Opened], /) -> list[list[int]]:
        return tiered([part.live for part in parts], [len(part.segment) - part.live for part in parts])

    def companion(self, path: Path, segment: Segment, base: Opened | None, /) -> File | None:
        """None: the postings are in the segment."""
        return None

    def with_vectors(self, segment: Segment, number: int, row: Row, /) -> Row:
        return replace(row, sparse=vector(segment, number))

    def view(self, snapshot: Snapshot, before: Searches | None, /) -> Searches:
        return Searches(snapshot, self._formula)
