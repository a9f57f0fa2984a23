"""Real processes: two at once, and one that is killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hookrag import IndexLocked
from hookrag.ingest import Ingest, writer

from .fakes import FakeStore, run, target

# The child imports the fakes by their file, with the faults that the test names.
CHILD = """
import importlib.util, os, signal, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("fakes", {fakes!r})
fakes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fakes)
folder, kill = Path(sys.argv[1]), int(sys.argv[2])
calls = 0
def fault(place):
    global calls
    calls += 1
    if calls == kill:
        os.kill(os.getpid(), signal.SIGKILL)
    if kill < 0 and place == "T1: after":
        print("writing", flush=True)
        sys.stdin.read()
stores = [fakes.FakeStore(name, path=folder / f"{{name}}.log") for name in ("first", "second")]
for store in stores:
    store.fault = fault
fakes.run(folder, stores, {documents!r}, batch_bytes=25, fault=fault)
print(calls)
"""

BEFORE = [(f"d{n:02}", f"same\nold {n}") for n in range(12)]
AFTER = [(f"d{n:02}", f"same\nnew {n}") if n % 3 else (f"d{n:02}", f"same\nold {n}") for n in range(4, 16)]


def child(folder: Path, kill: int, documents: list) -> subprocess.Popen:
    code = CHILD.format(fakes=str(Path(__file__).parent / "fakes.py"), documents=documents)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(kill)], stdin=-1, stdout=-1, stderr=-1, text=True
    )


def stores(folder: Path) -> list[FakeStore]:
    return [FakeStore(name, path=folder / f"{name}.log") for name in ("first", "second")]


def test_a_second_writer_is_told_who_the_first_is(tmp_path):
    assert writer(tmp_path) == ""
    process = child(tmp_path, -1, BEFORE)
    try:
        assert process.stdout.readline() == "writing\n"
        with pytest.raises(IndexLocked) as locked:
            run(tmp_path, [FakeStore("third")], BEFORE)
        who = rf"(pid {process.pid} \(since [-0-9]+ [:0-9]+\))"
        pattern = rf"the index in {tmp_path} is being written by {who}: wait until it is done"
        told = re.fullmatch(pattern, str(locked.value))
        assert told, str(locked.value)
        status = Ingest(tmp_path, [target(FakeStore("third"))]).status()
        assert (writer(tmp_path), status.writer) == (told[1], told[1])
        assert (status.unfinished, status.last.split(" at ")[0]) == (2, "running")
    finally:
        _, problems = process.communicate("")
    assert process.returncode == 0, problems
    assert writer(tmp_path) == ""
    run(tmp_path, stores(tmp_path), BEFORE)


@pytest.mark.parametrize("at", [2, 9, 23, 48, 77, 95, 120])
def test_a_process_that_is_killed_leaves_what_the_next_one_finishes(tmp_path, at):
    run(tmp_path, stores(tmp_path), BEFORE)
    process = child(tmp_path, at, AFTER)
    process.communicate("")
    assert process.returncode == -signal.SIGKILL
    run(tmp_path, left := stores(tmp_path), AFTER)
    run(tmp_path / "fresh", fresh := [FakeStore("first"), FakeStore("second")], AFTER)
    for one, other in zip(left, fresh, strict=True):
        assert {(row.chunk.id, row.check) for row in one.rows.values()} == {
            (row.chunk.id, row.check) for row in other.rows.values()
        }
    assert Ingest(tmp_path, [target(store) for store in left]).verify().ok


def test_the_lock_of_a_dead_process_does_not_hold(tmp_path):
    process = child(tmp_path, -1, BEFORE)
    assert process.stdout.readline() == "writing\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate("")
    assert writer(tmp_path) == ""
    run(tmp_path, stores(tmp_path), BEFORE)
