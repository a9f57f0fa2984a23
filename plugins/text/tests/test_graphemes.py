from __future__ import annotations

from itertools import pairwise

import regex
from hookrag import Document
from hookrag_chunking.measured import FixedCharacters
from hookrag_text.graphemes import _ODD, LONGEST, last_break, next_break, whole
from hypothesis import example, given, settings
from hypothesis import strategies as st

CLUSTERS = st.sampled_from(
    ["a", " ", "\n", "\r\n", "\r", "e\u0301", "\u0301",
     "👩‍🚀", "👨‍👩‍👧", "🇩🇪", "🇫", "👍🏽",
     "한", "\u1112\u1161\u11ab", "กำ", "ลั", "น", "न", "म",
     "स्ते", "क्ष", "ا\u064b", "\u0600\u0661", "שָׁ", "漢", "が", "\u200d", "\u00a9", "\ufe0f", "\u00ad", "\0"]
)  # fmt: skip
TEXTS = st.lists(st.one_of(CLUSTERS, st.text(max_size=2)), max_size=30).map("".join)


def breaks(text):
    """The boundaries, by one pass over the whole text."""
    return {0, *(cluster.end() for cluster in regex.finditer(r"\X", text))}


def test_plain_characters_join_nothing():
    characters = map(chr, (code for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF))
    plain = "".join(character for character in characters if not _ODD.match(character))
    assert len(plain) > 30_000
    assert regex.fullmatch(r"(?:(?!\p{InCB=Consonant})[\p{GCB=Other}\p{GCB=Control}\p{GCB=LF}])+", plain)


@settings(deadline=None, max_examples=200)
@given(TEXTS)
@example("🇩🇪🇫🇷🇩🇪" + "e\u0301" * 3)
def test_breaks_are_those_of_one_pass(text):
    expected = breaks(text)
    ordered = sorted(expected)
    for at in range(len(text) + 1):
        before = max(place for place in ordered if place <= at)
        assert last_break(text, 0, at) == before
        assert next_break(text, before, at, len(text)) == min(place for place in ordered if place >= at)
    assert list(whole(text, range(1, len(text)))) == [place for place in ordered if 0 < place < len(text)]


@settings(deadline=None, max_examples=200)
@given(TEXTS, st.integers(1, 12), st.data())
def test_characters_are_exact_complete_and_never_inside_a_cluster(text, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    (chunks,) = FixedCharacters(size=size, overlap=overlap).chunk([Document("d", text)])
    expected = breaks(text)
    covered = set()
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end] == chunk.text.strip() != ""
        assert len(chunk.text) <= size or len(regex.findall(r"\X", chunk.text)) == 1
        # white space is left off, also where it carries a mark of its own
        assert chunk.start in expected or text[chunk.start - 1].isspace()
        assert chunk.end in expected or text[chunk.end].isspace()
        covered.update(range(chunk.start, chunk.end))
    assert all(character.isspace() for at, character in enumerate(text) if at not in covered)
    for before, after in pairwise(chunks):
        assert before.start < after.start
        assert before.end < after.end
        assert before.end - after.start <= overlap


def test_windows_of_characters_overlap_as_told():
    (chunks,) = FixedCharacters(size=6, overlap=2).chunk([Document("d", "abcdefghijklmn")])
    assert [chunk.text for chunk in chunks] == ["abcdef", "efghij", "ijklmn"]
    (chunks,) = FixedCharacters(size=4, overlap=0).chunk([Document("d", "ab  cde\u0301fg")])
    assert [chunk.text for chunk in chunks] == ["ab", "cde\u0301", "fg"]


def test_a_tower_of_accents_is_torn_after_a_thousand():
    (chunks,) = FixedCharacters(size=10, overlap=3).chunk([Document("d", "e" + "\u0301" * 5_000 + "f")])
    assert max(len(chunk.text) for chunk in chunks) <= LONGEST
    assert chunks[-1].text.endswith("f")
