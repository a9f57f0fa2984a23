"""Faults for the tests of a store: a power cut, a full disk, and readers beside a writer that is killed.

The last two run processes of their own. A `preamble` is Python that defines what they need of the store: `made(path)`, opened;
`row(turn, at)`; `found(store)`, the hits of a search that finds every row.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any
from unittest import mock

ROWS = 20
"""How many rows a turn of the writers below has."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """What a power cut at one moment may leave: names that are durable, changes of names since, and contents by number."""

    names: dict[str, int]
    changes: tuple[dict[str, int | None], ...]
    durable: dict[int, bytes]
    written: dict[int, bytes]
    acknowledged: int


class PowerLoss:
    """Watches a folder while a store of this process writes to it, and makes every folder that a power cut could leave.

    Of a file, what was written since its last fsync may be lost, in whole or in half; of the folder, any of the last changes of
    names since its last fsync. Files and folder are looked at before and after each fsync, rename and removal.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.acknowledged = 0
        """How many steps the store has acknowledged: the test counts them."""
        self._moments: list[_Moment] = []
        self._numbers: dict[int, int] = {}  # of inodes, which are given again to new files
        self._names: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._changes: list[dict[str, int | None]] = []
        self._durable: dict[int, bytes] = {}
        self._written: dict[int, bytes] = {}
        self._count = 0

    @contextmanager
    def recording(self) -> Iterator[PowerLoss]:
        """Record within; only one thread may write meanwhile."""
        fsync = os.fsync

        def synced(handle: int) -> None:
            self._look()
            fsync(handle)
            state = os.fstat(handle)
            if stat.S_ISDIR(state.st_mode):
                if os.path.samestat(state, os.stat(self.folder)):
                    self._names, self._changes = dict(self._seen), []
            elif state.st_ino in self._numbers:
                number = self._numbers[state.st_ino]
                self._durable[number] = self._written[number]
            self._look()

        def watched(call: Callable[..., Any]) -> Callable[..., Any]:
            def wrapper(*args: Any, **named: Any) -> Any:
                self._look()
                result = call(*args, **named)
                self._look()
                return result

            return wrapper

        self._look()
        self._names, self._changes, self._durable = dict(self._seen), [], dict(self._written)
        self._moments.clear()
        with (
            mock.patch.object(os, "fsync", synced),
            mock.patch.object(os, "replace", watched(os.replace)),
            mock.patch.object(Path, "unlink", watched(Path.unlink)),
        ):
            yield self

    def _look(self) -> None:
        seen: dict[str, int] = {}
        inodes: dict[int, int] = {}
        for path in sorted(self.folder.iterdir()):
            inode = path.stat().st_ino
            if inode not in self._numbers:
                self._count += 1
            number = inodes.setdefault(inode, self._numbers.get(inode, self._count))
            seen[path.name] = number
            self._written[number] = path.read_bytes()
        self._numbers = inodes
        change = {name: seen.get(name) for name in {*seen, *self._seen} if seen.get(name) != self._seen.get(name)}
        if change:
            self._changes.append(change)
        self._seen = seen
        self._moments.append(
            _Moment(self._names, tuple(self._changes), dict(self._durable), dict(self._written), self.acknowledged)
        )

    def outcomes(self, target: Path) -> Iterator[tuple[Path, int]]:
        """Each different folder that a cut could leave, made at `target`, with the steps that were acknowledged before it."""
        known: set[bytes] = set()
        for moment in self._moments:
            for kept in range(len(moment.changes) + 1):
                names = dict(moment.names)
                for change in moment.changes[:kept]:
                    for name, number in change.items():
                        if number is None:
                            names.pop(name, None)
                        else:
                            names[name] = number
                for share in (0.0, 0.5, 1.0):
                    files = {name: _left(moment, number, share) for name, number in names.items()}
                    state = blake2b(repr((sorted(files.items()), moment.acknowledged)).encode()).digest()
                    if state in known:
                        continue
                    known.add(state)
                    shutil.rmtree(target, ignore_errors=True)
                    target.mkdir()
                    for name, content in files.items():
                        (target / name).write_bytes(content)
                    yield target, moment.acknowledged


def _left(moment: _Moment, number: int, share: float) -> bytes:
    durable, written = moment.durable.get(number, b""), moment.written[number]
    if written == durable:
        return durable
    return durable if share == 0 else written[: int(len(written) * share)]


