"""The reader `html`: what a page says, without the page around it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from hookrag import Document, ReadError

from hookrag_readers.charset import decode
from hookrag_readers.markdown import MarkupError, parse


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
        try:
            page = parse(text)
        except MarkupError as error:
            raise ReadError(f"{path} cannot be parsed: {error}") from error
        yield Document(id, page.text(), page.title, {"lang": page.lang} if page.lang else {})
