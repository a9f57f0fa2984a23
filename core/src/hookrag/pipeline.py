"""A pipeline: one retriever and one generator with everything they refer to, asked in batches."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self, Unpack

from hookrag.config import tables
from hookrag.config.catalogue import Catalogue
from hookrag.config.objects import Adoption
from hookrag.config.tables import Parts
from hookrag.disk import generations
from hookrag.errors import HookragError
from hookrag.filters import FieldType, Filter, both
from hookrag.index.guard import check_index
from hookrag.index.identity import stores_of
from hookrag.index.reindex import ReindexReport
from hookrag.index.upkeep import Origin, Upkeep, readers_of
from hookrag.index.windows import Window, windows
from hookrag.ingest import Given, IngestOptions, Progress, Report, Status, VerifyReport
from hookrag.ingest.items import Entry
from hookrag.ingest.options import IndexOptions
from hookrag.runtime.proxies import GeneratorProxy, ReaderProxy, RetrieverProxy, StoreProxy
from hookrag.runtime.queries import Options, Questions, filter_of, k_of, queries_of, seconds_of
from hookrag.runtime.request import Request, current_request, serving
from hookrag.runtime.running import Running
from hookrag.runtime.shared import Shared
from hookrag.runtime.stream import Stream, astreamed, in_thread
from hookrag.values import Answer, Event, Ranking


class Pipeline:
    """Answers questions from documents.

        with Pipeline.from_config("hookrag.toml") as pipeline:
            pipeline.index(documents)
            print(pipeline.answer(["What is a fuser?"])[0].text)

    Every method takes a batch and may be called from several threads at once. Components are opened at their first use and
    closed with the pipeline, unless another pipeline made by `override` or `scoped` still uses them.
    """

    def __init__(
        self,
        *,
        retriever: Any,
        generator: Any = None,
        middleware: Sequence[Any] = (),
        k: int = 5,
        timeout: float | None = None,
        threads: int = 16,
        folder: str | Path = ".hookrag",
        fields: Mapping[str, FieldType] | None = None,
        outside: bool = False,
    ) -> None:
        """A pipeline of components made in Python; `folder` is where the journal of its index lies.

        `outside` allows retrievers whose hits come from no store where there is a filter or a scope, which they cannot obey.
        """
        tables.check_numbers(k=k, timeout=timeout, threads=threads)
        shared = Shared()
        adoption = Adoption(shared)
        parts = Parts(
            retriever=adoption.adopt("retriever", retriever),
            generator=None if generator is None else adoption.adopt("generator", generator),
            middleware=tuple(adoption.adopt("middleware", one) for one in middleware),
            k=k,
            timeout=timeout,
            threads=threads,
            folder=Path(folder),
            generation=generations.current(Path(folder)),
            fields=fields or {},
            outside=outside,
        )
        self._set_up(parts, shared, None, None, Running(parts.roots, shared, threads=parts.threads))

    def _set_up(
        self, parts: Parts, shared: Shared, origin: Origin | None, scope: Filter | None, running: Running
    ) -> None:
        self._parts = parts
        self._shared = shared
        self._origin = origin
        self._scope = scope
        self._retriever: RetrieverProxy = parts.retriever
        self._generator: GeneratorProxy | None = parts.generator
        self._running = running
        running.enter()
        # One that is forgotten unclosed does not keep its components open for the others.
        self._left = weakref.finalize(self, running.leave, wait=False)
        self._left.atexit = False

    @classmethod
    def from_config(
        cls,
        config: str | Path | Mapping[str, Any] | None = None,
        *,
        pipeline: str = "default",
        plugins: Mapping[str, object] | None = None,
    ) -> Pipeline:
        """The pipeline that a file or a dictionary of the same shape describes; in a dictionary `use` may be a class.

        Without one it is `hookrag.toml` here or in a folder above. `plugins` are modules or objects with registration hooks
        that count as installed. Raises ConfigError with every problem.
        """
        return cls._build(Origin(tables.read(config), Catalogue.installed(plugins), pipeline), Shared(), None)

    @classmethod
    def _build(cls, origin: Origin, shared: Shared, scope: Filter | None, generation: int | None = None) -> Pipeline:
        made = cls.__new__(cls)
        parts = tables.pipeline(origin.config, origin.catalogue, shared, origin.name, generation)
        made._set_up(parts, shared, origin, scope, Running(parts.roots, shared, threads=parts.threads))
        return made

    # Asking

    def retrieve(
        self,
        queries: Questions,
        k: int | None = None,
        *,
        where: str | Filter | None = None,
        scope: str | Filter | None = None,
        timeout: float | None = None,
        explain: bool = False,
    ) -> list[Ranking]:
        """The k best chunks for each question; `where` limits all of them, `timeout` is in seconds.

        `scope` is a boundary for this call, as `scoped` is for a pipeline: whatever the components ask for, it is AND-ed to
        every search and fetch, and checked on all that comes back. With `explain` the hits' parts name the matching terms too.
        """
        within = self._within(scope)
        asked = queries_of(queries, where, within, self._parts.fields)
        with self._serving(seconds_of(timeout, self._parts.timeout), explain, within):
            return self._retriever.retrieve(asked, k=k_of(k, self._parts.k)) if asked else []

    def answer(
        self,
        queries: Questions,
        k: int | None = None,
        *,
        where: str | Filter | None = None,
        scope: str | Filter | None = None,
        timeout: float | None = None,
        explain: bool = False,
        emit: Callable[[Event], None] | None = None,
    ) -> list[Answer]:
        """An answer to each question, from its k best chunks; `emit` gets the pieces as they are written.

        Takes the options of `retrieve`. With `explain` a trace shows the prompts that language models read.
        """
        generator = self._generator
        if generator is None:
            raise HookragError('the pipeline has no generator: name one, as in generator = "quotes", or use retrieve()')
        within = self._within(scope)
        asked = queries_of(queries, where, within, self._parts.fields)
        with self._serving(seconds_of(timeout, self._parts.timeout), explain, within):
            return (
                generator.generate(self._retriever.retrieve(asked, k=k_of(k, self._parts.k)), emit=emit)
                if asked
                else []
            )

    async def aretrieve(self, queries: Questions, k: int | None = None, **options: Unpack[Options]) -> list[Ranking]:
        """`retrieve` from an event loop, with the same options, in one of the pipeline's threads."""
        self._check_open()
        return await in_thread(self._running.pool, partial(self.retrieve, queries, k, **options))

    async def aanswer(self, queries: Questions, k: int | None = None, **options: Unpack[Options]) -> list[Answer]:
        """`answer` from an event loop, with the same options, in one of the pipeline's threads."""
        self._check_open()
        return await in_thread(self._running.pool, partial(self.answer, queries, k, **options))

    def stream(self, queries: Questions, k: int | None = None, **options: Unpack[Options]) -> Stream:
        """The events of the answers as they are written, those of several questions mixed; `.answers()` waits for the whole.

        Takes the options of `answer`. Closing it, or leaving its `with` block, ends the writing at its next piece.
        """
        self._check_open()
        return Stream(self._running.pool, lambda emit: self.answer(queries, k, emit=emit, **options))

    async def astream(
        self, queries: Questions, k: int | None = None, **options: Unpack[Options]
    ) -> AsyncIterator[Event]:
        """`stream` from an event loop."""
        self._check_open()
        written = astreamed(self._running.pool, lambda emit: self.answer(queries, k, emit=emit, **options))
        async with aclosing(written) as events:
            async for event in events:
                yield event

    # Variants

    def override(self, changes: Mapping[str, Any]) -> Pipeline:
        """The same pipeline with other values, {"llms.gpt.model": "x"}; only what they change is built anew."""
        if self._origin is None:
            raise HookragError(
                "override() needs a pipeline made from a configuration: make another from objects instead"
            )
        origin = replace(self._origin, config=self._origin.config.with_values(changes))
        same = origin.config.index_folder == self._parts.folder
        return self._build(origin, self._shared, self._scope, self._parts.generation if same else None)

    def scoped(self, where: str | Filter) -> Pipeline:
        """The same pipeline within a boundary that nothing inside can widen: it is AND-ed to every search and fetch.

        It shares threads and components with this one, and costs next to nothing. For one call, give `scope` to that.
        """
        self._check_open()
        made = type(self).__new__(type(self))
        made._set_up(self._parts, self._shared, self._origin, self._within(where), self._running)
        return made

    def _within(self, scope: str | Filter | None) -> Filter | None:
        return self._scope if scope is None else both(self._scope, filter_of(scope, self._parts.fields))

    # Indexing

    def index(
        self,
        documents: Iterable[Entry],
        *,
        source: str = "python",
        complete: bool = False,
        root: Path | None = None,
        remade_by: str = "",
        **options: Unpack[IndexOptions],
    ) -> Report:
        """Insert the documents, or replace those with the same ids; unchanged ones cost a look at the journal.

        With `complete` they are all there is of this `source`: its other documents are removed. Documents that cannot be
        taken are in the report with their reasons, the others are indexed. Documents that are made from what else is in the
        index say by `remade_by` which command makes them again: re-indexing does without them and tells it. The other options
        are those of `IngestOptions`.
        """
        given = Given(documents, source, complete=complete, root=root, remade_by=remade_by)
        return self._upkeep.index(given, IngestOptions(**options))

    def index_files(self, path: str | Path, **options: Unpack[IndexOptions]) -> Report:
        """Bring a file, or a folder with all below it, into the index; documents whose files are gone from it are removed.

        A document is named by the path of its file from the configuration's folder, or from the folder above `path` where it
        lies elsewhere. The options are those of `IngestOptions`.
        """
        return self._upkeep.index_files(path, IngestOptions(**options))

    def verify(self, *, sample: int | None = None, deep: bool = False, repair: bool = False) -> VerifyReport:
        """Compare the journal with what the stores really hold, and mend what differs: see `Ingest.verify`."""
        return self._upkeep.verify(sample=sample, deep=deep, repair=repair)

    def status(self) -> Status:
        """What the journal of its index says; no store is asked, no model loaded, and another process may be writing."""
        return self._upkeep.status()

    def reindex(
        self,
        paths: Sequence[str | Path] = (),
        *,
        documents: Mapping[str, Iterable[Entry]] | None = None,
        drop_old: bool = False,
        allow_partial: bool = False,
        prune: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> ReindexReport:
        """Fill all stores of the index again, beside those that are searched, verify them, and have them take their place.

        `paths` and `documents`, by source, must be all that is in the index. This pipeline and every other that is open go on
        with what they opened, which `drop_old` deletes; those made from now on search the new one. Whatever ends the call, the
        same call goes on from there. Without anything to read, it finishes or drops only. Raises SwitchRefused, an
        IngestRefused, before the switch where a document failed unless `allow_partial`, and where more than ten documents and a
        tenth are gone, unless `prune`, which also allows to leave out what was indexed before; ConfigError where a store can
        be in one place only; IndexLocked; IngestStopped.
        """
        return self._upkeep.reindex(
            paths, documents or {}, drop_old=drop_old, allow_partial=allow_partial, prune=prune, progress=progress
        )

    @property
    def _upkeep(self) -> Upkeep:
        return Upkeep(
            parts=self._parts,
            stores=self.stores,
            shared=self._shared,
            origin=self._origin,
            scope=self._scope,
            serving=partial(
                self._serving, checked=False
            ),  # an ingest compares the stores itself, and may have to mend them
            readers=lambda: self.readers,
        )

    # Looking

    @property
    def k(self) -> int:
        """How many chunks it keeps unless told otherwise."""
        return self._parts.k

    @property
    def stores(self) -> list[StoreProxy]:
        """Its stores."""
        return stores_of(self._running.components)

    @property
    def components(self) -> list[Any]:
        """Its components, those referred to before those that refer."""
        return list(self._running.components)

    def component(self, kind: str, name: str) -> Any:
        """The component of a table, [llms.gpt] as component("llm", "gpt"). Calls of it that belong to no question go through
        no middleware. Raises HookragError where the pipeline has none of that name.
        """
        return self._running.component(kind, name)

    @property
    def readers(self) -> dict[str, ReaderProxy]:
        """The reader of each file suffix: those that the configuration names, and the core's own for the others."""
        self._check_open()
        return self._running.readers(partial(readers_of, self._origin, self._shared))

    def windows(self) -> list[Window]:
        """How many tokens embedders, rerankers and generators read, and how many the chunks have; embeds nothing."""
        with self._serving():
            return windows(self._running.components, self.stores, self.k)

    def models(self) -> list[str]:
        """The names of the models that its components need, each once; nothing is opened."""
        return self._running.models()

    def open(self) -> None:
        """Open every component now, and check that the index was made by these."""
        with self._serving():
            for component in self._running.components:
                component.open()

    def close(self) -> None:
        """Close what no other pipeline uses; a second call does nothing."""
        if self._left.detach():
            self._running.leave(wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        generator = f", generator={self._generator.step}" if self._generator else ""
        return f"<Pipeline retriever={self._retriever.step}{generator} k={self.k}>"

    # Within

    @contextmanager
    def _serving(
        self,
        seconds: float | None = None,
        explain: bool = False,
        scope: Filter | None = None,
        *,
        checked: bool = True,
    ) -> Iterator[None]:
        self._check_open()
        generations.check_there(self._parts.folder, self._parts.generation)
        parts, running, outer = self._parts, self._running, current_request()
        until = outer.deadline  # of hookrag.deadline(), or of a pipeline that asks this one
        if seconds is not None:
            until = min(monotonic() + seconds, until or inf)
        request = Request(
            middleware=parts.middleware,
            deadline=until,
            scope=scope if scope is not None else self._scope,
            explain=explain,
            pool=running.pool,
            outside=parts.outside,
            cancelled=outer.cancelled,
        )
        with serving(request):
            if checked and not running.checked:
                check_index(parts.folder, parts.generation, self.stores)
                running.checked = True
            yield

    def _check_open(self) -> None:
        if not self._left.alive:
            raise HookragError("the pipeline is closed")
