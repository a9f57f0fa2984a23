"""Models in torch, and which backend is chosen; small models with random weights, saved by transformers."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hookrag_transformers import backends
from hookrag_transformers.backends import Wanted
from hookrag_transformers.embedder import TransformersEmbedder
from hookrag_transformers.models import ModelError

TEXTS = ["w1 w2 w3", "a", "w9 " * 20, "", "w30 w31 a w4 w5 w6 w7 w8 w9"]
SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 0,
}
FAMILIES = {
    "modernbert": {**SIZES, "max_position_embeddings": 64, "local_attention": 8, "global_attn_every_n_layers": 2},
    "mpnet": {**SIZES, "max_position_embeddings": 40, "pad_token_id": 1},
    "qwen3": {**SIZES, "max_position_embeddings": 64, "num_key_value_heads": 2, "head_dim": 8},
    "llama": {**SIZES, "max_position_embeddings": 64, "num_key_value_heads": 4},
    "deberta-v2": {**SIZES, "max_position_embeddings": 64, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "t5": {"vocab_size": 60, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "pad_token_id": 0},
}  # fmt: skip
POOLING = {"qwen3": "last", "llama": "last"}


def embed(model: Path, **options) -> np.ndarray:
    component = TransformersEmbedder(model=str(model), threads=1, **options)
    return component.embed(TEXTS, role="document", outputs={"dense"}).dense


def saved(folder: Path, family: str, small_model) -> Path:
    """A small model of a family with the tokenizer of the others."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModel

    small_model(folder)
    os.remove(folder / "model.safetensors")
    torch.manual_seed(3)
    AutoModel.from_config(CONFIG_MAPPING[family](**FAMILIES[family])).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", list(FAMILIES))
def test_any_family_gives_what_transformers_gives_for_one_text_alone(tmp_path, small_model, family):
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModel, AutoModelForTextEncoding

    folder = saved(tmp_path / family, family, small_model)
    network = (AutoModelForTextEncoding if family == "t5" else AutoModel).from_pretrained(folder).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    expected = []
    for text in TEXTS:
        with torch.no_grad():
            states = network(input_ids=torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0]
        expected.append((states[-1] if family in POOLING else states.mean(0)).numpy())
    component = TransformersEmbedder(model=str(folder), pooling=POOLING.get(family), threads=1)
    made = component.embed(TEXTS, role="document", outputs={"dense"}).dense
    assert component.runs_on == "torch on cpu"  # no graph is built for these
    assert np.abs(made - expected).max() < 1e-5


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert"])
def test_the_backends_agree_and_so_do_their_cards(tmp_path, small_model, name):
    folder = small_model(tmp_path / name, name)
    onnx = TransformersEmbedder(model=folder, threads=1)
    torch = TransformersEmbedder(model=folder, backend="torch", threads=1)
    assert (onnx.runs_on, torch.runs_on) == ("onnx on cpu", "torch on cpu")
    assert np.abs(embed(folder) - embed(folder, backend="torch")).max() < 1e-5
    assert onnx.identity() == torch.identity()


def test_fewer_bits_are_other_numbers(tmp_path, small_model):
    folder = small_model(tmp_path / "bert")
    exact, rough = embed(folder), embed(folder, dtype="bfloat16")
    assert rough.dtype == np.float32
    assert 1e-5 < np.abs(exact - rough).max() < 0.3
    card = TransformersEmbedder(model=folder, dtype="bfloat16").identity()
    assert card.document["numbers"] == "bf16"
    assert card.space == TransformersEmbedder(model=folder).identity().space


