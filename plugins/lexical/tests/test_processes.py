"""One process writes, others read."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from hookrag import Chunk, HookragError, IndexLocked, Row
from hookrag_lexical.content import Terms
from hookrag_lexical.store import Lexical
from hookrag_segments import manifest, writer

HOLDER = """
import sys
from pathlib import Path
from hookrag import Chunk, Row
from hookrag_lexical.store import Lexical
store = Lexical(chunker=None, path=Path(sys.argv[1]))
store.open()
store.put([Row(Chunk("theirs", "d", "word", 0, 4), "me", 1)], version=1)
print("holding", flush=True)
sys.stdin.readline()
store.sync()
print("synced", flush=True)
sys.stdin.readline()
"""

# Every commit replaces all rows, so that a result with rows of two commits, or with too few, shows.
REPLACER = """
import sys
from pathlib import Path
from hookrag import Chunk, Row
from hookrag_lexical.store import Lexical
store = Lexical(chunker=None, path=Path(sys.argv[1]))
store.open()
for turn in range(150):
    store.put([Row(Chunk(f"{turn}-{at}", str(turn), "word", 0, 4), "me", turn) for at in range(20)], version=1)
    store.drop([f"{turn - 1}-{at}" for at in range(20)], version=1)
    store.sync()
    print(turn, flush=True)
"""


def opened(path):
    store = Lexical(chunker=None, path=path)
    store.open()
    return store


def row(name):
    return Row(Chunk(name, "d", "word", 0, 4), "me", 1)


def started(script, path):
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("end", ["close", "kill"])
def test_a_second_writing_process_is_told_who_writes(tmp_path, end):
    path = tmp_path / "index"
    child = started(HOLDER, path)
    with child:
        assert child.stdout.readline() == "holding\n"
        store = opened(path)
        for call in (
            lambda: store.put([row("mine")], version=1),
            lambda: store.drop(["mine"], version=1),
            lambda: store.stamp(store.card()),
        ):
            with pytest.raises(IndexLocked) as error:
                call()
            assert str(error.value) == (
                f"{path} is being written by pid {child.pid}: wait until it has finished, or stop it"
            )
        store.sync()
        assert store.count() == 0
        child.stdin.write("sync\n")
        child.stdin.flush()
        assert child.stdout.readline() == "synced\n"
        assert [hit.chunk.id for hit in store.search_text(["word"], k=5, where=None)[0]] == ["theirs"]
        if end == "kill":
            child.kill()
        else:
            child.stdin.write("end\n")
            child.stdin.flush()
        child.wait()
        assert store.put([row("mine")], version=1) == {}
        store.sync()
        assert store.count() == 2
        store.close()


def test_the_writer_without_a_name_and_a_second_store_of_one_process(tmp_path):
    path = tmp_path / "index"
    one, two = opened(path), opened(path)
    one.put([row("a")], version=1)
    with pytest.raises(IndexLocked, match=rf"pid {os.getpid()}: wait"):
        two.put([row("b")], version=1)
    (path / "write.lock").write_bytes(b"")
    with pytest.raises(IndexLocked) as error:
        two.put([row("b")], version=1)
    assert str(error.value) == f"{path} is being written by another process: wait until it has finished, or stop it"
    one.sync()
    one.close()
    two.put([row("b")], version=1)
    two.sync()
    assert two.count() == 2


def test_each_result_comes_from_one_commit(tmp_path):
    path = tmp_path / "index"
    child = started(REPLACER, path)
    with child:
        assert child.stdout.readline() == "0\n"
        stop, wrong, turns = threading.Event(), [], set()

        def read():
            store = opened(path)
            while not stop.is_set():
                try:
                    [hits] = store.search_text(["word"], k=99, where=None)
                    keys = [key for page in store.scan() for key in page]
                except HookragError as error:
                    wrong.append(str(error))
                    return
                for got in ([hit.chunk.document_id for hit in hits], [key.document_id for key in keys]):
                    if len(got) != 20 or len(set(got)) != 1:
                        wrong.append(got)
                turns.update(hit.chunk.document_id for hit in hits)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        assert child.wait() == 0
        stop.set()
        for reader in readers:
            reader.join()
    assert wrong == []
    assert len(turns) > 3


def test_a_reader_that_comes_late_to_a_file_takes_the_newer_manifest(tmp_path, monkeypatch):
    path = tmp_path / "index"
    store = opened(path)
    store.put([row("a")], version=1)
    store.sync()
    old = manifest.read(path, Terms.kind)
    store.drop(["a"], version=1)
    store.put([row("b"), row("c")], version=1)
    store.sync()
    store.stamp(store.card())
    store.put([row("d")], version=1)
    store.sync()
    assert not (path / old.parts[0].segment.name).exists()
    read, late = manifest.read, [old]
    monkeypatch.setattr(manifest, "read", lambda folder, kind: late.pop() if late else read(folder, kind))
    assert sorted(key.chunk_id for page in opened(path).scan() for key in page) == ["b", "c", "d"]


def test_making_one_index_twice_at_once_makes_one(tmp_path):
    path = tmp_path / "deep" / "index"
    stores = [Lexical(chunker=None, path=path) for _ in range(8)]
    threads = [threading.Thread(target=store.open) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({store.card().uuid for store in stores}) == 1


def test_a_store_that_cannot_take_the_lock_to_be_made_says_who_has_it(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "LOCK_SECONDS", 0.1)
    path = tmp_path / "index"
    path.mkdir()
    held = writer.lock(path)
    with pytest.raises(IndexLocked, match=f"being written by pid {os.getpid()}"):
        opened(path)
    held.release()
    assert opened(path).count() == 0
