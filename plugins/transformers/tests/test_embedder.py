from __future__ import annotations

import gc
import json
import subprocess
import sys

import numpy as np
import pytest
from hookrag import tracing
from hookrag_transformers import runtime
from hookrag_transformers.embedder import TransformersEmbedder
from hookrag_transformers.models import ModelError


def opened(model: str = "all-MiniLM-L6-v2", **options) -> TransformersEmbedder:
    component = TransformersEmbedder(model=model, threads=1, **options)
    component.open()
    return component


@pytest.fixture(scope="module")
def minilm() -> TransformersEmbedder:
    return opened()


def embed(component: TransformersEmbedder, texts: list[str], role="document") -> np.ndarray:
    return component.embed(texts, role=role, outputs={"dense"}).dense


@pytest.mark.parametrize("backend", ["onnx", "torch"])
@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "bge-small-en-v1.5"])
def test_vectors_agree_with_sentence_transformers(name, backend, texts, reference):
    made = embed(opened(name, backend=backend), texts)
    assert made.dtype == np.float32
    assert (made * reference[name]).sum(axis=1).min() >= 0.99999
    assert np.abs(made - reference[name]).max() < 1e-5


def test_a_vector_is_the_same_bits_alone_and_among_others(minilm, texts):
    together = embed(minilm, texts)
    assert np.array_equal(together, np.concatenate([embed(minilm, [text]) for text in texts]))
    assert np.array_equal(together[::-1], embed(minilm, texts[::-1]))
    many = [f"{'bread and butter ' * (n % 37)} {n}" for n in range(120)]
    assert np.array_equal(embed(minilm, many), embed(opened(batch_tokens=100), many))


def test_equal_texts_are_computed_once_and_cuts_are_counted(minilm):
    with tracing() as trace:
        made = embed(minilm, ["bread", "word " * 300, "bread"])
    assert trace.notes == {
        "distinct": 2,
        "runs_on": "onnx on cpu",
        "tokens": 3 + 256,
        "truncated": 1,
        "tokens_cut": 300 + 2 - 256,
    }
    assert np.array_equal(made[0], made[2])


def test_no_texts(minilm):
    assert embed(minilm, []).shape == (0, 384)


def test_prefixes_belong_to_roles():
    plain = opened()
    prefixed = opened(query_prefix="query: ", document_prefix="passage: ")
    assert np.array_equal(embed(prefixed, ["bread"], "query"), embed(plain, ["query: bread"]))
    assert np.array_equal(embed(prefixed, ["bread"]), embed(plain, ["passage: bread"]))
    assert prefixed.identity().space == plain.identity().space
    assert prefixed.identity().document != plain.identity().document


def test_the_identity_says_what_decides_the_vectors(minilm):
    identity = minilm.identity()
    assert dict(identity.document) == {
        "weights": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "tokenizer": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "max_tokens": 256,
        "truncated_from": "right",
        "lower_case": False,
        "pooling": "mean",
        "pooled_prefix": True,
        "dimensions": 384,
        "normalized": True,
        "similarity": "cosine",
        "numbers": "fp32",
        "prefix": "",
        "config": "875c559dc703df7ecabb05a02a999118147f221332482ca3c7664fe5cecd4ea5",
    }
    assert identity.query == identity.document
    for options in ({"max_tokens": 128}, {"pooling": "cls"}, {"normalize": False}, {"document_prefix": "x"}):
        other = opened(**options).identity()
        assert other.document != identity.document
        assert (other.space == identity.space) == (set(options) <= {"max_tokens", "document_prefix"})


def test_settings_override_the_models_own(minilm):
    raw = embed(opened(normalize=False), ["bread"])
    np.testing.assert_allclose(raw / np.linalg.norm(raw), embed(minilm, ["bread"]), atol=1e-6)
    assert abs(np.linalg.norm(raw) - 1) > 0.01
    assert np.abs(embed(opened(pooling="cls"), ["bread"]) - embed(opened(pooling="last"), ["bread"])).max() > 0.01
    short = opened(max_tokens=8)
    assert short.room("document") == 6
    assert np.array_equal(embed(short, ["w " * 50]), embed(short, ["w " * 6]))


def test_cls_pooling_of_the_full_graph_and_of_the_short_one_agree(texts):
    from hookrag_transformers.pooling import cls

    component = opened("bge-small-en-v1.5", normalize=False)
    full = opened("bge-small-en-v1.5", normalize=False, pooling="mean")._encoder("document")
    sequences = full.tokenizer.singles(texts, 512)
    expected = np.empty((len(texts), 384), np.float32)
    for chosen, states, lengths in full.load().run(sequences, 1024):
        expected[chosen] = cls(states, lengths, np.zeros_like(lengths))
    assert np.abs(embed(component, texts) - expected).max() < 1e-5


