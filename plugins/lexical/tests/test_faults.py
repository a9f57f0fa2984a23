"""A power cut, a full disk, and readers beside a writer that is killed: with real processes and a real file system."""

from __future__ import annotations

import os
import signal

import pytest
from hookrag import Chunk, Row
from hookrag_lexical.store import Lexical
from hookrag_segments import merge
from hookrag_segments.testing import PowerLoss, fill_disk, soak

PREAMBLE = """
from hookrag import Chunk, Row
from hookrag_lexical.store import Lexical
from hookrag_segments import merge
merge.MAX_SEGMENTS = merge.MIN_MERGED = 2

def made(path):
    store = Lexical(chunker=None, path=path)
    store.open()
    return store

def row(turn, at):
    text = f"word {turn} {at} " * SIZE
    return Row(Chunk(f"{turn}-{at}", str(turn), text, 0, len(text)), "me", turn)

def found(store):
    return store.search_text(["word"], k=999, where=None)[0]
"""

STEPS = [("abc", ""), ("def", "a"), ("gh", "bd"), ("a", "c"), ("", "efgh")]


def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path, monkeypatch):
    monkeypatch.setattr(merge, "MAX_SEGMENTS", 2)
    monkeypatch.setattr(merge, "MIN_MERGED", 2)
    store = Lexical(chunker=None, path=tmp_path / "index")
    store.open()
    power, rows, expected = PowerLoss(tmp_path / "index"), set(), [set()]
    with power.recording():
        for put, drop in STEPS:
            store.drop(list(drop), version=1)
            store.put([Row(Chunk(name, "d", f"word {name}", 0, 6), "me", 1) for name in put], version=1)
            store.sync()
            rows = (rows - set(drop)) | set(put)
            expected.append(rows)
            power.acknowledged += 1
        store.close()
    count = 0
    for folder, acknowledged in power.outcomes(tmp_path / "left"):
        left = Lexical(chunker=None, path=folder)
        left.open()
        left.verify()
        names = {hit.chunk.id for hit in left.search_text(["word"], k=99, where=None)[0]}
        assert names in expected[acknowledged : acknowledged + 2]
        count += 1
    assert count > 40


@pytest.mark.slow
def test_each_result_is_of_one_commit_while_the_writer_is_killed(tmp_path):
    long = os.environ.get("HOOKRAG_SOAK") == "1"
    seconds, every = (60.0, 3.0) if long else (4.0, 0.6)
    soaked = soak("SIZE = 1\n" + PREAMBLE, tmp_path / "index", seconds=seconds, every=every, least=3)
    assert soaked.wrong == []
    assert soaked.lost == []
    assert soaked.states > 1, soaked


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path):
    try:
        filled = fill_disk("SIZE = 1000\n" + PREAMBLE, tmp_path / "disk")
    except PermissionError as error:
        pytest.skip(f"{error}; a failing write at each place is tested without it")
    assert filled.status == 0, signal.Signals(-filled.status)
    assert len(filled.done) > 3
    path = tmp_path / "disk" / "index"
    assert filled.error == (
        f"cannot write the index in {path}: No space left on device: free some space, then try again; what was synced is safe"
    )
    assert filled.kept == filled.done
    assert filled.after == sorted([*filled.done, len(filled.done)] * 20)
