"""Inputs and small models that the tests and make_reference.py share."""

from __future__ import annotations

import json
import os
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

TEXTS = [
    "A man is eating a piece of bread.",
    "",
    "   \n\t ",
    "naïve café — Zürich, 東京 и Москва; العربية; ไทย 🙂",
    "x",
    "The quick brown fox jumps over the lazy dog. " * 60,
    "A man is eating a piece of bread.",
    "[CLS] [SEP] [MASK] are special tokens",
    "Vitamin D deficiency is associated with an increased risk of fracture in older adults.",
    "UPPER CASE and lower case",
    "e\u0301 is not \u00e9, \u200bzero\u200b width",
    "antidisestablishmentarianism 3.14159 http://example.org/a?b=c#d",
]

SIZES = {"layers": 2, "heads": 4, "hidden": 32, "inner": 48, "words": 60, "positions": 30, "labels": 1}
FAMILIES = {
    "bert": {"model_type": "bert", "hidden_act": "gelu_new", "layer_norm_eps": 1e-12, "type_vocab_size": 2},
    "roberta": {
        "model_type": "roberta",
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "type_vocab_size": 1,
        "pad_token_id": 1,
    },
    "distilbert": {"model_type": "distilbert", "activation": "gelu"},
    "relu": {"model_type": "bert", "hidden_act": "relu", "layer_norm_eps": 1e-5, "type_vocab_size": 2},
}
"""Small encoders with random weights, one a family, by the keys of their config.json."""


def tiny_config(name: str) -> dict:
    """The config.json of a small encoder."""
    given = dict(FAMILIES[name])
    positions = SIZES["positions"] + (2 if name == "roberta" else 0)
    common = {
        "vocab_size": SIZES["words"],
        "max_position_embeddings": positions,
        "num_labels": SIZES["labels"],
        "pad_token_id": 0,
    }
    if name == "distilbert":
        sizes = {
            "n_layers": SIZES["layers"],
            "n_heads": SIZES["heads"],
            "dim": SIZES["hidden"],
            "hidden_dim": SIZES["inner"],
        }
    else:
        sizes = {
            "num_hidden_layers": SIZES["layers"],
            "num_attention_heads": SIZES["heads"],
            "hidden_size": SIZES["hidden"],
            "intermediate_size": SIZES["inner"],
        }
    return {**common, **sizes, **given}


def tiny_weights(name: str) -> dict[str, np.ndarray]:
    """Random weights of a sequence classifier of that family under the names that transformers gives them."""
    config = tiny_config(name)
    d, inner = SIZES["hidden"], SIZES["inner"]
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(at: str, rows: int, columns: int) -> None:
        shapes[f"{at}.weight"], shapes[f"{at}.bias"] = (rows, columns), (rows,)

    def norm(at: str) -> None:
        shapes[f"{at}.weight"] = shapes[f"{at}.bias"] = (d,)

    distil, roberta = name == "distilbert", name == "roberta"
    base = "distilbert" if distil else "roberta" if roberta else "bert"
    shapes[f"{base}.embeddings.word_embeddings.weight"] = (SIZES["words"], d)
    shapes[f"{base}.embeddings.position_embeddings.weight"] = (config["max_position_embeddings"], d)
    if not distil:
        shapes[f"{base}.embeddings.token_type_embeddings.weight"] = (config["type_vocab_size"], d)
    norm(f"{base}.embeddings.LayerNorm")
    for layer in range(SIZES["layers"]):
        at = f"{base}.{'transformer' if distil else 'encoder'}.layer.{layer}"
        for part in (
            ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin")
            if distil
            else (
                "attention.self.query",
                "attention.self.key",
                "attention.self.value",
                "attention.output.dense",
            )
        ):
            linear(f"{at}.{part}", d, d)
        norm(f"{at}.{'sa_layer_norm' if distil else 'attention.output.LayerNorm'}")
        linear(f"{at}.{'ffn.lin1' if distil else 'intermediate.dense'}", inner, d)
        linear(f"{at}.{'ffn.lin2' if distil else 'output.dense'}", d, inner)
        norm(f"{at}.{'output_layer_norm' if distil else 'output.LayerNorm'}")
    linear("pre_classifier" if distil else "classifier.dense" if roberta else "bert.pooler.dense", d, d)
    linear("classifier.out_proj" if roberta else "classifier", SIZES["labels"], d)
    rng = np.random.default_rng(7)
    return {
        key: (rng.normal(0, 0.3, shape) + ("orm.weight" in key or "norm.weight" in key)).astype(np.float32)
        for key, shape in shapes.items()
    }


def tiny_inputs(name: str) -> list[list[int]]:
    """Token ids of five inputs, without the id of padding."""
    rng = np.random.default_rng(11)
    return [rng.integers(3, SIZES["words"], length).tolist() for length in (1, 5, 8, 13, 29)]


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return TEXTS


@pytest.fixture(scope="session")
def reference() -> dict[str, np.ndarray]:
    """What the reference implementations give, by name (make_reference.py)."""
    with np.load(Path(__file__).parent / "reference.npz") as arrays:
        return dict(arrays)


@pytest.fixture(params=list(FAMILIES))
def tiny(request: pytest.FixtureRequest):
    """(name, config, weights, inputs) of each small encoder."""
    name = request.param
    return name, tiny_config(name), tiny_weights(name), tiny_inputs(name)


def write_safetensors(path: Path, tensors: dict[str, tuple[str, list[int], bytes]]) -> None:
    """A safetensors file of (type, shape, bytes) by name, written by hand."""
    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    told = json.dumps(header).encode()
    path.write_bytes(len(told).to_bytes(8, "little") + told + data)


@pytest.fixture(scope="session")
def safetensors():
    return write_safetensors


