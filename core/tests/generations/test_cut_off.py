"""Killed anywhere, the same call finishes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hookrag import (
    HookragError,
    IdentityError,
    IngestRefused,
)
from hookrag.disk import generations
from hookrag.ingest import faults

from .shared import MOON, SUN, Down, found, index, left, opened, reindex, served, tables, write


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
