"""Child processes that parse files: started when the first file comes, used again, and replaced when they are worn or lost."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hookrag import ReadError

from hookrag_readers.child import HEADER

FILES_PER_CHILD = 500
WORN = 0.25
"""A child whose memory has passed this share of what it may have is replaced after the file."""
_FRAME = 1 << 20
_BOOT = (
    "import sys; a = sys.argv; sys.path[:] = a[3:]; from hookrag_readers.child import main; main(int(a[1]), int(a[2]))"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may take, of which `unpacked_mb` and `ratio` are for formats that are archives."""

    memory_mb: int
    seconds: float
    text_mb: int
    unpacked_mb: int
    ratio: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """One document of a file; `suffix` is what its id has after that of the file."""

    suffix: str
    text: str
    title: str
    metadata: Mapping[str, Any]


class Pool:
    """Children for one parser. As many run as files are read at once; between files they wait."""

    def __init__(self, parser: str, limits: Limits) -> None:
        self._parser = parser
        self._limits = limits
        self._idle: deque[_Child] = deque()
        self._owner = os.getpid()
        weakref.finalize(self, _end, self._idle, self._owner)

    def read(self, path: Path) -> Iterator[Parsed]:
        """The documents of a file, as they come. Raises ReadError, which names the file, where it cannot be taken."""
        child = self._ask(path)
        whole = False
        try:
            yield from child.documents(path)
            whole = True
        except _Refused as error:
            whole = True
            raise ReadError(f"{path}: {error}") from None
        finally:
            if whole and not child.worn:
                self._idle.append(child)
            else:
                child.end()

    def close(self) -> None:
        """End the children that wait."""
        _end(self._idle, os.getpid())

    def _ask(self, path: Path) -> _Child:
        """A child that has been told to read the file."""
        if self._owner != os.getpid():  # after a fork, the children are the other process's
            self._owner = os.getpid()
            self._idle.clear()
        while self._idle:
            try:
                child = self._idle.pop()
            except IndexError:
                break  # another thread was faster
            try:
                child.ask(self._parser, path)
                return child
            except OSError:
                child.end()  # it died while it waited
        child = _Child(self._limits)
        try:
            child.ask(self._parser, path)
        except OSError:
            code = child.end()
            raise ReadError(f"{path}: the process that should read it cannot be started: {_ended(code)}") from None
        return child


class _Refused(Exception):
    """The child says why it does not take the file, and is ready for the next."""


class _Child:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = FILES_PER_CHILD
        self._memory = 0
        self._gone = False
        self._buffer = bytearray()
        inner, outer = os.pipe()
        paths = [str(Path(__file__).parents[1]), *(path for path in sys.path if os.path.isabs(path))]
        kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
        try:
            # A session of its own: Ctrl-C is for the parent, which then ends it. An environment without anybody's keys.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", "-c", _BOOT, str(inner), str(limits.memory_mb), *paths],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0, pass_fds=(inner,),
                env=kept, cwd="/", start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            os.close(outer)
            raise ReadError(f"{sys.executable}: the process that parses files cannot be started: {error}") from error
        finally:
            os.close(inner)
        self._lifeline = outer
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests = self._process.stdin
        self._answers = self._process.stdout
        self._poll = select.poll()
        self._poll.register(self._answers.fileno(), select.POLLIN)

    @property
    def worn(self) -> bool:
        """Whether the next file should get a fresh one."""
        return self._left <= 0 or self._memory > WORN * self._limits.memory_mb * 2**20

    def ask(self, parser: str, path: Path) -> None:
        limits = self._limits
        self._left -= 1
        request = {
            "parser": parser,
            "path": os.fsencode(os.path.realpath(path)).decode("latin-1"),
            "seconds": limits.seconds,
            "limits": {"text": limits.text_mb << 20, "unpacked": limits.unpacked_mb << 20, "ratio": limits.ratio},
        }
        self._requests.write(json.dumps(request).encode("ascii") + b"\n")

    def documents(self, path: Path) -> Iterator[Parsed]:
        # Only the time that is spent waiting counts: whoever takes the documents may be slow.
        self._waited = 0.0
        pieces: list[str] = []
        size = 0
        while True:
            kind, body = self._frame(path)
            if kind == b"T":
                pieces.append(body.decode("utf-8"))
                size += len(pieces[-1])
                if size > self._limits.text_mb << 20:  # the child has the same limit, but it may be no longer itself
                    raise ReadError(f"{path}: holds more than the {self._limits.text_mb} MB of text allowed")
            elif kind == b"D":
                told = json.loads(body)
                text = "".join(pieces)
                pieces.clear()
                yield Parsed(told["suffix"], text, told["title"], told["metadata"])
            elif kind == b"E":
                self._memory = int(body)
                return
            else:
                raise _Refused(body.decode("utf-8", "replace"))

    def _frame(self, path: Path) -> tuple[bytes, bytes]:
        kind, length = HEADER.unpack(self._bytes(HEADER.size, path))
        if kind not in (b"T", b"D", b"E", b"R") or length > _FRAME:
            raise ReadError(f"{path}: its parser answered with nonsense: the file is damaged, or made to do harm")
        return kind, self._bytes(length, path)

    def _bytes(self, count: int, path: Path) -> bytes:
        while len(self._buffer) < count:
            start = time.monotonic()
            left = self._limits.seconds - self._waited
            ready = left > 0 and self._poll.poll(left * 1000)
            self._waited += time.monotonic() - start
            if not ready:
                raise ReadError(f"{path}: {_slow(self._limits)}")
            data = os.read(self._answers.fileno(), 1 << 16)
            if not data:
                self._gone = True
                raise ReadError(f"{path}: {self._why(self.end())}")
            self._buffer += data
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _why(self, code: int) -> str:
        """What it means that the child is gone in the middle of a file."""
        if code == -signal.SIGXCPU:
            return _slow(self._limits)
        memory = f"more than memory_mb = {self._limits.memory_mb}"
        return f"the process that read it {_ended(code)}: the file is damaged, made to do harm, or needs {memory}"

    def end(self) -> int:
        """Kill it and wait until it is gone; how it ended, as subprocess says it. May be called again."""
        if self._process.returncode is None:
            try:
                if not self._gone:
                    self._process.kill()
                self._process.wait(5)  # what ends by itself says why by its own code
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            os.close(self._lifeline)
            self._requests.close()
            self._answers.close()
        return self._process.returncode or 0


def _end(idle: deque[_Child], owner: int) -> None:
    while idle and owner == os.getpid():
        idle.pop().end()


def _slow(limits: Limits) -> str:
    return f"took longer than the {limits.seconds:g} s allowed: raise seconds, split the file, or leave it out"


def _ended(code: int) -> str:
    if code < 0:
        return f"crashed ({signal.Signals(-code).name})" if -code in set(signal.Signals) else f"crashed ({-code})"
    return f"ended by itself (exit code {code})"