def write_model(
    folder: Path, name: str = "bert", weights: dict[str, np.ndarray] | None = None, **config: object
) -> Path:
    """A small encoder as a model's folder: 60 words, 30 positions, 32 dimensions."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**tiny_config(name), **config}))
    write_floats(folder / "model.safetensors", tiny_weights(name) if weights is None else weights)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", *(f"w{at}" for at in range(55))]
    tokenizer = Tokenizer(WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    specials = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep")}
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 30, **specials}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return folder


def write_floats(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """A safetensors file of float32."""
    write_safetensors(path, {name: ("F32", list(one.shape), one.tobytes()) for name, one in tensors.items()})


POOLED = ("cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
MODULE_CASES = (*POOLED, "include_prompt", "dense", "router")
"""Folders of sentence-transformers whose vectors make_reference.py records."""
MODULE_PROMPT = "w7 w8 "
MODULE_TEXTS = ["w1 w2 w3", "a", "w9 w9 w10 w11 a w12 w13", "w20 " * 40, ""]


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_sentence_model(folder: Path, case: str) -> Path:
    """The small BERT with the modules of sentence-transformers that a case is about."""
    kinds = "sentence_transformers.models"

    def pooling(path: str, mode: str, **more: object) -> tuple[str, str]:
        write_json(folder / path / "config.json", {"embedding_dimension": 32, "pooling_mode": mode, **more})
        return path, f"{kinds}.Pooling"

    if case == "router":
        types = {}
        for role, mode in (("query", "cls"), ("document", "mean")):
            path = f"{role}_0_Transformer"
            weights = {name: w * (1.1 if role == "query" else 1) for name, w in tiny_weights("bert").items()}
            write_model(folder / path, weights={name: w.astype(np.float32) for name, w in weights.items()})
            types[path] = f"{kinds}.Transformer"
            types.update([pooling(f"{role}_1_Pooling", mode)])
        routes = {role: [name for name in types if name.startswith(role)] for role in ("query", "document")}
        write_json(folder / "router_config.json", {"types": types, "structure": routes, "parameters": {}})
        modules = [("", f"{kinds}.Router")]
    else:
        write_model(folder)
        modules = [("", f"{kinds}.Transformer")]
        if case == "include_prompt":
            modules.append(pooling("1_Pooling", "mean", include_prompt=False))
        else:
            modules.append(pooling("1_Pooling", case if case in POOLED else "mean"))
        if case == "dense":
            rng = np.random.default_rng(5)
            told = {"in_features": 32, "out_features": 12, "bias": True}
            write_json(
                folder / "2_Dense" / "config.json", {**told, "activation_function": "torch.nn.modules.activation.Tanh"}
            )
            linear = {"linear.weight": rng.normal(0, 0.3, (12, 32)), "linear.bias": rng.normal(0, 0.3, 12)}
            write_floats(folder / "2_Dense" / "model.safetensors", {n: w.astype(np.float32) for n, w in linear.items()})
            modules += [("2_Dense", f"{kinds}.Dense"), ("3_Normalize", f"{kinds}.Normalize")]
    told = [{"idx": at, "name": str(at), "path": path, "type": kind} for at, (path, kind) in enumerate(modules)]
    write_json(folder / "modules.json", told)
    return folder


def dpr_weights(role: str) -> dict[str, np.ndarray]:
    """The small BERT under the names of one of the two encoders of DPR; the two differ."""
    return {
        f"{role}_encoder.bert_model.{name.removeprefix('bert.')}": (w * (1.1 if role == "question" else 1)).astype(
            np.float32
        )
        for name, w in tiny_weights("bert").items()
        if name.startswith("bert.") and ".pooler." not in name
    }


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """A small BERT as a model's folder: 60 words, 30 positions, 32 dimensions."""
    return write_model(tmp_path / "tiny")


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch, tmp_path) -> os.PathLike:
    """An empty models folder."""
    folder = tmp_path / "models"
    monkeypatch.setenv("HOOKRAG_MODELS", str(folder))
    return folder


@pytest.fixture
def dpr(tmp_path: Path) -> dict[str, Path]:
    """The folders of the two encoders of a small DPR."""
    return {
        role: write_model(tmp_path / role, weights=dpr_weights(role), model_type="dpr", projection_dim=0)
        for role in ("ctx", "question")
    }


@pytest.fixture
def bert_inputs() -> list[list[int]]:
    """Token ids without special tokens, whose states by the small DPR are recorded."""
    return tiny_inputs("bert")


@pytest.fixture(scope="session")
def sentence_model():
    return write_sentence_model


@pytest.fixture(scope="session")
def small_model():
    return write_model


@pytest.fixture
def hub(no_models, monkeypatch, tmp_path, small_model):
    """A hub with one model; pickles, code and other formats lie beside its files."""
    from .fake_hub import Handler, Hub  # here, because make_reference.py imports this file by itself

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Handler.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    folder = small_model(tmp_path / "published")
    for path in folder.iterdir():
        made.files[path.name] = path.read_bytes()
    for name in (
        "pytorch_model.bin",
        "model.fp16.safetensors",
        "onnx/model.onnx",
        "onnx/config.json",
        "run.py",
        ".env.json",
        "checkpoint-500/model.safetensors",
        "checkpoint-500/config.json",
    ):
        made.files[name] = b"not wanted"
    made.files["modules.json"] = b'[{"path": "", "type": "m.Transformer"}, {"path": "1_Pooling", "type": "m.Pooling"}]'
    made.files |= {"1_Pooling/config.json": b'{"pooling_mode": "mean"}', "LICENSE.md": b"free", "vocab.txt": b"a"}
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.chdir(tmp_path)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()
