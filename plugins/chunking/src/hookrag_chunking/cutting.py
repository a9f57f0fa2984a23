"""From parts of documents to chunks: the one path of all chunkers that measure with a ruler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hookrag import Chunk, Document, chunk_of

from hookrag_chunking.meters import sliding
from hookrag_chunking.recursive import Level, divided
from hookrag_chunking.rulers import Draft, Ruler


@dataclass(frozen=True, slots=True)
class Part:
    """A span of a document that no chunk crosses, its context, and where it may be cut; anywhere, if there are no levels."""

    start: int
    end: int
    context: str
    levels: tuple[Level, ...] = ()


def cut(documents: Sequence[Document], parts: Sequence[Sequence[Part]], ruler: Ruler) -> list[list[Chunk]]:
    """The chunks of each document, given its parts in order."""
    rooms = ruler.rooms(part.context for of_one in parts for part in of_one)
    texts = [document.text for document in documents]
    found = []
    for document, meter, of_one in zip(documents, ruler.meters(texts), parts, strict=True):
        drafts = []
        for part in of_one:
            room, where = rooms[part.context], (document.text, part.start, part.end)
            if part.levels:
                spans = divided(*where, part.levels, meter, size=room.size, overlap=room.overlap)
            else:
                spans = sliding(*where, meter, size=room.size, overlap=room.overlap)
            drafts += [Draft(document.text, span, room) for span in spans]
        found.append([chunk_of(document, *draft.span, context=draft.room.context) for draft in ruler.fitted(drafts)])
    return found


def whole(document: Document, levels: tuple[Level, ...] = ()) -> list[Part]:
    """The document as one part, with its title for context."""
    return [Part(0, len(document.text), document.title, levels)]
