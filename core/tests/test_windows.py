"""What chunks need beside what embedders, rerankers and generators read, and what is counted when it is cut off."""

from __future__ import annotations

import re

from hookrag import Document, Pipeline, note, tracing
from hookrag.components.reranked import Reranked
from hookrag.components.search import Dense
from hookrag.index.windows import PAGE
from hookrag.testing.fakes import FirstHit, HashEmbedder, MemoryStore
from hookrag.values import Ranking, ScoreKind, best


class Paragraphs:
    """Cuts at blank lines."""

    def chunk(self, documents):
        from hookrag import chunk_of

        return [
            [chunk_of(document, *found.span()) for found in re.finditer(r"[^\n]+", document.text)]
            for document in documents
        ]


class Narrow(HashEmbedder):
    """Reads so many words of a document, and one of a query."""

    def __init__(self, *, reads: int = 4) -> None:
        super().__init__()
        self.reads = reads

    def tokens(self, texts):
        return [[found.span() for found in re.finditer(r"\S+", text)] for text in texts]

    def room(self, role):
        return self.reads if role == "document" else 1

    def embed(self, texts, *, role, outputs):
        over = [len(spans) - self.room(role) for spans in self.tokens(texts)]
        note(truncated=sum(more > 0 for more in over), tokens_cut=sum(more for more in over if more > 0))
        return super().embed(texts, role=role, outputs=outputs)


class Judge:
    """Reads three words of a passage."""

    def tokens(self, texts):
        return Narrow().tokens(texts)

    def room(self, role):
        return 3

    def rerank(self, rankings, /, *, k):
        return [Ranking(one.query, best(one.hits, k), "judge", ScoreKind("judge")) for one in rankings]


class Fencing(FirstHit):
    """Puts each passage between fences of three words and a line break, and has room for thirty words of them."""

    def measure(self, passages):
        return [len(passage.input.split()) + 7 for passage in passages], 30


DOCUMENTS = [Document("d", "one two three four\none two\none two three four five six"), Document("e", "one")]


def pipeline(tmp_path, embedder=None, **options):
    store = MemoryStore(chunker=Paragraphs(), embedder=embedder or Narrow())
    retriever = Dense(store=store)
    if "reranker" in options:
        retriever = Reranked(retriever=retriever, reranker=options.pop("reranker"), depth=5)
    return Pipeline(retriever=retriever, folder=tmp_path, **options)


def test_an_embedder_beside_the_rows_of_its_store(tmp_path):
    with pipeline(tmp_path) as made:
        made.index(DOCUMENTS)
        (window,) = made.windows()
    assert window.to_json() == {
        "reader": "[embedders.narrow]", "store": "[stores.memorystore]", "indexed": True, "chunks": 4, "tokens": 13,
        "longest": 6, "room": 4, "over": 1, "cut": 2, "together": False, "fits": False,
    }  # fmt: skip
    assert str(window) == (
        "[embedders.narrow] reads 4 tokens of a chunk; 1 of 4 chunks of [stores.memorystore] are longer, up to 6, and 15.4 % "
        "of all tokens are cut off"
    )


def test_chunks_of_the_whole_index_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr("hookrag.index.windows.SAMPLE", 20)
    with pipeline(tmp_path) as made:
        made.index([Document(f"short {n}", "one two") for n in range(40)])
        made.index([Document(f"long {n}", "one two three four five") for n in range(40)], source="later")
        (window,) = made.windows()
    assert window.chunks == 20
    assert 0 < window.over < 20


def test_before_anything_is_indexed_a_page_of_english_is_cut(tmp_path):
    with pipeline(tmp_path, Narrow(reads=200)) as made:
        (window,) = made.windows()
    assert (window.indexed, window.fits, window.chunks) == (False, True, 48)
    assert window.longest == max(len(f"{PAGE.title} {line}".split()) for line in PAGE.text.splitlines())
    assert str(window) == (
        f"[embedders.narrow] reads 200 tokens of a chunk; the longest of 48 chunks that [stores.memorystore] would get of a "
        f"page of English has {window.longest}"
    )


def test_a_reranker_and_a_generator_read_what_the_store_has(tmp_path):
    with pipeline(tmp_path, Narrow(reads=9), reranker=Judge(), generator=Fencing(), k=3) as made:
        made.index(DOCUMENTS)
        windows = {one.reader: one for one in made.windows()}
    judge = windows["[rerankers.judge]"]
    assert (judge.room, judge.over, judge.cut, judge.longest) == (3, 2, 4, 6)
    # 13 + 11 of 30, and 9 that find no room.
    fencing = windows["[generators.fencing]"]
    told = (fencing.together, fencing.room, fencing.chunks, fencing.tokens, fencing.over, fencing.cut)
    assert told == (True, 30, 3, 33, 1, 9)
    assert str(fencing) == (
        "[generators.fencing] has room for 30 tokens of passages; the 3 longest chunks of [stores.memorystore] have 33: "
        "1 would be left out"
    )


def test_what_an_embedder_cuts_off_while_indexing_is_in_the_report_and_in_a_trace(tmp_path):
    with pipeline(tmp_path) as made:
        with tracing() as trace:
            report = made.index(DOCUMENTS)
        assert (report.truncated, report.tokens_cut) == (1, 2)
        assert sum(one.notes.get("tokens_cut", 0) for one in trace.walk()) == 2
        (estimate,) = made.index([Document("f", "1 2 3 4 5")], source="other", dry_run=True).to_embed
        assert (estimate.tokens, estimate.truncated) == (4, 1)
        again = made.index(DOCUMENTS)
        assert (again.embedded, again.truncated) == (0, 0)
