from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from hookrag_transformers.checkpoint import checkpoint_of
from hookrag_transformers.embedder import TransformersEmbedder
from hookrag_transformers.models import ModelError, locate
from hookrag_transformers.prepare import graph_of
from hookrag_transformers.weights import dequantised, read_safetensors

TEXTS = ["w1 w2 w3", "a", "", "w9 " * 20]


def graph(folder) -> Path:
    """The graph that is run for the model in a folder."""
    return graph_of(checkpoint_of(locate(str(folder)), "onnx"), "tokens")


def vectors(model: str, **options) -> np.ndarray:
    component = TransformersEmbedder(model=model, threads=1, **options)
    component.open()
    return component.embed(TEXTS, role="document", outputs={"dense"}).dense


def test_every_type_of_float_is_read(tmp_path, safetensors):
    values = np.array([[1.5, -2.25, 3.0]], dtype=np.float32)
    brain = (values.view(np.uint32) >> 16).astype(np.uint16)
    path = tmp_path / "model.safetensors"
    safetensors(
        path,
        {
            "single": ("F32", [1, 3], values.tobytes()),
            "half": ("F16", [1, 3], values.astype(np.float16).tobytes()),
            "brain": ("BF16", [1, 3], brain.tobytes()),
            "ids": ("I64", [1], (7).to_bytes(8, "little")),
        },
    )
    tensors = read_safetensors(path)
    assert sorted(tensors) == ["brain", "half", "single"]
    for tensor in tensors.values():
        assert tensor.dtype == np.float32
        assert np.array_equal(tensor, values)


@pytest.mark.parametrize("keep", [0, 4, 40, -4])
def test_a_file_that_is_cut_off_is_refused(tmp_path, safetensors, keep):
    path = tmp_path / "model.safetensors"
    safetensors(path, {"single": ("F32", [3], np.ones(3, np.float32).tobytes())})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match="fetch or copy the model again"):
        read_safetensors(path)


def test_the_graph_is_kept_and_follows_the_weights(tiny_folder, safetensors):
    before = vectors(str(tiny_folder))
    kept = sorted(os.listdir(tiny_folder / ".hookrag"))
    assert [name for name in kept if name.endswith((".onnx", ".weights"))] == [kept[0], kept[0] + ".weights"]
    stamp = (tiny_folder / ".hookrag" / kept[0]).stat().st_mtime_ns
    assert np.array_equal(vectors(str(tiny_folder)), before)
    assert (tiny_folder / ".hookrag" / kept[0]).stat().st_mtime_ns == stamp

    tensors = {name: np.array(value) for name, value in read_safetensors(tiny_folder / "model.safetensors").items()}
    tensors["bert.embeddings.LayerNorm.bias"] += 1
    os.remove(tiny_folder / "model.safetensors")  # the map of the file that is read stays whole
    safetensors(tiny_folder / "model.safetensors", {n: ("F32", list(w.shape), w.tobytes()) for n, w in tensors.items()})
    assert not np.allclose(vectors(str(tiny_folder)), before)
    assert not set(kept[:2]) & set(os.listdir(tiny_folder / ".hookrag"))  # the graph of the former weights is gone


def edited(folder: Path, file: str = "config.json", **values: object) -> None:
    """Change values in one of the model's settings files."""
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_other_settings_are_another_model(tiny_folder, backend):
    """What config.json decides is in the graph's name and in the identity, and its notes are in neither."""
    options = {"model": str(tiny_folder), "backend": backend}
    before, card = vectors(**options), TransformersEmbedder(**options).identity()
    edited(tiny_folder, transformers_version="9", id2label={"0": "x"})
    assert TransformersEmbedder(**options).identity() == card
    edited(tiny_folder, hidden_act="relu")
    after = vectors(**options)
    assert np.abs(after - before).max() > 0.01
    changed = TransformersEmbedder(**options).identity()
    assert changed.document != card.document
    assert changed.space != card.space
    shutil.rmtree(tiny_folder / ".hookrag")
    assert np.array_equal(vectors(**options), after)


def test_a_token_that_closes_texts_is_in_the_identity(tiny_folder):
    card = TransformersEmbedder(model=str(tiny_folder)).identity()
    edited(tiny_folder, "tokenizer_config.json", add_eos_token=True, eos_token={"content": "a"})
    assert TransformersEmbedder(model=str(tiny_folder)).identity().document == {**card.document, "closing": "a"}
    edited(tiny_folder, "tokenizer_config.json", eos_token=None)
    with pytest.raises(
        ModelError, match=r"^model tiny: tokenizer_config\.json has add_eos_token and no eos_token: fetch"
    ):
        vectors(str(tiny_folder))


