"""Chunks made from documents: their ids, their spans, and the pages that they lie on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b

from hookrag.values import PAGE_BREAK, Chunk, Document, Metadata


def chunk_id(
    document_id: str, level: str, start: int, end: int, context: str, text: str, metadata: Metadata | None = None
) -> str:
    """The 32 hexadecimal digits that name a row: equal content gives an equal id, any difference another.

    blake2b-128 of the length-prefixed fields, so that no two different lists of fields read as the same bytes.
    """
    canonical = (
        json.dumps(dict(metadata), sort_keys=True, ensure_ascii=False, separators=(",", ":")) if metadata else ""
    )
    digest = blake2b(digest_size=16)
    for part in (document_id, level, str(start), str(end), context, text, canonical):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def chunk_of(
    document: Document,
    start: int,
    end: int,
    *,
    context: str | None = None,
    level: str = "",
    parent: str | None = None,
    metadata: Metadata | None = None,
) -> Chunk:
    """The chunk `document.text[start:end]`; its context is the document's title unless another is given.

    `level` names the size of chunk where one chunker makes several ("parent", "child"). `metadata` is added to the
    document's own; of a document with `pages`, a chunk has the `page` that it begins on. Raises ValueError where the span
    does not lie in the text.
    """
    if not 0 <= start <= end <= len(document.text):
        raise ValueError(
            f"span {start}:{end} does not lie in document {document.id!r} of {len(document.text)} characters"
        )
    text = document.text[start:end]
    around = document.title if context is None else context
    merged = {**document.metadata, **metadata} if metadata else document.metadata
    if "pages" in merged:
        merged = _with_page(document, merged, start)
    name = chunk_id(document.id, level, start, end, around, text, merged)
    return Chunk(name, document.id, text, start, end, around, parent, (), merged)


def _with_page(document: Document, metadata: Metadata, start: int) -> Metadata:
    """The metadata of a chunk: its page in place of how many there are, which would make every id new when one is added."""
    if metadata["pages"] != document.text.count(PAGE_BREAK) + 1:
        return metadata  # something else that is called so
    rest = {name: value for name, value in metadata.items() if name != "pages"}
    return {**rest, "page": document.text.count(PAGE_BREAK, 0, start) + 1}


def derived(
    document_id: str, text: str, *, made_of: Sequence[str], level: str, metadata: Metadata | None = None
) -> Chunk:
    """A chunk whose text was written about other chunks (a summary): it names them instead of a span."""
    if not made_of:
        raise ValueError(f"a derived chunk of document {document_id!r} needs the ids of the chunks it was made from")
    name = chunk_id(document_id, level, 0, 0, "", text, {**(metadata or {}), "sources": list(made_of)})
    return Chunk(name, document_id, text, 0, 0, "", None, tuple(made_of), metadata or {})
