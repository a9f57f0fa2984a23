"""Stores that keep their rows between pipelines, a configuration of them, and what the tests do with it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hookrag import (
    Chunker,
    Document,
    HookragError,
    ItemRejected,
    Pipeline,
)
from hookrag.index.reindex import ReindexReport
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


def left(folder: Path) -> set[str]:
    return set(os.listdir(folder / "index"))
