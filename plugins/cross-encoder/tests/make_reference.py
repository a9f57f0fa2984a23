"""Writes reference.npz: the logits that transformers computes with torch for the pairs of conftest.py.

The published package holds int8 weights; both sides use their float32 values. Run in an environment that has torch,
transformers, onnx, pytest and hookrag-transformers, with the model fetched:

    python plugins/cross-encoder/tests/make_reference.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from hookrag_transformers.models import locate
from hookrag_transformers.weights import dequantised

HERE = Path(__file__).parent


def main() -> None:
    import onnx
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    sys.path.insert(0, str(HERE))
    from conftest import PAIRS

    torch.set_grad_enabled(False)
    model = locate("ms-marco-MiniLM-L-12-v2")
    network = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(**model.read("config.json"))).eval()
    tensors = dequantised(onnx.load(model.folder / "model.onnx").graph)
    network.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in tensors.items()}, strict=True)
    tokenizer = AutoTokenizer.from_pretrained(model.folder)
    logits = []
    for query, passage in PAIRS:
        tokens = tokenizer([query], [passage], truncation="only_second", max_length=512, return_tensors="pt")
        logits.append(network(**tokens).logits[0, 0].item())
    np.savez_compressed(HERE / "reference.npz", logits=np.array(logits, dtype=np.float32))


if __name__ == "__main__":
    main()
