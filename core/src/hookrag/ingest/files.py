"""Files as a source of documents: which of them are read, what they are called, and how it is seen that one changed."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from hookrag.errors import ReadError
from hookrag.ingest.items import Item, Skipped, Unread
from hookrag.protocols import Reader
from hookrag.values import Document

BLOCK = 1 << 20
# What is text by its name: zero bytes in it mean that it is something else.
_TEXT = frozenset(
    {".txt", ".text", ".md", ".markdown", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".html", ".htm", ".xml"}
)
_WIDE = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A name in a folder, and how it is written in ids."""

    name: str
    label: str
    path: str


class Files:
    """The regular files under a folder for which there is a reader, in the order of their ids; or one such file.

    `readers` maps lower-case suffixes (".md") to readers, `recipes` the same suffixes to what a file's key has to depend on
    besides its bytes: the fingerprint of the reader. The id of a file is its path relative to `root`, which is the folder
    itself, or the one that a single file lies in, unless it is given: NFC, with slashes, bytes that do not decode as %FF.
    Two names in a folder that become one that way are both left unread. Hidden files and folders, `.hookrag`
    among them, what is no regular file, links that lead out of the root, links to folders, files without a reader, and
    text files with zero bytes are skipped. Raises ReadError at once where `path` is neither a file nor a folder.
    """

    def __init__(
        self,
        path: Path,
        readers: Mapping[str, Reader],
        *,
        root: Path | None = None,
        recipes: Mapping[str, str] | None = None,
    ) -> None:
        if not path.exists():
            raise ReadError(f"{path}: there is no such file or folder")
        self.path = path.resolve()
        if not self.path.is_dir() and not self.path.is_file():
            raise ReadError(f"{path} is neither a file nor a folder")
        self.root = (root or (path if path.is_dir() else path.parent)).resolve()
        if not self.path.is_relative_to(self.root):
            raise ReadError(f"{path} does not lie in {self.root}: ids are paths relative to it")
        self._readers = dict(readers)
        self._recipes = dict(recipes or {})

    @property
    def under(self) -> str:
        """The id that all ids begin with where `path` is not the root, "" where it is: the `under` of a run."""
        return "/".join(map(_label, self.path.relative_to(self.root).parts))

    def count(self) -> int:
        """How many files it will look at, for showing progress; what cannot be listed is left out."""
        if self.path.is_file():
            return 1
        return sum(
            not name.startswith(".") and Path(name).suffix.lower() in self._readers
            for _, folders, names in os.walk(self.path)
            for name in _visible(folders, names)
        )

    def __iter__(self) -> Iterator[Item | Unread | Skipped]:
        prefix = self.under
        if self.path.is_dir():
            yield from self._folder(str(self.path), f"{prefix}/" if prefix else "")
        else:
            yield self._file(_Entry(self.path.name, prefix, str(self.path)), prefix)

    def _folder(self, folder: str, prefix: str) -> Iterator[Item | Unread | Skipped]:
        try:
            with os.scandir(folder) as found:
                entries = [_Entry(one.name, _label(one.name), one.path) for one in found]
        except OSError as error:
            yield Unread(prefix or ".", folder, f"the folder cannot be listed: {error.strerror or error}")
            return
        entries.sort(key=lambda entry: entry.label)
        labels = [entry.label for entry in entries]
        for index, entry in enumerate(entries):
            id = prefix + entry.label
            if entry.label in labels[max(index - 1, 0) : index] + labels[index + 1 : index + 2]:
                yield Unread(
                    id,
                    _shown(entry.path),
                    "another name in the folder is the same after Unicode normalisation: rename one",
                )
            else:
                yield from self._entry(entry, id)

    def _entry(self, entry: _Entry, id: str) -> Iterator[Item | Unread | Skipped]:
        locator = _shown(entry.path)
        if entry.name.startswith("."):
            yield Skipped(id, locator, "hidden")
            return
        try:
            mode = os.lstat(entry.path).st_mode
            linked = stat.S_ISLNK(mode)
            if linked:
                if not Path(os.path.realpath(entry.path)).is_relative_to(self.root):
                    yield Skipped(id, locator, "a link that leads out of the folder")
                    return
                mode = os.stat(entry.path).st_mode
        except OSError as error:
            yield Unread(id, locator, f"cannot be looked at: {error.strerror or error}")
            return
        if stat.S_ISDIR(mode):
            if linked:
                yield Skipped(id, locator, "a link to a folder")
            else:
                yield from self._folder(entry.path, f"{id}/")
        elif not stat.S_ISREG(mode):
            yield Skipped(id, locator, "not a regular file")
        else:
            yield self._file(entry, id)

    def _file(self, entry: _Entry, id: str) -> Item | Unread | Skipped:
        suffix = os.path.splitext(entry.name)[1].lower()
        locator = _shown(entry.path)
        reader = self._readers.get(suffix)
        if reader is None:
            return Skipped(id, locator, f"no reader for {suffix or 'files without a suffix'}")
        try:
            digest, zeros = _digest(entry.path)
        except OSError as error:
            return Unread(id, locator, f"cannot be read: {error.strerror or error}")
        if zeros and suffix in _TEXT:
            return Skipped(id, locator, "binary, though its name says text")
        path = Path(entry.path)

        def load() -> Iterator[Document]:
            yield from reader.read(path, id=id)
            try:
                same = _digest(entry.path)[0] == digest
            except OSError:
                same = False
            if not same:  # its key would be that of other bytes
                raise ReadError(f"{locator} changed while it was read: index it again")

        return Item(id, f"{digest} {suffix} {self._recipes.get(suffix, '')}", load, locator)


def _visible(folders: list[str], names: list[str]) -> list[str]:
    """The names, having told os.walk which folders to leave out."""
    folders[:] = [folder for folder in folders if not folder.startswith(".")]
    return names


def _label(name: str) -> str:
    """A file name as ids write it: NFC, and each byte that is not of UTF-8 as %FF."""
    raw = os.fsencode(name)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "surrogateescape")
        text = "".join(f"%{ord(char) - 0xDC00:02X}" if "\udc80" <= char <= "\udcff" else char for char in text)
    return unicodedata.normalize("NFC", text)


def _shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _digest(path: str) -> tuple[str, bool]:
    """blake2b of the bytes, and whether zero bytes are among the first that are not those of UTF-16."""
    # Not followed and not waited for: between the listing and now it may have become a link or a pipe.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # Windows has the one or the other
    with open(os.open(path, flags), "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is no regular file any more")
        made = blake2b(digest_size=16)
        first = file.read(BLOCK)
        block = first
        while block:
            made.update(block)
            block = file.read(BLOCK)
    return made.hexdigest(), b"\0" in first and not first.startswith(_WIDE)
