"""Generations of an index: which is searched, how the next is filled and takes its place, also when it is killed."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hookrag import (
    Chunker,
    ConfigError,
    Document,
    HookragError,
    IdentityError,
    IndexLocked,
    IngestRefused,
    ItemRejected,
    Pipeline,
    RowKey,
    generations,
)
from hookrag.catalogue import Catalogue
from hookrag.components.search import Text
from hookrag.coverage import owner_of
from hookrag.ingest import IngestStopped, faults
from hookrag.ingest.lock import locked
from hookrag.ingest.run import status
from hookrag.reindex import ReindexReport, SwitchRefused
from hookrag.schema import config_schema
from hookrag.signature import parameters
from hookrag.testing import plugin
from hookrag.testing.fakes import MemoryStore, WordChunker


class Kept(MemoryStore):
    """Rows in a file, which `sync` and `stamp` replace."""

    fenced = True
    file: Path

    def open(self) -> None:
        if self.file.exists():
            self.rows, self._card = pickle.loads(self.file.read_bytes())

    def sync(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        beside = self.file.with_suffix(".new")
        beside.write_bytes(pickle.dumps((self.rows, self._card)))
        beside.replace(self.file)

    def stamp(self, card: Any, /) -> None:
        super().stamp(card)
        self.sync()


class OnDisk(Kept):
    def __init__(self, *, chunker: Chunker, path: Path) -> None:
        super().__init__(chunker=chunker)
        self.path = path
        self.file = path / "rows"


class Served(Kept):
    """On a "server", which is a folder: a file a generation, and one that says which of them is searched."""

    def __init__(self, *, chunker: Chunker, server: Path, generation: int | None = None) -> None:
        super().__init__(chunker=chunker)
        self.server = server
        self.generation = generation

    @property
    def file(self) -> Path:
        return self.server / f"rows-{self.generation or self.searched()}"

    def searched(self) -> int:
        alias = self.server / "alias"
        return int(alias.read_text()) if alias.exists() else 1

    def promote(self) -> None:
        assert self.generation is not None
        (self.server / "alias.new").write_text(str(self.generation))
        (self.server / "alias.new").replace(self.server / "alias")

    def retire(self, generation: int, /) -> None:
        if generation == self.searched():
            raise HookragError(f"generation {generation} is searched")
        (self.server / f"rows-{generation}").unlink(missing_ok=True)


class Down(Served):
    """A server that cannot be reached to promote, until it has the file "up"."""

    def promote(self) -> None:
        if not (self.server / "up").exists():
            raise HookragError("it cannot be reached")
        super().promote()


class Picky(WordChunker):
    """Refuses documents with "poison" in them."""

    def chunk(self, documents: Sequence[Document], /) -> list[list[Any]]:
        for document in documents:
            if "poison" in document.text:
                raise ItemRejected("it is poison")
        return super().chunk(documents)


FAKES = {"fakes": plugin}


def tables(folder: Path, size: int = 20, **stores: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration whose pipeline searches the first store, and others in it."""
    stores = stores or {"terms": {"use": OnDisk}}
    return {
        "pipelines": {"default": {"retriever": "all"}},
        "index": {"path": str(folder / "index"), "fields": {"lang": "keyword"}},
        "chunkers": {"words": {"use": Picky, "size": size}},
        "stores": {name: {"chunker": "words", **store} for name, store in stores.items()},
        "retrievers": {
            "all": {"use": "fused", "retrievers": list(stores), "fuser": "rank"},
            **{name: {"use": "text", "store": name} for name in stores},
        },
        "fusers": {"rank": {"use": "fake-rank"}},
    }


def served(folder: Path) -> dict[str, Mapping[str, Any]]:
    """An embedded store and two on servers."""
    return {
        "terms": {"use": OnDisk},
        "one": {"use": Served, "server": str(folder / "one")},
        "two": {"use": Served, "server": str(folder / "two")},
    }


def opened(config: Mapping[str, Any], pipeline: str = "default") -> Pipeline:
    return Pipeline.from_config(config, pipeline=pipeline, plugins=FAKES)


def write(folder: Path, **texts: str) -> Path:
    """A folder `docs` with a file for each name."""
    (folder / "docs").mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / "docs" / f"{name}.txt").write_text(text)
    return folder / "docs"


