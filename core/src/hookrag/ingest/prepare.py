"""From documents to rows: cut once by each chunker, embedded once by each embedder, and only what is not there yet.

`begin` and `finish` look things up in the journal and belong to its thread; between them `embed` may run in another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hookrag.filters import FieldType, FilterError, check_value
from hookrag.ingest.failures import Streaks, bisected, refuses_document, refuses_text
from hookrag.ingest.items import number64
from hookrag.ingest.journal import Journal, Known
from hookrag.ingest.plans import ItemState, Next, Settled
from hookrag.ingest.report import Report
from hookrag.ingest.stores import ROWS_AT_ONCE, Stores, attempt
from hookrag.ingest.target import Target
from hookrag.protocols import Chunker, Embedder
from hookrag.runtime.trace import tracing
from hookrag.values import Chunk, Document, Output, Row, Vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Dense = NDArray[np.float32]
    Sparse = tuple[NDArray[np.int32], NDArray[np.float32]]

TEXTS_AT_ONCE = 256


@dataclass(slots=True)
class Work:
    """A document that has to be written to the stores in `keys`, each with the key that it is to have there.

    `key` stands for the document and everything that would be made of it; `settled` is what its batch settles besides.
    `nexts` and `fresh`, by store: all rows of its next version, and those of them that are to be put.
    """

    document: Document
    item: ItemState
    known: Known | None
    key: bytes
    keys: Mapping[str, bytes]
    settled: Settled
    reason: str = ""
    nexts: dict[str, Next] = field(default_factory=dict)
    fresh: dict[str, list[Row]] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """The journal's number of the document, 0 where it is new."""
        return self.known.n if self.known else 0


@dataclass(slots=True)
class Need:
    """A row that is still without its vectors."""

    work: Work
    target: Target
    chunk: Chunk


@dataclass(slots=True)
class _Group:
    """What one embedder has to embed: each text with a document that it is from."""

    embedder: Embedder
    outputs: set[Output] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)


Embedded = dict[str, dict[str, tuple[Vectors, int]]]


@dataclass(slots=True)
class Prepared:
    """A batch on its way to rows: those that are ready by store, document and id, those that need vectors, and these.

    `refused` holds the texts that an embedder does not take, with the reason.
    """

    works: Sequence[Work]
    ready: dict[str, dict[str, dict[str, Row]]]
    needs: list[Need] = field(default_factory=list)
    vectors: Embedded = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


Fail = Callable[[Work, str], None]


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


