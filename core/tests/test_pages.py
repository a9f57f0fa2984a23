"""Texts of pages: each chunk knows the page it begins on, and a citation those that its quote lies on."""

from __future__ import annotations

from hookrag import Citation, Document, chunk_of
from hookrag.cli.ask import answer_sources
from hookrag.values import Answer, Query
from hookrag.wire import to_json

TEXT = "The first page ends in the\fmiddle of a sentence. More of it.\fThe third."
PAGED = Document("a.pdf", TEXT, metadata={"pages": 3, "author": "N. N."})


def at(text: str) -> tuple[int, int]:
    start = TEXT.index(text)
    return start, start + len(text)


def test_a_chunk_has_the_page_it_begins_on_in_place_of_their_number():
    chunk = chunk_of(PAGED, *at("More of it.\fThe"))
    assert chunk.metadata == {"author": "N. N.", "page": 2}
    assert chunk.pages == (2, 3)


def test_a_page_more_at_the_end_leaves_the_ids_of_the_others():
    longer = Document("a.pdf", TEXT + "\fA fourth.", metadata={"pages": 4, "author": "N. N."})
    assert chunk_of(longer, *at("More of it.")).id == chunk_of(PAGED, *at("More of it.")).id


def test_metadata_that_is_called_pages_and_does_not_fit_the_text_stays():
    book = Document("b", "A book.", metadata={"pages": 320})
    assert chunk_of(book, 0, 7).metadata == {"pages": 320}
    assert chunk_of(book, 0, 7).pages is None


def test_a_citation_names_the_pages_of_its_quote():
    chunk = chunk_of(PAGED, 0, len(TEXT))
    assert Citation(0, 5, chunk, "More of it.").pages == (2, 2)
    assert Citation(0, 5, chunk, "ends in the\fmiddle").pages == (1, 2)
    assert Citation(0, 5, chunk).pages == (1, 3)
    assert Citation(0, 5, chunk_of(Document("t", "No pages."), 0, 9), "No").pages is None


def test_the_command_line_shows_them():
    chunk = chunk_of(PAGED, 0, len(TEXT))
    one, two = Citation(0, 5, chunk, "More of it."), Citation(6, 9, chunk, "The third.")
    assert answer_sources(Answer(Query("1", "?"), "Said so, so", (one,))) == ["[1] a.pdf:0-71  page 2"]
    assert answer_sources(Answer(Query("1", "?"), "Said so, so", (one, two))) == ["[1] a.pdf:0-71  pages 2-3"]
    assert to_json(Answer(Query("1", "?"), "Said so, so", (two,)))["citations"][0]["pages"] == [3, 3]
