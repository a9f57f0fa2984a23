"""A lock is held by one, is told from a free one, and ends with its process; also where there is no fcntl."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from hookrag import IndexLocked
from hookrag.disk import lock
from hookrag.errors import IngestStopped

HOLDER = """
import sys
from pathlib import Path
from hookrag.disk import lock
held = lock.take(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_is_held_by_one_until_it_is_released(tmp_path):
    path = tmp_path / "lock"
    assert (lock.is_held(path), lock.last_holder(path)) == (False, None)
    held = lock.take(path)
    assert lock.is_held(path)
    assert lock.last_holder(path).pid == os.getpid()
    assert lock.take(path) is None
    assert not lock.attempt(os.open(path, os.O_RDWR))
    held.release()
    held.release()
    assert not lock.is_held(path)
    again = lock.take(path)
    assert again is not None
    again.release()


def test_who_waits_gets_it_as_soon_as_it_is_free(tmp_path):
    path = tmp_path / "lock"
    held = lock.take(path)
    threading.Timer(0.3, held.release).start()
    began = time.monotonic()
    taken = lock.take(path, wait=60)
    assert taken is not None
    assert time.monotonic() - began < 50
    taken.release()


@pytest.mark.parametrize("end", ["release", "kill"])
def test_the_lock_of_another_process_is_named_and_ends_with_it(tmp_path, end):
    path = tmp_path / "lock"
    child = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=-1, stdout=-1, text=True)
    with child:
        assert child.stdout.readline() == "held\n"
        assert lock.take(path) is None
        assert lock.last_holder(path).pid == child.pid
        if end == "kill":
            os.kill(child.pid, signal.SIGKILL)
        child.communicate("")
    held = lock.take(path)
    assert held is not None
    held.release()


def test_a_fork_neither_frees_the_lock_nor_keeps_it_from_being_freed(tmp_path):
    path = tmp_path / "lock"
    held = lock.take(path)
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(receiving, 1)
        held.release()  # what it took over from its parent
        os._exit(0 if lock.is_held(path) else 1)
    os.write(sending, b"x")
    assert os.waitpid(child, 0)[1] == 0
    child = os.fork()
    if child == 0:
        os.read(receiving, 1)
        os._exit(0)
    held.release()
    assert not lock.is_held(path), "a child that lives on has a copy of the handle"
    os.write(sending, b"x")
    os.waitpid(child, 0)


def test_looking_whether_it_is_held_keeps_nobody_from_taking_it(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    path.touch()
    looking = os.open(path, os.O_RDONLY)
    assert lock.attempt(looking, shared=True)
    assert not lock.is_held(path), "two look at once"
    monkeypatch.setattr(time, "sleep", lambda _: os.close(looking))
    held = lock.take(path)
    assert held is not None
    held.release()


@pytest.mark.parametrize("content", [b"", b"x", b"\xff\xfe", b"what is this 2026"])
def test_a_file_that_does_not_say_who(tmp_path, content):
    path = tmp_path / "lock"
    path.write_bytes(content)
    assert lock.last_holder(path) is None
    handle = os.open(path, os.O_RDWR)
    assert lock.attempt(handle)
    with pytest.raises(IndexLocked) as error, lock.locked(tmp_path):
        pass
    assert str(error.value) == f"the index in {tmp_path} is being written by another process: wait until it is done"
    assert lock.writer(tmp_path) == "another process"
    os.close(handle)


def test_an_index_is_not_written_where_there_are_no_locks(tmp_path, monkeypatch):
    def refuse(handle, *, shared, byte):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(lock, "_lock", refuse)
    with pytest.raises(IngestStopped) as error, lock.locked(tmp_path):
        pass
    assert str(error.value) == f"the folder of the index {tmp_path} cannot be written: No locks available"


# A module as Windows has it: a region of a file is locked for one handle, and others get EACCES.
WINDOWS = """
import subprocess, sys, types  # subprocess would take the module below for Windows itself
sys.modules["fcntl"] = None
import errno, os
from pathlib import Path
regions = {}
def locking(handle, mode, count):
    state = os.fstat(handle)
    region = (state.st_dev, state.st_ino, os.lseek(handle, 0, os.SEEK_CUR), count)
    if mode == 2:
        if region in regions:
            raise PermissionError(errno.EACCES, "Permission denied")
        regions[region] = handle
    elif mode == 0:
        assert regions.pop(region) == handle
    else:
        raise AssertionError(mode)
sys.modules["msvcrt"] = types.SimpleNamespace(LK_UNLCK=0, LK_NBLCK=2, locking=locking)
import hookrag
from hookrag import IndexLocked, Pipeline
from hookrag.disk import lock
folder = Path(sys.argv[1])
assert lock.writer(folder) == ""
with lock.locked(folder):
    assert [region[2:] for region in regions] == [(2**30, 1)]
    assert (folder / "lock").stat().st_size < 100
    assert lock.writer(folder).startswith(f"pid {os.getpid()} (since ")
    try:
        with lock.locked(folder):
            raise AssertionError("it was taken twice")
    except IndexLocked as error:
        assert f"is being written by pid {os.getpid()} (since " in str(error), error
assert regions == {}
assert lock.writer(folder) == ""
held = lock.take(folder / "lock")
assert lock.take(folder / "lock", wait=0.2) is None
held.release()
with (folder / "lock").open("r+b") as file:
    assert lock.attempt(file.fileno(), byte=0)
    assert [region[2:] for region in regions] == [(0, 1)]
print("as on Windows")
"""


def test_it_works_with_the_locks_of_windows(tmp_path):
    done = subprocess.run([sys.executable, "-c", WINDOWS, str(tmp_path / "index")], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("as on Windows\n", "")
