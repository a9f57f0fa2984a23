"""Files that are written once, made durable, and mapped into memory: named arrays, then a directory of them, then a trailer.

    array | array | ... | directory (JSON) | length of the directory (8 bytes, little endian) | "hookrag1"

Arrays begin at multiples of 64 bytes. The directory says of each its type, count, offset and digest. Nothing is ever written
through a map, truncated or written again: a map over a file that shrinks, or on a full disk, ends the process by SIGBUS.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import numpy as np
from hookrag import HookragError
from hookrag.disk.durable import sync_file
from numpy.typing import NDArray

MAGIC = b"hookrag1"
ALIGNMENT = 64
BLOCK = 1 << 20
Array = NDArray[Any]
Layout = Mapping[str, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class File:
    """A file as the manifest knows it; the digest is that of its directory, which holds the digests of its arrays."""

    name: str
    size: int
    digest: str


def damaged(path: Path, got: str, expected: str) -> NoReturn:
    """Raise the error that every damaged file ends in."""
    raise HookragError(
        f"{path} is damaged: got {got}, expected {expected}. Restore the folder {path.parent} from a backup, or delete it and "
        "fill the store again by its name: hookrag index --rebuild NAME PATH..."
    )


def digest(data: bytes | memoryview) -> str:
    """The digest that files are checked with: 32 hexadecimal digits of blake2b."""
    return blake2b(data, digest_size=16).hexdigest()


class ArrayWriter:
    """Writes one file of arrays whose types and counts are known; each array may be given in pieces, in any interleaving.

    Used as a context: a file that was not finished is removed.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self._path = path
        self._layout = layout
        self._offsets: dict[str, int] = {}
        end = 0
        for name, (kind, count) in layout.items():
            self._offsets[name] = end
            end += -(-np.dtype(kind).itemsize * count // ALIGNMENT) * ALIGNMENT
        self._end = end
        self._written = dict.fromkeys(layout, 0)
        self._hashes = {name: blake2b(digest_size=16) for name in layout}
        self._finished = False
        self._file = path.open("xb")

    def __enter__(self) -> ArrayWriter:
        return self

    def append(self, name: str, piece: Array) -> None:
        """Add a piece to an array."""
        kind, _ = self._layout[name]
        data = np.ascontiguousarray(piece, dtype=kind).view(np.uint8).data
        if len(data):
            self._file.seek(self._offsets[name] + self._written[name])
            self._file.write(data)
            self._written[name] += len(data)
            self._hashes[name].update(data)

    def extend(self, name: str, pieces: Iterable[Array]) -> None:
        """Add several pieces to an array."""
        for piece in pieces:
            self.append(name, piece)

    def finish(self, facts: Mapping[str, Any]) -> File:
        """Write the directory, with some facts of JSON values beside the arrays, and make the file durable."""
        arrays = {}
        for name, (kind, count) in self._layout.items():
            assert self._written[name] == np.dtype(kind).itemsize * count, name
            arrays[name] = [kind, count, self._offsets[name], self._hashes[name].hexdigest()]
        directory = json.dumps({"arrays": arrays, "facts": facts}, ensure_ascii=False).encode("utf-8", "surrogatepass")
        self._file.seek(self._end)
        self._file.write(directory + len(directory).to_bytes(8, "little") + MAGIC)
        sync_file(self._file)
        self._file.close()
        self._finished = True
        return File(self._path.name, self._end + len(directory) + 16, digest(directory))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finished:
            self._file.close()
            self._path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Arrays:
    """An opened file: its arrays, read-only maps, and its facts."""

    path: Path
    arrays: Mapping[str, Array]
    facts: Mapping[str, Any]
    digests: Mapping[str, str]
    mapped: mmap.mmap

    def forget(self) -> None:
        """Give back the memory of the pages that were read: they are read again where they are used again."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self.mapped.madvise(mmap.MADV_DONTNEED)

    def verify(self) -> None:
        """Read every array and raise HookragError where its digest is not the one that was written."""
        for name, array in self.arrays.items():
            got = digest(array.view(np.uint8).data)
            if got != self.digests[name]:
                damaged(self.path, f"digest {got} of its array {name!r}", self.digests[name])


def open_arrays(folder: Path, file: File) -> Arrays:
    """Map a file into memory. Checks its size and directory; raises FileNotFoundError, or HookragError where it is damaged."""
    path = folder / file.name
    with path.open("rb") as handle:
        size = os.fstat(handle.fileno()).st_size
        if size != file.size:
            damaged(path, f"{size} bytes", str(file.size))
        mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    whole = memoryview(mapped)
    length = int.from_bytes(whole[-16:-8], "little")
    directory = bytes(whole[max(0, size - 16 - length) : size - 16])
    if whole[-8:] != MAGIC or digest(directory) != file.digest:
        damaged(path, f"digest {digest(directory)} of its directory", file.digest)
    content = json.loads(directory)
    arrays: dict[str, Array] = {}
    digests: dict[str, str] = {}
    for name, (kind, count, offset, expected) in content["arrays"].items():
        array: Array = (
            np.frombuffer(whole, dtype=kind, count=count, offset=offset) if count else np.empty(0, dtype=kind)
        )
        arrays[name] = array
        digests[name] = expected
    return Arrays(path, arrays, content["facts"], digests, mapped)
