from __future__ import annotations

import json

import numpy as np
import pytest
from hookrag_transformers.models import ModelError, locate
from hookrag_transformers.tokens import TextTokenizer


@pytest.fixture(scope="module")
def path():
    return locate("all-MiniLM-L6-v2").folder / "tokenizer.json"


@pytest.fixture(scope="module")
def tokenizer(path):
    return TextTokenizer(path)


def test_tokens_are_those_of_the_tokenizer_itself(path, tokenizer, texts):
    from tokenizers import Tokenizer

    own = Tokenizer.from_file(str(path))
    own.no_padding()
    own.enable_truncation(64)
    made = tokenizer.singles(texts, 64)
    for ids, encoding in zip(made.ids, own.encode_batch(texts), strict=True):
        assert ids.tolist() == encoding.ids


def test_pairs_are_those_of_the_tokenizer_itself(path, tokenizer, texts):
    from tokenizers import Tokenizer

    own = Tokenizer.from_file(str(path))
    own.no_padding()
    own.enable_truncation(64, strategy="only_second")
    query = "Which vitamin prevents fractures?"
    wanted = [(0, at) for at in range(len(texts))]
    made = tokenizer.pairs([query], texts, wanted, 64)
    for ids, types, text in zip(made.ids, made.types, texts, strict=True):
        encoding = own.encode(query, text)
        assert (ids.tolist(), types.tolist()) == (encoding.ids, encoding.type_ids)


def test_what_is_cut_is_counted(tokenizer):
    made = tokenizer.singles(["word " * 10, "word"], 6)
    assert [len(ids) for ids in made.ids] == [6, 3]
    assert made.facts == {"tokens": 9, "truncated": 1, "tokens_cut": 6}


def test_cut_from_the_left(path):
    made = TextTokenizer(path, cut_from="left").singles(["one two three four"], 4)
    expected = TextTokenizer(path).singles(["three four"], 4)
    assert np.array_equal(made.ids[0], expected.ids[0])


def test_spans_are_characters_of_the_text(tokenizer, texts):
    for text, spans in zip(texts, tokenizer.spans(texts), strict=True):
        assert all(0 <= start <= end <= len(text) for start, end in spans)
    text = "Zürich 🙂 bread"
    (spans,) = tokenizer.spans([text])
    assert [text[start:end] for start, end in spans] == ["Zürich", "🙂", "bread"]


def test_half_a_surrogate_pair_is_one_unknown_character(tokenizer):
    (spans,) = tokenizer.spans(["bread \ud83d bread"])
    assert spans[-1] == (8, 13)
    assert len(tokenizer.singles(["bread \ud83d bread"], 16).ids[0]) >= 4


def test_lower_case_before_the_tokenizer(path, tmp_path):
    told = json.loads(path.read_text())
    told["normalizer"]["lowercase"] = False
    cased = tmp_path / "tokenizer.json"
    cased.write_text(json.dumps(told))
    plain, lowered = TextTokenizer(cased), TextTokenizer(cased, lower=True)
    assert not np.array_equal(plain.singles(["BREAD"], 8).ids[0], plain.singles(["bread"], 8).ids[0])
    assert np.array_equal(lowered.singles(["BREAD [SEP]"], 8).ids[0], plain.singles(["bread [SEP]"], 8).ids[0])


def test_a_tokenizer_whose_special_tokens_cannot_be_told(tmp_path):
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    path = tmp_path / "tokenizer.json"
    Tokenizer(BPE()).save(str(path))
    with pytest.raises(ModelError) as raised:
        TextTokenizer(path)
    assert str(raised.value) == (
        f"{path}: the tokenizer does not make one token of 'a', so that its special tokens cannot be told"
    )


def test_a_token_that_must_end_every_text(path, tokenizer):
    plain, closed = (
        tokenizer.singles(["bread"], 8).ids[0],
        TextTokenizer(path, closing="[MASK]").singles(["bread"], 8).ids[0],
    )
    assert closed.tolist() == [*plain.tolist(), 103]
    assert TextTokenizer(path, closing="[MASK]").specials == tokenizer.specials + 1
    # One that the tokenizer puts there anyway is not doubled.
    assert TextTokenizer(path, closing="[SEP]").singles(["bread"], 8).ids[0].tolist() == plain.tolist()


def test_a_closing_token_that_the_tokenizer_lacks(path):
    with pytest.raises(ModelError) as raised:
        TextTokenizer(path, closing="</nothere>")
    assert str(raised.value) == (
        f"{path} has no token '</nothere>', which tokenizer_config.json wants at the end of every text (add_eos_token): "
        "fetch or copy the model again"
    )


def test_a_tokenizer_that_is_cut_off(path, tmp_path):
    cut = tmp_path / "tokenizer.json"
    cut.write_text(path.read_text()[:1000])
    with pytest.raises(
        ModelError, match=rf"^{cut} is cut off or not a tokenizer \(.*\): fetch or copy the model again$"
    ):
        TextTokenizer(cut)
