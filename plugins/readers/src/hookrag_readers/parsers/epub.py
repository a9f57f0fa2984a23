"""EPUB books (EPUB 3.3 and 2.0.1): the documents of the spine in order, as light Markdown."""

from __future__ import annotations

import re
from html import unescape

from hookrag_readers.charset import decode
from hookrag_readers.markdown import MarkupError
from hookrag_readers.markdown import parse as parsed
from hookrag_readers.parsers.archive import Archive, joined
from hookrag_readers.parsers.sink import RefusedError, Sink, Task, Value, iso_date, one_line
from hookrag_readers.parsers.xml import Attributes, elements, scan

_FONTS = frozenset({"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"})
_EMPTY = re.compile(
    r"<((?!(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\b)[a-zA-Z][\w:-]*)(\s[^<>]*?)?/>"
)
_PAGES = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document"})
_HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)


def parse(task: Task, sink: Sink) -> None:
    archive = Archive(task, "an EPUB book")
    package = _package(archive)
    _check_protection(archive)
    book = _Book()
    scan(archive.blocks(package), book, package)
    places = {told["id"]: told for told in book.manifest if "id" in told and "href" in told}
    contents = _contents(archive, package, book)
    begun = False
    first = ""
    for reference in book.spine:
        told = places.get(reference)
        if told is None or told.get("media-type", "") not in _PAGES or "nav" in told.get("properties", "").split():
            continue
        name = joined(package, told["href"])
        text = _chapter(archive, name, contents.get(name, ""))
        if text:
            sink.text("\n\n" if begun else "")
            sink.text(text)
            found = _HEADING.search(text)
            first = first or (text[found.end() :].partition("\n")[0] if found else "")
            begun = True
    if not begun and not any(told.get("media-type") in _PAGES for told in places.values()):
        raise RefusedError("has no chapter that could be read: expected an EPUB book with documents of XHTML")
    told_once = {"author": "; ".join(book.authors), "created": iso_date(book.date), "lang": book.lang}
    metadata: dict[str, Value] = {key: one_line(value) for key, value in told_once.items() if value.strip()}
    sink.end(book.title or first, metadata)


class _Book:
    """The package document: metadata, manifest and spine."""

    def __init__(self) -> None:
        self.title = ""
        self.authors: list[str] = []
        self.date = ""
        self.lang = ""
        self.manifest: list[Attributes] = []
        self.spine: list[str] = []
        self.toc = ""
        self._pieces: list[str] = []

    def start(self, tag: str, attributes: Attributes) -> None:
        self._pieces = []
        if tag == "item":
            self.manifest.append(attributes)
        elif tag == "spine":
            self.toc = attributes.get("toc", "")
        elif tag == "itemref":
            self.spine.append(attributes.get("idref", ""))

    def end(self, tag: str) -> None:
        text = " ".join("".join(self._pieces).split())
        self._pieces = []
        if tag == "title":
            self.title = self.title or text
        elif tag == "creator" and text:
            self.authors.append(text)
        elif tag == "date":
            self.date = self.date or text
        elif tag == "language":
            self.lang = self.lang or text

    def data(self, text: str) -> None:
        self._pieces.append(text)


def _package(archive: Archive) -> str:
    container = "META-INF/container.xml"
    for tag, told, _ in elements(archive.blocks(container), container):
        if tag == "rootfile" and told.get("full-path"):
            return told["full-path"]
    raise RefusedError(f"is damaged: {container} names no package document")


def _check_protection(archive: Archive) -> None:
    part = "META-INF/encryption.xml"
    if part not in archive:
        return
    found = {
        told.get("Algorithm", "") for tag, told, _ in elements(archive.blocks(part), part) if tag == "EncryptionMethod"
    }
    if found - _FONTS:
        raise RefusedError("is protected against copying (DRM): ask its publisher for a copy without")


def _contents(archive: Archive, package: str, book: _Book) -> dict[str, str]:
    """What the table of contents calls each document; the first entry of a document counts."""
    named: dict[str, str] = {}
    for told in book.manifest:
        name = joined(package, told.get("href", ""))
        if (told.get("id") != book.toc and told.get("media-type") != "application/x-dtbncx+xml") or name not in archive:
            continue
        label = ""
        for words, source in _ENTRY.findall(decode(archive.read(name))):
            label = " ".join(unescape(words).split()) or label
            if source and label:
                named.setdefault(joined(name, unescape(source)), label)
    for told in book.manifest:
        name = joined(package, told.get("href", ""))
        if "nav" in told.get("properties", "").split() and name in archive:
            for href, label in _LINK.findall(decode(archive.read(name))):
                words = " ".join(unescape(_TAG.sub(" ", label)).split())
                if words:
                    named.setdefault(joined(name, unescape(href)), words)
    return named


_LINK = re.compile(r"""<a\s[^<>]*?href\s*=\s*["']([^"'<>]*)["'][^<>]*>(.{0,1000}?)</a>""", re.DOTALL)
# Read as text, for the contents of EPUB 2 have a DOCTYPE, which nothing here resolves.
_ENTRY = re.compile(r"""<text\s*>([^<]{1,1000})</text>|<content\s[^<>]*?src\s*=\s*["']([^"'<>]*)["']""")
_TAG = re.compile(r"<[^<>]*>")


def _chapter(archive: Archive, name: str, label: str) -> str:
    text = decode(archive.read(name))
    try:
        # XML may close any element at once, which HTML does not understand.
        shown = parsed(_EMPTY.sub(r"<\1\2></\1>", text), book=True).text().replace("\f", " ")
    except MarkupError as error:
        raise RefusedError(f"is damaged: {name} cannot be parsed: {error}") from None
    if label and shown and not _HEADING.search(shown):
        return f"# {label}\n\n{shown}"
    return shown
