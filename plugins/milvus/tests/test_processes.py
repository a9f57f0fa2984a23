"""Several processes: one writes at a time, what was acknowledged survives a kill, and a fork is noticed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hookrag import Document, HookragError, IndexLocked, Row, chunk_of
from hookrag_milvus import lite
from hookrag_milvus.store import Milvus

PRELUDE = """
import sys
from pathlib import Path
import numpy as np
from hookrag import Document, Row, chunk_of
from hookrag_milvus.store import Milvus

def rows(start, stop):
    made = []
    for number in range(start, stop):
        document = Document(f"d{number}", f"text {number}")
        made.append(Row(chunk_of(document, 0, len(document.text)), "o", number, np.array([1, number], np.float32)))
    return made

store = Milvus(chunker=None, embedder=None, path=Path(sys.argv[1]))
store.open()
"""


def start(path: Path, script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script, str(path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()


def test_rows_of_another_process_are_there(tmp_path: Path) -> None:
    writer = start(
        tmp_path,
        "store.put(rows(0, 1500), version=1); store.sync(); print(store.card().uuid, flush=True); store.close()",
    )
    uuid = read_line(writer)
    assert writer.wait() == 0
    end(writer)
    store = Milvus(chunker=None, embedder=None, path=tmp_path)
    store.open()
    assert (store.count(), store.card().uuid) == (1_500, uuid)
    (hits,) = store.search_dense(np.array([[1, 0]], np.float32), k=2, where=None)
    assert [hit.chunk.text for hit in hits] == ["text 0", "text 1"]
    store.close()


def test_a_second_process_is_told_who_writes(tmp_path: Path) -> None:
    writer = start(
        tmp_path,
        "print('open', flush=True); sys.stdin.readline(); store.close(); print('closed', flush=True); sys.stdin.readline()",
    )
    try:
        assert read_line(writer) == "open"
        store = Milvus(chunker=None, embedder=None, path=tmp_path)
        with pytest.raises(IndexLocked) as caught:
            store.open()
        advice = "Milvus Lite serves one process at a time; wait until that one ends, or use a Milvus server (uri)"
        assert str(caught.value) == f"{tmp_path}/milvus.db: index is being written by pid {writer.pid}: {advice}"
        for text in ("", "999999999", "-1", "what"):  # the kernel knows better than the file
            (tmp_path / "writer.pid").write_text(text)
            with pytest.raises(IndexLocked, match=f"is being written by pid {writer.pid}: "):
                store.open()
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
        assert read_line(writer) == "closed"
        store.open()  # the writer lives on, but gave the index back
        store.close()
    finally:
        end(writer)


def test_another_program_that_has_the_database_open_is_named_too(tmp_path: Path) -> None:
    script = """
import sys
from pymilvus import MilvusClient
client = MilvusClient(sys.argv[1] + "/milvus.db")
print("open", flush=True)
sys.stdin.readline()
"""
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    try:
        assert read_line(other) == "open"
        with pytest.raises(IndexLocked, match=f"index is being written by pid {other.pid}: "):
            Milvus(chunker=None, embedder=None, path=tmp_path).open()
    finally:
        end(other)


@pytest.mark.parametrize("text", ["", "999999999", "-1", "0", "what"])
def test_where_the_kernel_does_not_tell_a_file_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(lite, "_of_kernel", lambda database: None)
    (tmp_path / "writer.pid").write_text(text)
    assert lite._holder(tmp_path / "milvus.db") is None
    (tmp_path / "writer.pid").write_text(str(os.getpid()))
    assert lite._holder(tmp_path / "milvus.db") == os.getpid()


WRITER = """
import random, threading, time, os, signal
chance = random.Random(int(sys.argv[2]))
if sys.argv[3] == "timer":
    seconds = chance.uniform(0.0, 0.8)
    threading.Thread(target=lambda: (time.sleep(seconds), os.kill(os.getpid(), signal.SIGKILL))).start()
if not store.card().owner:
    store.stamp(type(store.card())(store.card().uuid, "journal", 7))
