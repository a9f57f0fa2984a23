"""PDF files, read by PDFium through its raw functions: the characters of each page with their places."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from typing import Any

import pypdfium2_raw as pdfium  # type: ignore[import-untyped]  # it ships no types

from hookrag_readers.parsers.layout import Word, page_text, pieces
from hookrag_readers.parsers.sink import RefusedError, Sink, Task, Value, iso_date, one_line

_MEMORY = 64 * 2**20
"""Larger files are read piece by piece while they are parsed."""
_JUNK = re.compile(r"Microsoft (?:Word|PowerPoint|Excel) - |^untitled$", re.IGNORECASE)
_TOKEN = re.compile(r"[\r\n\x02]|[^\s\x02]+")
_UNSEEN = re.compile("[\x00-\x1f\xad\ufffe]")
_NOT_TEXT = re.compile("[\ue000-\uf8ff\ufffd\U000f0000-\U0010ffff]")


def parse(task: Task, sink: Sink) -> None:
    config = pdfium.FPDF_LIBRARY_CONFIG(2, None, None, 0)
    pdfium.FPDF_InitLibraryWithConfig(config)
    try:
        with _Open(task) as document:
            _read(document, sink)
    finally:
        pdfium.FPDF_DestroyLibrary()


class _Open:
    """The document while it is open."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __enter__(self) -> Any:
        task = self._task
        task.file.seek(0)
        if b"%PDF-" not in task.file.read(1024 + 5):
            raise RefusedError("is something else: expected a PDF file, got one that does not begin with %PDF-")
        task.file.seek(0)
        if task.size <= _MEMORY:
            self._data = task.file.read(_MEMORY + 1)
            document = pdfium.FPDF_LoadMemDocument64(self._data, len(self._data), None)
        else:
            self._access = pdfium.FPDF_FILEACCESS(m_FileLen=task.size)
            self._block = type(self._access.m_GetBlock)(self._read)
            self._access.m_GetBlock = self._block
            document = pdfium.FPDF_LoadCustomDocument(self._access, None)
        if not document:
            raise RefusedError(_why(pdfium.FPDF_GetLastError()))
        self._document = document
        return document

    def __exit__(self, *_: object) -> None:
        pdfium.FPDF_CloseDocument(self._document)

    def _read(self, _: object, position: int, buffer: Any, size: int) -> int:
        self._task.file.seek(position)
        data = self._task.file.read(size)
        ctypes.memmove(buffer, data, len(data))
        return int(len(data) == size)


def _why(code: int) -> str:
    if code in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY):
        return "is encrypted and needs a password: save it without one"
    return "is damaged or cut off: PDFium finds no document in it"


def _read(document: Any, sink: Sink) -> None:
    count = pdfium.FPDF_GetPageCount(document)
    if count < 1:
        raise RefusedError("is damaged: it has no pages")
    first = ""
    letters = odd = silent = pictures = 0
    for number in range(count):
        text, drawn = _page(document, number)
        letters += len(text)
        odd += len(_NOT_TEXT.findall(text))
        silent += not text
        pictures += drawn and not text
        first = first or text.partition("\n")[0]
        sink.text("\f" if number else "")
        sink.text(text)
    if not letters:
        shown = f", {pictures} of them with pictures: a scan" if pictures else ""
        pages = "1 page" if count == 1 else f"{count} pages"
        raise RefusedError(f"has no text layer ({pages}{shown}): run OCR first, for example ocrmypdf")
    if odd > letters / 2:
        raise RefusedError("does not say which letters its fonts show: run OCR first, for example ocrmypdf --force-ocr")
    metadata: dict[str, Value] = {"pages": count}
    author, created = one_line(_told(document, b"Author")), iso_date(_told(document, b"CreationDate"))
    metadata |= {key: value for key, value in (("author", author), ("created", created)) if value}
    if silent:
        metadata["pages_without_text"] = silent
    sink.end(_JUNK.sub("", _told(document, b"Title")).strip() or first, metadata)


def _told(document: Any, name: bytes) -> str:
    size = pdfium.FPDF_GetMetaText(document, name, None, 0)
    if not 2 < size < 1 << 16:
        return ""
    buffer = ctypes.create_string_buffer(size)
    pdfium.FPDF_GetMetaText(document, name, buffer, size)
    return buffer.raw[: size - 2].decode("utf-16-le", "replace")


def _page(document: Any, number: int) -> tuple[str, bool]:
    """The text of a page, and whether anything is drawn on it. A page that cannot be loaded fails the file."""
    page = pdfium.FPDF_LoadPage(document, number)
    if not page:
        raise RefusedError(f"is damaged: its page {number + 1} cannot be read")
    try:
        text_page = pdfium.FPDFText_LoadPage(page)
        if not text_page:
            raise RefusedError(f"is damaged: the text of its page {number + 1} cannot be read")
        try:
            text = page_text(pieces(_words(text_page)))
        finally:
            pdfium.FPDFText_ClosePage(text_page)
        return text, bool(text) or pdfium.FPDFPage_CountObjects(page) > 0
    finally:
        pdfium.FPDF_ClosePage(page)


def _words(text_page: Any) -> Iterator[Word]:
    """The words, and the ends of lines. Only the first and the last letter of a word are asked for their places."""
    code_of, box_of = pdfium.FPDFText_GetUnicode, pdfium.FPDFText_GetLooseCharBox
    codes = [code_of(text_page, at) for at in range(pdfium.FPDFText_CountChars(text_page))]
    text = "".join([chr(code) if 0 < code < 0x110000 else "\ufffd" for code in codes])
    first, last = pdfium.FS_RECTF(), pdfium.FS_RECTF()
    for found in _TOKEN.finditer(text):
        word = found[0]
        if word in "\r\n\x02":
            yield word, 0.0, 0.0, 0.0, 0.0
            continue
        box_of(text_page, found.start(), ctypes.byref(first))
        box_of(text_page, found.end() - 1, ctypes.byref(last))
        if not word.isalnum():
            word = _UNSEEN.sub("", word).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if word:
            yield (
                word, min(first.left, last.left), min(first.bottom, last.bottom), max(first.right, last.right),
                max(first.top, last.top),
            )  # fmt: skip
