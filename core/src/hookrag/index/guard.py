"""Whether an index may be searched or written: made by these components, not locked, and still the current generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hookrag.disk import generations
from hookrag.disk.generations import place
from hookrag.disk.lock import locked
from hookrag.errors import IdentityError, IngestRefused
from hookrag.index.identity import targets_of
from hookrag.ingest import check_identity
from hookrag.runtime.proxies import StoreProxy


def check_index(folder: Path, generation: int, stores: Sequence[StoreProxy]) -> None:
    """Raise IdentityError where a generation was made with other settings, or a store that its journal filled is empty."""
    try:
        check_identity(place(folder, generation), targets_of(stores))
    except IdentityError as error:
        begun = generations.switching(folder)
        if begun not in (None, generation):
            error.add_note(f"a switch to generation {begun} was cut off: finish it, hookrag reindex PATH...")
        raise


@contextmanager
def writing(folder: Path, generation: int) -> Iterator[None]:
    """Hold the index for writing to the generation that is searched.

    Raises IndexLocked while another process writes to whatever generation; IngestRefused where this is not the one that is
    searched, or where a switch was cut off in the middle.
    """
    with locked(folder):
        refuse_if_outdated(folder, generation)
        begun = generations.switching(folder)
        if begun == generation:
            generations.end_switch(folder)  # all that was cut off was the report
        elif begun is not None:
            raise IngestRefused(
                f"a switch of the index in {folder} to generation {begun} was cut off: finish it, hookrag reindex PATH..."
            )
        yield


def refuse_if_outdated(folder: Path, generation: int) -> None:
    """Raise IngestRefused where another generation of the index is searched by now."""
    now = generations.current(folder)
    if now != generation:
        raise IngestRefused(
            f"this pipeline was made of generation {generation} of the index in {folder}, generation {now} has taken its "
            f"place since: make the pipeline again, or start the process again"
        )
