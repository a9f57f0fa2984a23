from __future__ import annotations

from itertools import pairwise

import pytest
from hookrag import Document
from hookrag_chunking import plugin
from hookrag_chunking.chunkers import Nested, ParentChild, Sentences, WholeDocument, Words
from hookrag_chunking.measured import FixedCharacters, Recursive, Sections
from hookrag_chunking.spans import packed, windows, words
from hookrag_text.sentences import spans
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
        (lambda: Words(size=0), "size must be at least 1, got 0"),
        (lambda: Words(size=5, overlap=5), "overlap must be in [0, size), which is [0, 5), got 5"),
        (lambda: Words(size=5, overlap=-1), "overlap must be at least 0, got -1"),
        (lambda: Sentences(size=-1), "size must be at least 1, got -1"),
        (lambda: Sentences(overlap=-1), "overlap must be at least 0, got -1"),
        (lambda: ParentChild(keep="parents", size=0), "size must be at least 1, got 0"),
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


def test_each_chunk_has_the_page_it_begins_on():
    text = "One two three. Four\ffive six. Seven eight.\f\fNine ten."
    paged = document(text, metadata={"pages": 4})
    for chunker in (
        Words(size=2, overlap=0),
        Sentences(size=3, overlap=0),
        FixedCharacters(size=9, overlap=0),
        Recursive(size=3),
        Sections(size=3),
        ParentChild(keep="children", size=4, child_size=2),
        Nested(keep="children", parent=Words(size=4, overlap=0), child=Sentences(size=2)),
    ):
        (chunks,) = chunker.chunk([paged])
        check(text, chunks)
        for chunk in chunks:
            assert chunk.metadata == {"page": 1 + text.count("\f", 0, chunk.start)}
    (sentences,) = Sentences(size=3, overlap=0).chunk([document("One two\fthree. Four.")])
    assert [chunk.text for chunk in sentences] == ["One two\fthree.", "Four."]
    (pieces,) = Recursive(size=3).chunk([document("one two\fthree four")])
    assert [chunk.text for chunk in pieces] == ["one two", "three four"]


@settings(deadline=None, max_examples=60)
@given(TEXTS, SIZES)
def test_nested_children_are_what_the_child_cuts_of_each_parent(text, size):
    title = "T"
    parent, child = Recursive(size=3 * size), Words(size=size, overlap=0)
    (parents,) = Nested(keep="parents", parent=parent, child=child).chunk([document(text, title=title)])
    (children,) = Nested(keep="children", parent=parent, child=child).chunk([document(text, title=title)])
    check(text, parents)
    check(text, children)
    expected = []
    for one in parents:
        (inside,) = child.chunk([document(one.text)])
        expected += [(one.id, one.start + it.start, one.start + it.end, title) for it in inside]
    assert [(it.parent, it.start, it.end, it.context) for it in children] == expected


def test_children_have_the_context_of_their_parent():
    nested = Nested(keep="children", parent=Sections(), child=Words(size=3, overlap=0))
    (children,) = nested.chunk([document("# A\none two three\n## B\nfour", title="T", metadata={"lang": "en"})])
    assert [(it.context, it.text, dict(it.metadata)) for it in children] == [
        ("T > A", "# A\none", {"lang": "en"}),
        ("T > A", "two three", {"lang": "en"}),
        ("T > A > B", "## B\nfour", {"lang": "en"}),
    ]


def test_a_child_of_two_parents_belongs_to_the_first():
    overlapping, child = Words(size=4, overlap=2), Words(size=2, overlap=0)
    text = document("a b c d e f")
    (parents,) = Nested(keep="parents", parent=overlapping, child=child).chunk([text])
    (children,) = Nested(keep="children", parent=overlapping, child=child).chunk([text])
    assert [parent.text for parent in parents] == ["a b c d", "c d e f"]
    assert [(it.text, it.parent) for it in children] == [
        ("a b", parents[0].id),
        ("c d", parents[0].id),
        ("e f", parents[1].id),
    ]


@pytest.mark.parametrize(
    "chunker",
    [
        Words(),
        Sentences(),
        FixedCharacters(),
        Recursive(overlap=20),
        Sections(overlap=20),
        ParentChild(keep="children"),
    ],
)
@pytest.mark.parametrize("text", ["x" * 1_000_000, "# " + "y" * 1_000_000, "e\u0301" * 50_000, " " * 1_000_000 + "z"])
def test_one_giant_word_is_cut_and_covered(chunker, text):
    (chunks,) = chunker.chunk([document(text)])
    at = 0
    for chunk in chunks:
        assert not text[at : chunk.start].strip()
        at = max(at, chunk.end)
    assert at == len(text)
    assert max(len(chunk.text) for chunk in chunks) <= 200 * 101


@pytest.mark.parametrize(
    ("chunker", "first", "last"),
    [
        (Words(size=5, overlap=2), "ac90db10", "c8bc5601"),
        (Sentences(size=5, overlap=1), "74495a5a", "44e79a59"),
        (WholeDocument(), "a35f7b0b", "a35f7b0b"),
        (ParentChild(keep="parents", size=6, child_size=3), "6018c722", "0cdf5c2f"),
        (ParentChild(keep="children", size=6, child_size=3), "48ca0be4", "735992b3"),
    ],
)
def test_chunks_are_called_as_in_indexes_that_exist(chunker, first, last):
    # whoever has to change these raises the chunker's version
    text = "One two. Three four five six? 今天天气。\n\n- seven\n- eight nine ten eleven"
    (chunks,) = chunker.chunk([document(text, title="T", metadata={"lang": "en"})])
    assert (chunks[0].id[:8], chunks[-1].id[:8]) == (first, last)