def index(config: Mapping[str, Any], path: Path) -> None:
    with opened(config) as pipeline:
        pipeline.index_files(path)


def reindex(config: Mapping[str, Any], *paths: Path, **options: Any) -> ReindexReport:
    with opened(config) as pipeline:
        return pipeline.reindex(paths, **options)


def found(config: Mapping[str, Any], words: str = "moon") -> list[str]:
    """The texts that a pipeline that is made now finds."""
    with opened(config) as pipeline:
        return sorted(hit.chunk.text for hit in pipeline.retrieve([words], 100)[0].hits)


MOON, SUN = "the moon orbits the earth in 27 days", "the sun is a star and shines on the moon"


def test_the_next_generation_is_filled_beside_the_one_that_is_searched(tmp_path: Path) -> None:
    docs = write(tmp_path, moon=MOON, sun=SUN)
    old, new = tables(tmp_path), tables(tmp_path, size=4)
    index(old, docs)
    assert (tmp_path / "index/1/stores/terms/rows").exists()
    with opened(old) as before:
        assert len(before.retrieve(["moon"])[0].hits) == 2
        with pytest.raises(IdentityError, match=r"chunker\.size: indexed with 20, opened with 4"):
            found(new)
        report = reindex(new, docs)
        assert (report.generation, report.switched, report.resumed, report.partial) == (2, True, False, False)
        assert report.verified is not None
        assert report.verified.ok
        assert report.verified.stores[0].rows == 5
        assert found(new) == ["the moon", "the moon orbits the"]
        # What was opened goes on with what it opened; it must not be written any more.
        assert len(before.retrieve(["moon"])[0].hits) == 2
        with pytest.raises(IngestRefused) as refused:
            before.index([Document("x", "x")])
    assert str(refused.value) == (
        f"this pipeline was made of generation 1 of the index in {tmp_path}/index, generation 2 has taken its place since: "
        f"make the pipeline again, or start the process again"
    )


def test_old_generations_are_dropped_on_request_and_nothing_else(tmp_path: Path) -> None:
    docs, config = write(tmp_path, moon=MOON), tables(tmp_path, **served(tmp_path))
    index(config, docs)
    reindex(config, docs)
    reindex(config, docs)
    with opened(config) as late, opened(config) as asked:
        assert len(asked.retrieve(["moon"])[0].hits) == 1
        (tmp_path / "index/note.txt").write_text("mine")
        (tmp_path / "index/dropped").mkdir()  # a process died while it deleted
        (tmp_path / "index/4").mkdir()  # half filled, for all one knows
        kept = {"3", "4", "current", "lock", "note.txt"}
        assert set(os.listdir(tmp_path / "index")) == {"1", "2", "dropped", *kept}
        assert reindex(config, drop_old=True).dropped == [1, 2]
        assert set(os.listdir(tmp_path / "index")) == kept
        assert set(os.listdir(tmp_path / "one")) == {"alias", "rows-3"}
        assert found(config) == [MOON]
        assert reindex(config, drop_old=True).dropped == []
        assert reindex(config, docs, drop_old=True).dropped == [3]
        for call in (
            lambda: late.retrieve(["moon"]),
            lambda: asked.retrieve(["moon"]),
            asked.status,
            lambda: asked.index_files(docs, dry_run=True),
        ):
            with pytest.raises(IdentityError) as gone:
                call()
            assert str(gone.value) == (
                f"generation 3 of the index in {tmp_path}/index was dropped, generation 4 is searched now: "
                f"make the pipeline again, or start the process again"
            )
    assert not (tmp_path / "index/3").exists()


def test_the_number_of_a_generation_is_the_cores_to_give(tmp_path: Path) -> None:
    assert set(parameters(Served)) == {"chunker", "server"}
    config = tables(tmp_path, one={"use": Served, "server": str(tmp_path), "generation": 2})
    with pytest.raises(ConfigError) as unknown:
        opened(config)
    assert str(unknown.value) == "[stores.one] unknown key 'generation'; known keys: chunker, server"


