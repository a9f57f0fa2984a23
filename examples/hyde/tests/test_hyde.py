"""HyDE over a scripted model, with a toy embedder and with the real MiniLM."""

from __future__ import annotations

import numpy as np
import pytest
from hookrag import Completion, HookragError, Identity, Vectors, tracing
from hyde import PROMPT, Hyde


class Writer:
    """Answers each prompt with its passages in turn."""

    window = 1000

    def __init__(self, *passages: list[str]) -> None:
        self.passages = list(passages)
        self.asked: list[dict] = []

    def complete(self, prompts, /, *, n=1, max_tokens=None, temperature=0.0, seed=None):
        texts = [prompt[0].content for prompt in prompts]
        self.asked.append({"texts": texts, "n": n, "max_tokens": max_tokens, "temperature": temperature, "seed": seed})
        return [[Completion(text) for text in self.passages.pop(0)[:n]] for _ in prompts]

    def count(self, texts, /):
        return [len(text) for text in texts]


class Table:
    """Vectors from a table; queries are twice as long as documents."""

    outputs = ("dense",)

    def __init__(self, **rows: list[float]) -> None:
        self.rows = rows
        self.calls: list[tuple[list[str], str]] = []

    def identity(self):
        return Identity({"who": "table"}, {"who": "table", "side": "query"}, "tables")

    def embed(self, texts, /, *, role, outputs):
        self.calls.append((list(texts), role))
        scale = 2 if role == "query" else 1
        rows = [[scale * value for value in self.rows[text]] for text in texts]
        return Vectors(dense=np.array(rows, dtype=np.float32).reshape(len(texts), 2))


def test_a_query_is_the_mean_of_its_passages():
    table, writer = Table(a=[1, 0], b=[0, 3], c=[4, 4]), Writer(["a", " b "], ["c", "c"])
    hyde = Hyde(embedder=table, llm=writer, n=2, max_tokens=9, seed=7)
    vectors = hyde.embed(["x", "y", "x"], role="query", outputs={"dense"}).dense
    assert vectors.tolist() == [[0.5, 1.5], [4, 4], [0.5, 1.5]]
    assert vectors.dtype == np.float32
    assert table.calls == [(["a", "b", "c", "c"], "document")]
    prompts = [PROMPT.replace("{query}", text) for text in "xy"]
    assert writer.asked == [{"texts": prompts, "n": 2, "max_tokens": 9, "temperature": 0.7, "seed": 7}]


def test_one_passage_is_written_without_chance():
    writer = Writer(["a"])
    Hyde(embedder=Table(a=[1, 0]), llm=writer).embed(["x"], role="query", outputs={"dense"})
    assert writer.asked[0]["temperature"] == 0.0


def test_with_the_query_and_the_inner_normalisation():
    hyde = Hyde(embedder=Table(a=[1, 0], x=[0, 0.5]), llm=Writer(["a"]), with_query=True)
    vectors = hyde.embed(["x"], role="query", outputs={"dense"}).dense
    assert vectors[0] == pytest.approx([2**-0.5, 2**-0.5])


def test_where_nothing_was_written_the_question_is_searched():
    hyde = Hyde(embedder=Table(a=[5, 5], x=[1, 2], y=[3, 4]), llm=Writer([" "], ["a"]))
    with tracing() as trace:
        vectors = hyde.embed(["x", "y"], role="query", outputs={"dense"}).dense
    assert vectors.tolist() == [[2, 4], [5, 5]]
    assert trace.notes == {"passages": 1, "without_passage": 1}


def test_documents_pass_through_and_nothing_is_written_for_nothing():
    table, writer = Table(a=[1, 0]), Writer()
    hyde = Hyde(embedder=table, llm=writer)
    assert hyde.embed(["a"], role="document", outputs={"dense"}).dense.tolist() == [[1, 0]]
    assert hyde.embed([], role="query", outputs={"dense"}).dense.shape == (0, 2)
    assert writer.asked == []


def test_the_identity_is_the_inner_one_but_for_the_query_side():
    hyde = Hyde(embedder=Table(), llm=Writer(), n=3)
    assert hyde.identity() == Identity(
        {"who": "table"},
        {"who": "table", "side": "query", "hyde_n": 3, "hyde_prompt": PROMPT, "hyde_with_query": False},
        "tables",
    )


def test_settings():
    class Sparse(Table):
        outputs = ("sparse",)

    for settings, message in (
        ({"n": 0}, "n must be at least 1, got 0"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"n": 2, "temperature": 0.0}, "temperature must be above 0 where n is 2, or all passages are equal; got 0.0"),
        ({"prompt": "Answer."}, "prompt must contain {query}"),
        ({"embedder": Sparse()}, "embedder must give dense vectors, it gives ['sparse']"),
    ):
        with pytest.raises(ValueError) as caught:
            Hyde(**{"embedder": Table(), "llm": Writer(), **settings})
        assert str(caught.value) == message
    with pytest.raises(HookragError) as refused:
        Hyde(embedder=Table(), llm=Writer()).embed(["x"], role="query", outputs={"dense", "sparse"})
    assert str(refused.value) == "hyde gives dense vectors only, asked for ['dense', 'sparse']"


def test_a_good_passage_finds_what_the_question_does_not():
    from hookrag_transformers.embedder import TransformersEmbedder

    minilm = TransformersEmbedder(model="all-MiniLM-L6-v2", threads=1)
    minilm.open()
    texts = [
        "Bark is the outermost layer of the stems of woody plants.",
        "The dog is a domesticated wolf, kept as a guard.",
    ]
    tree, dog = minilm.embed(texts, role="document", outputs={"dense"}).dense
    hyde = Hyde(embedder=minilm, llm=Writer(["Dogs bark. A dog guards the house."]), with_query=True)
    question = "What has a bark that is worse than its bite?"
    (plain,) = minilm.embed([question], role="query", outputs={"dense"}).dense
    (better,) = hyde.embed([question], role="query", outputs={"dense"}).dense
    assert np.linalg.norm(better) == pytest.approx(1, abs=1e-5)
    assert better @ dog - better @ tree > plain @ dog - plain @ tree
    assert better @ dog > better @ tree
    minilm.close()
