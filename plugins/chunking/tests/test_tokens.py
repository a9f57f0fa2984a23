from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hookrag import Document, HookragError, Pipeline, tracing
from hookrag.components.search import Dense
from hookrag.testing.fakes import HashEmbedder, MemoryStore
from hookrag_chunking.measured import FixedTokens, Recursive, Sections
from hookrag_chunking.meters import sliding, token_units
from hookrag_transformers.embedder import TransformersEmbedder
from hypothesis import given, settings
from hypothesis import strategies as st


class ByteTokens(HashEmbedder):
    """A byte-level tokenizer: words of up to four letters with the blank before them are a token, all else its UTF-8 bytes."""

    def __init__(self, *, reads: int = 14) -> None:
        super().__init__()
        self.reads = reads

    def room(self, role):
        return self.reads if role == "document" else 1

    def tokens(self, texts):
        return [
            [
                found.span()
                for found in re.finditer(r" ?[a-z]{1,4}|.", text, re.DOTALL)
                for _ in (found[0].encode("utf-8", "replace") if not found[0].strip().islower() else "x")
            ]
            for text in texts
        ]


@pytest.fixture(scope="module")
def minilm():
    embedder = TransformersEmbedder(model="all-MiniLM-L6-v2", max_tokens=32, threads=1)
    embedder.open()
    yield embedder
    embedder.close()


def read(embedder, chunk):
    return len(embedder.tokens([chunk.input])[0])


HARD = [
    "The mitochondrion is the powerhouse of the cell. " * 40,
    "aGVsbG8gd29ybGQgdGhpcyBpcyBiYXNlNjQ" * 60,
    "今天天气很好。" * 50,
    "กำลังทำงาน" * 40 + " שלום עולם " * 20,
    "👩‍🚀👨‍👩‍👧 e\u0301 \0\0 \ufffd zero\u200bwidth " * 20,
    "\0\x01",
    "",
]


def test_the_model_reads_every_chunk_whole(minilm):
    titles = ["", "A title", "a very long title that goes on " * 20]
    documents = [Document(f"{i}", text, titles[i % 3]) for i, text in enumerate(HARD)]
    for chunker in (
        FixedTokens(embedder=minilm),
        FixedTokens(embedder=minilm, size=10, overlap=4),
        Recursive(embedder=minilm, units="tokens"),
        Recursive(embedder=minilm, units="tokens", overlap=5, separators=["sentence"]),
        Sections(embedder=minilm, units="tokens"),
    ):
        for document, chunks in zip(documents, chunker.chunk(documents), strict=True):
            covered = set()
            for chunk in chunks:
                assert read(minilm, chunk) <= 32 - 2
                if chunker.size:
                    assert len(minilm.tokens([chunk.text])[0]) <= chunker.size
                covered.update(range(chunk.start, chunk.end))
            lost = [c for at, c in enumerate(document.text) if at not in covered and not c.isspace()]
            assert not lost, (chunker, document.text[:20], lost)


def test_a_window_is_used_to_the_last_token(minilm):
    text = "The mitochondrion is the powerhouse of the cell. " * 40
    (chunks,) = FixedTokens(embedder=minilm).chunk([Document("d", text, "Cells")])
    words = [len(found) for found in minilm.tokens([chunk.text.split()[0] for chunk in chunks])]
    for here, (chunk, after) in enumerate(pairwise(chunks), 1):
        assert chunk.end + 1 == after.start
        assert read(minilm, chunk) <= 30 < read(minilm, chunk) + words[here]  # 32 with [CLS] and [SEP]


def test_the_embedder_of_a_pipeline_of_objects_is_asked_through_it(tmp_path):
    embedder = ByteTokens()
    store = MemoryStore(chunker=Recursive(embedder=embedder, units="tokens", size=8), embedder=embedder)
    with Pipeline(retriever=Dense(store=store), folder=tmp_path) as pipeline, tracing() as trace:
        pipeline.index([Document("a", "one two three four five six seven eight nine")])
    (cut,) = (span for span in trace.walk() if span.operation == "chunk")
    assert {"tokens", "room"} <= {span.operation for span in cut.children}