def test_the_rows_of_a_store_on_a_server_change_with_its_generation_and_its_identity_does_not(tmp_path: Path) -> None:
    docs, config = write(tmp_path, moon=MOON), tables(tmp_path, one=served(tmp_path)["one"])
    index(config, docs)
    for number in (2, 3):
        with opened(config) as before:
            assert [hit.chunk.text for hit in before.retrieve(["moon"])[0].hits] == [MOON]
            reindex(config, docs)
            write(tmp_path, moon=f"the moon is number {number}")
            with opened(config) as after:
                assert after.index_files(docs).changed == 1
                assert after.verify().ok
            # From the second on it is asked for by its number: who opened it goes on with it, also on a server.
            if number > 2:
                assert [hit.chunk.text for hit in before.retrieve(["moon"])[0].hits] == [MOON]
            write(tmp_path, moon=MOON)
            index(config, docs)


def test_without_the_index_folder_a_server_is_searched_as_it_was_promoted(tmp_path: Path) -> None:
    docs, config = write(tmp_path, moon=MOON), tables(tmp_path, one=served(tmp_path)["one"])
    index(config, docs)
    write(tmp_path, moon="the moon is new")
    reindex(config, docs)
    assert found({**config, "index": {"path": str(tmp_path / "another machine")}}) == ["the moon is new"]


# What is refused before anything is written.


def left(folder: Path) -> set[str]:
    return set(os.listdir(folder / "index"))


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


# Paths outside of the folder of the configuration.


def indexed(config: Mapping[str, Any], *paths: Path) -> list[str]:
    """Index the paths one after the other; the ids of the documents that are found then."""
    for path in paths:
        index(config, path)
    with opened(config) as pipeline:
        return sorted(hit.chunk.document_id for hit in pipeline.retrieve(["moon"], 100)[0].hits)


def test_a_path_in_another_one_keeps_its_ids(tmp_path: Path) -> None:
    docs, config = write(tmp_path, moon=MOON, sun=SUN), tables(tmp_path)
    (docs / "a").mkdir()
    (docs / "a/one.txt").write_text("one moon")
    ids = ["docs/a/one.txt", "docs/moon.txt", "docs/sun.txt"]
    assert indexed(config, docs, docs / "a", docs / "a/one.txt") == ids
    (docs / "a/two.txt").write_text("two moons, one moon each")
    (docs / "sun.txt").unlink()
    assert indexed(config, docs / "a/two.txt", docs) == ["docs/a/one.txt", "docs/a/two.txt", "docs/moon.txt"]
    assert [one.unchanged for one in reindex(config, docs, docs / "a").reports] == [0, 2]
    # What is no part of it is named from the folder above it, as ever.
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/x.txt").write_text("x moon")
    assert indexed(config, tmp_path / "deep/er")[-1] == "er/x.txt"
    assert indexed(config, tmp_path / "deep")[-1] == "er/x.txt"


def test_a_path_around_one_that_was_indexed_is_refused(tmp_path: Path) -> None:
    docs, config = write(tmp_path, moon=MOON), tables(tmp_path)
    (docs / "a").mkdir()
    (docs / "a/one.txt").write_text("one moon")
    assert indexed(config, docs / "a") == ["a/one.txt"]
    assert indexed(config, docs) == ["a/one.txt", "moon.txt"]  # the folder above: the same ids
    for dry_run in (False, True):
        with opened(config) as pipeline, pytest.raises(IngestRefused) as refused:
            pipeline.index_files(tmp_path, dry_run=dry_run)
        assert str(refused.value) == (
            f"{tmp_path} contains what was indexed by itself, whose documents would be in the index twice, by two ids:\n"
            f"  {docs}\n"
            f"Index that and what lies beside it by themselves, or make the index anew with the whole in their place: "
            f"hookrag reindex --prune PATH..."
        )
    with pytest.raises(IngestRefused, match=r"2 documents of the index in .* come from what was not given"):
        reindex(config, tmp_path)
    with pytest.raises(IngestRefused) as refused:
        reindex(config, tmp_path, docs, prune=True)
    assert str(refused.value) == (
        f"{docs} lies in {tmp_path}, which was given too, and its documents would be in the index twice, by two ids: "
        f"give {tmp_path} alone"
    )
    assert reindex(config, tmp_path, prune=True).switched
    name = tmp_path.name
    assert indexed(config, docs / "a") == [f"{name}/docs/a/one.txt", f"{name}/docs/moon.txt"]