def test_what_a_killed_process_left_is_removed_after_a_day(tiny_folder):
    graph(tiny_folder)
    old, new = (tiny_folder / ".hookrag" / f"graph-{age}.part" for age in ("old", "new"))
    for part in (old, new):
        part.write_text("")
    os.utime(old, (0, 0))
    graph(tiny_folder)
    assert (old.exists(), new.exists()) == (False, True)


def test_nowhere_to_write_the_graph(tiny_folder, no_models):
    (tiny_folder / ".hookrag").write_text("")
    no_models.write_text("")
    with pytest.raises(ModelError) as raised:
        vectors(str(tiny_folder))
    assert str(raised.value).startswith(
        f"model tiny: what is made of it can be written neither to {tiny_folder}/.hookrag nor to {no_models}/.graphs/"
    )
    assert str(raised.value).endswith(" (Not a directory): set HOOKRAG_MODELS to a folder that can be written")


def test_a_folder_that_cannot_be_written_is_left_alone(tiny_folder, no_models):
    # A file where the folder would be made: permissions do not stop the superuser, who may run these tests.
    (tiny_folder / ".hookrag").write_text("")
    made = vectors(str(tiny_folder))
    (tiny_folder / ".hookrag").unlink()
    assert os.listdir(no_models) == [".graphs"]
    assert np.array_equal(vectors(str(tiny_folder)), made)


def test_eight_at_once_make_one_graph(tiny_folder):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: graph(tiny_folder), range(8)))
    assert len(set(made)) == 1
    assert not [name for name in os.listdir(tiny_folder / ".hookrag") if name.endswith(".part")]
    vectors(str(tiny_folder))


def test_an_export_in_float32_is_used_as_it_is(tiny_folder):
    made = vectors(str(tiny_folder))
    built = graph(tiny_folder)
    (tiny_folder / "onnx").mkdir()
    onnx.save(onnx.load(built), tiny_folder / "onnx" / "model.onnx")
    os.remove(tiny_folder / "model.safetensors")
    shutil.rmtree(tiny_folder / ".hookrag")
    assert graph(tiny_folder) == tiny_folder / "onnx" / "model.onnx"
    assert np.array_equal(vectors(str(tiny_folder)), made)


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (
            "sentence_embedding",
            "gives sentence_embedding; the states that are read from it are called last_hidden_state or token_embeddings: "
            "export the model anew, or save it as safetensors",
        ),
        (
            "last_hidden_state",
            "gives an array [1, 32] for a text, where a state for each token belongs: save the model as safetensors, or "
            "export it without its pooling",
        ),
    ],
)
def test_an_export_that_pools_is_refused_when_it_is_opened(tiny_folder, output, told):
    from onnx import TensorProto, helper, numpy_helper

    words = numpy_helper.from_array(np.ones((60, 32), np.float32), "words")
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["states"]),
        helper.make_node("ReduceMean", ["states"], [output], axes=[1], keepdims=0),
    ]
    given = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "t"])
    made = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", 32])
    whole = helper.make_graph(nodes, "pooled", [given], [made], [words])
    os.remove(tiny_folder / "model.safetensors")
    path = tiny_folder / "model.onnx"
    onnx.save(helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    with pytest.raises(ModelError) as raised:
        TransformersEmbedder(model=str(tiny_folder), pooling="cls", threads=1).open()
    assert str(raised.value) == f"{'model tiny: ' if '[' in told else ''}{path} {told}"


@pytest.mark.parametrize("backend", ["onnx", "torch"])
@pytest.mark.parametrize("keep", [0, 1000, -1000])
def test_weights_that_are_cut_off_are_named(tiny_folder, backend, keep):
    path = tiny_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match=rf"^model tiny: .*{path}.*: fetch or copy the model again$"):
        TransformersEmbedder(model=str(tiny_folder), backend=backend).open()


def test_weights_with_a_header_that_is_none(tmp_path):
    path = tmp_path / "model.safetensors"
    for header in (b"x" * 16, b'{"a": [1, 2, 3]}', b"[1, 2, 3, 4, 5 ]"):
        path.write_bytes((16).to_bytes(8, "little") + header)
        with pytest.raises(ModelError, match=rf"^{path} has a header that is damaged \(.*\): fetch or copy the model"):
            read_safetensors(path)


