"""Killed or refused at any moment, the index is what the last commit made it, and what was left over goes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hookrag import Chunk, HookragError, Row
from hookrag_lexical.store import Lexical
from hookrag_segments import files, merge

OTHERS = {"manifest.json", "write.lock"}

# Each step: names put, names dropped. With at most two segments, the later steps merge, write deletions, and drop segments.
STEPS = [("abc", ""), ("def", "a"), ("gh", "bd"), ("a", "c"), ("", "efgh")]


def states():
    rows, result = set(), [set()]
    for put, drop in STEPS:
        rows = (rows - set(drop)) | set(put)
        result.append(rows)
    return result


def opened(path):
    store = Lexical(chunker=None, path=path)
    store.open()
    return store


def step(store, put, drop):
    store.drop(list(drop), version=1)
    store.put([Row(Chunk(name, "doc", f"word {name}", 0, 6), "me", 1) for name in put], version=1)
    store.sync()


def names(store):
    scanned = {key.chunk_id for page in store.scan() for key in page}
    assert {hit.chunk.id for hit in store.search_text(["word"], k=99, where=None)[0]} == scanned
    return scanned


def leftovers(path, store):
    snapshot = store._index.snapshot()
    return {file.name for file in path.iterdir()} - OTHERS - snapshot.manifest.names


@pytest.fixture
def small_merges(monkeypatch):
    monkeypatch.setattr(merge, "MAX_SEGMENTS", 2)
    monkeypatch.setattr(merge, "MIN_MERGED", 2)


def killed_at(path, moment):
    """Run the steps in a forked process that is killed at its n-th touch of a file; (steps acknowledged, finished)."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            touches = 0

            def touch(*_):
                nonlocal touches
                touches += 1
                if touches == moment:
                    os.kill(os.getpid(), signal.SIGKILL)

            def touched(call):
                def wrapper(*args):
                    touch()
                    return call(*args)

                return wrapper

            os.fsync = touched(os.fsync)
            files.ArrayWriter.append = touched(files.ArrayWriter.append)
            events = {"open", "os.rename", "os.remove", "os.utime", "os.mkdir"}
            sys.addaudithook(lambda event, args: touch() if event in events and str(path) in str(args[0]) else None)
            store = opened(path)
            for put, drop in STEPS:
                step(store, put, drop)
                os.write(sending, b"x")
            os._exit(0)
        finally:
            os._exit(9)
    os.close(sending)
    acknowledged = 0
    while os.read(receiving, 1):
        acknowledged += 1
    os.close(receiving)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), f"the child failed by itself: {status}"
    return acknowledged, status == 0


@pytest.mark.slow
def test_a_kill_at_any_touch_of_a_file_leaves_the_last_commit(tmp_path, small_merges):
    expected = states()
    moment, finished = 0, False
    seen = set()
    while not finished:
        moment += 1
        path = tmp_path / str(moment)
        acknowledged, finished = killed_at(path, moment)
        store = opened(path)
        got = names(store)
        assert got in (expected[acknowledged], expected[min(acknowledged + 1, len(STEPS))]), moment
        store.verify()
        seen.add(acknowledged)
        step(store, "z", "")
        step(store, "", "z")
        assert names(store) == got
        step(store, "y", "")
        assert leftovers(path, store) <= store._index._writer._before, moment
        store.close()
    assert moment > 200
    assert seen == set(range(len(STEPS) + 1))


SCRIPT = """
import sys
from pathlib import Path
from hookrag import Chunk, Row
from hookrag_lexical.store import Lexical
store = Lexical(chunker=None, path=Path(sys.argv[1]))
store.open()
done = int(sys.argv[2])
while True:
    done += 1
    text = "word " * 50
    store.put([Row(Chunk(f"{done}-{at}", "d", text, 0, len(text)), "me", done) for at in range(20)], version=done)
    store.drop([f"{done - 3}-{at}" for at in range(20)], version=done)
    store.sync()
    print(done, flush=True)
"""


@pytest.mark.slow
def test_kills_at_random_times_lose_nothing_that_was_acknowledged(tmp_path):
    done = 0
    for at in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "index"), str(done)], stdout=subprocess.PIPE, text=True
        )
        child.stdout.readline()
        time.sleep(0.05 + 0.037 * at)
        child.kill()
        told = child.stdout.read().split()
        child.wait()
        child.stdout.close()
        told = int(told[-1]) if told else done + 1
        store = opened(tmp_path / "index")
        runs = {int(name.partition("-")[0]) for name in names(store)}
        store.verify()
        store.close()
        done = max(runs)
        assert done in (told, told + 1)
        assert runs == set(range(max(1, done - 2), done + 1))


@pytest.mark.slow
def test_a_full_disk_at_any_write_keeps_what_was_committed_and_loses_nothing_when_space_returns(tmp_path, small_merges):
    expected = states()
    append = files.ArrayWriter.append
    moment, failed = 0, True
    while failed:
        moment += 1
        path = tmp_path / str(moment)
        left, failed = moment, False

        def full(self, name, piece):
            nonlocal left, failed
            left -= 1
            if left == 0:
                failed = True
                raise OSError(errno.ENOSPC, "No space left on device")
            append(self, name, piece)

        store = opened(path)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files.ArrayWriter, "append", full)
            for at, (put, drop) in enumerate(STEPS):
                reason = None
                try:
                    step(store, put, drop)
                except HookragError as error:
                    reason = str(error)
                if reason is not None:
                    assert reason == (
                        f"cannot write the index in {path}: No space left on device: free some space, then try again; what was "
                        "synced is safe"
                    )
                    assert names(store) == expected[at]
                    store.sync()
                assert names(store) == expected[at + 1]
        step(store, "y", "")
        step(store, "", "y")
        assert leftovers(path, store) <= store._index._writer._before
        store.close()
    assert moment > 150


def test_everything_a_manifest_names_is_durable_before_it_and_it_is_before_sync_returns(
    tmp_path, small_merges, monkeypatch
):
    path = tmp_path / "index"
    log = []
    fsync, rename, unlink = os.fsync, os.replace, Path.unlink

    def synced(handle):
        log.append(("fsync", Path(os.readlink(f"/proc/self/fd/{handle}")).name))
        fsync(handle)

    def renamed(source, target):
        log.append(("rename", Path(source).name))
        return rename(source, target)

    def removed(self, missing_ok=False):
        log.append(("remove", self.name))
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    monkeypatch.setattr(Path, "unlink", removed)
    store = opened(path)
    known = set()
    for put, drop in STEPS:
        log.clear()
        step(store, put, drop)
        at = log.index(("rename", "manifest.json.part"))
        before, after = log[:at], log[at + 1 :]
        new = store._index.snapshot().manifest.names - known
        assert {("fsync", name) for name in new} <= set(before)
        last_file = max((before.index(("fsync", name)) for name in new), default=-1)
        assert ("fsync", "index") in before[last_file + 1 :]
        assert before[-1] == ("fsync", "manifest.json.part")
        assert after[0] == ("fsync", "index")
        assert all(kind == "remove" for kind, _ in after[1:])
        assert not {name for kind, name in log if kind == "remove"} & (store._index.snapshot().manifest.names | known)
        known = store._index.snapshot().manifest.names
    store.close()
