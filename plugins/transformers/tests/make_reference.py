"""Writes reference.npz: what torch, transformers and sentence-transformers compute for the inputs of conftest.py.

Run in an environment that has torch, transformers, sentence-transformers, pytest and this package, with the models fetched:

    python plugins/transformers/tests/make_reference.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from hookrag_transformers.models import locate
from hookrag_transformers.weights import dequantised

HERE = Path(__file__).parent


def float_copy(name: str, folder: str) -> str:
    """A folder that sentence-transformers can load, with the dequantised weights of a fetched model."""
    import onnx
    import torch
    from transformers import AutoConfig, AutoModel

    model = locate(name)
    config = AutoConfig.for_model(**model.read("config.json"))
    network = AutoModel.from_config(config, add_pooling_layer=False)
    tensors = dequantised(onnx.load(model.folder / "model.onnx").graph)
    network.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in tensors.items()}, strict=True)
    network.save_pretrained(folder)
    for file in model.folder.rglob("*"):
        if (
            file.is_file() and file.suffix in (".json", ".txt") and file.name != "config.json"
        ) or file.parent.name == "1_Pooling":
            target = Path(folder) / file.relative_to(model.folder)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read_bytes())
    return folder


def main() -> None:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import AutoConfig, AutoModelForSequenceClassification, DPRContextEncoder, DPRQuestionEncoder

    sys.path.insert(0, str(HERE))
    from conftest import (
        FAMILIES,
        MODULE_CASES,
        MODULE_PROMPT,
        MODULE_TEXTS,
        TEXTS,
        dpr_weights,
        tiny_config,
        tiny_inputs,
        tiny_weights,
        write_model,
        write_sentence_model,
    )

    torch.set_grad_enabled(False)
    arrays: dict[str, np.ndarray] = {}
    arrays["all-MiniLM-L6-v2"] = SentenceTransformer(str(locate("all-MiniLM-L6-v2").folder), device="cpu").encode(TEXTS)
    with tempfile.TemporaryDirectory() as folder:
        arrays["bge-small-en-v1.5"] = SentenceTransformer(float_copy("bge-small-en-v1.5", folder), device="cpu").encode(
            TEXTS
        )
    with tempfile.TemporaryDirectory() as folder:
        for case in MODULE_CASES:
            encoder = SentenceTransformer(str(write_sentence_model(Path(folder) / case, case)), device="cpu")
            if case == "router":
                arrays[f"module {case} query"] = encoder.encode_query(MODULE_TEXTS)
                arrays[f"module {case} document"] = encoder.encode_document(MODULE_TEXTS)
            else:
                prompt = MODULE_PROMPT if case == "include_prompt" else None
                arrays[f"module {case}"] = encoder.encode(MODULE_TEXTS, prompt=prompt)
        short = SentenceTransformer(str(Path(folder) / "mean"), device="cpu", truncate_dim=8)
        arrays["module truncated"] = short.encode(MODULE_TEXTS, normalize_embeddings=True)
        for role, encoder in (("ctx", DPRContextEncoder), ("question", DPRQuestionEncoder)):
            path = write_model(Path(folder) / role, weights=dpr_weights(role), model_type="dpr", projection_dim=0)
            network = encoder.from_pretrained(path).eval()
            arrays[f"dpr {role}"] = np.stack(
                [network(torch.tensor([ids]))[0][0].numpy() for ids in tiny_inputs("bert")]
            )
    for name in FAMILIES:
        config = AutoConfig.for_model(**tiny_config(name))
        network = AutoModelForSequenceClassification.from_config(config).eval()
        weights = {key: torch.from_numpy(value) for key, value in tiny_weights(name).items()}
        network.load_state_dict(weights, strict=True)
        base = getattr(network, network.base_model_prefix)
        inputs = [torch.tensor([ids]) for ids in tiny_inputs(name)]
        arrays[f"{name} states"] = np.concatenate([base(ids).last_hidden_state[0].numpy() for ids in inputs])
        arrays[f"{name} scores"] = np.concatenate([network(ids).logits.numpy() for ids in inputs])
    np.savez_compressed(HERE / "reference.npz", **{key: value.astype(np.float32) for key, value in arrays.items()})


if __name__ == "__main__":
    main()