print("card", store.card().uuid, flush=True)
first = store.count()
for step in range(1_000):
    start = first + step * 130
    batch = rows(start, start + 130)
    store.put(batch, version=1)
    print("put", start + 130, flush=True)
    if step % 3 == 2:
        gone = [row.chunk.id for row in batch[:30]]
        store.drop(gone, version=2)
        store.put(batch[:30], version=3)
        store.sync()
    if step % 9 == 8:
        store.search_dense(batch[0].dense[None], k=1, where=None)  # moves rows into a segment
    if sys.argv[3] != "timer" and step == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_acknowledged_row_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    kills = 20 if os.environ.get("HOOKRAG_SOAK") == "1" else 2
    acknowledged, uuids = 0, set()
    for kill in range(kills):
        # Every other between two calls, the rest at any time: within the first collection, a write, a flush, a drop.
        when = str(kill % 12) if kill % 2 else "timer"
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + WRITER, str(tmp_path), str(kill), when], stdout=subprocess.PIPE, text=True
        )
        assert done.returncode == -signal.SIGKILL, "it was not killed"
        for line in done.stdout.split("\n")[:-1]:
            word, value = line.split()
            if word == "card":
                uuids.add(value)
            else:
                acknowledged = max(acknowledged, int(value))
        store = Milvus(chunker=None, embedder=None, path=tmp_path)
        store.open()  # the lock of the dead is no lock
        numbers = sorted(key.check for page in store.scan() for key in page)
        # A batch without its answer may be there, also of rows that were being put again after a drop: those are the last.
        assert set(range(acknowledged - 130)) <= set(numbers)
        assert {number for number in range(acknowledged - 130, acknowledged) if number not in numbers} <= set(
            range(acknowledged - 130, acknowledged - 100)
        )
        assert len(numbers) == len(set(numbers)) == store.count()
        uuids.add(store.card().uuid)
        assert len(uuids) == 1
        store.put(rows_of(numbers, acknowledged), version=4)
        assert store.count() >= acknowledged
        store.close()


def rows_of(numbers: list[int], stop: int) -> list[Row]:
    """The rows below `stop` that are not there."""
    rows = []
    for number in sorted(set(range(stop)) - set(numbers)):
        document = Document(f"d{number}", f"text {number}")
        vector = np.array([1, number], np.float32)
        rows.append(Row(chunk_of(document, 0, len(document.text)), "o", number, vector))
    return rows


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this operating system does not fork")
def test_a_forked_child_is_refused_and_leaves_the_parent_alone(tmp_path: Path) -> None:
    # In a process of its own: a fork beside the threads of pytest and gRPC is what nobody should do.
    script = """
import os
from hookrag import HookragError
store.put(rows(0, 10), version=1)
child = os.fork()
if child == 0:
    messages = []
    for attempt in (store.count, Milvus(chunker=None, embedder=None, path=Path(sys.argv[1])).open):
        try:
            attempt()
        except HookragError as error:
            messages.append(f"{type(error).__name__}: {error}")
    store.close()
    print("\\n".join(messages), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(os.getpid(), child, store.count(), flush=True)
store.close()
"""
    process = start(tmp_path, script)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    used, reopened, last = output.strip().split("\n")
    parent, child, count = last.split()
    assert count == "10"
    assert used == (
        f"HookragError: {tmp_path}/milvus.db: opened by process {parent}, used in process {child}: a connection does not "
        "survive a fork; open the store in the process that uses it (start processes by spawn)"
    )
    assert reopened.startswith(f"IndexLocked: {tmp_path}/milvus.db: index is being written by pid {parent}: ")


def test_opening_loads_no_client_before(tmp_path: Path) -> None:
    script = """
import sys, hookrag_milvus.store, hookrag_milvus.plugin
print([name for name in ("pymilvus", "milvus_lite", "grpc", "pandas") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(HookragError):
        Milvus(chunker=None, embedder=None, path=tmp_path).card()