def test_a_chunker_gets_the_tokens(minilm):
    (spans,) = minilm.tokens(["Bread is good"])
    assert spans == [(0, 5), (6, 8), (9, 13)]
    assert minilm.room("document") == 254
    prefixed = opened(query_prefix="find this: ")
    assert (prefixed.room("query"), prefixed.room("document")) == (254 - 3, 254)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_components_share_a_session_and_the_last_one_frees_it(backend):
    one, two = opened(max_tokens=17, backend=backend), opened(max_tokens=19, query_prefix="x", backend=backend)
    session = one._encoder("document").load()
    assert two._encoder("document").load() is two._encoder("query").load() is session
    other = TransformersEmbedder(model="all-MiniLM-L6-v2", threads=2, backend=backend)
    other.open()
    assert other._encoder("document").load() is not session
    gone = next(key for key, value in runtime._sessions.items() if value is other._encoder("document").load())
    other.close()
    gc.collect()
    assert gone not in runtime._sessions


def test_weights_that_give_nan_are_refused(tiny_folder, safetensors):
    from hookrag_transformers.weights import read_safetensors

    tensors = {name: np.array(value) for name, value in read_safetensors(tiny_folder / "model.safetensors").items()}
    tensors["bert.embeddings.word_embeddings.weight"][7] = np.nan
    safetensors(tiny_folder / "model.safetensors", {n: ("F32", list(w.shape), w.tobytes()) for n, w in tensors.items()})
    component = opened(str(tiny_folder))
    assert np.isfinite(embed(component, ["w1", "w1"])).all()
    with pytest.raises(ModelError) as raised:
        embed(component, ["w1", "w1", "w2"])
    assert str(raised.value) == (
        "model tiny: the vector of text 2 is not finite; `hookrag models verify` tells whether the weights are damaged"
    )


def test_options_that_cannot_be(tiny_folder):
    with pytest.raises(
        ValueError, match=r"^pooling must be one of 'mean', 'cls', 'last', 'max', .*, got 'min' \(str\)$"
    ):
        TransformersEmbedder(model="x", pooling="min")
    with pytest.raises(ValueError, match=r"^max_tokens must be at least 1, got 0$"):
        TransformersEmbedder(model="x", max_tokens=0)
    for tokens in (2, 31):
        with pytest.raises(ModelError) as raised:
            opened(str(tiny_folder), max_tokens=tokens)
        assert str(raised.value) == (
            f"model tiny: max_tokens is {tokens}; it must be more than the 2 special tokens of a text "
            "and at most the model's 30 positions"
        )
    with pytest.raises(ModelError) as raised:
        opened(str(tiny_folder), max_tokens=6, query_prefix="w1 w2 w3 w4")
    assert str(raised.value) == (
        "model tiny: max_tokens is 6, of which the prefix 'w1 w2 w3 w4' and special tokens take 6: "
        "shorten the prefix or raise max_tokens"
    )
    with pytest.raises(ValueError) as refused:
        TransformersEmbedder(model="x", query_prefix="q: ", query_prompt_name="query")
    assert str(refused.value) == (
        "query_prefix and query_prompt_name both say what stands before a text: give one of them"
    )
    with pytest.raises(ValueError, match=r"^threads must be in \[1, 1024\], got 100000$"):
        TransformersEmbedder(model="x", threads=100_000)
    assert embed(opened(str(tiny_folder), max_tokens=30), ["w1 " * 99]).shape == (1, 32)
    with pytest.raises(ValueError, match=r"^role must be query or document, got 'x'$"):
        TransformersEmbedder(model=str(tiny_folder)).embed(["w1"], role="x", outputs={"dense"})
    with pytest.raises(ValueError) as refused:
        TransformersEmbedder(model=str(tiny_folder)).embed(["x"], role="query", outputs={"sparse"})
    assert str(refused.value) == (
        f"the outputs asked for are sparse; the embedder of {tiny_folder} gives dense vectors only"
    )


def test_the_variable_of_the_threads_has_the_same_bound(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "100000")
    assert runtime.default_threads() == 1024


@pytest.mark.parametrize("backend", ["onnx", "torch"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "last", "max"])
def test_a_text_of_no_tokens_gets_a_finite_vector(tiny_folder, backend, pooling):
    told = json.loads((tiny_folder / "tokenizer.json").read_text())
    (tiny_folder / "tokenizer.json").write_text(json.dumps({**told, "post_processor": None}))
    component = opened(str(tiny_folder), backend=backend, pooling=pooling)
    made = embed(component, ["", "w1 w2", " "])
    assert not made[[0, 2]].any()
    assert np.abs(made[1] - embed(component, ["w1 w2"])[0]).max() < 1e-5
    assert not embed(component, [""]).any()


def test_building_imports_no_runtime_and_using_no_torch():
    code = """
import sys
from hookrag_transformers import plugin
assert "numpy" not in sys.modules, "numpy"
from hookrag_transformers.embedder import TransformersEmbedder
component = TransformersEmbedder(model="all-MiniLM-L6-v2", threads=1)
assert not {"onnxruntime", "tokenizers", "onnx"} & set(sys.modules)
component.open()
component.embed(["bread"], role="query", outputs={"dense"})
assert not {"torch", "transformers", "huggingface_hub", "onnx"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