_WRITER = """
import sys
from pathlib import Path
path = Path(sys.argv[1])
{preamble}
store = made(path)
turn = max((int(key.document_id) for page in store.scan() for key in page), default=-1)
before = [key.chunk_id for page in store.scan() for key in page]
while True:
    turn += 1
    rows = [row(turn, at) for at in range({rows})]
    assert store.put(rows, version=1) == {{}}
    store.drop(before, version=1)
    store.sync()
    before = [one.chunk.id for one in rows]
    print(turn, flush=True)
"""

_READER = """
import json, sys, threading
from pathlib import Path
path = Path(sys.argv[1])
{preamble}
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
store, wrong, last, states, results = made(path), [], -1, 0, 0
while not stop.is_set() and not wrong:
    for turns in ([int(hit.chunk.document_id) for hit in found(store)],
                  [int(key.document_id) for page in store.scan() for key in page]):
        results += 1
        if len(turns) != {rows} or len(set(turns)) != 1 or turns[0] < last:
            wrong.append([last, turns])
        elif turns[0] > last:
            last, states = turns[0], states + 1
print(json.dumps({{"wrong": wrong, "states": states, "results": results}}), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Soaked:
    """What happened: results that were of no single commit, and how many results, states and kills there were."""

    wrong: list[Any]
    results: int
    states: int
    kills: int
    lost: list[tuple[int, int]]
    """(turn that was acknowledged, turn that was there after the kill), where the second is the lower."""


def soak(preamble: str, path: Path, *, seconds: float, every: float, least: int, readers: int = 4) -> Soaked:
    """Readers in processes of their own beside a writer that replaces all rows with each commit and is killed at intervals.

    It goes on for `seconds` and `least` kills, whichever takes longer.
    """
    writer, reader = _started(_WRITER, preamble, path), []
    lost, told, kills = [], -1, 0
    try:
        assert writer.stdout is not None
        told = int(writer.stdout.readline())
        reader = [_started(_READER, preamble, path) for _ in range(readers)]
        end = time.monotonic() + seconds
        while time.monotonic() < end or kills < least:
            time.sleep(every)
            writer.kill()
            assert writer.stdout is not None
            said = writer.stdout.read().split()
            writer.wait()
            kills += 1
            told = int(said[-1]) if said else told
            writer = _started(_WRITER, preamble, path)
            assert writer.stdout is not None
            first = int(writer.stdout.readline())
            if first <= told:
                lost.append((told, first - 1))
            told = first
    finally:
        writer.kill()
        told_by = [json.loads(one.communicate()[0]) for one in reader]
        writer.communicate()
    return Soaked(
        [item for one in told_by for item in one["wrong"]],
        sum(one["results"] for one in told_by),
        min(one["states"] for one in told_by),
        kills,
        lost,
    )


_FILLER = """
import json, sys
from pathlib import Path
from hookrag import HookragError
path = Path(sys.argv[1])
{preamble}
store, turn, done, error = made(path), 0, [], ""
while not error:
    try:
        store.put([row(turn, at) for at in range({rows})], version=1)
        store.sync()
        done.append(turn)
        turn += 1
    except HookragError as problem:
        error = str(problem)
kept = sorted({{int(key.document_id) for page in store.scan() for key in page}})
print(json.dumps({{"done": done, "error": error, "kept": kept}}), flush=True)
sys.stdin.readline()
store.put([row(turn, at) for at in range({rows})], version=1)
store.sync()
store.verify()
kept = sorted(int(key.document_id) for page in store.scan() for key in page)
print(json.dumps(kept), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Filled:
    """Turns acknowledged before the disk was full, the error, what was readable then, and what is there at the end."""

    done: list[int]
    error: str
    kept: list[int]
    after: list[int]
    status: int


def fill_disk(preamble: str, disk: Path) -> Filled:
    """Fill a tmpfs of 12 MB mounted at `disk`, give it room, and go on. PermissionError where mounting is not allowed."""
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(disk)], capture_output=True).returncode:
        raise PermissionError(f"cannot mount a tmpfs at {disk}: run as root")
    try:
        child = _started(_FILLER, preamble, disk / "index")
        assert child.stdout is not None
        assert child.stdin is not None
        first = json.loads(child.stdout.readline() or "{}")
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        rest = child.communicate("\n")[0]
        after = json.loads(rest) if rest else []
        return Filled(first.get("done", []), first.get("error", ""), first.get("kept", []), after, child.returncode)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _started(script: str, preamble: str, path: Path) -> subprocess.Popen[str]:
    code = script.format(preamble=preamble, rows=ROWS)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
