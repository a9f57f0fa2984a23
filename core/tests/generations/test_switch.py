"""What holds a switch back, and generations that are half filled."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hookrag import (
    HookragError,
    IngestRefused,
    RowKey,
)
from hookrag.index.reindex import SwitchRefused
from hookrag.ingest.coverage import owner_of

from .shared import MOON, SUN, OnDisk, found, index, opened, reindex, served, tables, write


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


class Broken(OnDisk):
    """Has its files damaged once, when generation 2 is filled."""

    def sync(self) -> None:
        super().sync()
        once = self.path.parents[2] / "broken"
        if "2" in self.path.parts and not once.exists():
            once.touch()
            (self.path / "damaged").touch()

    def card(self) -> Any:
        if (self.path / "damaged").exists():
            raise HookragError("a file is cut off")
        return super().card()

    def verify(self) -> None:
        """Nothing more than `card` finds."""


def test_a_store_that_is_damaged_before_the_switch_is_told_how_to_begin_again(tmp_path: Path) -> None:
    docs, config = write(tmp_path, moon=MOON), tables(tmp_path, terms={"use": Broken})
    index(config, docs)
    with pytest.raises(SwitchRefused) as refused:
        reindex(config, docs)
    assert str(refused.value) == (
        f"generation 2 does not hold what was written to it: [stores.terms]. Its files are damaged: delete the folder "
        f"{tmp_path}/index/2, which nothing searches, and run the same command again. Generation 1 of the index in "
        f"{tmp_path}/index is searched as before."
    )
    assert found(config) == [MOON]
    shutil.rmtree(tmp_path / "index/2")
    assert reindex(config, docs).switched
    assert found(config) == [MOON]


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
