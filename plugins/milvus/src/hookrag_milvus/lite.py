"""The embedded engine: one a process and path, shared by its users, stopped by the last, locked for other processes."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hookrag import HookragError, IndexLocked
from hookrag.disk.lock import attempt

from hookrag_milvus import files

_PID = "writer.pid"


@dataclass(slots=True)
class Engine:
    """A running engine; whoever writes holds `writer`, for two writers around a flush disturb each other."""

    database: Path
    process: int
    users: int = 0
    writer: threading.RLock = field(default_factory=threading.RLock)


# State of the process on purpose: its engines are (pymilvus keeps them by path), and the file lock under them is too.
_engines: dict[Path, Engine] = {}
_guard = threading.Lock()


def quiet() -> None:
    """Keep pymilvus and the engine from logging each failed call with its traceback, unless somebody wants more than that."""
    import pymilvus  # noqa: F401  # on import it sets the level of its logger itself

    for name in ("pymilvus", "milvus_lite"):
        logger = logging.getLogger(name)
        if logger.getEffectiveLevel() >= logging.WARNING:
            logger.setLevel(logging.CRITICAL)


def acquire(database: Path) -> Engine:
    """The engine over the folder `database`, started if need be. IndexLocked names the process that has it open."""
    with _guard:
        engine = _engines.get(database)
        if engine is not None and engine.process != os.getpid():
            raise IndexLocked(_locked(database, engine.process))
        if engine is None:
            _start(database)
            engine = _engines[database] = Engine(database, os.getpid())
            (database.parent / _PID).write_text(str(engine.process))
        engine.users += 1
        return engine


def release(engine: Engine) -> None:
    """Give the engine back; with its last user it stops, writes what it holds, and lets go of the lock."""
    from milvus_lite.server_manager import server_manager_instance

    with _guard:
        engine.users -= 1
        if engine.users == 0 and engine.process == os.getpid():
            del _engines[engine.database]
            (engine.database.parent / _PID).unlink(missing_ok=True)
            server_manager_instance.release_server(str(engine.database))


def _start(database: Path) -> None:
    from milvus_lite.server_manager import server_manager_instance

    for place in (database.parent, database):
        if place.is_file():
            raise HookragError(
                f"{place}: got a file, expected a folder: Milvus Lite 2 wrote it, whose format version 3 does not read; "
                "move the file away and index again"
            )
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HookragError(
            f"{database.parent}: the folder cannot be made: {error.strerror}: choose another path"
        ) from error
    with _lock(database / "LOCK") as ours:
        if ours:  # who else has it may be changing the files
            if found := files.problem(database):
                raise HookragError(
                    f"{database}: {found}: restore the folder from a backup, or move it away and index again"
                )
            files.tidy(database)
    if server_manager_instance.start_and_get_uri(str(database)) is None:
        raise _why(database)


def _why(database: Path) -> HookragError:
    """Why the engine did not start, which it only logs: a lock first, for nothing else is to be touched then."""
    for place in (database.parent, database, database / "LOCK"):
        if place.exists() and not os.access(place, os.R_OK | os.W_OK):
            return HookragError(
                f"{place}: this user may not read and write it: mend its permissions, or choose another path"
            )
    with _lock(database / "LOCK") as ours:
        if not ours:
            return IndexLocked(_locked(database, _holder(database)))
    return HookragError(
        f"{database}: Milvus Lite cannot open it; its files may be damaged: restore the folder from a backup, or move it away "
        "and index again"
    )


@contextmanager
def _lock(file: Path) -> Iterator[bool]:
    """Hold the engine's lock, if there is one; False where another process does."""
    with ExitStack() as stack:
        ours = True
        with suppress(OSError):  # there is none, or none that this user may write: the engine will say
            ours = attempt(stack.enter_context(open(file, "r+b")).fileno(), byte=0)
        yield ours


def _holder(database: Path) -> int | None:
    """The process that has the lock, as the kernel says; where it does not, the one that wrote its id beside the database."""
    for candidate in (_of_kernel, _of_file):
        process = candidate(database)
        if process is not None and _lives(process):
            return process
    return None


def _of_kernel(database: Path) -> int | None:
    # A line of Linux: "1: FLOCK  ADVISORY  WRITE 4711 fe:00:5949737 0 EOF", with the device and inode of the file.
    try:
        status = (database / "LOCK").stat()
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in lines:
        _, kind, _, _, process, where, *_ = line.replace("->", "").split()
        if (kind, where) == ("FLOCK", file):
            return int(process)
    return None


def _of_file(database: Path) -> int | None:
    try:
        return int((database.parent / _PID).read_text())
    except (OSError, ValueError):
        return None


def _lives(process: int) -> bool:
    if process <= 0:
        return False  # to kill() that would be a group of processes
    try:
        os.kill(process, 0)
    except PermissionError:
        return True  # it is somebody else's
    except (OSError, OverflowError):
        return False
    return True


def _locked(database: Path, process: int | None) -> str:
    writer = "a process that is not known" if process is None else f"pid {process}"
    return (
        f"{database}: index is being written by {writer}: Milvus Lite serves one process at a time; wait until that one ends, "
        "or use a Milvus server (uri)"
    )