def test_special_tokens_and_the_prefix_of_a_real_model_are_left_free():
    embedder = TransformersEmbedder(model="all-MiniLM-L6-v2", max_tokens=12, document_prefix="read it: ", threads=1)
    (chunks,) = FixedTokens(embedder=embedder).chunk([Document("d", "aa bb cc dd ee ff " * 5)])
    # [CLS] read it : and [SEP] are five of twelve; "aa" and its like are one or two tokens each.
    assert max(read(embedder, chunk) for chunk in chunks) == 7
    embedder.close()


def test_a_title_that_takes_more_than_half_the_window_is_cut_to_that_half():
    (chunks,) = FixedTokens(embedder=ByteTokens(reads=8)).chunk(
        [Document("d", "a b c d e f", "one two three four five six")]
    )
    assert [(chunk.context, chunk.text) for chunk in chunks] == [("one two three", "a b c d"), ("one two three", "e f")]


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.sampled_from(["ab ", "word ", "longerword", "\n\n", "Z. ", "👩‍🚀", "e\u0301", "好", "é", " ", "\r\n"]),
        max_size=25,
    ).map("".join),
    st.integers(1, 14),
    st.data(),
    st.sampled_from(["", "T", "A title of words"]),
)
def test_tokens_are_exact_complete_and_of_the_size(text, size, data, title):
    overlap = data.draw(st.integers(0, size - 1))
    embedder = ByteTokens(reads=38)
    document = Document("d", text, title)
    for chunker in (
        FixedTokens(embedder=embedder, size=size, overlap=overlap),
        Recursive(embedder=embedder, size=size, overlap=overlap, units="tokens"),
    ):
        (chunks,) = chunker.chunk([document])
        covered = set()
        for chunk in chunks:
            assert chunk.text == text[chunk.start : chunk.end] == chunk.text.strip() != ""
            (own,) = embedder.tokens([chunk.text])
            assert len(own) <= size or len(chunk.text) <= 3  # one cluster of many bytes
            assert read(embedder, chunk) <= 38
            covered.update(range(chunk.start, chunk.end))
        assert all(character.isspace() for at, character in enumerate(text) if at not in covered)
        starts = [chunk.start for chunk in chunks]
        assert starts == sorted(set(starts))


def test_tokens_are_counted_with_the_word_they_end_in():
    units = token_units("ab 👍🏽c d", [(0, 1), (1, 2), (2, 4), (3, 4), (4, 5), (5, 6), (6, 8)])
    assert [units.step(0, 8, size) for size in (1, 2, 5, 6, 7)] == [3, 3, 3, 7, 8]
    assert units.count(3, 6) == 4


def test_a_long_text_is_tokenised_in_slices_to_the_same_chunks():
    text = "some words of a very long text " * 5_000
    embedder = ByteTokens(reads=128)
    (chunks,) = FixedTokens(embedder=embedder).chunk([Document("d", text)])
    assert [(it.start, it.end) for it in chunks] == list(
        sliding(text, 0, len(text), token_units(text, embedder.tokens([text])[0]), size=128, overlap=0)
    )


def test_a_word_that_the_model_does_not_know_is_read_piece_by_piece(minilm):
    (chunks,) = FixedTokens(embedder=minilm).chunk([Document("d", "x" * 5_000 + " " + "ab" * 10_000)])
    assert max(read(minilm, chunk) for chunk in chunks) <= 30
    assert sum(len(chunk.text) for chunk in chunks) == 25_000


def test_an_overlap_that_the_window_has_no_room_for_is_refused():
    with pytest.raises(HookragError) as error:
        FixedTokens(embedder=ByteTokens(reads=9), overlap=9).chunk([Document("d", "a")])
    assert str(error.value) == (
        "overlap = 9 must be less than the 9 tokens of a document that the embedder reads: lower overlap, or give the "
        "embedder a wider window"
    )
    with pytest.raises(ValueError) as refused:
        FixedTokens(embedder=ByteTokens(), overlap=-1)
    assert str(refused.value) == "overlap must be at least 0, got -1"
