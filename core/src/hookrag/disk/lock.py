"""One writer at a time: a lock on a file, which says who holds it.

The system drops a lock when its process ends, however it ends, so a lock is never stale. It holds between processes of one
machine and between threads, and lets nobody take it twice. On POSIX systems it is `flock`; on Windows one byte is locked, far
behind those that say who holds it, so that others can read these.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path

from hookrag.errors import IndexLocked, IngestStopped

_BYTE = 2**30

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    from msvcrt import LK_NBLCK, LK_UNLCK, locking  # type: ignore[attr-defined]  # mypy looks at POSIX

    def _lock(handle: int, *, shared: bool, byte: int) -> None:
        os.lseek(handle, byte, os.SEEK_SET)
        locking(handle, LK_NBLCK, 1)

    def _unlock(handle: int) -> None:
        os.lseek(handle, _BYTE, os.SEEK_SET)
        locking(handle, LK_UNLCK, 1)

else:

    def _lock(handle: int, *, shared: bool, byte: int) -> None:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)


_HELD = frozenset({errno.EAGAIN, errno.EACCES, errno.EDEADLK})
_PAUSE = 0.02
# `is_held` holds the lock for an instant: that is no reason to fail.
_LEAST_WAIT = 0.1


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that took a lock, and when, in its local time."""

    pid: int
    since: str


class Lock:
    """A lock that is held until `release`, or until its process ends. Made by `take`."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._pid = os.getpid()

    def release(self) -> None:
        """Let others take it. In a fork of the process that took it, that one goes on holding it."""
        if self._file.closed:
            return
        if self._pid == os.getpid():
            _unlock(self._file.fileno())
        self._file.close()


def take(path: Path, *, wait: float = 0.0) -> Lock | None:
    """Take the lock on a file, which is made where there is none; None where it is still held after `wait` seconds.

    Raises OSError where the file cannot be written, or is where there are no locks.
    """
    file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+")
    try:
        until = time.monotonic() + max(wait, _LEAST_WAIT)
        while not attempt(file.fileno()):
            if time.monotonic() > until:
                file.close()
                return None
            time.sleep(_PAUSE)
    except BaseException:
        file.close()
        raise
    with suppress(OSError):  # on a full disk nobody is told who; the lock holds
        file.truncate(0)
        file.seek(0)
        file.write(f"{os.getpid()} {datetime.now():%Y-%m-%d %H:%M:%S}".encode())
    return Lock(file)


def attempt(handle: int, *, shared: bool = False, byte: int = _BYTE) -> bool:
    """Lock an open file until it is closed, without waiting or a word of who; False where it is locked.

    Several may hold it `shared`, where none holds it otherwise; on Windows one alone. For a lock of somebody else's, `byte` is
    the one that is locked on Windows.
    """
    try:
        _lock(handle, shared=shared, byte=byte)
    except OSError as error:
        if error.errno not in _HELD:
            raise
        return False
    return True


def is_held(path: Path) -> bool:
    """Whether somebody, this process too, holds the lock on a file, which need not be there."""
    try:
        file = FileIO(path)
    except FileNotFoundError:
        return False
    with file:
        if not attempt(file.fileno(), shared=True):
            return True
        _unlock(file.fileno())
        return False


def last_holder(path: Path) -> Holder | None:
    """Who took the lock on a file last, which is who holds it if it is held; None where the file does not say."""
    try:
        with FileIO(path) as file:
            pid, _, since = (file.read(100) or b"").decode(errors="replace").partition(" ")
        return Holder(int(pid), since)
    except (FileNotFoundError, ValueError):
        return None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the index in `folder` for writing; raises IndexLocked, naming the process, where another one does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = take(folder / "lock")
    except OSError as error:
        raise IngestStopped(f"the folder of the index {folder} cannot be written: {error.strerror or error}") from error
    if taken is None:
        raise IndexLocked(f"the index in {folder} is being written by {_named(folder)}: wait until it is done")
    try:
        yield
    finally:
        taken.release()


def writer(folder: Path) -> str:
    """Who writes the index now ("pid 123 (since 2026-01-31 10:00:00)"), "" if nobody does."""
    return _named(folder) if is_held(folder / "lock") else ""


def _named(folder: Path) -> str:
    who = last_holder(folder / "lock")
    return f"pid {who.pid} (since {who.since})" if who else "another process"
