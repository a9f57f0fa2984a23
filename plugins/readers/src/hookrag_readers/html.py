"""The reader `html`: what a page says, without the page around it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from hookrag import Document, ReadError
from lxml import etree  # type: ignore[import-untyped]  # lxml ships no types

from hookrag_readers.charset import decode
from hookrag_readers.markdown import Page


class Html:
    """Reads an HTML file as one document of light Markdown: headings, list items, table rows and code stay marked as such.

    The text is that of `<main>` if the page has one, else of the whole body without navigation. Spans of chunks count the
    characters of this text. The title is the page's; `metadata["lang"]` is the language that the page declares.
    """

    version = 1
    suffixes: Collection[str] = frozenset({".html", ".htm", ".xhtml"})

    def read(self, path: Path, /, *, id: str) -> Iterator[Document]:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ReadError(f"{path} cannot be read: {error.strerror or error}") from error
        text = decode(data)
        if "\0" in text[:1024]:
            raise ReadError(f"{path} is not HTML: it has zero bytes at its beginning, as binary files have")
        page = parse(text)
        yield Document(id, page.text(), page.title, {"lang": page.lang} if page.lang else {})


def parse(text: str) -> Page:
    """The parsed page; whatever is wrong with the HTML is mended as libxml2 does. Linear in the length of the text."""
    page = Page()
    # Spelled out again in UTF-8, so that a declaration inside the page cannot speak for the bytes.
    data = text.replace("\0", "").encode("utf-8", "replace")
    if data.strip():
        parser = etree.HTMLParser(target=page, encoding="utf-8", huge_tree=True, no_network=True)
        try:
            etree.fromstring(data, parser)
        except etree.LxmlError as error:
            raise ReadError(f"the HTML cannot be parsed: {error}") from error
    return page
