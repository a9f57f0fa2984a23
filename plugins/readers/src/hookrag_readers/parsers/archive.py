"""Archives whose members are read in pieces, and only as far as the limits allow."""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO
from urllib.parse import unquote

from hookrag_readers.parsers.sink import RefusedError, Task

BLOCK = 1 << 16
MOST_MEMBERS = 20_000
_FREE = 16 * 2**20
"""Up to here the ratio says nothing: small files of repeated text pack very well."""
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_READ = (".xml", ".rels", ".opf", ".ncx", ".xhtml", ".html", ".htm")


class Archive:
    """The members of a zip archive, by name; `kind` says what it should be ("a Word document").

    Members that a parser reads (XML and HTML) count against the limits by the sizes that the directory of the archive
    declares, before one of them is unpacked, and again by what really comes out. Pictures and films are never unpacked.
    """

    def __init__(self, task: Task, kind: str) -> None:
        self._task = task
        self._limits = task.limits
        self._came = 0
        self.kind = kind
        start = task.file.read(8)
        if start.startswith(_OLE):
            raise RefusedError(_ole(task, kind))
        try:
            self._zip = zipfile.ZipFile(task.file)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            what = "is damaged or cut off" if start.startswith(b"PK") else "is something else"
            raise RefusedError(f"{what}: expected {kind}, which is a zip archive: {error}") from None
        members = self._zip.infolist()
        if len(members) > MOST_MEMBERS:
            raise RefusedError(f"has {len(members)} parts inside, more than the {MOST_MEMBERS} allowed")
        self._members = {member.filename: member for member in members}
        self._folded = {name.lower(): name for name in self._members}
        read = [member for member in members if member.filename.lower().endswith(_READ)]
        self._check(sum(member.file_size for member in read))

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._folded

    def names(self) -> list[str]:
        return list(self._members)

    def read(self, name: str) -> bytes:
        return b"".join(self.blocks(name))

    def blocks(self, name: str) -> Iterator[bytes]:
        """The bytes of a member, unpacked, in pieces."""
        with self._open(name) as file:
            while block := _unpack(file, name):
                self._came += len(block)
                self._check(self._came)
                yield block

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        found = self._folded.get(name.lower())
        if found is None:
            raise RefusedError(f"is damaged: expected {self.kind}, got an archive without the part {name}")
        member = self._members[found]
        if member.flag_bits & 1:
            raise RefusedError("is protected by a password: save it without one")
        if member.compress_type not in _METHODS:
            raise RefusedError(
                f"packs the part {name} by the method {member.compress_type}, which {self.kind} never has"
            )
        try:
            with self._zip.open(member) as file:
                yield file
        except zipfile.BadZipFile as error:
            raise RefusedError(f"is damaged: the part {name} cannot be unpacked: {error}") from None

    def _check(self, size: int) -> None:
        limits = self._limits
        if size > limits.unpacked:
            raise RefusedError(
                f"unpacks to {_size(size)}, more than the {_size(limits.unpacked)} allowed: raise unpacked_mb if it is "
                f"trusted, or split the file"
            )
        if size > _FREE and size > limits.ratio * self._task.size:
            raise RefusedError(
                f"unpacks to {_size(size)}, {size // self._task.size} times its size, more than the {limits.ratio} times "
                f"allowed: raise ratio if it is trusted"
            )


def _unpack(file: IO[bytes], name: str) -> bytes:
    try:
        return file.read(BLOCK)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        told = str(error) or "it ends too early"
        raise RefusedError(f"is damaged: the part {name} cannot be unpacked: {told}") from None


def _ole(task: Task, kind: str) -> str:
    """What to say about the container of Office 97, which also wraps the files that have a password."""
    task.file.seek(0)
    before = b""
    while block := task.file.read(1 << 20):
        if "EncryptedPackage".encode("utf-16-le") in before + block:
            return "is protected by a password: save it without one"
        before = block[-64:]
    return f"is in the format of Office 97, whatever its name says: expected {kind}; save it in the present format"


def _size(count: int) -> str:
    """
    >>> _size(3328599654), _size(512 * 2**20)
    ('3.1 GB', '512 MB')
    """
    return f"{count / 2**30:.3g} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"


def joined(base: str, target: str) -> str:
    """The name of the member that `target` means in the member `base`.

    >>> joined("OEBPS/content.opf", "text/ch%201.xhtml#a"), joined("ppt/slides/slide1.xml", "../media/a.png")
    ('OEBPS/text/ch 1.xhtml', 'ppt/media/a.png')
    """
    path = unquote(target.partition("#")[0])
    path = path if path.startswith("/") else posixpath.join(posixpath.dirname(base), path)
    return posixpath.normpath(path).lstrip("/")
