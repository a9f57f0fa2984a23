"""Re-indexing without downtime: the next generation is filled beside the one that is searched, then takes its place.

1. What is in the searched generation must be among what was given. 2. The next generation is filled by the ordinary ingest,
under a journal of its own: a run that was cut off goes on where it was. 3. It is verified. 4. The switch is noted, each store
on a server is promoted, and the file `current` is replaced. 5. The note is erased: until then the same call finishes the
switch and does nothing else, so that what was cut off anywhere ends in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hookrag.config import tables
from hookrag.config.catalogue import Catalogue
from hookrag.config.file import Config
from hookrag.config.signature import served
from hookrag.disk import generations
from hookrag.disk.generations import place
from hookrag.disk.lock import locked
from hookrag.errors import HookragError, IdentityError, IngestRefused
from hookrag.filters import FieldType
from hookrag.index.guard import refuse_if_outdated
from hookrag.index.identity import targets_of
from hookrag.ingest import Given, Ingest, IngestOptions, Progress, Report, VerifyReport, check_identity
from hookrag.ingest.coverage import (
    derived_sources,
    implausible_loss,
    known_stores,
    owner_of,
    refuse_nested,
    refuse_stores_without_table,
    refuse_uncovered,
    refuse_unknown_stores,
)
from hookrag.ingest.stores import attempt
from hookrag.runtime.component import walk
from hookrag.runtime.proxies import StoreProxy
from hookrag.runtime.shared import Shared

PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class ReindexReport:
    """What a re-indexing did; `generation` is the one that is searched now, by whatever is opened from now on.

    `switched` says that it took the place of another in this call. `resumed`: an earlier call had been cut off while
    switching, and this one finished that and read no source. `restarted`: a generation that was half filled with other
    settings was thrown away. `dropped` generations were deleted. `remake` has the sources whose documents are made from what
    else is in the index, and were not given, each with the command that makes them again.
    """

    generation: int
    switched: bool = False
    resumed: bool = False
    restarted: bool = False
    reports: Sequence[Report] = ()
    verified: VerifyReport | None = None
    dropped: Sequence[int] = ()
    remake: Mapping[str, str] = field(default_factory=dict)

    @property
    def partial(self) -> bool:
        """Whether a document failed or a file could not be read."""
        return any(report.failed or report.failed_before or report.unread for report in self.reports)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "generation": self.generation,
            "switched": self.switched,
            "resumed": self.resumed,
            "restarted": self.restarted,
            "reports": [report.to_json() for report in self.reports],
            "verified": self.verified.to_json() if self.verified else None,
            "dropped": list(self.dropped),
            "remake": dict(self.remake),
        }


class SwitchRefused(IngestRefused):
    """The next generation was filled but not switched to; `report` says what was done."""

    def __init__(self, message: str, report: ReindexReport) -> None:
        super().__init__(message)
        self.report = report


@dataclass(frozen=True, slots=True)
class Reindexing:
    """An index whose generation `generation` is searched, and what its stores are made from."""

    config: Config
    catalogue: Catalogue
    shared: Shared
    folder: Path
    generation: int
    fields: Mapping[str, FieldType]
    names: Sequence[str]
    fault: Callable[[str], None]

    def run(
        self,
        given: Sequence[Given],
        *,
        drop_old: bool,
        allow_partial: bool,
        prune: bool,
        progress: Callable[[Progress], None] | None = None,
    ) -> ReindexReport:
        """See `Pipeline.reindex`."""
        with locked(self.folder):
            refuse_if_outdated(self.folder, self.generation)
            generations.sweep(self.folder)
            begun = generations.switching(self.folder)
            if begun == self.generation + 1:
                return self._finish(begun, drop_old)
            if begun is not None and self._is_switched(given):
                return self._end(ReindexReport(self.generation, resumed=True), drop_old)
            if not given:
                return self._end(ReindexReport(self.generation), drop_old)
            report = self._renew(given, allow_partial=allow_partial, prune=prune, progress=progress)
            return self._end(report, drop_old)

    def _renew(
        self,
        given: Sequence[Given],
        *,
        allow_partial: bool,
        prune: bool,
        progress: Callable[[Progress], None] | None,
    ) -> ReindexReport:
        """Fill the next generation and switch to it."""
        following = self.generation + 1
        refuse_nested([(one.path, one.source) for one in given if one.path is not None])
        if not prune:
            here = place(self.folder, self.generation)
            refuse_stores_without_table(here, self.config.tables.get("stores", {}), self.config.path)
            with self._stores(self.generation, beside=False) as stores:
                there = [one for one in stores if _served(one) or (here / "stores" / one.step.name).exists()]
                refuse_unknown_stores(here, there)
            refuse_uncovered(here, [(one.source, one.under) for one in given])
        restarted = self._discard_other(following)
        with self._stores(following) as stores:
            # A generation 2 without a 1 and without `current` would be a damaged index.
            place(self.folder, self.generation).mkdir(exist_ok=True)
            try:
                reports, verified = self._fill(following, stores, given, progress)
            except (IngestRefused, IdentityError) as error:
                error.add_note(f"this is about generation {following}, which is not searched yet")
                raise
            sources = {one.source for one in given}
            derived = derived_sources(place(self.folder, self.generation))
            report = ReindexReport(
                self.generation,
                restarted=restarted,
                reports=reports,
                verified=verified,
                remake={name: command for name, command in derived.items() if name not in sources},
            )
            self._check_filled(following, report, allow_partial=allow_partial, prune=prune)
            self._switch(following, stores)
        return replace(report, generation=following, switched=True)

    def _fill(
        self,
        generation: int,
        stores: Sequence[StoreProxy],
        given: Sequence[Given],
        progress: Callable[[Progress], None] | None,
    ) -> tuple[list[Report], VerifyReport]:
        folder, targets = place(self.folder, generation), targets_of(stores)
        ingest = Ingest(folder, targets, fields=self.fields, fault=self.fault)
        # Nobody searches it: what is gone from a source since an attempt that was cut off is no loss here.
        options = IngestOptions(prune=True, retry_failed=True, progress=progress)
        reports = [ingest.run(one, options) for one in given]
        verified = ingest.verify()
        if not verified.ok:
            ingest.verify(repair=True)
        return reports, verified

    def _check_filled(self, following: int, report: ReindexReport, *, allow_partial: bool, prune: bool) -> None:
        kept = f"Generation {self.generation} of the index in {self.folder} is searched as before"
        if report.verified is not None and not report.verified.ok:
            bad = [store for store in report.verified.stores if not store.ok]
            mend = "It was repaired as far as it can be:"
            if any(store.rebuild for store in bad):
                mend = f"Its files are damaged: delete the folder {place(self.folder, following)}, which nothing searches, and"
            raise SwitchRefused(
                f"generation {following} does not hold what was written to it: "
                f"{', '.join(f'[stores.{store.name}]' for store in bad)}. {mend} run the same command again. {kept}.",
                report,
            )
        problems = sum(len(one.failed) + one.failed_before + len(one.unread) for one in report.reports)
        if problems and not allow_partial:
            raise SwitchRefused(
                f"{problems} documents or files could not be taken into generation {following}. {kept}.\n"
                f"Mend them and run the same command again, or do without them: hookrag reindex --allow-partial PATH...",
                report,
            )
        if not prune:
            excused = [one.id for each in report.reports for one in (*each.failed, *each.unread)]
            lost = implausible_loss(place(self.folder, self.generation), place(self.folder, following), excused)
            if lost:
                raise SwitchRefused(
                    f"{lost}. {kept}.\nIf they are meant to go: hookrag reindex --prune PATH...", report
                )

    # Switching.

    def _switch(self, generation: int, stores: Sequence[StoreProxy], *, again: bool = False) -> None:
        self._step("switch", lambda: generations.begin_switch(self.folder, generation))
        for number, store in enumerate(one for one in stores if _served(one)):
            try:
                self._step(f"{store.step} promote", _calling(store, "promote"))
            except HookragError:
                if number == 0 and not again:
                    generations.end_switch(self.folder)  # nothing was switched: the index can be written as before
                raise
        self._step("current", lambda: generations.switch(self.folder, generation))

    def _step(self, name: str, step: Callable[[], None]) -> None:
        self.fault(f"{name}: before")
        step()
        self.fault(f"{name}: after")

    def _finish(self, begun: int, drop_old: bool) -> ReindexReport:
        """Finish a switch that was cut off before the generation took its place."""
        with self._stores(begun) as stores:
            try:
                check_identity(place(self.folder, begun), targets_of(stores))
            except IdentityError as error:
                error.add_note(
                    f"a switch to generation {begun} was cut off: finish it first, with the settings that it was made with"
                )
                raise
            self._switch(begun, stores, again=True)
        return self._end(ReindexReport(begun, switched=True, resumed=True), drop_old)

    def _is_switched(self, given: Sequence[Given]) -> bool:
        """Whether this generation, whose switch was not reported, is what the given documents are to be made into."""
        if not given:
            return False
        with self._stores(self.generation, beside=False) as stores:
            try:
                check_identity(place(self.folder, self.generation), targets_of(stores))
            except IdentityError:
                return False
        return True

    def _end(self, report: ReindexReport, drop_old: bool) -> ReindexReport:
        """Drop what is older if asked, and note that nothing is left to do."""
        dropped = generations.older(self.folder, report.generation) if drop_old else []
        if dropped:
            with self._stores(report.generation, beside=False) as stores:
                for number in dropped:
                    self._drop(number, stores)
        generations.end_switch(self.folder)
        return replace(report, dropped=dropped)

    def _drop(self, number: int, stores: Sequence[StoreProxy]) -> None:
        """Delete a generation that is not searched, first what a server has of it."""
        for store in stores:
            if _served(store):
                _calling(store, "retire", number)()
        self.fault(f"drop {number}: before")
        generations.drop(self.folder, number)

    def _discard_other(self, following: int) -> bool:
        """Throw away a generation that an attempt before has begun to fill with other settings; whether there was one."""
        folder = place(self.folder, following)
        if not folder.exists():
            return False
        with self._stores(following) as stores:
            try:
                check_identity(folder, targets_of(stores))
                return False
            except IdentityError as error:
                elsewhere, mine = [store for store in stores if _served(store)], owner_of(folder)
                for store in elsewhere:
                    owner = store.card().owner
                    if owner not in ("", mine):
                        raise IngestRefused(
                            f"{store.step} belongs to another journal: the owner of its generation {following} is {owner}, "
                            f"the journal in {folder} is {mine}. Give this index a store of its own"
                        ) from error
            self._drop(following, elsewhere)
        return True

    # Stores.

    @contextmanager
    def _stores(self, generation: int, *, beside: bool = True) -> Iterator[list[StoreProxy]]:
        """Every store of the index in a generation: those of the pipeline, and those that other pipelines have filled."""
        configured = self.config.tables.get("stores", {})
        known = known_stores(place(self.folder, self.generation))
        names = [*self.names, *(name for name in known if name in configured and name not in self.names)]
        stores = tables.stores(self.config, self.catalogue, self.shared, names, generation, beside=beside)
        used = list(walk(stores))
        self.shared.enter(used)
        try:
            yield stores
        finally:
            self.shared.leave(used)


def _served(store: StoreProxy) -> bool:
    return served(type(store.instance.component), store.instance.settings)


def _calling(store: StoreProxy, operation: str, *arguments: int) -> Callable[[], None]:
    """A call of an operation of the component itself, made again for a while where it fails in passing."""

    def call() -> None:
        store.open()
        getattr(store.instance.component, operation)(*arguments)

    return lambda: attempt(f"{store.step} failed in {operation}", call, lambda error: False, PATIENCE)