class Preparer:
    """Makes the rows of a batch; `fail(work, reason)` hears of each document that cannot be made into rows."""

    def __init__(
        self,
        journal: Journal,
        stores: Stores,
        numbers: Mapping[str, int],
        *,
        fields: Mapping[str, FieldType],
        patience: float,
        report: Report,
        fail: Fail,
        streaks: Streaks,
    ) -> None:
        self._journal = journal
        self._owner = journal.uuid
        self._stores = stores
        self._numbers = numbers
        self._fields = fields
        self._patience = patience
        self._report = report
        self._fail = fail
        self._streaks = streaks

    def chunks(self, batch: Sequence[Work]) -> dict[str, dict[str, dict[str, Chunk]]]:
        """The chunks by store, document and id; a document that fails is in none."""
        groups: dict[int, tuple[Chunker, list[Target]]] = {}
        for target in self._stores.targets:
            groups.setdefault(id(target.store.chunker), (target.store.chunker, []))[1].append(target)
        made: dict[str, dict[str, dict[str, Chunk]]] = {}
        with self._report.timed("chunk"):
            for chunker, targets in groups.values():
                works = [one for one in batch if not one.reason and any(t.name in one.keys for t in targets)]
                cut = self._cut(chunker, works, targets[0])
                made |= {target.name: cut for target in targets}
            for work in batch:
                if not work.reason:
                    cuts = [cut[work.document.id] for cut in made.values() if work.document.id in cut]
                    self._check_fields(work, cuts)
                    distinct = set().union(*cuts)
                    self._report.chunks += len(distinct)
                    self._report.empty += not distinct
        return made

    def _cut(self, chunker: Chunker, works: Sequence[Work], target: Target) -> dict[str, dict[str, Chunk]]:
        def chunk(some: Sequence[Work]) -> list[list[Chunk]]:
            what = f"the chunker of {target} failed"
            return attempt(
                what, lambda: chunker.chunk([one.document for one in some]), refuses_document, self._patience
            )

        cut: dict[str, dict[str, Chunk]] = {}
        for some, result in bisected(works, chunk, refuses_document):
            if isinstance(result, Exception):
                self._streaks.failed("chunking", some[0].document.id, str(result))
                self._fail(some[0], str(result))
                continue
            self._streaks.passed("chunking")
            for work, chunks in zip(some, result, strict=True):
                cut[work.document.id] = {one.id: one for one in chunks}
        return cut

    def _check_fields(self, work: Work, cuts: Iterable[Mapping[str, Chunk]]) -> None:
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
            self._fail(work, str(error))
        else:
            self._streaks.passed("metadata")

    def begin(self, batch: Sequence[Work]) -> Prepared:
        """Cut the documents and find out which rows need vectors."""
        cuts = self.chunks(batch)
        made = Prepared(batch, {target.name: {} for target in self._stores.targets})
        for target in self._stores.targets:
            for work in batch:
                if work.reason or target.name not in work.keys:
                    continue
                chunks = cuts[target.name][work.document.id]
                live = self._journal.live(work.n, self._numbers[target.name]) if work.n else {}
                work.nexts[target.name] = Next(work.keys[target.name], {i: live[i] for i in chunks if i in live})
                found = made.ready[target.name].setdefault(work.document.id, {})
                made.needs += self._without(work, target, chunks, live, found)
        return made

    def embed(self, made: Prepared) -> None:
        """Make the vectors that are needed."""
        groups: dict[str, _Group] = {}
        for need in made.needs:
            for output, key in need.target.embed_key.items():
                group = groups.setdefault(key, _Group(need.target.store.embedders[output]))
                group.outputs.add(output)
                group.texts.setdefault(need.chunk.input, need.work.document.id)
        with self._report.timed("embed"), tracing() as seen:
            made.vectors = {key: self._vectors(group, made.refused) for key, group in groups.items()}
        for one in seen.walk():
            self._report.truncated += int(one.notes.get("truncated", 0))
            self._report.tokens_cut += int(one.notes.get("tokens_cut", 0))

    def finish(self, made: Prepared) -> list[Work]:
        """The works that are ready to be planned, in order."""
        for need in made.needs:
            if need.work.reason:
                continue
            reason = made.refused.get(need.chunk.input)
            if reason is not None:
                self._fail(need.work, reason)
                continue
            made.ready[need.target.name][need.work.document.id][need.chunk.id] = self._joined(need, made.vectors)
        done = [work for work in made.works if not work.reason]
        for work in done:
            inputs: dict[str, int] = {}
            for name, following in work.nexts.items():
                work.fresh[name] = list(made.ready[name][work.document.id].values())
                self._report.kept += len(following.rows)
                for row in work.fresh[name]:
                    if row.chunk.id not in inputs:
                        inputs[row.chunk.id] = number64(row.chunk.input)
                    following.rows[row.chunk.id] = (row.check, inputs[row.chunk.id])
        return done

    def _without(
        self,
        work: Work,
        target: Target,
        chunks: Mapping[str, Chunk],
        live: Mapping[str, tuple[int, int]],
        found: dict[str, Row],
    ) -> list[Need]:
        """The rows that need vectors from an embedder; those that need none, or have them in the store, go to `found`."""
        new = [chunk for chunk in chunks.values() if chunk.id not in live]
        if not target.embed_key:
            found.update((chunk.id, self._row(chunk)) for chunk in new)
            return []
        if live and new:
            self._reuse(target, new, live, found)
        return [Need(work, target, chunk) for chunk in new if chunk.id not in found]

    def _reuse(
        self, target: Target, wanted: Sequence[Chunk], live: Mapping[str, tuple[int, int]], found: dict[str, Row]
    ) -> None:
        """Take vectors of equal inputs from the live version, where the store gives them back bit by bit."""
        by_input = {text: chunk for chunk, (_, text) in live.items() if text}
        pairs = [(chunk, by_input[text]) for chunk in wanted if (text := number64(chunk.input)) in by_input]
        for start in range(0, len(pairs), ROWS_AT_ONCE):
            part = pairs[start : start + ROWS_AT_ONCE]
            for (chunk, old), row in zip(part, self._stores.fetch(target, [old for _, old in part]), strict=True):
                if row is None or any(getattr(row, output) is None for output in target.embed_key):
                    continue
                again = self._row(chunk, row.dense, row.sparse, row.multi)
                if again.check == live[old][0]:
                    found[chunk.id] = again
                    self._report.reused += 1

    def _vectors(self, group: _Group, refused: dict[str, str]) -> dict[str, tuple[Vectors, int]]:
        def embed(some: Sequence[str]) -> Vectors:
            call = lambda: group.embedder.embed(some, role="document", outputs=group.outputs)  # noqa: E731
            return attempt("an embedder failed", call, refuses_text, self._patience)

        made: dict[str, tuple[Vectors, int]] = {}
        texts = sorted(group.texts, key=len)  # texts of one length together need no padding
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            for some, result in bisected(texts[start : start + TEXTS_AT_ONCE], embed, refuses_text):
                if isinstance(result, Exception):
                    self._streaks.failed("embedding", group.texts[some[0]], str(result))
                    refused[some[0]] = str(result)
                    continue
                self._streaks.passed("embedding")
                made |= {text: (result, index) for index, text in enumerate(some)}
                self._report.embedded += len(some)
        return made

    def _joined(self, need: Need, vectors: Embedded) -> Row:
        dense = sparse = multi = None
        for output, key in need.target.embed_key.items():
            found, index = vectors[key][need.chunk.input]
            if output == "dense" and found.dense is not None:
                dense = found.dense[index]
            elif output == "sparse" and found.sparse is not None:
                begin, end = found.sparse.indptr[index], found.sparse.indptr[index + 1]
                sparse = found.sparse.indices[begin:end], found.sparse.values[begin:end]
            elif output == "multi" and found.multi is not None:
                multi = found.multi[index]
        return self._row(need.chunk, dense, sparse, multi)

    def _row(
        self, chunk: Chunk, dense: Dense | None = None, sparse: Sparse | None = None, multi: Dense | None = None
    ) -> Row:
        return Row(chunk, self._owner, check_of(chunk, dense, sparse, multi), dense, sparse, multi)
