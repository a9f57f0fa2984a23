"""One writer at a time: a lock on a file beside the journal, which says who holds it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from hookrag.errors import IndexLocked, IngestStopped


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the index in `folder` for writing; raises IndexLocked, naming the process, where another one does.

    The system drops the lock when the process ends, however it ends, so a lock is never stale.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise IngestStopped(f"the folder of the index {folder} cannot be written: {error.strerror or error}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise IndexLocked(
                f"the index in {folder} is being written by {_holder(handle)}: wait until it is done"
            ) from None
        with suppress(OSError):  # on a full disk nobody is told who; the lock holds
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()} {datetime.now():%Y-%m-%d %H:%M:%S}".encode(), 0)
        yield
    finally:
        os.close(handle)


def writer(folder: Path) -> str:
    """Who writes the index now ("pid 123 (since 2026-01-31 10:00:00)"), "" if nobody does."""
    try:
        handle = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(handle)
    else:
        return ""
    finally:
        os.close(handle)


def _holder(handle: int) -> str:
    pid, _, since = os.pread(handle, 100, 0).decode(errors="replace").partition(" ")
    return f"pid {pid} (since {since})" if pid else "another process"
