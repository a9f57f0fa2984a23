"""The process that parses: it reads one file after another, under limits, until its parent goes away.

It is started with the parent's `sys.path` and little else, and imports a parser when the first file of its format comes.
Requests are lines of JSON on the standard input; answers are frames of a kind, a length and so many bytes: T (a piece of a
document's text), D (that document is whole), E (the file is whole), R (the file is refused, and why).
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import select
import signal
import stat
import struct
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from hookrag_readers.parsers.sink import Limits, RefusedError, Sink, Task

Send = Callable[[bytes, bytes], None]
HEADER = struct.Struct(">cI")
PARSERS = frozenset({"pdf", "docx", "pptx", "xlsx", "epub"})


def main(lifeline: int, memory_mb: int) -> None:
    """Serve until the standard input ends. `lifeline` is a pipe that ends when the parent does, also when it was killed."""
    _die_with(lifeline)
    answers = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)  # whatever a library prints must not get between the frames
    os.dup2(nothing, 2)
    memory = memory_mb * 2**20
    for name, most in (("AS", memory), ("DATA", memory), ("CORE", 0), ("FSIZE", 0), ("NOFILE", 64)):
        _limit(getattr(resource, f"RLIMIT_{name}"), most)

    def send(kind: bytes, body: bytes) -> None:
        frame = memoryview(HEADER.pack(kind, len(body)) + body)
        while frame:
            frame = frame[os.write(answers, frame) :]

    for line in sys.stdin.buffer:
        _serve(json.loads(line), send, memory_mb)


def _die_with(lifeline: int) -> None:
    """Have the system end this process when the other end of the pipe is closed, even while C code runs."""
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    watch = select.poll()
    watch.register(lifeline, select.POLLIN)
    if watch.poll(0):  # it was closed before the system could be asked
        os._exit(0)


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    try:
        resource.setrlimit(kind, (most, most))
    except (OSError, ValueError):
        # macOS refuses limits on memory; the parent's limit of time and our own caps are left there.
        if sys.platform == "linux":
            raise


def _serve(request: dict[str, Any], send: Send, memory_mb: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    seconds = int(used.ru_utime + used.ru_stime + request["seconds"]) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (seconds if hard == resource.RLIM_INFINITY else min(seconds, hard), hard))
    # Said beforehand: there may be no memory left to say it with.
    too_much = f"needs more than the {memory_mb} MB of memory allowed: raise memory_mb, or split the file".encode()
    try:
        _parse(request, send)
    except RefusedError as error:
        reason = str(error).encode("utf-8", "backslashreplace")
    except MemoryError:
        send(b"R", too_much)
        os._exit(0)  # what is left of the heap is in pieces
    except RecursionError:
        reason = b"is nested too deeply to be read: the file is damaged, or made to do harm"
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}".encode("utf-8", "backslashreplace")
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        reason = f"is damaged: {told}".encode("utf-8", "backslashreplace")
    else:
        send(b"E", str(_peak()).encode())
        return
    send(b"R", reason)


def _peak() -> int:
    """The most memory that this process has held, in bytes."""
    if sys.platform == "linux":  # where rusage would count what the parent held when it began this process
        with open("/proc/self/status", "rb") as status:
            return next((int(line.split()[1]) << 10 for line in status if line.startswith(b"VmHWM")), 0)
    else:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _parse(request: dict[str, Any], send: Send) -> None:
    if request["parser"] not in PARSERS:
        raise RefusedError(f"has no parser: {request['parser']!r}")
    limits = Limits(**request["limits"])
    path = request["path"].encode("latin-1")
    # Not followed and not waited for: since it was listed it may have become a link or a pipe.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise RefusedError("is not a regular file")
    with open(handle, "rb") as file:
        if not found.st_size:
            raise RefusedError("is empty: it has no bytes at all")
        parser = import_module(f"hookrag_readers.parsers.{request['parser']}")
        parser.parse(Task(file, found.st_size, limits), Sink(limits, send))
