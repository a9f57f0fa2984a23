"""What a pipeline does for its index: filling, comparing, telling, and making it again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from hookrag.config import tables
from hookrag.config.catalogue import Catalogue
from hookrag.config.file import Config
from hookrag.config.tables import Parts
from hookrag.disk import generations
from hookrag.errors import HookragError
from hookrag.filters import Filter
from hookrag.index.given import given_files, refuse_doubled
from hookrag.index.guard import writing
from hookrag.index.identity import targets_of
from hookrag.index.reindex import Reindexing, ReindexReport
from hookrag.ingest import Given, Ingest, IngestOptions, Progress, Report, Status, VerifyReport, faults, status, writer
from hookrag.ingest.items import Entry
from hookrag.runtime.proxies import ReaderProxy, StoreProxy
from hookrag.runtime.shared import Shared


@dataclass(frozen=True, slots=True)
class Origin:
    """What a pipeline was built from, so that it can be built again with other values."""

    config: Config
    catalogue: Catalogue
    name: str


def readers_of(origin: Origin | None, shared: Shared) -> dict[str, ReaderProxy]:
    """The reader of each file suffix; without an origin the core's own."""
    config, catalogue = (origin.config, origin.catalogue) if origin else (Config({}), Catalogue.installed())
    return tables.readers(config, catalogue, shared)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The index of a pipeline from the side that writes it.

    `origin` is None for a pipeline made of objects; one with a `scope` must not write. Components are called inside of
    `serving`.
    """

    parts: Parts
    stores: Sequence[StoreProxy]
    shared: Shared
    origin: Origin | None
    scope: Filter | None
    serving: Callable[[], AbstractContextManager[None]]
    readers: Callable[[], Mapping[str, ReaderProxy]]

    def index(self, given: Given, options: IngestOptions) -> Report:
        """See `Pipeline.index`."""
        documents = given.documents
        if isinstance(documents, str | Path):
            raise HookragError(f"index() takes documents: to read files, write index_files({str(documents)!r})")
        if not isinstance(documents, Iterable):
            raise HookragError(f"index() takes many documents, got {type(documents).__name__}: write index([document])")
        if isinstance(options.rebuild, str):
            raise HookragError(f"rebuild takes the names of stores: write rebuild=[{options.rebuild!r}]")
        _check_source(given.source)
        with self._ingest(dry_run=options.dry_run) as ingest:
            return ingest.run(given, options)

    def index_files(self, path: str | Path, options: IngestOptions) -> Report:
        """See `Pipeline.index_files`."""
        given = self._files(path)
        refuse_doubled(given)
        with self._ingest(dry_run=options.dry_run) as ingest:
            return ingest.run(given, options)

    def verify(self, *, sample: int | None, deep: bool, repair: bool) -> VerifyReport:
        """See `Ingest.verify`."""
        with self._ingest(even_if_broken=True) as ingest:
            return ingest.verify(sample=sample, deep=deep, repair=repair)

    def status(self) -> Status:
        """See `Pipeline.status`."""
        generations.check_there(self.parts.folder, self.parts.generation)
        return replace(status(self._generation), writer=writer(self.parts.folder))

    def reindex(
        self,
        paths: Sequence[str | Path],
        documents: Mapping[str, Iterable[Entry]],
        *,
        drop_old: bool,
        allow_partial: bool,
        prune: bool,
        progress: Callable[[Progress], None] | None,
    ) -> ReindexReport:
        """See `Pipeline.reindex`."""
        if isinstance(paths, str | Path):
            raise HookragError(f"reindex() takes a list of paths: write reindex([{str(paths)!r}])")
        if self.origin is None:
            raise HookragError(
                "reindex() needs a pipeline made from a configuration: stores given as objects are one each"
            )
        self._check_writing()
        if not (paths or documents or drop_old):
            raise HookragError("reindex() needs paths or documents to fill the index with, or drop_old")
        for name in documents:
            _check_source(name)
        work = Reindexing(
            config=self.origin.config,
            catalogue=self.origin.catalogue,
            shared=self.shared,
            folder=self.parts.folder,
            generation=self.parts.generation,
            fields=self.parts.fields,
            names=[store.step.name for store in self.stores],
            fault=faults.from_environment(),
        )
        given = [self._files(path) for path in paths]
        given += [Given(found, name, complete=True) for name, found in documents.items()]
        with self.serving():
            return work.run(given, drop_old=drop_old, allow_partial=allow_partial, prune=prune, progress=progress)

    @property
    def _generation(self) -> Path:
        """The folder of the generation that is searched."""
        return generations.place(self.parts.folder, self.parts.generation)

    def _files(self, path: str | Path) -> Given:
        base = self.origin.config.folder if self.origin else Path.cwd()
        return given_files(Path(path), self.readers(), base=base, index=self._generation)

    @contextmanager
    def _ingest(self, *, dry_run: bool = False, even_if_broken: bool = False) -> Iterator[Ingest]:
        self._check_writing()
        lock = nullcontext() if dry_run else writing(self.parts.folder, self.parts.generation)
        with self.serving(), lock:
            targets = targets_of(self.stores, even_if_broken=even_if_broken)
            yield Ingest(self._generation, targets, fields=self.parts.fields, fault=faults.from_environment())

    def _check_writing(self) -> None:
        if self.scope is not None:
            raise HookragError("a scoped pipeline cannot index: use the pipeline that scoped() was called on")
        if not self.stores:
            raise HookragError("the pipeline has no store to index into")


def _check_source(name: str) -> None:
    if not isinstance(name, str) or name in ("", "."):
        raise HookragError(f'source must be a name, got {name!r}: "" and "." stand for files')
