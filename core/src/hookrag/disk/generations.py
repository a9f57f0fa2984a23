"""The generations of an index: numbered folders side by side, and a small file that names the one that is searched.

    1/            the journal and the stores that are kept on disk, of the first generation
    2/            the same of the second, which `hookrag reindex` fills while the first is searched
    current       the number of the generation that is searched; 1 where there is no such file
    switching     the number of a generation that is being switched to; gone when that is done
    dropped       what is being deleted
    lock          held by the one process that writes, whatever generation it writes

Files are replaced durably (`durable.write`): whoever reads one gets the old number or the new one.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from hookrag.disk import durable
from hookrag.errors import IdentityError

_JOURNAL = "journal.sqlite3"
_CURRENT, _SWITCHING, _DROPPED = "current", "switching", "dropped"


def place(folder: Path, generation: int) -> Path:
    """The folder of a generation."""
    return folder / str(generation)


def current(folder: Path) -> int:
    """The number of the generation that is searched.

    Raises IdentityError for an index of the layout before there were generations, and where that generation, or the file
    that says which it is, is gone.
    """
    if (folder / _JOURNAL).exists():
        stores = f" {folder}/stores" if (folder / "stores").exists() else ""
        raise IdentityError(
            f"the index in {folder} was made before indexes had generations: move it into its first one, "
            f"mkdir {folder}/1 && mv {folder}/{_JOURNAL}*{stores} {folder}/1"
        )
    number = _read(folder / _CURRENT)
    if number is None:
        if not place(folder, 1).exists() and (others := _numbers(folder)):
            raise IdentityError(
                f"there is no file {folder / _CURRENT} and no generation 1 in {folder}, but generation "
                f"{', '.join(map(str, others))}: write the number of the one that was searched into that file"
            )
        return 1
    if not place(folder, number).is_dir():
        raise IdentityError(
            f"{folder / _CURRENT} names generation {number}, but there is no folder {place(folder, number)}: "
            f"put it back from a backup, or remove {folder} and index again"
        )
    return number


def check_there(folder: Path, generation: int) -> None:
    """Raise IdentityError where a generation was dropped after another one had taken its place."""
    # For each question: strings and not paths, and no look at the rest of the folder where nothing was ever indexed.
    if os.path.isdir(f"{folder}/{generation}") or (generation == 1 and not os.path.exists(f"{folder}/{_CURRENT}")):
        return
    if current(folder) != generation:
        raise IdentityError(
            f"generation {generation} of the index in {folder} was dropped, generation {current(folder)} is searched now: "
            f"make the pipeline again, or start the process again"
        )


def older(folder: Path, than: int) -> list[int]:
    """The generations below a number whose folders are there, ascending."""
    return [number for number in _numbers(folder) if number < than]


def switching(folder: Path) -> int | None:
    """The generation that a process has begun to switch to and has not reported; None where there is none."""
    return _read(folder / _SWITCHING)


def begin_switch(folder: Path, generation: int) -> None:
    """Note, durably, that a filled generation is about to be switched to."""
    for one in (place(folder, generation) / "stores", place(folder, generation)):
        if one.is_dir():
            durable.sync_folder(one)
    _write(folder / _SWITCHING, generation)


def switch(folder: Path, generation: int) -> None:
    """Make a generation the one that is searched by every pipeline that is made from now on."""
    _write(folder / _CURRENT, generation)


def end_switch(folder: Path) -> None:
    """Note that nothing of a switch is left to do."""
    (folder / _SWITCHING).unlink(missing_ok=True)
    durable.sync_folder(folder)


def drop(folder: Path, generation: int) -> None:
    """Delete the files of a generation: at once for whoever looks, however long it takes."""
    sweep(folder)
    place(folder, generation).rename(folder / _DROPPED)
    durable.sync_folder(folder)
    sweep(folder)


def sweep(folder: Path) -> None:
    """Delete what a process that died has left to be deleted."""
    if (folder / _DROPPED).exists():
        shutil.rmtree(folder / _DROPPED)


def _numbers(folder: Path) -> list[int]:
    """The generations whose folders are there, ascending."""
    try:
        with os.scandir(folder) as entries:
            found = [one.name for one in entries if one.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(name) for name in found if _is_number(name))


def _read(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not _is_number(text):
        raise IdentityError(f"{path} must hold the number of a generation, got {text[:40]!r}: put the number there")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and not text.startswith("0")


def _write(path: Path, generation: int) -> None:
    durable.write(path, f"{generation}\n")
