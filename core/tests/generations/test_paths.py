"""Paths outside of the folder of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hookrag import (
    IngestRefused,
)

from .shared import MOON, SUN, index, opened, reindex, tables, write


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
