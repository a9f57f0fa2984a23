"""What a chunker promises: exact spans in order, nothing left out, names that depend on the content alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hookrag.testing._kit import Check, Make, difference, opened, require
from hookrag.testing.general import Trial, general_checks
from hookrag.testing.samples import documents
from hookrag.values import Chunk, Document

_HEX = frozenset("0123456789abcdef")

_HARD: tuple[tuple[str, str], ...] = (
    ("empty", ""),
    ("spaces", " \n\t \r\n  "),
    ("other spaces", "\u3000\u2003\u00a0 \x1c\u2028"),
    ("one character", "a"),
    ("NUL", "before\x00after \x00\x00 end."),
    ("no spaces", "x" * 3_000),
    ("astral", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 👩‍🚀👨‍👩‍👧 e\u0301e\u0301 \U0010ffff. " * 20),
    ("chinese", "检索增强生成先找到文档。再写出答案！" * 30),
    ("right to left", "البحث عن وثائق. ثم كتابة الجواب. שלום עולם. " * 20),
    ("lines", "# Title\r\n\r\nOne.\rTwo.\n\n\n- three\n- four\n\n```\ncode()\n```\n" * 8),
    ("edges", "  \n leading and trailing \n\n "),
    ("markers", "\ufeffIt has a mark; \u200bzero\u200bwidth\u200b; \ufffd. Soft\u00adhyphen."),
)


def _hard_documents() -> list[Document]:
    return [Document(f"hard/{name}", text, "", {"name": name}) for name, text in _HARD]


def _long_document(sentences: int = 60) -> Document:
    sentence = "Sentence {} of a long report says that retrieval comes before generation, and why it does. "
    return Document("long", "".join(sentence.format(i) + ("\n\n" if i % 9 == 0 else "") for i in range(sentences)))


def check_chunks_are_exact_spans(make: Make) -> str | None:
    """Every chunk's text is its span of the document's text, in characters, also in texts that are hard to count in."""
    with opened("chunker", make) as chunker:
        given = [*documents(), *_hard_documents()]
        for document, chunks in zip(given, chunker.chunk(given), strict=True):
            for chunk in chunks:
                require(
                    0 <= chunk.start <= chunk.end <= len(document.text),
                    chunker,
                    f"makes a chunk {chunk.start}:{chunk.end} of document {document.id!r} with {len(document.text)} characters",
                    "make chunks with hookrag.chunk_of(document, start, end)",
                )
    return None


def check_chunks_come_in_order(make: Make) -> str | None:
    """The chunks of a document come in the order of their start."""
    with opened("chunker", make) as chunker:
        given = [*documents(), *_hard_documents(), _long_document()]
        for document, chunks in zip(given, chunker.chunk(given), strict=True):
            starts = [chunk.start for chunk in chunks if not chunk.made_of]
            require(
                starts == sorted(starts),
                chunker,
                f"gives the chunks of document {document.id!r} out of order: starts {starts[:8]}",
                "sort them by start; a parent comes before its children",
            )
    return None


def check_every_character_is_covered(make: Make) -> str | None:
    """Every character that is not white space lies in a chunk. A chunker that leaves out text on purpose declares this one."""
    with opened("chunker", make) as chunker:
        given = [*documents(), *_hard_documents()]
        for document, chunks in zip(given, chunker.chunk(given), strict=True):
            covered = bytearray(len(document.text))
            for chunk in chunks:
                covered[chunk.start : chunk.end] = b"\1" * (chunk.end - chunk.start)
            lost = next((i for i, c in enumerate(document.text) if not covered[i] and not c.isspace()), None)
            require(
                lost is None,
                chunker,
                f"leaves out character {lost} of document {document.id!r} ({document.text[lost or 0 :][:20]!r})",
                "let spans meet, and end the last one at the end of the text",
            )
    return None


def check_blank_documents_have_no_text(make: Make) -> str | None:
    """A document that is empty or white space has no chunk with text, and does not stop the batch."""
    with opened("chunker", make) as chunker:
        given = [Document("empty", ""), documents()[0], Document("blank", " \n\t\u3000 ")]
        empty, full, blank = chunker.chunk(given)
        for chunks in (empty, blank):
            require(
                not chunks,
                chunker,
                f"makes {len(chunks)} chunks of a document without text",
                "return an empty list for it: an empty chunk would be embedded and found",
            )
        require(bool(full), chunker, "makes no chunk of a sentence", "make at least one chunk where there is text")
    return None


def check_chunks_have_text(make: Make) -> str | None:
    """No chunk is empty or white space alone."""
    with opened("chunker", make) as chunker:
        for chunks in chunker.chunk([*documents(), *_hard_documents(), _long_document()]):
            for chunk in chunks:
                require(
                    bool(chunk.text.strip()),
                    chunker,
                    f"makes a chunk without text, {chunk.start}:{chunk.end} of document {chunk.document_id!r}",
                    "leave out spans of white space",
                )
    return None


def check_long_documents_are_chunked(make: Make) -> str | None:
    """A document of 270,000 characters is chunked to its end."""
    with opened("chunker", make) as chunker:
        document = _long_document(3_000)
        (chunks,) = chunker.chunk([document])
        end = max((chunk.end for chunk in chunks), default=0)
        require(
            end >= len(document.text.rstrip()) - 1,
            chunker,
            f"stops at character {end} of a document with {len(document.text)}",
            "chunk the whole text",
        )
    return None


def _variants() -> list[Document]:
    base = documents()[0]
    return [
        base,
        replace(base, id="another"),
        replace(base, title="Another title"),
        replace(base, metadata={**base.metadata, "lang": "xx"}),
        replace(base, text=base.text.replace("ranks", "places")),
        replace(base, text=f"Before. {base.text}"),
    ]


def check_equal_ids_mean_equal_chunks(make: Make) -> str | None:
    """A chunk's id changes with its document, span, text, context and metadata: rows of a store are never changed."""
    with opened("chunker", make) as chunker:
        seen: dict[str, Chunk] = {}
        for chunks in chunker.chunk(_variants()):
            for chunk in chunks:
                other = seen.setdefault(chunk.id, chunk)
                require(
                    not difference(other, replace(chunk, parent=other.parent)),
                    chunker,
                    f"gives one id to two chunks: {difference(other, chunk, 'chunk')}",
                    "make chunks with hookrag.chunk_of(), which hashes all that a row holds",
                )
    return None


