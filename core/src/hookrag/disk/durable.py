"""Durable writes: a file is replaced as a whole, and what was written survives a loss of power.

The new content goes to a part file beside the place, is forced to the disk, and takes the name by a rename; then the folder is
forced to the disk, so that the name is kept too. A process that is killed and a machine that loses power leave the old content
or the new one, never a piece of it; after the call has returned, the new one. A part file may be left over.

So it is on POSIX systems, as far as the drive keeps what fsync gave it (on macOS fsync does not empty the drive's cache).
Windows cannot force a folder to the disk: there a loss of power may bring back the old content, but no piece of the new one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import IO

_WINDOWS = os.name == "nt"


def write(path: Path, content: bytes | str) -> None:
    """Replace a file by one with this content; a text is written as UTF-8, as it is."""
    with replacing(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Give the path of a part file to write, which takes the place of `path` at the end; an error removes it instead.

    The part file is `<name>.part`, and one that a killed process has left is removed first. With `shared`, for a file that
    several processes or threads may write at once, each has a part file of its own, `<name>.<random>.part`: the last one wins.
    """
    part = path.with_name(f"{path.name}.{token_hex(8)}.part" if shared else f"{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        yield part
        _sync(part, os.O_RDWR)
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_file(file: IO[bytes]) -> None:
    """Force what was written to an open file to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk: what was made, renamed and removed there. Nothing on Windows."""
    if not _WINDOWS:
        _sync(folder, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)  # to be written, for a file: Windows forces no other one
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
