from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hookrag import Chunk, Hit, Query, Ranking, ScoreKind, tracing
from hookrag_cross_encoder.reranker import CrossEncoder
from hookrag_transformers.models import ModelError, locate


@pytest.fixture(scope="module")
def judge() -> CrossEncoder:
    component = CrossEncoder(threads=1)
    component.open()
    return component


def ranking(query: str, passages: list[str], context: str = "") -> Ranking:
    hits = tuple(
        Hit(Chunk(f"{at:03}", "d", passage, 0, len(passage), context), 1.0 - at / 100)
        for at, passage in enumerate(passages)
    )
    return Ranking(Query("q", query), hits, "dense", ScoreKind("cosine"))


def save(folder: Path, family: str, num_labels: int = 1) -> Any:
    """A small classifier with random weights, saved by transformers with the tokenizer of the default model."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification

    shutil.copy(locate("ms-marco-MiniLM-L-12-v2").folder / "tokenizer.json", folder)
    sizes = {"vocab_size": 30522, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    config = {**sizes, "num_attention_heads": 4, "num_labels": num_labels, "pad_token_id": 0, "type_vocab_size": 2}
    torch.manual_seed(3)
    network = AutoModelForSequenceClassification.from_config(CONFIG_MAPPING[family](**config)).eval()
    network.save_pretrained(folder)
    return network


def test_scores_agree_with_transformers(judge, pairs):
    reference = np.load(Path(__file__).parent / "reference.npz")["logits"]
    assert np.abs(judge.score(pairs) - reference).max() < 1e-4


def test_torch_gives_the_same_scores(judge, pairs):
    other = CrossEncoder(backend="torch", threads=1)
    assert np.abs(judge.score(pairs) - other.score(pairs)).max() < 1e-5
    assert (judge.runs_on, other.runs_on) == ("onnx on cpu", "torch on cpu")
    passages = [ranking("x", ["y", "z"])]
    assert judge.rerank(passages, k=1)[0].kind == other.rerank(passages, k=1)[0].kind  # scores that can be compared


def test_a_passage_has_what_a_question_of_ordinary_length_leaves(judge):
    assert judge.models() == ["ms-marco-MiniLM-L-12-v2"]
    assert judge.tokens(["Berlin is big"]) == [[(0, 6), (7, 9), (10, 13)]]
    assert judge.room("document") == 512 - 3 - 32
    with tracing() as trace:
        judge.score([("word " * 32, "word " * judge.room("document")), ("word " * judge.room("query"), "word")])
    assert trace.notes["tokens_cut"] == 0
    with tracing() as trace:
        judge.score([("word " * 32, "word " * (judge.room("document") + 1))])
    assert trace.notes["tokens_cut"] == 1
    tight = CrossEncoder(max_tokens=23, threads=1)
    assert (tight.room("query"), tight.room("document")) == (15, 5)


def test_a_score_is_the_same_bits_alone_and_among_others(judge, pairs):
    together = judge.score(pairs)
    alone = np.concatenate([judge.score([pair]) for pair in pairs])
    assert np.array_equal(together, alone)
    assert np.array_equal(together, judge.score(pairs[::-1])[::-1])


def test_batches_of_any_size_give_the_same_bits(judge):
    passages = [f"Berlin {'has many people ' * (n % 23)}{n}" for n in range(60)]
    asked = [("How many people live in Berlin?", passage) for passage in passages]
    small = CrossEncoder(batch_tokens=1, threads=1)
    assert np.array_equal(judge.score(asked), small.score(asked))


def test_reranks_by_logit_and_keeps_k(judge):
    passages = ["The Louvre is in Paris.", "Berlin has 3.5 million inhabitants.", "Bread is baked."]
    (made,) = judge.rerank([ranking("How many people live in Berlin?", passages)], k=2)
    assert made.hits[0].chunk.id == "001"
    assert len(made.hits) == 2
    assert made.hits[0].score > made.hits[1].score
    assert made.stage == "cross-encoder"
    assert made.kind.name == "logit"
    assert made.kind.producer.endswith("at 512 tokens")


def test_the_context_is_read_with_the_text(judge):
    (bare,) = judge.rerank([ranking("population of Berlin", ["It has 3.5 million inhabitants."])], k=1)
    (titled,) = judge.rerank([ranking("population of Berlin", ["It has 3.5 million inhabitants."], "Berlin")], k=1)
    expected = judge.score([("population of Berlin", "Berlin It has 3.5 million inhabitants.")])[0]
    assert titled.hits[0].score == expected
    assert titled.hits[0].score > bare.hits[0].score


def test_equal_pairs_are_scored_once_and_tie_by_chunk_id(judge):
    with tracing() as trace:
        (made,) = judge.rerank([ranking("x", ["same", "other words", "same"])], k=3)
    assert trace.notes["distinct"] == 2
    same = [hit.chunk.id for hit in made.hits if hit.chunk.text == "same"]
    assert same == ["000", "002"]


def test_what_is_cut_is_counted(judge):
    with tracing() as trace:
        judge.score([("x", "word " * 600), ("x", "word")])
    assert trace.notes == {
        "distinct": 2,
        "runs_on": "onnx on cpu",
        "tokens": 512 + 5,
        "truncated": 1,
        "tokens_cut": 600 + 4 - 512,
    }


def test_a_query_longer_than_the_window_leaves_a_quarter_to_the_passage(judge):
    with tracing() as trace:
        judge.score([("word " * 700, "passage " * 300)])
    room = 512 - 3
    assert trace.notes["tokens"] == 512
    assert trace.notes["tokens_cut"] == 700 + 300 - room
    different = judge.score([("word " * 700, "Berlin"), ("word " * 700, "word word word")])
    assert different[0] != different[1]


def test_nothing_to_rerank(judge):
    assert judge.rerank([], k=5) == []
    (made,) = judge.rerank([ranking("x", [])], k=5)
    assert made.hits == ()


def test_too_many_or_too_few_tokens():
    with pytest.raises(ModelError) as raised:
        CrossEncoder(max_tokens=513).open()
    assert str(raised.value) == (
        "model ms-marco-MiniLM-L-12-v2: max_tokens is 513; it must be at least 7, for the special tokens of a pair "
        "and a few of its own, and at most the model's 512 positions"
    )
    with pytest.raises(ValueError, match=r"^batch_tokens must be at least 1, got 0$"):
        CrossEncoder(batch_tokens=0)
    CrossEncoder(max_tokens=7, threads=1).score([("a b c d e", "f g h")])


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_a_model_of_two_labels_is_refused_when_it_is_opened(tmp_path, backend):
    save(tmp_path, "bert", num_labels=2)
    with pytest.raises(ModelError) as raised:
        CrossEncoder(model=tmp_path, max_tokens=128, backend=backend, threads=1).open()
    assert str(raised.value) == f"model {tmp_path.name} gives 2 scores a pair: choose a model with one label"


def test_scores_by_another_config_are_of_another_kind(tmp_path):
    save(tmp_path, "bert")
    passages = [ranking("x", ["y"])]
    before = CrossEncoder(model=tmp_path, max_tokens=128, threads=1).rerank(passages, k=1)[0]
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 0.1}))
    after = CrossEncoder(model=tmp_path, max_tokens=128, threads=1).rerank(passages, k=1)[0]
    assert after.hits[0].score != before.hits[0].score
    assert after.kind != before.kind


@pytest.mark.parametrize("family", ["modernbert", "roberta"])
def test_other_families_give_what_transformers_gives(tmp_path, family):
    import torch
    from tokenizers import Tokenizer

    network = save(tmp_path, family)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tokenizer.no_padding()
    pairs = [("how many people", "Berlin has many"), ("x", "y z " * 30), ("", "a")]
    expected = []
    for query, passage in pairs:
        encoded = tokenizer.encode(query, passage)
        told = {"input_ids": encoded.ids} | ({"token_type_ids": encoded.type_ids} if family == "roberta" else {})
        with torch.no_grad():
            made = network(**{name: torch.tensor([values]) for name, values in told.items()}).logits
        expected.append(float(made))
    component = CrossEncoder(model=tmp_path, max_tokens=128, threads=1)
    assert np.abs(component.score(pairs) - expected).max() < 1e-5
    assert component.runs_on == ("torch on cpu" if family == "modernbert" else "onnx on cpu")
