from __future__ import annotations

from itertools import pairwise

import pytest
from hookrag import Document
from hookrag_chunking.measured import Recursive
from hookrag_chunking.meters import word_units
from hookrag_chunking.recursive import levels_of
from hookrag_chunking.spans import words
from hookrag_text.sentences import spans as sentences
from hypothesis import given, settings
from hypothesis import strategies as st

PIECES = st.one_of(
    st.sampled_from(["a b c ", "One. Two! ", "\r\n\r\n", "\n\n", "\r", "\u2028", "\u2029", "\f", "\x85", " \n \n", "x" * 230]),
    st.sampled_from(["e\u0301 ", "👩‍🚀", "שלום עולם ", "مرحبا. ", "今天天气很好。", "กำลัง", "- item\n", "; ", "\ndef f", "\0"]),
    st.text(max_size=4),
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=30).map("".join)
SEPARATORS = st.lists(
    st.sampled_from(["paragraph", "line", "sentence", "word", "; ", "\ndef ", "。", "e"]), min_size=1, max_size=4, unique=True
)  # fmt: skip


def cut(text, **options):
    (chunks,) = Recursive(**options).chunk([Document("d", text)])
    return chunks


def texts(text, **options):
    return [chunk.text for chunk in cut(text, **options)]


@settings(deadline=None, max_examples=150)
@given(TEXTS, SEPARATORS, st.sampled_from(["words", "characters"]), st.integers(1, 12), st.data())
def test_chunks_are_exact_complete_and_of_the_size(text, separators, units, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    chunks = cut(text, separators=separators, units=units, size=size, overlap=overlap)
    covered = set()
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end] == chunk.text.strip() != ""
        covered.update(range(chunk.start, chunk.end))
        counted = len(words(chunk.text)) if units == "words" else len(chunk.text)
        assert counted <= size or len(chunk.text) <= 11  # one cluster
    assert all(character.isspace() for at, character in enumerate(text) if at not in covered)
    for before, after in pairwise(chunks):
        assert before.start < after.start
        assert before.end < after.end
        if units == "characters":
            assert before.end - after.start <= overlap


def plain(text, start, end, kinds, size):
    """The rule once more: places of each kind over the whole text, counts anew for each span."""

    def count(a, b):
        return len(words(text[a:b]))

    def strip(a, b):
        piece = text[a:b]
        return a + len(piece) - len(piece.lstrip()), b - len(piece) + len(piece.rstrip())

    def leaves(a, b, depth):
        if a >= b or count(a, b) <= size or depth == len(kinds):
            return [(a, b)] if a < b else []
        inside = [place for place in kinds[depth] if a < place < b]
        edges = [a, *inside, b]
        found = [leaf for x, y in pairwise(edges) for leaf in leaves(*strip(x, y), depth + 1)]
        if inside and depth == len(kinds) - 1:
            apart.add(found[0])  # the first words of a sentence that does not fit
        return found

    joined, apart = [], set()
    for leaf in leaves(*strip(start, end), 0):
        if joined and leaf not in apart and count(joined[-1][0], leaf[1]) <= size:
            joined[-1] = joined[-1][0], leaf[1]
        else:
            joined.append(leaf)
    return joined


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.sampled_from(["aa ", "b c. ", "Dd e? ", "\n\n", "\n", "F"]), max_size=30).map("".join),
    st.integers(1, 6),
)
def test_chunks_are_those_of_a_plain_reading(text, size):
    kinds = [
        [at for at in range(2, len(text)) if "\n\n" in text[at - 2 : at] and text[at] != "\n"],
        [at for at in range(1, len(text)) if text[at - 1] == "\n"],
        [at for at, _ in words(text)],
    ]
    expected = plain(text, 0, len(text), kinds, size)
    chunks = cut(text, separators=["paragraph", "line", "word"], size=size)
    assert [(chunk.start, chunk.end) for chunk in chunks] == expected


def test_a_paragraph_that_fits_is_not_torn_and_small_ones_are_joined():
    text = "A b c.\n\nD e f. G h i.\n\nJ.\n\nK."
    assert texts(text, size=6) == ["A b c.", "D e f. G h i.", "J.\n\nK."]
    assert texts(text, size=3) == ["A b c.", "D e f.", "G h i.", "J.\n\nK."]
    assert texts(text, size=2) == ["A b", "c.", "D e", "f. G", "h i.", "J.\n\nK."]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "\x85", "\u2028"])
def test_every_style_of_newline_ends_lines_and_paragraphs(newline):
    text = "a b\nc d\n\ne f".replace("\n", newline)
    assert texts(text, size=4) == [f"a b{newline}c d", "e f"]
    assert texts(text, size=3) == ["a b", "c d", "e f"]


def test_a_separator_stays_with_what_follows_if_it_begins_with_white_space():
    text = "import x\nclass A:\n    def f(self):\n        pass\nclass B:\n    pass"
    assert texts(text, separators=["\nclass "], size=5) == [
        "import x",
        "class A:\n    def f(self):\n        pass",
        "class B:\n    pass",
    ]
    assert texts("a, b; c; d", separators=["; "], size=2) == ["a, b;", "c; d"]


def test_what_is_repeated_begins_at_the_coarsest_separator_within_the_overlap():
    text = "One two. Three four. Five six seven eight nine."
    assert texts(text, size=8, overlap=3) == ["One two. Three four.", "Three four. Five six seven eight nine."]
    assert texts(text, size=6, overlap=1) == ["One two. Three four.", "four. Five six seven eight nine."]


def test_sentences_are_those_of_the_core():
    text = "Dr. Lee came. He saw it. She did not."
    levels = levels_of(["sentence"])
    assert list(levels[0].cuts(text, 0, len(text))) == [start for start, _ in sentences(text)][1:]
    assert word_units(text).count(0, len(text)) == 9


def test_a_word_of_a_million_characters_is_cut():
    chunks = cut("x" * 1_000_000, units="characters", size=1000, overlap=100)
    assert 900 <= max(len(chunk.text) for chunk in chunks) <= 1000
    assert chunks[-1].end == 1_000_000
    assert len(cut("x" * 1_000_000)) == 50  # a word of 100 characters at most


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"size": 5, "overlap": 5}, "overlap must be in [0, size), which is [0, 5), got 5"),
        ({"overlap": 200}, "overlap must be in [0, size), which is [0, 200), got 200"),
        ({"overlap": -1, "units": "characters"}, "overlap must be at least 0, got -1"),
        ({"units": "tokens"}, 'units = "tokens" needs an embedder, whose tokens are counted'),
        ({"embedder": object()}, 'embedder is for units = "tokens", got units = "words"'),
        (
            {"separators": ["line", ""]},
            "separators must be a list of texts that are not empty, got ['line', '']: what none of them cuts is cut between "
            "units anyway",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError) as error:
        Recursive(**options)
    assert str(error.value) == message