def test_a_path_around_the_folder_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    docs, config = write(project, moon=MOON), tables(project)
    assert indexed(config, docs) == ["docs/moon.txt"]
    with pytest.raises(IngestRefused, match=r"contains what was indexed by itself, .*\n  .*/project/docs\nIndex that"):
        index(config, tmp_path)
    assert reindex(config, tmp_path, prune=True).switched
    assert indexed(config, docs) == [f"{tmp_path.name}/project/docs/moon.txt"]


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


# What is refused before the switch.


def test_documents_that_fail_hold_the_switch_back(tmp_path: Path) -> None:
    docs, config = write(tmp_path, moon=MOON, sun=SUN), tables(tmp_path)
    index(config, docs)
    write(tmp_path, sun="poison for the moon")
    with pytest.raises(SwitchRefused) as refused:
        reindex(config, docs)
    assert str(refused.value) == (
        f"1 documents or files could not be taken into generation 2. Generation 1 of the index in {tmp_path}/index is searched "
        f"as before.\nMend them and run the same command again, or do without them: hookrag reindex --allow-partial PATH..."
    )
    report = refused.value.report
    assert (report.generation, report.switched, report.reports[0].failed[0].reason) == (1, False, "it is poison")
    assert sorted(found(config)) == [MOON, SUN]
    # Twice, for what failed in one attempt fails in the next, too.
    with pytest.raises(SwitchRefused, match="1 documents or files could not be taken"):
        reindex(config, docs)
    report = reindex(config, docs, allow_partial=True)
    assert (report.switched, report.partial) == (True, True)
    assert found(config) == [MOON]
    write(tmp_path, sun=SUN)
    assert reindex(config, docs).generation == 3


def test_too_many_that_are_gone_hold_the_switch_back(tmp_path: Path) -> None:
    docs = write(tmp_path, **{f"d{n:02}": f"moon {n}" for n in range(13)})
    config = tables(tmp_path)
    index(config, docs)
    for path in sorted(docs.iterdir())[:11]:
        path.unlink()
    with pytest.raises(SwitchRefused) as refused:
        reindex(config, docs)
    assert str(refused.value) == (
        "11 of 13 documents are gone from what was given, which is hard to believe:"
        + "".join(f"\n  {docs.relative_to(tmp_path)}/d{n:02}.txt" for n in range(10))
        + f"\n  and 1 more\nNothing was switched. Generation 1 of the index in {tmp_path}/index is searched as before."
        "\nIf they are meant to go: hookrag reindex --prune PATH..."
    )
    write(tmp_path, d00="moon 0")
    assert reindex(config, docs).switched  # ten that are gone can be believed
    for path in docs.iterdir():
        path.unlink()
    with pytest.raises(SwitchRefused, match="3 of 3 documents are gone"):
        reindex(config, docs)
    assert reindex(config, docs, prune=True).generation == 3
    assert found(config) == []


class Forgetful(OnDisk):
    """Loses a row at the first time that it is asked for all of them."""

    def scan(self) -> Iterator[list[RowKey]]:
        mark = self.path / "forgot"
        if not mark.exists():
            mark.touch()
            del self.rows[min(self.rows)]
            self.sync()
        yield from super().scan()


def test_what_a_store_lost_is_found_before_the_switch_and_mended_by_the_same_call(tmp_path: Path) -> None:
    docs, config = write(tmp_path, moon=MOON, sun=SUN), tables(tmp_path, terms={"use": Forgetful})
    index(config, docs)
    with pytest.raises(SwitchRefused) as refused:
        reindex(config, docs)
    assert str(refused.value) == (
        f"generation 2 does not hold what was written to it: [stores.terms]. It was repaired as far as it can be: run the same "
        f"command again. Generation 1 of the index in {tmp_path}/index is searched as before."
    )
    assert found(config) == [MOON, SUN]
    report = reindex(config, docs)
    assert (report.generation, report.reports[0].written) == (2, 1)
    assert found(config) == [MOON, SUN]


# Half filled.


def half_filled(config: Mapping[str, Any], docs: Path) -> None:
    """Leave generation 2 as an attempt leaves it that one document held back."""
    (docs / "zz.txt").write_text("poison")
    with pytest.raises(SwitchRefused):
        reindex(config, docs)
    (docs / "zz.txt").unlink()