def check_ids_are_hashes(make: Make) -> str | None:
    """A chunk's id is 32 hexadecimal digits, which every store can keep."""
    with opened("chunker", make) as chunker:
        for chunks in chunker.chunk([*documents(), *_hard_documents()]):
            for chunk in chunks:
                require(
                    len(chunk.id) == 32 and set(chunk.id) <= _HEX,
                    chunker,
                    f"names a chunk {chunk.id!r}",
                    "make chunks with hookrag.chunk_of(), or hookrag.derived() for a text about others",
                )
    return None


def check_chunks_keep_the_metadata(make: Make) -> str | None:
    """A chunk has all metadata of its document, so that filters find it."""
    with opened("chunker", make) as chunker:
        given = documents()
        for document, chunks in zip(given, chunker.chunk(given), strict=True):
            for chunk in chunks:
                lost = [k for k, v in document.metadata.items() if k not in chunk.metadata or chunk.metadata[k] != v]
                require(
                    not lost,
                    chunker,
                    f"drops the metadata {lost} of document {document.id!r}",
                    "make chunks with hookrag.chunk_of(), which merges them",
                )
    return None


def check_parents_hold_their_children(make: Make) -> str | None:
    """A chunk lies within the span of its parent, where the chunker gives both; a parent may be another store's chunk."""
    with opened("chunker", make) as chunker:
        families = 0
        for chunks in chunker.chunk([*documents(), _long_document()]):
            known = {chunk.id: chunk for chunk in chunks}
            for chunk in chunks:
                parent = known.get(chunk.parent or "")
                families += parent is not None
                require(
                    parent is None or parent.start <= chunk.start <= chunk.end <= parent.end,
                    chunker,
                    f"makes a chunk {chunk.start}:{chunk.end} that does not lie in its parent",
                    "a parent holds the whole span of its children",
                )
    return None if families else "no chunk comes with its parent"


def _prepare(chunker: Any, folder: Path) -> list[Document]:
    return [*documents()[:6], *_hard_documents()]


def _call(chunker: Any, given: Sequence[Document]) -> Any:
    return chunker.chunk(given)


CHECKS: tuple[Check, ...] = (
    *general_checks(Trial("chunker", _prepare, _call)),
    check_chunks_are_exact_spans,
    check_chunks_come_in_order,
    check_every_character_is_covered,
    check_blank_documents_have_no_text,
    check_chunks_have_text,
    check_long_documents_are_chunked,
    check_equal_ids_mean_equal_chunks,
    check_ids_are_hashes,
    check_chunks_keep_the_metadata,
    check_parents_hold_their_children,
)
