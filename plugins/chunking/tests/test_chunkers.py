from __future__ import annotations

from itertools import pairwise

import pytest
from hookrag import Document
from hookrag.sentences import spans
from hookrag_chunking import plugin
from hookrag_chunking.chunkers import ParentChild, Sentences, WholeDocument, Words
from hookrag_chunking.spans import packed, windows, words
from hypothesis import given, settings
from hypothesis import strategies as st

PIECES = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["a b c ", "One. Two! ", "\r\n", "\n\n", "\0", "\u3000", "\x1c", "x" * 230, "\U00020000"]),
    st.sampled_from(["\U0001f469\u200d\U0001f680 ", "e\u0301 ", "שלום עולם ", "مرحبا. ", "今天天气很好。", "กำลัง"]),
    st.sampled_from(["\n# H\n", "- item\n", "```\ncode\n```\n"]),
)
TEXTS = st.lists(PIECES, max_size=30).map("".join)
SIZES = st.integers(1, 9)


def document(text: str, **more) -> Document:
    return Document("d", text, **more)


def check(text, chunks):
    """What every chunker promises: exact spans in order, no outer white space, nothing left out, ids of their own."""
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end] == chunk.text.strip() != ""
    assert [chunk.start for chunk in chunks] == sorted(chunk.start for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    covered = set().union(*(range(chunk.start, chunk.end) for chunk in chunks))
    assert all(character.isspace() for at, character in enumerate(text) if at not in covered)


@settings(deadline=None)
@given(TEXTS, SIZES, st.data())
def test_words_are_exact_complete_of_the_size_and_overlap_as_promised(text, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    (chunks,) = Words(size=size, overlap=overlap).chunk([document(text)])
    check(text, chunks)
    inside = [[word for word in words(text) if chunk.start <= word[0] and word[1] <= chunk.end] for chunk in chunks]
    assert all(len(found) == size for found in inside[:-1])
    assert all(1 <= len(found) <= size for found in inside)
    for before, after in pairwise(inside):
        assert after[:overlap] == before[len(before) - overlap :]
        assert after[-1] not in before


@settings(deadline=None)
@given(TEXTS, SIZES, st.integers(0, 3))
def test_sentences_are_exact_complete_and_of_the_size(text, size, overlap):
    (chunks,) = Sentences(size=size, overlap=overlap).chunk([document(text)])
    check(text, chunks)
    assert all(len(words(chunk.text)) <= size for chunk in chunks)
    assert all(after.end > before.end for before, after in pairwise(chunks))


@settings(deadline=None)
@given(TEXTS, SIZES, st.integers(0, 3))
def test_packed_sentences_are_those_of_a_plain_reading(text, size, overlap):
    # the twin counts from every possible first piece instead of keeping a running total
    pieces = []
    for start, end in spans(text):
        inside = [(start + first, start + last) for first, last in words(text[start:end])]
        pieces += [inside[at : at + size] for at in range(0, len(inside), size)]
    expected, begin, done = [], 0, 0
    while done < len(pieces):
        while sum(len(piece) for piece in pieces[begin : done + 1]) > size:
            begin += 1
        stop = done + 1
        while stop < len(pieces) and sum(len(piece) for piece in pieces[begin : stop + 1]) <= size:
            stop += 1
        expected.append((pieces[begin][0][0], pieces[stop - 1][-1][1]))
        begin, done = max(begin + 1, stop - overlap), stop
    assert packed(text, size=size, overlap=overlap) == expected


@settings(deadline=None)
@given(TEXTS, SIZES, st.data())
def test_children_tile_their_parents(text, size, data):
    child_size = data.draw(st.integers(1, size))
    (parents,) = ParentChild(keep="parents", size=size, child_size=child_size).chunk([document(text)])
    (children,) = ParentChild(keep="children", size=size, child_size=child_size).chunk([document(text)])
    check(text, parents)
    check(text, children)
    assert [(it.start, it.end) for it in parents] == windows(words(text), size=size, overlap=0)
    expected = []
    for parent in parents:
        inside = [word for word in words(text) if parent.start <= word[0] and word[1] <= parent.end]
        expected += [(*span, parent.id) for span in windows(inside, size=child_size, overlap=0)]
    assert [(it.start, it.end, it.parent) for it in children] == expected


@settings(deadline=None)
@given(TEXTS)
def test_a_whole_document_is_one_chunk(text):
    (chunks,) = WholeDocument().chunk([document(text)])
    check(text, chunks)
    assert [chunk.text for chunk in chunks] == ([text.strip()] if text.strip() else [])


@settings(deadline=None)
@given(TEXTS)
def test_words_cover_every_character_that_is_no_white_space(text):
    covered = {at for start, end in words(text) for at in range(start, end)}
    assert covered == {at for at, character in enumerate(text) if not character.isspace()}


@pytest.mark.parametrize("chunker", [Words(), Sentences(), WholeDocument(), ParentChild(keep="children")])
def test_empty_documents_have_no_chunks_and_title_and_metadata_go_along(chunker):
    batch = [document(""), document(" \n\t\u2003"), document("A b.", title="T", metadata={"lang": "en"})]
    empty, blank, chunks = chunker.chunk(batch)
    assert empty == blank == []
    assert all((it.context, dict(it.metadata), it.document_id) == ("T", {"lang": "en"}, "d") for it in chunks)
    assert chunks
    assert chunker.chunk([]) == []


def test_words_of_scripts_without_spaces_are_characters_with_their_marks():
    assert [("กำลัง de你 好\u3099.")[start:end] for start, end in words("กำลัง de你 好\u3099.")] == [
        "ก", "ำ", "ลั", "ง", "de", "你", "好\u3099", ".",
    ]  # fmt: skip


def test_white_space_between_chunks_is_dropped_and_inside_kept():
    (chunks,) = Words(size=2, overlap=0).chunk([document(" a  b \n c\td ")])
    assert [(chunk.start, chunk.end, chunk.text) for chunk in chunks] == [(1, 5, "a  b"), (8, 11, "c\td")]


def test_the_last_window_is_never_inside_the_one_before():
    (chunks,) = Words(size=4, overlap=2).chunk([document("a b c d e f")])
    assert [chunk.text for chunk in chunks] == ["a b c d", "c d e f"]


def test_sentences_are_kept_whole():
    (chunks,) = Sentences(size=8, overlap=1).chunk(
        [document("Dr. Lee came. He saw it. She did not. They left at once.")]
    )
    assert [chunk.text for chunk in chunks] == [
        "Dr. Lee came. He saw it.",
        "He saw it. She did not.",
        "She did not. They left at once.",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Words(size=0), "size must be 1 word or more, got 0"),
        (lambda: Words(size=5, overlap=5), "overlap must be in [0, size), which is [0, 5), got 5"),
        (lambda: Words(size=5, overlap=-1), "overlap must be in [0, size), which is [0, 5), got -1"),
        (lambda: Sentences(size=-1), "size must be 1 word or more, got -1"),
        (lambda: Sentences(overlap=-1), "overlap must be 0 sentences or more, got -1"),
        (lambda: ParentChild(keep="parents", size=0), "size must be 1 word or more, got 0"),
        (
            lambda: ParentChild(keep="parents", size=9, child_size=10),
            "child_size must be in [1, size], which is [1, 9], got 10",
        ),
    ],
)
def test_a_size_out_of_range_is_refused(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


def test_every_registered_component_can_be_imported():
    from importlib import import_module

    for component in plugin.chunkers().values():
        module, _, name = component.target.partition(":")
        assert callable(getattr(import_module(module), name).chunk)