def test_a_half_filled_generation_is_gone_on_with(tmp_path: Path) -> None:
    docs, config = write(tmp_path, moon=MOON, sun=SUN), tables(tmp_path, **served(tmp_path))
    index(config, docs)
    half_filled(config, docs)
    # What is indexed meanwhile goes to the generation that is searched, and is found in the sources afterwards.
    write(tmp_path, sun="the sun has no moon", star="no star but the sun has a moon")
    index(config, docs)
    after = ["no star but the sun has a moon", MOON, "the sun has no moon"]
    assert found(config) == after
    with opened(config) as pipeline:
        assert pipeline.verify().ok
    report = reindex(config, docs)
    assert (report.restarted, report.reports[0].unchanged, report.reports[0].indexed) == (False, 1, 2)
    assert found(config) == after


def test_a_generation_half_filled_with_other_settings_is_thrown_away(tmp_path: Path) -> None:
    docs = write(tmp_path, moon=MOON, sun=SUN)
    old, new = tables(tmp_path, **served(tmp_path)), tables(tmp_path, size=4, **served(tmp_path))
    index(old, docs)
    half_filled(old, docs)
    report = reindex(new, docs)
    assert (report.restarted, report.reports[0].new) == (True, 2)
    assert found(new) == ["the moon", "the moon orbits the"]
    assert {store.rows for store in report.verified.stores} == {5}  # type: ignore[union-attr]  # it was verified


def test_a_generation_on_a_server_that_belongs_to_another_index_is_left_alone(tmp_path: Path) -> None:
    docs = write(tmp_path, moon=MOON)
    one = served(tmp_path)["one"]
    stranger = {**tables(tmp_path, one=one), "index": {"path": str(tmp_path / "stranger")}}
    index(stranger, docs)
    half_filled(stranger, docs)
    config = tables(tmp_path, two=served(tmp_path)["two"])
    index(config, docs)
    config = tables(tmp_path, size=4, one=one, two=served(tmp_path)["two"])
    with pytest.raises(IngestRefused, match=r"\[stores.one\] holds what the journal in .*/index/1 does not know"):
        reindex(config, docs)
    for _ in range(2):
        with pytest.raises(IngestRefused, match=r"\[stores.one\] belongs to another journal") as refused:
            reindex(config, docs, prune=True)
    (owner,) = {row.owner for row in pickle.loads((tmp_path / "one/rows-2").read_bytes())[0].values()}
    assert str(refused.value) == (
        f"[stores.one] belongs to another journal: the owner of its generation 2 is {owner}, the journal in {tmp_path}/index/2 "
        f"is {owner_of(tmp_path / 'index/2')}. Give this index a store of its own"
    )
    assert reindex(stranger, docs).reports[0].unchanged == 1


def test_stores_that_other_pipelines_filled_are_filled_too(tmp_path: Path) -> None:
    docs, config = (
        write(tmp_path, moon=MOON),
        tables(tmp_path, terms={"use": OnDisk}, more={"use": OnDisk}, idle={"use": OnDisk}),
    )
    config["pipelines"] = {"default": {"retriever": "terms"}, "other": {"retriever": "more"}}
    for name in ("default", "other"):
        with opened(config, name) as pipeline:
            pipeline.index_files(docs)
    report = reindex(config, docs)
    assert [store.name for store in report.verified.stores] == ["terms", "more"]  # type: ignore[union-attr]
    with opened(config, "other") as pipeline:
        assert len(pipeline.retrieve(["moon"])[0].hits) == 1


# Cut off.


