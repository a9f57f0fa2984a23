"""Which generation is searched, what is dropped, and the files that say so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hookrag import (
    ConfigError,
    Document,
    IdentityError,
    IngestRefused,
)
from hookrag.config.catalogue import Catalogue
from hookrag.config.schema import config_schema
from hookrag.config.signature import parameters
from hookrag.disk import generations
from hookrag.index.reindex import SwitchRefused
from hookrag.ingest import status

from .shared import MOON, SUN, Served, found, index, opened, reindex, served, tables, write


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
