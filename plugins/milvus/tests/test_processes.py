"""Several processes: one writes at a time, what was acknowledged survives a kill, and a fork is noticed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hookrag import HookragError, IndexLocked
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
        for text in ("", "999999999", "-1", "what"):
            (tmp_path / "writer.pid").write_text(text)
            with pytest.raises(IndexLocked) as caught:
                store.open()
            assert (
                str(caught.value)
                == f"{tmp_path}/milvus.db: index is being written by a process that is not known: {advice}"
            )
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
        assert read_line(writer) == "closed"
        store.open()  # the writer lives on, but gave the index back
        store.close()
    finally:
        end(writer)


def test_no_acknowledged_row_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    script = """
store.stamp(type(store.card())(store.card().uuid, "journal", 7))
print(store.card().uuid, flush=True)
for start in range(0, 100_000, 100):
    store.put(rows(start, start + 100), version=1)
    print(start + 100, flush=True)
"""
    before, uuid = 0, None
    for _ in range(2):
        writer = start(tmp_path, script)
        try:
            assert read_line(writer) == uuid or uuid is None
            acknowledged = 0
            while acknowledged < 1_500:
                acknowledged = int(read_line(writer))
            writer.send_signal(signal.SIGKILL)
            rest, _ = writer.communicate()
            acknowledged = max([acknowledged, *map(int, rest.split("\n")[:-1])])
        finally:
            end(writer)
        store = Milvus(chunker=None, embedder=None, path=tmp_path)
        store.open()
        assert (store.card().owner, store.card().epoch) == ("journal", 7)
        uuid = store.card().uuid
        numbers = sorted(key.check for page in store.scan() for key in page)
        assert len(numbers) == len(set(numbers)) == store.count()
        assert set(range(max(before, acknowledged))) <= set(numbers)
        before = len(numbers)
        store.close()


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