def places(config: Mapping[str, Any], docs: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where a re-indexing can be cut off, in order."""
    met: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(faults, "from_environment", lambda: met.append)
        reindex(config, docs, drop_old=True)
    return met


def killed(config: Mapping[str, Any], docs: Path, moment: int) -> None:
    """Re-index in another process that dies at the n-th place."""

    def die() -> None:
        os.environ[faults.VARIABLE] = str(moment)
        reindex(config, docs, drop_old=True)

    process = multiprocessing.get_context("fork").Process(target=die)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def test_killed_anywhere_the_same_call_finishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And in between everything that was found is found: with the settings of whichever generation is searched."""
    first, edited = {"moon": MOON, "sun": SUN}, {"sun": "the sun is not the moon", "star": "a star is no moon at all"}

    def world(name: str) -> tuple[dict[str, Any], dict[str, Any], Path]:
        folder = tmp_path / name
        folder.mkdir()
        docs = write(folder, **first)
        old, new = tables(folder, **served(folder)), tables(folder, size=4, **served(folder))
        index(old, docs)
        write(folder, **edited)
        return old, new, docs

    _, new, docs = world("whole")
    met = places(new, docs, monkeypatch)
    expected = found(new)
    begins = met.index("switch: before")
    assert met[begins:] == [
        "switch: before", "switch: after", "[stores.one] promote: before", "[stores.one] promote: after",
        "[stores.two] promote: before", "[stores.two] promote: after", "current: before", "current: after", "drop 1: before",
    ]  # fmt: skip
    for moment in (*range(1, begins, 37), *range(begins, len(met))):
        old, new, docs = world(str(moment))
        killed(new, docs, moment + 1)
        place = met[moment]
        switched = generations.current(docs.parent / "index") == 2
        assert switched == (moment >= met.index("current: after"))
        if moment <= met.index("[stores.one] promote: before"):
            assert found(old) == [SUN, MOON][::-1], place
        elif switched:
            assert found(new) == expected, place
        else:
            with pytest.raises(IdentityError) as between:
                found(old)
            assert between.value.__notes__[-1] == (
                "a switch to generation 2 was cut off: finish it, hookrag reindex PATH..."
            )
            with pytest.raises(
                IngestRefused, match=r"a switch of the index in .* to generation 2 was cut off: finish it"
            ):
                index(old, docs)
            with pytest.raises(IdentityError, match=r"terms\] of the index .* was made with other settings") as other:
                reindex(old, docs)
            assert "finish it first, with the settings that it was made with" in other.value.__notes__[-1]
        report = reindex(new, docs, drop_old=True)
        assert (report.generation, report.resumed) == (2, moment > begins), place
        assert found(new) == expected, place
        assert left(docs.parent) == {"2", "current", "lock"}, place
        assert {path.name for path in (docs.parent / "one").iterdir()} == {"alias", "rows-2"}, place
        with opened(new) as pipeline:
            assert pipeline.verify().ok, place
            assert pipeline.index_files(docs).unchanged == 3, place


@pytest.mark.parametrize("name", ["switch: after", "[stores.one] promote: after", "current: before"])
def test_a_later_switch_that_is_cut_off_changes_nothing_for_searches(name: str, tmp_path: Path) -> None:
    docs = write(tmp_path, moon=MOON)
    old, new = tables(tmp_path, **served(tmp_path)), tables(tmp_path, size=4, **served(tmp_path))
    index(old, docs)
    reindex(old, docs)

    def stop(place: str) -> None:
        if place == name:
            raise KeyboardInterrupt

    with opened(old) as before, pytest.MonkeyPatch.context() as patched:
        before.open()
        patched.setattr(faults, "from_environment", lambda: stop)
        with pytest.raises(KeyboardInterrupt):
            reindex(new, docs)
        assert len(before.retrieve(["moon"])[0].hits) == 1
        assert found(old) == [MOON]
    assert reindex(new, docs).resumed
    assert found(new) == ["the moon orbits the"]


@pytest.mark.parametrize("first", [True, False])
def test_a_server_that_is_not_there_for_the_switch(first: bool, tmp_path: Path) -> None:
    docs = write(tmp_path, moon=MOON)
    down = {"use": Down, "server": str(tmp_path / "down")}
    config = tables(tmp_path, **({"down": down, **served(tmp_path)} if first else {**served(tmp_path), "down": down}))
    index(config, docs)
    with pytest.raises(HookragError) as stopped:
        reindex(config, docs)
    assert str(stopped.value) == "[stores.down] failed in promote: it cannot be reached"
    if first:  # nothing was switched
        index(config, docs)
    else:
        with pytest.raises(IngestRefused, match="was cut off: finish it"):
            index(config, docs)
    assert found(config) == [MOON]
    (tmp_path / "down/up").touch()
    assert reindex(config, docs).resumed == (not first)
    with opened(config) as pipeline:
        assert pipeline.verify().ok


def test_a_switch_that_was_only_not_reported_does_not_hold_back_other_settings(tmp_path: Path) -> None:
    docs, config = write(tmp_path, moon=MOON), tables(tmp_path)
    index(config, docs)
    reindex(config, docs)
    generations.begin_switch(tmp_path / "index", 2)  # as if it had died after `current` was replaced
    other = tables(tmp_path, size=4)
    assert reindex(other, docs).generation == 3
    generations.begin_switch(tmp_path / "index", 3)
    report = reindex(other, docs)
    assert (report.generation, report.resumed, report.reports) == (3, True, ())
    generations.begin_switch(tmp_path / "index", 3)
    index(other, docs)
    assert reindex(other, docs).generation == 4


# The files.


def test_an_index_from_before_generations_is_told_where_to_go(tmp_path: Path) -> None:
    docs, config = write(tmp_path, moon=MOON), tables(tmp_path)
    index(config, docs)
    folder = tmp_path / "index"
    for path in (folder / "1").iterdir():
        path.rename(folder / path.name)
    (folder / "1").rmdir()
    with pytest.raises(IdentityError) as told:
        found(config)
    command = f"mkdir {folder}/1 && mv {folder}/journal.sqlite3* {folder}/stores {folder}/1"
    assert str(told.value) == (
        f"the index in {folder} was made before indexes had generations: move it into its first one, {command}"
    )
    assert os.system(command) == 0
    assert found(config) == [MOON]
    with opened(config) as pipeline:
        assert pipeline.index_files(docs).unchanged == 1


@pytest.mark.parametrize("text", ["", "two", "0", "-1", "01"])
def test_a_pointer_that_is_no_number(text: str, tmp_path: Path) -> None:
    (tmp_path / "current").write_text(text)
    with pytest.raises(IdentityError) as told:
        generations.current(tmp_path)
    assert str(told.value) == (
        f"{tmp_path}/current must hold the number of a generation, got {text!r}: put the number there"
    )


def test_an_index_that_lost_its_pointer_is_not_begun_again(tmp_path: Path) -> None:
    docs, config = write(tmp_path, moon=MOON), tables(tmp_path)
    write(tmp_path, bad="poison")
    for _ in range(2):  # of an index that was empty, too
        with pytest.raises(SwitchRefused):
            reindex(config, docs)
    (docs / "bad.txt").unlink()
    assert reindex(config, docs, drop_old=True).dropped == [1]
    (tmp_path / "index/4").mkdir()
    (tmp_path / "index/current").unlink()
    for call in (found, lambda config: index(config, docs)):
        with pytest.raises(IdentityError) as told:
            call(config)
        assert str(told.value) == (
            f"there is no file {tmp_path}/index/current and no generation 1 in {tmp_path}/index, but generation 2, 4: "
            f"write the number of the one that was searched into that file"
        )
    (tmp_path / "index/current").write_text("2")
    assert found(config) == [MOON]


def test_a_generation_that_is_gone_is_not_begun_again(tmp_path: Path) -> None:
    generations.switch(tmp_path, 3)
    with pytest.raises(IdentityError) as told:
        found({**tables(tmp_path), "index": {"path": str(tmp_path)}})
    assert str(told.value) == (
        f"{tmp_path}/current names generation 3, but there is no folder {tmp_path}/3: put it back from a backup, or remove "
        f"{tmp_path} and index again"
    )


def test_a_variant_stays_with_the_generation_of_its_pipeline(tmp_path: Path) -> None:
    docs, config = write(tmp_path, moon=MOON), tables(tmp_path)
    index(config, docs)
    with opened(config) as pipeline:
        pipeline.open()
        write(tmp_path, moon="the moon is new")
        reindex(config, docs)
        with pipeline.override({"pipelines.default.k": 1}) as variant:
            assert variant.retrieve(["moon"])[0].hits[0].chunk.text == MOON
    assert found(config) == ["the moon is new"]
    assert status(tmp_path / "index/2").documents == {str(tmp_path): 1}


def test_the_schema_of_the_configuration_has_no_generation() -> None:
    from hookrag.hookspecs import Component, Components, hookimpl

    class Offers:
        hookrag_api = 1

        @hookimpl
        def stores(self) -> Components:
            return {"served": Component(f"{__name__}:Served", "On a server.")}

    described = config_schema(Catalogue.installed({"offers": Offers()}))
    (store,) = (
        one
        for one in described["properties"]["stores"]["additionalProperties"]["oneOf"]
        if one.get("title") == "served"
    )
    assert set(store["properties"]) == {"use", "chunker", "server"}