def test_weights_in_several_files(tmp_path, small_model):
    import torch
    from transformers import AutoModel

    folder = small_model(tmp_path / "bert")
    whole = embed(folder)
    with torch.no_grad():
        AutoModel.from_pretrained(folder).save_pretrained(tmp_path / "parts", max_shard_size="8KB")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / file, tmp_path / "parts")
    assert len(list((tmp_path / "parts").glob("model-*.safetensors"))) > 2
    for backend in ("onnx", "torch"):
        assert np.abs(embed(tmp_path / "parts", backend=backend) - whole).max() < 1e-5
    gone = sorted((tmp_path / "parts").glob("model-*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(ModelError, match=f"lacks {gone.name}, which model.safetensors.index.json names: fetch or copy"):
        embed(tmp_path / "parts")


def test_weights_that_lack_a_part_are_refused(tmp_path, small_model):
    from hookrag_transformers.weights import read_safetensors

    folder = small_model(tmp_path / "acme")
    weights = {name: np.array(one) for name, one in read_safetensors(folder / "model.safetensors").items()}
    del weights["bert.encoder.layer.1.output.dense.bias"]
    shutil.rmtree(folder)
    with pytest.raises(ModelError) as raised:
        embed(small_model(folder, weights=weights), backend="torch")
    assert str(raised.value) == (
        "model acme: the weights lack 'encoder.layer.1.output.dense.bias': the file is not the one that its config.json "
        "describes"
    )


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_code_that_comes_with_a_model_is_not_run(tmp_path, small_model, backend):
    folder = small_model(tmp_path / "acme", auto_map={"AutoModel": "acme--code.Model"})
    (folder / "code.py").write_text("raise SystemExit")
    with pytest.raises(
        ModelError, match=r"config\.json names code that comes with the model \(auto_map\), which is never run"
    ):
        embed(folder, backend=backend)


def test_an_unknown_family_is_named(tmp_path, small_model):
    with pytest.raises(
        ModelError, match=r"model_type is 'acmebert' in config\.json, which transformers .* does not know"
    ):
        embed(small_model(tmp_path / "acme", model_type="acmebert"))


def test_only_an_export_is_no_model_for_torch(tmp_path, small_model):
    import onnx

    folder = small_model(tmp_path / "acme")
    vectors = embed(folder)
    graph = next((folder / ".hookrag").glob("*.onnx"))
    onnx.save(onnx.load(graph), folder / "model.onnx")
    os.remove(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "acmebert"}))
    assert np.array_equal(embed(folder), vectors)
    with pytest.raises(ModelError) as raised:
        embed(folder, backend="torch")
    assert str(raised.value) == (
        f"model acme: {folder} has its weights in model.onnx only, which torch does not run: save the model as safetensors, "
        'or use backend = "onnx"'
    )


def test_without_torch(tmp_path, small_model, monkeypatch):
    folder = small_model(tmp_path / "acme", model_type="modernbert")
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"or install hookrag-transformers\[torch\]$"):
        embed(folder)
    with pytest.raises(ModelError) as raised:
        embed(folder, backend="torch")
    assert str(raised.value) == (
        "model acme: torch and transformers are not installed, which run it here: pip install 'hookrag-transformers[torch]'"
    )


def test_an_accelerator_is_taken_where_there_is_one(tmp_path, small_model, monkeypatch):
    from hookrag_transformers.models import locate

    model = locate(str(small_model(tmp_path / "acme")))
    monkeypatch.setattr(backends, "accelerator", lambda: "cuda")
    assert str(backends.engine_of(model, Wanted())) == "torch on cuda"
    assert str(backends.engine_of(model, Wanted(backend="torch"))) == "torch on cuda"
    assert str(backends.engine_of(model, Wanted(device="cpu"))) == "onnx on cpu"
    assert str(backends.engine_of(model, Wanted(backend="onnx"))) == "onnx on cpu"
    assert (
        backends.engine_of(model, Wanted()).batch_tokens > backends.engine_of(model, Wanted(device="cpu")).batch_tokens
    )


def test_torch_is_imported_only_where_the_machine_shows_signs_of_an_accelerator(monkeypatch):
    there: list[str] = []
    monkeypatch.setattr(backends.importlib.metadata, "version", lambda name: "2.13.0+cu130")
    monkeypatch.setattr(backends.sys, "platform", "linux")
    monkeypatch.setattr(backends.Path, "exists", lambda path: str(path) in there)
    monkeypatch.setattr(backends, "_has_torch", lambda: True)
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    assert backends.accelerator() is None
    there.append("/dev/nvidiactl")
    with pytest.raises(ImportError):
        backends.accelerator()


def test_a_device_that_is_not_there(tmp_path, small_model):
    with pytest.raises(ModelError) as raised:
        embed(small_model(tmp_path / "acme"), device="cuda:99")
    assert str(raised.value) == (
        'model acme: torch finds no device \'cuda:99\' on this machine: use device "auto" or "cpu"'
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"backend": "jax"}, "backend must be one of 'auto', 'onnx', 'torch', got 'jax' (str)"),
        ({"device": "gpu"}, "device must be one of auto, cpu, cuda, cuda:1 (or another number), mps, got 'gpu'"),
        ({"dtype": "int8"}, "dtype must be one of 'float32', 'float16', 'bfloat16', got 'int8' (str)"),
        (
            {"backend": "onnx", "device": "cuda"},
            'backend "onnx" runs on the cpu, got device \'cuda\': use backend "torch" or "auto"',
        ),
        (
            {"backend": "onnx", "dtype": "float16"},
            'backend "onnx" computes in float32, got dtype \'float16\': use backend "torch" or "auto"',
        ),
    ],
)
def test_options_that_cannot_be(options, told):
    with pytest.raises(ValueError) as raised:
        TransformersEmbedder(model="x", **options)
    assert str(raised.value) == told


def test_loading_leaves_the_process_as_it_was(tmp_path, small_model, capfd):
    import torch
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled(), torch.is_grad_enabled()
    embed(small_model(tmp_path / "acme"), backend="torch")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled(), torch.is_grad_enabled()) == before
    assert capfd.readouterr() == ("", "")
