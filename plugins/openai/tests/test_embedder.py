"""The embedder against a real server, and against one that answers as it is told."""

from __future__ import annotations

import numpy as np
import pytest
from hookrag import HookragError, Identity, tracing
from hookrag_openai.embedder import OpenAIEmbeddings


def made(stub, **settings) -> OpenAIEmbeddings:
    embedder = OpenAIEmbeddings(model="m", base_url=stub.url, **settings)
    embedder.open()
    return embedder


def letters(path, body):
    """A vector of the lengths of the text, in an order that is not that of the texts."""
    width = body.get("dimensions", 3)
    data = [
        {"object": "embedding", "index": index, "embedding": [float(len(text)), *[0.5] * (width - 1)]}
        for index, text in enumerate(body["input"])
    ]
    usage = {"prompt_tokens": len(data), "total_tokens": len(data)}
    return 200, {"object": "list", "model": "m", "data": data[::-1], "usage": usage}


def test_texts_are_sent_once_in_batches_with_their_prompt(stub):
    stub.answer = letters
    embedder = made(stub, batch=2, query_prompt="query: ", document_prompt="passage: ", dimensions=4)
    stub.requests.clear()
    with tracing() as trace:
        vectors = embedder.embed(["a", "bb", "a", "ccc"], role="document", outputs={"dense"}).dense
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[10, 0.5, 0.5, 0.5], [11, 0.5, 0.5, 0.5], [10, 0.5, 0.5, 0.5], [12, 0.5, 0.5, 0.5]]
    assert [body["input"] for _, body, _ in stub.requests] == [["passage: a", "passage: bb"], ["passage: ccc"]]
    assert stub.requests[0][1] == {
        "model": "m", "input": ["passage: a", "passage: bb"], "encoding_format": "float", "dimensions": 4
    }  # fmt: skip
    assert trace.notes == {"prompt_tokens": 3, "model": "m"}
    embedder.embed(["a"], role="query", outputs={"dense"})
    assert stub.requests[-1][1]["input"] == ["query: a"]
    assert embedder.embed([], role="query", outputs={"dense"}).dense.shape == (0, 4)
    common = {"api": "openai", "host": "127.0.0.1", "model": "m", "dimensions": 4, "width": 4}
    assert embedder.identity() == Identity({**common, "prompt": "passage: "}, {**common, "prompt": "query: "})
    embedder.close()


def test_the_price_is_told_and_is_no_part_of_the_identity(stub):
    stub.answer = letters
    priced, plain = made(stub, price_per_million=0.02), made(stub)
    assert (priced.price, plain.price) == (0.02, None)
    assert priced.identity() == plain.identity()
    for price in (-0.1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"^price_per_million must be (at least 0|a finite number), got "):
            OpenAIEmbeddings(model="m", price_per_million=price)
    priced.close()
    plain.close()


def test_what_is_not_as_asked(stub):
    stub.answer = letters
    embedder = made(stub)
    with pytest.raises(HookragError, match=r"gives dense vectors only, asked for \['dense', 'sparse'\]$"):
        embedder.embed(["a"], role="query", outputs={"dense", "sparse"})
    stub.answer = lambda path, body: letters(path, {"input": ["a"]})
    with pytest.raises(HookragError, match=r"it gave 1 vectors for 2 texts$"):
        embedder.embed(["a", "b"], role="query", outputs={"dense"})
    stub.answer = lambda path, body: letters(path, {**body, "dimensions": 5})
    with pytest.raises(HookragError, match=r"it gave vectors of \[3, 5\] numbers$"):
        embedder.embed(["a"], role="query", outputs={"dense"})
    with pytest.raises(HookragError, match=r"it gave vectors of \[5\] numbers where dimensions = 4$"):
        made(stub, dimensions=4)
    stub.answer = lambda path, body: (200, {"object": "list"})
    with pytest.raises(HookragError, match=r"it gave 0 vectors for 1 texts$"):
        embedder.embed(["a"], role="query", outputs={"dense"})


@pytest.mark.parametrize("name", ["dimensions", "batch"])
def test_settings(name):
    with pytest.raises(ValueError) as caught:
        OpenAIEmbeddings(model="m", **{name: 0})
    assert str(caught.value) == f"{name} must be at least 1, got 0"


@pytest.mark.service
def test_a_real_server(smollm2, smollm2_key):
    embedder = OpenAIEmbeddings(model="smollm2", base_url=smollm2, api_key_env="SMOLLM2_KEY", batch=2)
    embedder.open()
    texts = ["A cat sits on the mat.", "Stocks fell on Monday.", "A cat sat on a mat.", "A cat sits on the mat."]
    vectors = embedder.embed(texts, role="document", outputs={"dense"}).dense
    embedder.close()
    assert vectors.shape == (4, 576)
    assert np.array_equal(vectors[0], vectors[3])
    assert not np.allclose(vectors[0], vectors[2])
    assert np.isfinite(vectors).all()
