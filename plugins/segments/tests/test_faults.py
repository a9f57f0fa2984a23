"""Rows without columns of a store's own; the faults are seen where something is left out on purpose."""

from __future__ import annotations

import os

import pytest
from hookrag import Chunk, HookragError, Row
from hookrag.disk import durable
from hookrag_segments import files, manifest, merge
from hookrag_segments.content import Columns
from hookrag_segments.index import Index
from hookrag_segments.manifest import Kind
from hookrag_segments.testing import PowerLoss


class Nothing:
    """No columns: what every store has is all there is."""

    def take(self, row):
        return 0

    def columns(self):
        return Columns({}, [])


class Plain:
    kind = Kind("plain", "hookrag-plain")

    def identity(self):
        return {}

    def pending(self, parts):
        return Nothing()

    def merged(self, sources):
        return Columns({}, [])

    def plan(self, parts):
        return merge.tiered([part.live for part in parts], [len(part.segment) - part.live for part in parts])

    def companion(self, path, segment, base):
        return None

    def with_vectors(self, segment, number, row):
        return row

    def view(self, snapshot, before):
        return snapshot


# Each step: names put, names dropped.
STEPS = [("abc", ""), ("def", "a"), ("gh", "bd"), ("a", "c"), ("", "efgh")]


def states():
    rows, result = set(), [set()]
    for put, drop in STEPS:
        rows = (rows - set(drop)) | set(put)
        result.append(rows)
    return result


def opened(path):
    index = Index(path, Plain())
    index.open()
    return index


@pytest.fixture(autouse=True)
def small_merges(monkeypatch):
    monkeypatch.setattr(merge, "MAX_SEGMENTS", 2)
    monkeypatch.setattr(merge, "MIN_MERGED", 2)


def broken(tmp_path):
    """How many of the folders that a power cut could leave are damaged or have lost what was acknowledged."""
    index, power = opened(tmp_path / "index"), PowerLoss(tmp_path / "index")
    with power.recording():
        for put, drop in STEPS:
            index.drop(list(drop))
            index.put([Row(Chunk(name, "d", name, 0, 1), "me", 1) for name in put])
            index.sync()
            power.acknowledged += 1
        index.close()
    expected, count, bad = states(), 0, 0
    for folder, acknowledged in power.outcomes(tmp_path / "left"):
        count += 1
        try:
            left = opened(folder)
            left.verify()
            names = {key.chunk_id for page in left.scan() for key in page}
            bad += names not in expected[acknowledged : acknowledged + 2]
        except HookragError:
            bad += 1
    assert count > 40
    return bad


def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path):
    assert broken(tmp_path) == 0


def test_a_power_cut_is_noticed_where_files_are_not_made_durable(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "sync_file", lambda file: file.flush())
    assert broken(tmp_path) > 5


def test_a_power_cut_is_noticed_where_the_new_name_is_not_made_durable(tmp_path, monkeypatch):
    monkeypatch.setattr(durable, "sync_folder", lambda folder: None)  # that of the manifest: the writer has its own
    assert broken(tmp_path) > 0


def test_a_power_cut_is_noticed_where_the_manifest_is_not_made_durable(tmp_path, monkeypatch):
    write = manifest.write

    def careless(folder, content, kind):
        fsync = os.fsync
        try:
            os.fsync = lambda handle: None
            write(folder, content, kind)
        finally:
            os.fsync = fsync

    monkeypatch.setattr(manifest, "write", careless)
    assert broken(tmp_path) > 5


def test_a_folder_of_another_store_is_refused(tmp_path):
    opened(tmp_path / "index").close()

    class Other(Plain):
        kind = Kind("other", "hookrag-other")

    with pytest.raises(HookragError) as error:
        Index(tmp_path / "index", Other()).open()
    assert str(error.value) == (
        f"{tmp_path / 'index' / 'manifest.json'} belongs to a store 'plain', expected 'other': give each store a folder of "
        "its own"
    )