def test_an_onnx_file_that_is_none(tiny_folder):
    os.remove(tiny_folder / "model.safetensors")
    (tiny_folder / "model.onnx").write_bytes(b"abc")
    with pytest.raises(
        ModelError, match=rf"^{tiny_folder}/model\.onnx is cut off or not an ONNX file \(.*\): fetch or"
    ):
        TransformersEmbedder(model=str(tiny_folder)).open()


@pytest.mark.parametrize(
    ("backend", "config", "told"),
    [
        ("onnx", {"num_hidden_layers": None}, "config.json has None as num_hidden_layers, which must be a whole number"),
        ("onnx", {"num_hidden_layers": "six"}, "config.json has 'six' as num_hidden_layers, which must be a whole number"),
        ("onnx", {"layer_norm_eps": "x"}, "config.json has 'x' as layer_norm_eps, which must be a number"),
        ("onnx", {"num_attention_heads": 7}, "states of 32 numbers cannot be shared among 7 heads: the file is not the one"),
        ("onnx", {"hidden_size": 64}, "safetensors gives states of 32 numbers, where config.json says 64: fetch or copy"),
        ("torch", {"num_attention_heads": 7}, "transformers cannot load .*model.safetensors with its config.json"),
        ("torch", {"hidden_size": 64}, "transformers cannot load .*model.safetensors with its config.json"),
    ],
)  # fmt: skip
def test_settings_that_the_weights_do_not_fit(tiny_folder, backend, config, told):
    edited(tiny_folder, **config)
    with pytest.raises(ModelError, match=f"^model tiny: .*{told}"):
        TransformersEmbedder(model=str(tiny_folder), backend=backend).open()


def test_an_export_stands_in_for_weights_of_a_family_that_cannot_be_built(tiny_folder):
    built = graph(tiny_folder)
    (tiny_folder / "onnx").mkdir()
    onnx.save(onnx.load(built), tiny_folder / "onnx" / "model.onnx")
    config = json.loads((tiny_folder / "config.json").read_text())
    (tiny_folder / "config.json").write_text(json.dumps({**config, "model_type": "modernbert"}))
    assert graph(tiny_folder) == tiny_folder / "onnx" / "model.onnx"


def test_dequantised_weights_are_all_found_and_named():
    model = locate("bge-small-en-v1.5")
    tensors = dequantised(onnx.load(model.folder / "model.onnx").graph)
    assert len(tensors) == 12 * 16 + 5
    assert tensors["encoder.layer.3.intermediate.dense.weight"].shape == (1536, 384)
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.float32)}


def test_the_graph_gives_what_the_quantised_file_gives_for_one_text(texts):
    import onnxruntime
    from hookrag_transformers.tokens import TextTokenizer

    model = locate("bge-small-en-v1.5")
    quantised = onnxruntime.InferenceSession(str(model.folder / "model.onnx"), providers=["CPUExecutionProvider"])
    component = TransformersEmbedder(model="bge-small-en-v1.5", threads=1)
    component.open()
    made = component.embed(texts, role="document", outputs={"dense"}).dense
    tokens = TextTokenizer(model.folder / "tokenizer.json").singles(texts, 512)
    for ids, vector in zip(tokens.ids, made, strict=True):
        feed = {"input_ids": ids[None].astype(np.int64)}
        feed |= {"attention_mask": np.ones_like(feed["input_ids"]), "token_type_ids": np.zeros_like(feed["input_ids"])}
        (states,) = quantised.run(None, feed)
        first = states[0, 0] / np.linalg.norm(states[0, 0])
        assert first @ vector > 0.97


def test_a_folder_without_weights_or_tokenizer_is_refused(tiny_folder):
    os.remove(tiny_folder / "model.safetensors")
    with pytest.raises(ModelError) as raised:
        graph(tiny_folder)
    assert str(raised.value) == (
        f"model tiny: {tiny_folder} has none of model.safetensors, onnx/model.onnx, model.onnx; "
        "weights in pickles (pytorch_model.bin) are not read: save the model as safetensors"
    )
    os.remove(tiny_folder / "tokenizer.json")
    with pytest.raises(ModelError) as raised:
        vectors(str(tiny_folder))
    assert str(raised.value) == f"model tiny: {tiny_folder} has no tokenizer.json: save the model with a fast tokenizer"
