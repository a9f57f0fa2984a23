"""What is refused before anything is written: stores, sources, paths, a lost journal."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from hookrag import (
    Chunker,
    ConfigError,
    Document,
    HookragError,
    IdentityError,
    IndexLocked,
    IngestRefused,
    Pipeline,
)
from hookrag.components.search import Text
from hookrag.disk.lock import locked
from hookrag.ingest import IngestStopped
from hookrag.ingest.coverage import owner_of
from hookrag.testing.fakes import MemoryStore, WordChunker

from .shared import MOON, SUN, OnDisk, found, index, left, opened, reindex, tables, write


def test_a_store_that_can_be_in_one_place_only_is_refused(tmp_path: Path) -> None:
    docs = write(tmp_path, moon=MOON)
    config = tables(
        tmp_path,
        fixed={"use": OnDisk, "path": str(tmp_path / "else")},
        memory={"use": "fake-memory"},
        good={"use": OnDisk},
    )
    index(config, docs)
    with pytest.raises(ConfigError) as refused:
        reindex(config, docs)
    assert refused.value.problems == (
        f"[stores.fixed] lies in '{tmp_path}/else': hookrag reindex can fill a new store beside it only in the index folder "
        f"{tmp_path}/index: take the key 'path' out",
        "[stores.memory] cannot be filled anew beside itself: it has neither a path in the index folder nor generations; "
        "index into another store instead, with another configuration",
    )
    assert left(tmp_path) == {"1", "lock"}


def test_objects_scopes_and_nothing_to_read_are_refused(tmp_path: Path) -> None:
    store = MemoryStore(chunker=WordChunker())
    with Pipeline(retriever=Text(store=store), folder=tmp_path / "objects") as pipeline:
        with pytest.raises(HookragError) as refused:
            pipeline.reindex([tmp_path])
    assert str(refused.value) == (
        "reindex() needs a pipeline made from a configuration: stores given as objects are one each"
    )
    with opened(tables(tmp_path)) as pipeline:
        with pytest.raises(HookragError, match="a scoped pipeline cannot index"):
            pipeline.scoped('lang == "en"').reindex([tmp_path])
        with pytest.raises(HookragError, match="needs paths or documents to fill the index with, or drop_old"):
            pipeline.reindex()
        with pytest.raises(HookragError, match=r"takes a list of paths: write reindex\(\['docs'\]\)"):
            pipeline.reindex("docs")


def test_every_source_of_the_index_has_to_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the folder that ids are relative to
    docs, config = write(tmp_path, moon=MOON), tables(tmp_path)
    other = tmp_path / "notes.txt"
    other.write_text(SUN)
    (tmp_path / "docs/deep").mkdir()
    (tmp_path / "docs/deep/er.txt").write_text("deep is the moon")
    with opened(config) as pipeline:
        pipeline.index_files(docs)
        pipeline.index_files(other)
        pipeline.index([Document("p", "python and the moon")], source="mine")
    with pytest.raises(IngestRefused) as refused:
        reindex(config, docs / "deep")
    assert str(refused.value) == (
        f"3 documents of the index in {tmp_path}/index come from what was not given, and would not be found any more:\n"
        f"  1 of docs\n"
        f"  1 of notes.txt\n"
        f"  1 of the source 'mine', which was indexed from Python\n"
        f"Give all of it at once, or do without those documents: hookrag reindex --prune PATH..."
    )
    assert left(tmp_path) == {"1", "lock"}
    with opened(config) as pipeline:
        report = pipeline.reindex([docs, other], documents={"mine": [Document("p", "python and the new moon")]})
    assert [one.new for one in report.reports] == [2, 1, 1]
    assert found(config, "python") == ["python and the new moon"]
    assert len(found(config)) == 4
    reindex(config, other, prune=True)
    assert found(config) == [SUN]


class Strict(OnDisk):
    """Is not opened with another analyzer than the one that it was made with."""

    def __init__(self, *, chunker: Chunker, path: Path, analyzer: str) -> None:
        super().__init__(chunker=chunker, path=path)
        self.analyzer = analyzer

    def open(self) -> None:
        super().open()
        self.path.mkdir(parents=True, exist_ok=True)
        mark = self.path / "analyzer"
        if mark.exists() and mark.read_text() != self.analyzer:
            raise IdentityError(f"{self.path} was made with another analyzer")
        mark.write_text(self.analyzer)


def lose(folder: Path) -> None:
    for file in (folder / "index/1").glob("journal.sqlite3*"):
        file.unlink()


@pytest.mark.parametrize("emptied", [False, True])
def test_without_its_journal_nobody_knows_what_has_to_be_given(emptied: bool, tmp_path: Path) -> None:
    docs, config = write(tmp_path, moon=MOON, sun=SUN), tables(tmp_path)
    index(config, docs)
    (row, *_) = pickle.loads((tmp_path / "index/1/stores/terms/rows").read_bytes())[0].values()
    lose(tmp_path)
    if emptied:
        with pytest.raises(IngestRefused, match="belongs to another journal"):
            index(config, docs)
    mine = owner_of(tmp_path / "index/1")
    assert bool(mine) == emptied
    for given in (config, tables(tmp_path, size=4)):
        with pytest.raises(IngestRefused) as refused:
            reindex(given, docs / "moon.txt", drop_old=True)
        journal = f"the journal is {mine}" if emptied else "there is no journal"
        assert str(refused.value) == (
            f"[stores.terms] holds what the journal in {tmp_path}/index/1 does not know, so that nobody can say what has to be "
            f"given: its owner is {row.owner}, {journal}.\n"
            f"Was the journal deleted? Make it anew, with the settings and all paths of the index: hookrag index --take-over "
            f"PATH...\nDoes another index write here? Give this one a store of its own. Or do without what is not given: "
            f"hookrag reindex --prune PATH..."
        )
        assert left(tmp_path) == {"1", "lock"}
    assert found(config) == [MOON, SUN]
    with opened(config) as pipeline:
        if not emptied:
            pipeline.index_files(docs, take_over=True)
    assert reindex(config, docs / "moon.txt", prune=True, drop_old=True).dropped == [1]
    assert found(config) == [MOON]


def test_a_store_that_cannot_even_be_opened_with_the_new_settings(tmp_path: Path) -> None:
    docs = write(tmp_path, moon=MOON)
    old, new = (tables(tmp_path, terms={"use": Strict, "analyzer": name}) for name in ("old", "new"))
    index(old, docs)
    lose(tmp_path)
    with pytest.raises(
        IngestRefused, match=r"what has to be given: .*terms was made with another analyzer\.\nWas the journal"
    ):
        reindex(new, docs)
    with opened(old) as pipeline:
        pipeline.index_files(docs, take_over=True)
    assert reindex(new, docs).switched  # what the journal knows is not opened


def test_a_journal_from_before_a_store_was_filled(tmp_path: Path) -> None:
    docs, config = write(tmp_path, moon=MOON), tables(tmp_path, terms={"use": OnDisk}, more={"use": OnDisk})
    index(tables(tmp_path), docs)
    journal = tmp_path / "index/1/journal.sqlite3"
    before = journal.read_bytes()
    index(config, write(tmp_path, sun=SUN))
    journal.write_bytes(before)
    with pytest.raises(IngestRefused) as refused:
        reindex(config, docs)
    assert str(refused.value) == (
        f"the journal in {tmp_path}/index/1 is older than [stores.more]: the store was written from it, but it does not "
        f"remember that.\nWas the journal restored from a backup? Compare and mend them: hookrag verify --repair"
    )


def test_a_journal_that_cannot_be_read(tmp_path: Path) -> None:
    docs, config = write(tmp_path, moon=MOON), tables(tmp_path)
    index(config, docs)
    lose(tmp_path)
    (tmp_path / "index/1/journal.sqlite3").write_text("no journal at all, and long enough to be looked at" * 10)
    with pytest.raises(IngestStopped) as stopped:
        reindex(config, docs)
    assert str(stopped.value).startswith(
        f"the journal {tmp_path}/index/1/journal.sqlite3 cannot be read: file is not a database.\nIts file is damaged. Move it "
    )


def test_a_store_that_only_another_configuration_names_is_not_left_empty(tmp_path: Path) -> None:
    docs = write(tmp_path, moon=MOON)
    one, two = tables(tmp_path, terms={"use": OnDisk}), tables(tmp_path, other={"use": OnDisk})
    index(one, docs)
    index(two, docs)
    with pytest.raises(IngestRefused) as refused:
        reindex(two, docs, drop_old=True)
    assert str(refused.value) == (
        f"[stores.terms] of the index in {tmp_path}/index have no table in the configuration, and what they hold would not be "
        f"found any more.\nPut their tables into it, or do without these stores: hookrag reindex --prune PATH..."
    )
    assert left(tmp_path) == {"1", "lock"}
    both = tables(tmp_path, terms={"use": OnDisk}, other={"use": OnDisk})
    both["pipelines"] = {"default": {"retriever": "other"}}
    assert reindex(both, docs).switched
    assert found(one) == [MOON]
    assert reindex(two, docs, prune=True).switched
    assert (found(one), found(two)) == ([], [MOON])


def test_one_writer_of_all_generations(tmp_path: Path) -> None:
    docs, config = write(tmp_path, moon=MOON), tables(tmp_path)
    index(config, docs)
    with locked(tmp_path / "index"):
        for writes in (
            lambda: reindex(config, docs),
            lambda: reindex(config, drop_old=True),
            lambda: index(config, docs),
        ):
            with pytest.raises(
                IndexLocked, match=rf"the index in {tmp_path}/index is being written by pid {os.getpid()} "
            ):
                writes()
        assert found(config) == [MOON]
