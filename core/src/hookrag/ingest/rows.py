"""From documents to rows: cut once by each chunker, embedded once by each embedder, and only what is not there yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hookrag.errors import IngestStopped
from hookrag.filters import FieldType, FilterError, check_value
from hookrag.ingest.failures import Streaks
from hookrag.ingest.items import number64
from hookrag.ingest.journal import Journal
from hookrag.ingest.prepare import Preparer
from hookrag.ingest.report import Report
from hookrag.ingest.stores import ROWS_AT_ONCE, Stores
from hookrag.ingest.target import Target
from hookrag.ingest.work import Batch, Version, Work
from hookrag.protocols import Embedder
from hookrag.runtime.trace import tracing
from hookrag.values import Chunk, Output, Row, Vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Dense = NDArray[np.float32]
    Sparse = tuple[NDArray[np.int32], NDArray[np.float32]]

Cut = dict[str, dict[str, Chunk]]
"""By document, its chunks by their ids."""


@dataclass(slots=True)
class Texts:
    """What one embedder has to embed for a batch: each text once, with a document that it is from."""

    embedder: Embedder
    outputs: set[Output] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Embedded:
    """By embedder, for each text the vectors that it is among, and where; and why texts were refused."""

    vectors: dict[str, dict[str, tuple[Vectors, int]]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def texts_of(batch: Batch, targets: Sequence[Target]) -> dict[str, Texts]:
    """By embedder, the texts of a batch that lack vectors."""
    groups: dict[str, Texts] = {}
    for target in targets:
        for work in batch.alive:
            for chunk in work.versions[target.name].lacking if target.name in work.versions else ():
                for output, key in target.embed_key.items():
                    group = groups.setdefault(key, Texts(target.store.embedders[output]))
                    group.outputs.add(output)
                    group.texts.setdefault(chunk.input, work.document.id)
    return groups


def check_of(chunk: Chunk, dense: Dense | None, sparse: Sparse | None, multi: Dense | None) -> int:
    """64 bits of the vectors as they are sent; of the text of a row without any."""
    if dense is None and sparse is None and multi is None:
        return number64("text", chunk.context, chunk.text)
    parts: list[str | bytes] = []
    if dense is not None:
        parts += ["dense", dense.tobytes()]
    if sparse is not None:
        parts += ["sparse", sparse[0].tobytes(), sparse[1].tobytes()]
    if multi is not None:
        parts += ["multi", multi.tobytes()]
    return number64(*parts)


class RowMaker:
    """Makes the rows of a batch, stage by stage: `cut`, `embed`, `join`; see `hookrag.ingest.work`.

    `cut` and `join` belong to the thread of the journal and the stores; between them `embed` may run in another one.
    """

    def __init__(
        self,
        journal: Journal,
        stores: Stores,
        preparer: Preparer,
        *,
        fields: Mapping[str, FieldType],
        report: Report,
        streaks: Streaks,
    ) -> None:
        self._journal = journal
        self._owner = journal.uuid
        self._stores = stores
        self._preparer = preparer
        self._fields = fields
        self._report = report
        self._streaks = streaks

    # Cutting.

    def cut(self, batch: Batch) -> None:
        """Cut the documents, and find out which rows are there already and which need vectors."""
        with self._report.timed("chunk"):
            cuts = self._chunks(batch)
        for target in self._stores.targets:
            for work in batch.alive:
                if target.name in work.versions:
                    self._compare(target, work, cuts[target.name][work.document.id])

    def _chunks(self, batch: Batch) -> dict[str, Cut]:
        """The chunks by store; a document that fails is in none."""
        groups: dict[int, list[Target]] = {}
        for target in self._stores.targets:
            groups.setdefault(id(target.store.chunker), []).append(target)
        cuts: dict[str, Cut] = {}
        for targets in groups.values():
            works = [work for work in batch.alive if any(target.name in work.versions for target in targets)]
            cut = self._cut(targets[0], works)
            cuts |= {target.name: cut for target in targets}
        for work in batch.alive:
            mine = [cut[work.document.id] for cut in cuts.values() if work.document.id in cut]
            self._check_fields(work, mine)
            distinct = set().union(*mine)
            self._report.chunks += len(distinct)
            self._report.empty += not distinct
        return cuts

    def _cut(self, target: Target, works: Sequence[Work]) -> Cut:
        by_id = {work.document.id: work for work in works}
        cut: Cut = {}
        for some, result in self._preparer.cut(target, [work.document for work in works]) if works else ():
            if isinstance(result, Exception):
                self._streaks.failed("chunking", some[0].id, str(result))
                by_id[some[0].id].fail(str(result))
                continue
            self._streaks.passed("chunking")
            for document, chunks in zip(some, result, strict=True):
                cut[document.id] = {chunk.id: chunk for chunk in chunks}
        forgotten = [work.document.id for work in works if not work.reason and work.document.id not in cut]
        if forgotten:
            raise IngestStopped(
                f"{type(self._preparer).__name__}.cut gave neither chunks nor an error for {forgotten[0]!r}"
            )
        return cut

    def _check_fields(self, work: Work, cuts: Sequence[Mapping[str, Chunk]]) -> None:
        """Fail a document whose metadata are not of the declared types; most chunks have those of the document itself."""
        seen = {id(work.document.metadata): work.document.metadata}
        for cut in cuts:
            seen |= {id(chunk.metadata): chunk.metadata for chunk in cut.values()}
        try:
            for metadata in seen.values():
                for name, declared in self._fields.items():
                    if name in metadata:
                        check_value(name, declared, metadata[name])
        except FilterError as error:
            self._streaks.failed("metadata", work.document.id, str(error))
            work.fail(str(error))
        else:
            self._streaks.passed("metadata")

    def _compare(self, target: Target, work: Work, chunks: Mapping[str, Chunk]) -> None:
        """Keep what is live; of the rest, rows that need no vectors or find them in the store are ready."""
        version = work.versions[target.name]
        live = self._journal.live(work.n, version.store) if work.n else {}
        version.rows = {id: live[id] for id in chunks if id in live}
        new = [chunk for chunk in chunks.values() if chunk.id not in live]
        if not target.embed_key:
            version.fresh = [self._row(chunk) for chunk in new]
            return
        kept = live and new and target.keeps_vectors == "exact"
        version.fresh = self._reused(target, new, live) if kept else []
        ready = {row.chunk.id for row in version.fresh}
        version.lacking = [chunk for chunk in new if chunk.id not in ready]

    def _reused(self, target: Target, new: Sequence[Chunk], live: Mapping[str, tuple[int, int]]) -> list[Row]:
        """Rows with the vectors of equal inputs of the live version, where the store gives them back bit by bit."""
        by_input = {hashed: id for id, (_, hashed) in live.items() if hashed}
        pairs = [(chunk, by_input[hashed]) for chunk in new if (hashed := number64(chunk.input)) in by_input]
        found = []
        for start in range(0, len(pairs), ROWS_AT_ONCE):
            part = pairs[start : start + ROWS_AT_ONCE]
            for (chunk, old), row in zip(part, self._stores.fetch(target, [old for _, old in part]), strict=True):
                if row is None or any(getattr(row, output) is None for output in target.embed_key):
                    continue
                again = self._row(chunk, row.dense, row.sparse, row.multi)
                if again.check == live[old][0]:
                    found.append(again)
                    self._report.reused += 1
        return found

    # Embedding.

    def embed(self, batch: Batch) -> Embedded:
        """The vectors that the rows of the batch lack."""
        made = Embedded()
        with self._report.timed("embed"), tracing() as seen:
            for key, group in texts_of(batch, self._stores.targets).items():
                made.vectors[key] = self._vectors(group, made.refused)
        for one in seen.walk():
            self._report.truncated += int(one.notes.get("truncated", 0))
            self._report.tokens_cut += int(one.notes.get("tokens_cut", 0))
        return made

    def _vectors(self, group: Texts, refused: dict[str, str]) -> dict[str, tuple[Vectors, int]]:
        made: dict[str, tuple[Vectors, int]] = {}
        for some, result in self._preparer.embed(group.embedder, group.outputs, list(group.texts)):
            if isinstance(result, Exception):
                self._streaks.failed("embedding", group.texts[some[0]], str(result))
                refused[some[0]] = str(result)
                continue
            self._streaks.passed("embedding")
            made |= {text: (result, index) for index, text in enumerate(some)}
            self._report.embedded += len(some)
        forgotten = [text for text in group.texts if text not in made and text not in refused]
        if forgotten:
            who = type(self._preparer).__name__
            raise IngestStopped(
                f"{who}.embed gave neither vectors nor an error for a text of {group.texts[forgotten[0]]!r}"
            )
        return made

    # Joining.

    def join(self, batch: Batch, embedded: Embedded) -> list[Work]:
        """The documents of the batch that are ready to be planned, in order."""
        for target in self._stores.targets:
            for work in batch.alive:
                if target.name in work.versions:
                    self._complete(target, work, work.versions[target.name], embedded)
        works = batch.alive
        for work in works:
            inputs: dict[str, int] = {}
            for version in work.versions.values():
                self._report.kept += len(version.rows)
                for row in version.fresh:
                    if row.chunk.id not in inputs:
                        inputs[row.chunk.id] = number64(row.chunk.input)
                    version.rows[row.chunk.id] = (row.check, inputs[row.chunk.id])
        return works

    def _complete(self, target: Target, work: Work, version: Version, embedded: Embedded) -> None:
        """Make rows of the chunks that lacked vectors; the document fails where one was refused."""
        for chunk in version.lacking:
            reason = embedded.refused.get(chunk.input)
            if reason is not None:
                work.fail(reason)
                return
            version.fresh.append(self._joined(target, chunk, embedded))
        version.lacking = []

    def _joined(self, target: Target, chunk: Chunk, embedded: Embedded) -> Row:
        dense = sparse = multi = None
        for output, key in target.embed_key.items():
            found, index = embedded.vectors[key][chunk.input]
            if output == "dense" and found.dense is not None:
                dense = found.dense[index]
            elif output == "sparse" and found.sparse is not None:
                begin, end = found.sparse.indptr[index], found.sparse.indptr[index + 1]
                sparse = found.sparse.indices[begin:end], found.sparse.values[begin:end]
            elif output == "multi" and found.multi is not None:
                multi = found.multi[index]
        return self._row(chunk, dense, sparse, multi)

    def _row(
        self, chunk: Chunk, dense: Dense | None = None, sparse: Sparse | None = None, multi: Dense | None = None
    ) -> Row:
        return Row(
            chunk=chunk,
            owner=self._owner,
            check=check_of(chunk, dense, sparse, multi),
            dense=dense,
            sparse=sparse,
            multi=multi,
        )
