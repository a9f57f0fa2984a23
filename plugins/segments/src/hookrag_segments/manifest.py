"""The manifest: which files make up the index. Replacing it by a rename is the one moment in which anything changes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hookrag import Card, IdentityError
from hookrag.disk import durable
from hookrag_stores.rows import card_fields

from hookrag_segments.files import File, damaged, digest

FORMAT = 2
NAME = "manifest.json"


@dataclass(frozen=True, slots=True)
class Kind:
    """Whose folder it is: the store's name in a configuration, and the distribution that it is in."""

    name: str
    package: str


@dataclass(frozen=True, slots=True)
class Part:
    """A segment, the list of its rows that were deleted since it was written, and what searches need besides (a graph)."""

    segment: File
    dead: File | None = None
    companion: File | None = None

    @property
    def files(self) -> tuple[File, ...]:
        return tuple(file for file in (self.segment, self.dead, self.companion) if file is not None)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A committed state. `commit` counts them; `identity` is what the columns of the store's own depend on."""

    commit: int
    card: Card
    identity: Mapping[str, str]
    parts: tuple[Part, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The names of all files it needs."""
        return frozenset(file.name for part in self.parts for file in part.files)


def read(folder: Path, kind: Kind) -> Manifest:
    """The manifest of a folder.

    Raises FileNotFoundError; HookragError where it is damaged; IdentityError where it is newer or of another store.
    """
    path = folder / NAME
    text = path.read_bytes()
    body, _, check = text.rpartition(b"\n")
    try:
        content = json.loads(body)
        number = content["format"]
    except (ValueError, TypeError, KeyError):
        damaged(path, f"{len(text)} bytes that are no manifest", "JSON with a format")
    if not isinstance(number, int) or not 1 <= number <= FORMAT:
        raise IdentityError(
            f"{path} has format {number!r}, expected 1 to {FORMAT}: it was written by a newer version of {kind.package}; "
            "install that version"
        )
    if digest(body) != check.decode("ascii", "replace"):
        damaged(path, f"digest {digest(body)}", check.decode("ascii", "replace")[:40] or "a digest in its last line")
    for older in range(number, FORMAT):
        content = _MIGRATIONS[older](content)
    if content["store"] != kind.name:
        raise IdentityError(
            f"{path} belongs to a store {content['store']!r}, expected {kind.name!r}: give each store a folder of its own"
        )
    return _from_json(content)


def write(folder: Path, manifest: Manifest, kind: Kind) -> None:
    """Put a manifest in the place of the former one, durably. The files it names are durable already."""
    content = {
        "format": FORMAT,
        "store": kind.name,
        "commit": manifest.commit,
        "card": card_fields(manifest.card),
        "identity": dict(manifest.identity),
        "parts": [asdict(part) for part in manifest.parts],
    }
    body = json.dumps(content, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")
    with durable.replacing(folder / NAME) as part:
        part.write_bytes(body + b"\n" + digest(body).encode())
        # Readers tell manifests apart by inode, size and time: the clock of some file systems stands still for milliseconds.
        now = time.time_ns()
        os.utime(part, ns=(now, now))


def _from_json(content: Mapping[str, Any]) -> Manifest:
    def file(found: Mapping[str, Any] | None) -> File | None:
        return None if found is None else File(**found)

    parts = tuple(
        Part(File(**part["segment"]), file(part["dead"]), file(part["companion"])) for part in content["parts"]
    )
    return Manifest(content["commit"], Card(**content["card"]), content["identity"], parts)


def _from_1(content: Mapping[str, Any]) -> dict[str, Any]:
    """Format 1 was that of hookrag-lexical alone, whose segments are the same today."""
    return {
        **content,
        "store": "lexical",
        "identity": content["analyzer"],
        "parts": [{**part, "companion": None} for part in content["parts"]],
    }


# An older manifest is brought up to date in memory whenever it is read, and on disk by the rename of the next commit: until
# then the version that wrote it can open the folder. Segments are never written again: a change in them needs two readers.
_MIGRATIONS: Mapping[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {1: _from_1}
