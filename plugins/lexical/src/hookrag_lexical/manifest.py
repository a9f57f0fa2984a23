"""The manifest: which files make up the index. Replacing it by a rename is the one moment in which anything changes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hookrag import Card, HookragError

from hookrag_lexical.files import File, damaged, digest, fsync_folder

FORMAT = 1
NAME = "manifest.json"


@dataclass(frozen=True, slots=True)
class Part:
    """A segment and, where rows of it were deleted since it was written, the file that lists them."""

    segment: File
    dead: File | None = None

    @property
    def files(self) -> tuple[File, ...]:
        return (self.segment,) if self.dead is None else (self.segment, self.dead)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A committed state. `commit` counts them; `analyzer` is the identity of what made the terms."""

    commit: int
    card: Card
    analyzer: Mapping[str, str]
    parts: tuple[Part, ...] = field(default=())

    @property
    def names(self) -> frozenset[str]:
        """The names of all files it needs."""
        return frozenset(file.name for part in self.parts for file in part.files)


def read(folder: Path) -> Manifest:
    """The manifest of a folder. Raises FileNotFoundError; HookragError where it is damaged or of a newer format."""
    path = folder / NAME
    text = path.read_bytes()
    body, _, check = text.rpartition(b"\n")
    try:
        content = json.loads(body)
        number = content["format"]
    except (ValueError, TypeError, KeyError):
        damaged(path, f"{len(text)} bytes that are no manifest", "JSON with a format")
    if number != FORMAT:
        raise HookragError(
            f"{path} has format {number!r}, expected {FORMAT}: it was written by another version of hookrag-lexical; install "
            "that version or a newer one"
        )
    if digest(body) != check.decode("ascii", "replace"):
        damaged(path, f"digest {digest(body)}", check.decode("ascii", "replace")[:40] or "a digest in its last line")
    return _from_json(content)


def write(folder: Path, manifest: Manifest) -> None:
    """Put a manifest in the place of the former one, durably. The files it names are durable already."""
    card = {name: getattr(manifest.card, name) for name in ("uuid", "owner", "epoch", "generation")}
    content = {
        "format": FORMAT,
        "commit": manifest.commit,
        "card": {**card, "identity": dict(manifest.card.identity)},
        "analyzer": dict(manifest.analyzer),
        "parts": [asdict(part) for part in manifest.parts],
    }
    body = json.dumps(content, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")
    temporary = folder / f"{NAME}.tmp"
    with temporary.open("wb") as handle:
        handle.write(body + b"\n" + digest(body).encode())
        handle.flush()
        os.fsync(handle.fileno())
    # Readers tell manifests apart by inode, size and time: the clock of some file systems stands still for milliseconds.
    now = time.time_ns()
    os.utime(temporary, ns=(now, now))
    temporary.replace(folder / NAME)
    fsync_folder(folder)


def _from_json(content: Mapping[str, Any]) -> Manifest:
    parts = tuple(
        Part(File(**part["segment"]), None if part["dead"] is None else File(**part["dead"]))
        for part in content["parts"]
    )
    return Manifest(content["commit"], Card(**content["card"]), content["analyzer"], parts)
