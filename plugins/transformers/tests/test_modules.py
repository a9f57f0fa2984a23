"""The modules of sentence-transformers, two encoders, and vectors that are cut short, each against recorded vectors."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from hookrag import tracing
from hookrag_transformers.embedder import TransformersEmbedder
from hookrag_transformers.models import ModelError
from hookrag_transformers.tokens import Sequences

CASES = ("cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", "dense")
TEXTS = ["w1 w2 w3", "a", "w9 w9 w10 w11 a w12 w13", "w20 " * 40, ""]
PROMPT = "w7 w8 "


def embed(model, role="document", texts=TEXTS, **options) -> np.ndarray:
    component = TransformersEmbedder(model=str(model), threads=1, **options)
    return component.embed(texts, role=role, outputs={"dense"}).dense


@pytest.fixture(scope="module")
def folder(tmp_path_factory, sentence_model):
    """The folder of a case, written once."""
    root = tmp_path_factory.mktemp("models")
    return lambda case: root / case if (root / case).exists() else sentence_model(root / case, case)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
@pytest.mark.parametrize("case", CASES)
def test_modules_agree_with_sentence_transformers(folder, reference, case, backend):
    made = embed(folder(case), backend=backend)
    assert np.abs(made - reference[f"module {case}"]).max() < 1e-5


def test_a_prompt_that_is_not_pooled_is_read_and_left_out(folder, reference):
    made = embed(folder("include_prompt"), document_prefix=PROMPT)
    assert np.abs(made - reference["module include_prompt"]).max() < 1e-5
    assert np.abs(made - embed(folder("mean"), document_prefix=PROMPT)).max() > 0.01
    assert np.abs(made - embed(folder("mean"))).max() > 0.01


def test_a_layer_after_the_pooling(folder, reference):
    component = TransformersEmbedder(model=str(folder("dense")), threads=1)
    whole = component.embed(TEXTS, role="query", outputs={"dense"}).dense
    alone = [component.embed([text], role="query", outputs={"dense"}).dense[0] for text in TEXTS]
    assert np.array_equal(whole, alone)
    facts = component.identity().document
    assert (facts["dimensions"], len(facts["dense"])) == (12, 64)
    assert component.identity().space != TransformersEmbedder(model=str(folder("mean"))).identity().space


def test_a_layer_of_another_width_is_refused_when_the_model_is_opened(tmp_path, sentence_model, safetensors):
    model = sentence_model(tmp_path / "acme", "dense")
    weight = np.ones((12, 31), np.float32)
    safetensors(model / "2_Dense" / "model.safetensors", {"linear.weight": ("F32", [12, 31], weight.tobytes())})
    with pytest.raises(ModelError) as raised:
        TransformersEmbedder(model=str(model)).open()
    assert str(raised.value) == ("model acme: 2_Dense takes 31 numbers and gets 32: fetch or copy the model again")


def test_a_layer_in_a_pickle_is_refused(tmp_path, sentence_model):
    model = sentence_model(tmp_path / "acme", "dense")
    os.rename(model / "2_Dense" / "model.safetensors", model / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(ModelError) as raised:
        embed(model)
    assert str(raised.value) == (
        "model acme: 2_Dense has no model.safetensors; weights in pickles (pytorch_model.bin) are not read: "
        "save the model as safetensors"
    )
    told = json.loads((model / "2_Dense" / "config.json").read_text())
    (model / "2_Dense" / "config.json").write_text(json.dumps({**told, "activation_function": "torch.nn.GELU"}))
    with pytest.raises(ModelError, match="2_Dense has the activation GELU; supported are Tanh, Identity, ReLU: choose"):
        embed(model)


def test_the_first_numbers_of_a_vector(folder, reference):
    cut = embed(folder("mean"), dimensions=8, normalize=True)
    assert np.abs(cut - reference["module truncated"]).max() < 1e-5
    whole = TransformersEmbedder(model=str(folder("mean")), threads=1)
    eight = TransformersEmbedder(model=str(folder("mean")), dimensions=8, threads=1)
    assert np.array_equal(
        embed(folder("mean"), dimensions=8), embed(folder("mean"))[:, :8]
    )  # this model does not normalise
    assert eight.identity().document == {**whole.identity().document, "dimensions": 8}
    assert eight.identity().space == f"{whole.identity().space}/first 8"
    with pytest.raises(ModelError) as raised:
        embed(folder("mean"), dimensions=33)
    assert str(raised.value) == "model mean: dimensions is 33; the model gives vectors of 32 numbers"
    with pytest.raises(ValueError, match=r"^dimensions must be at least 1, got 0$"):
        TransformersEmbedder(model="x", dimensions=0)


def test_a_model_that_keeps_the_first_numbers_alone(tmp_path, folder, sentence_model, reference):
    model = sentence_model(tmp_path / "acme", "mean")
    (model / "config_sentence_transformers.json").write_text(json.dumps({"truncate_dim": 8}))
    assert np.abs(embed(model, normalize=True) - reference["module truncated"]).max() < 1e-5
    assert np.array_equal(embed(model, dimensions=32), embed(folder("mean")))


def test_a_router_sends_queries_and_documents_through_their_own_encoders(folder, reference):
    for role in ("query", "document"):
        made = embed(folder("router"), role)
        assert np.abs(made - reference[f"module router {role}"]).max() < 1e-5
    identity = TransformersEmbedder(model=str(folder("router"))).identity()
    assert identity.query["weights"] != identity.document["weights"]


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_dpr_has_an_encoder_for_each_side(dpr, bert_inputs, reference, backend):
    both = TransformersEmbedder(model=dpr["ctx"], query_model=dpr["question"], backend=backend, threads=1)
    assert both.models() == [str(dpr["ctx"]), str(dpr["question"])]
    ids = tuple(np.array(one, dtype=np.int32) for one in bert_inputs)
    sequences = Sequences(ids, tuple(np.zeros_like(one) for one in ids), (0,) * len(ids))
    for role, name in (("document", "ctx"), ("query", "question")):
        made = np.empty((len(ids), 32), np.float32)
        for chosen, states, _ in both._encoder(role).load().run(sequences, 1024):
            made[chosen] = states[:, 0]
        assert np.abs(made - reference[f"dpr {name}"]).max() < 1e-5
        alone = embed(dpr[name], role, backend=backend)
        assert np.array_equal(both.embed(TEXTS, role=role, outputs={"dense"}).dense, alone)


def test_the_sides_of_dpr_differ_and_share_a_space(dpr):
    both = TransformersEmbedder(model=dpr["ctx"], query_model=dpr["question"], threads=1)
    alone = TransformersEmbedder(model=dpr["ctx"], threads=1)
    identity = both.identity()
    assert identity.space == alone.identity().space
    assert identity.document == alone.identity().document
    assert identity.document["similarity"] == "dot"
    assert identity.document["pooling"] == "cls"
    different = {key for key in identity.document if identity.document[key] != identity.query[key]}
    assert different == {"weights"}


def test_each_side_is_loaded_when_it_is_asked_for(dpr):
    both = TransformersEmbedder(model=dpr["ctx"], query_model=dpr["question"], threads=1)
    both.open()
    document, query = both._encoder("document"), both._encoder("query")
    assert (document._session, query._session) == (None, None)
    both.embed(["w1"], role="query", outputs={"dense"})
    assert document._session is None
    with tracing() as trace:
        both.embed(["w1"], role="document", outputs={"dense"})
    assert document._session is not None
    assert trace.notes["runs_on"] == "onnx on cpu"


def test_encoders_of_different_width_are_refused(tmp_path, folder, dpr):
    with pytest.raises(ModelError) as raised:
        TransformersEmbedder(model=dpr["ctx"], query_model=folder("dense")).open()
    assert str(raised.value) == (
        "model dense gives queries 12 numbers and model ctx documents 32: they cannot be compared; a query_model is one that "
        "was trained together with the model"
    )
    TransformersEmbedder(model=dpr["ctx"], query_model=folder("dense"), dimensions=12).open()


def test_a_projection_of_dpr_is_refused(tmp_path, small_model):
    model = small_model(tmp_path / "acme", model_type="dpr", projection_dim=16)
    for backend in ("onnx", "torch"):
        with pytest.raises(
            ModelError, match=r"model acme: projection_dim is 16 in config\.json; for DPR only 0 is supported"
        ):
            embed(model, backend=backend)
