"""The readers `pdf`, `docx`, `pptx`, `xlsx` and `epub`: each has its file parsed in a child process with limits."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, TypeAlias

from hookrag import AtLeast, Document, checked

from hookrag_readers.pool import Limits, Pool

MemoryMb: TypeAlias = Annotated[int, AtLeast(128), "address space of the child"]
Seconds: TypeAlias = Annotated[float, AtLeast(0.1), "time spent waiting for the child, and its processor time"]
TextMb: TypeAlias = Annotated[int, AtLeast(1), "million characters that come back"]
UnpackedMb: TypeAlias = Annotated[
    int,
    AtLeast(1),
    "what XML and HTML inside an archive may unpack to; by its directory before anything is unpacked, and again while reading",
]
Ratio: TypeAlias = Annotated[int, AtLeast(1), "how many times the file's size that may be, above 16 MB"]


def _pool(parser: str, memory_mb: int, seconds: float, text_mb: int, unpacked_mb: int = 1, ratio: int = 1) -> Pool:
    return Pool(parser, Limits(memory_mb, seconds, text_mb, unpacked_mb, ratio))


def _documents(pool: Pool, path: Path, id: str) -> Iterator[Document]:
    for parsed in pool.read(path):
        yield Document(id + parsed.suffix, parsed.text, parsed.title, parsed.metadata)


class Pdf:
    """Reads a PDF file as one document, its pages parted by form feeds; `metadata["pages"]` says how many there are.

    A file may take `memory_mb` of memory, `seconds` of time and `text_mb` million characters of text.
    """

    version = 1
    suffixes: Collection[str] = frozenset({".pdf"})

    @checked
    def __init__(self, *, memory_mb: MemoryMb = 1024, seconds: Seconds = 60.0, text_mb: TextMb = 64) -> None:
        self._pool = _pool("pdf", memory_mb, seconds, text_mb)
        self.memory_mb = memory_mb
        self.seconds = seconds
        self.text_mb = text_mb

    def close(self) -> None:
        self._pool.close()

    def read(self, path: Path, /, *, id: str) -> Iterator[Document]:
        return _documents(self._pool, path, id)


class Docx:
    """Reads a Word document as one document of light Markdown: headings, paragraphs, lists, tables and notes in order.

    A file may take `memory_mb` of memory, `seconds` of time and `text_mb` million characters of text. What is unpacked of it
    may take `unpacked_mb`, and be `ratio` times as large as the file.
    """

    version = 1
    suffixes: Collection[str] = frozenset({".docx", ".docm"})

    @checked
    def __init__(
        self,
        *,
        memory_mb: MemoryMb = 1024,
        seconds: Seconds = 60.0,
        text_mb: TextMb = 64,
        unpacked_mb: UnpackedMb = 512,
        ratio: Ratio = 200,
    ) -> None:
        self._pool = _pool("docx", memory_mb, seconds, text_mb, unpacked_mb, ratio)
        self.memory_mb = memory_mb
        self.seconds = seconds
        self.text_mb = text_mb
        self.unpacked_mb = unpacked_mb
        self.ratio = ratio

    def close(self) -> None:
        self._pool.close()

    def read(self, path: Path, /, *, id: str) -> Iterator[Document]:
        return _documents(self._pool, path, id)


class Pptx:
    """Reads a PowerPoint file as one document, its slides parted by form feeds; `metadata["pages"]` says how many there are.

    A file may take `memory_mb` of memory, `seconds` of time and `text_mb` million characters of text. What is unpacked of it
    may take `unpacked_mb`, and be `ratio` times as large as the file.
    """

    version = 1
    suffixes: Collection[str] = frozenset({".pptx", ".pptm"})

    @checked
    def __init__(
        self,
        *,
        memory_mb: MemoryMb = 1024,
        seconds: Seconds = 60.0,
        text_mb: TextMb = 64,
        unpacked_mb: UnpackedMb = 512,
        ratio: Ratio = 200,
    ) -> None:
        self._pool = _pool("pptx", memory_mb, seconds, text_mb, unpacked_mb, ratio)
        self.memory_mb = memory_mb
        self.seconds = seconds
        self.text_mb = text_mb
        self.unpacked_mb = unpacked_mb
        self.ratio = ratio

    def close(self) -> None:
        self._pool.close()

    def read(self, path: Path, /, *, id: str) -> Iterator[Document]:
        return _documents(self._pool, path, id)


class Xlsx:
    """Reads each sheet of a workbook as a document called "path#Sheet name": its rows as lines of "header: value".

    A file may take `memory_mb` of memory, `seconds` of time and `text_mb` million characters of text. What is unpacked of it
    may take `unpacked_mb`, and be `ratio` times as large as the file.
    """

    version = 1
    suffixes: Collection[str] = frozenset({".xlsx", ".xlsm"})

    @checked
    def __init__(
        self,
        *,
        memory_mb: MemoryMb = 1024,
        seconds: Seconds = 60.0,
        text_mb: TextMb = 64,
        unpacked_mb: UnpackedMb = 512,
        ratio: Ratio = 200,
    ) -> None:
        self._pool = _pool("xlsx", memory_mb, seconds, text_mb, unpacked_mb, ratio)
        self.memory_mb = memory_mb
        self.seconds = seconds
        self.text_mb = text_mb
        self.unpacked_mb = unpacked_mb
        self.ratio = ratio

    def close(self) -> None:
        self._pool.close()

    def read(self, path: Path, /, *, id: str) -> Iterator[Document]:
        return _documents(self._pool, path, id)


class Epub:
    """Reads a book as one document of light Markdown, its chapters in order.

    A file may take `memory_mb` of memory, `seconds` of time and `text_mb` million characters of text. What is unpacked of it
    may take `unpacked_mb`, and be `ratio` times as large as the file.
    """

    version = 1
    suffixes: Collection[str] = frozenset({".epub"})

    @checked
    def __init__(
        self,
        *,
        memory_mb: MemoryMb = 1024,
        seconds: Seconds = 60.0,
        text_mb: TextMb = 64,
        unpacked_mb: UnpackedMb = 512,
        ratio: Ratio = 200,
    ) -> None:
        self._pool = _pool("epub", memory_mb, seconds, text_mb, unpacked_mb, ratio)
        self.memory_mb = memory_mb
        self.seconds = seconds
        self.text_mb = text_mb
        self.unpacked_mb = unpacked_mb
        self.ratio = ratio

    def close(self) -> None:
        self._pool.close()

    def read(self, path: Path, /, *, id: str) -> Iterator[Document]:
        return _documents(self._pool, path, id)
