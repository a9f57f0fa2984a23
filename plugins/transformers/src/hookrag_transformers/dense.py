"""The layers that sentence-transformers puts after the pooling (module `Dense`; LaBSE, distiluse, GTR)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hookrag_transformers.models import Model, ModelError
from hookrag_transformers.weights import read_safetensors

Floats = NDArray[np.float32]
_ACTIVATIONS: Mapping[str, Callable[[Floats], Floats]] = MappingProxyType(
    {
        "Tanh": np.tanh,
        "Identity": lambda vector: vector,
        "ReLU": lambda vector: np.maximum(vector, np.float32(0)),
    }
)


@dataclass(frozen=True, slots=True)
class Dense:
    """x -> activation(W x + b), weight float32[out, in]; `file` is where the weights are."""

    file: Path
    weight: Floats
    bias: Floats
    activation: Callable[[Floats], Floats]

    def __call__(self, vectors: Floats) -> Floats:
        """float32[n, out] for float32[n, in]; row by row, so that a vector's last bits do not depend on how many there are.

        >>> layer = Dense(Path(), np.array([[1, 2]], dtype=np.float32), np.array([3], dtype=np.float32), np.abs)
        >>> layer(np.array([[1, 1], [-4, -1]], dtype=np.float32)).tolist()
        [[6.0], [3.0]]
        """
        made = np.empty((len(vectors), len(self.weight)), dtype=np.float32)
        for row, vector in zip(made, vectors, strict=True):
            row[:] = self.weight @ vector + self.bias
        return self.activation(made)


def dense_of(model: Model, path: str) -> Dense:
    """The layer in a folder of the model. Raises ModelError for one that is not supported, or in a pickle."""
    where = f"model {model.name}: {path}"
    part = model.inside(path)
    config = part.read("config.json")
    name = str(config.get("activation_function") or "Identity").rpartition(".")[2]
    if name not in _ACTIVATIONS:
        raise ModelError(
            f"{where} has the activation {name}; supported are {', '.join(_ACTIVATIONS)}: choose another model"
        )
    if config.get("use_residual") or config.get("module_input_name", "sentence_embedding") != "sentence_embedding":
        raise ModelError(
            f"{where} is not a plain layer on the pooled vector, which alone is supported: choose another model"
        )
    file = part.folder / "model.safetensors"
    if not file.is_file():
        raise ModelError(
            f"{where} has no model.safetensors; weights in pickles (pytorch_model.bin) are not read: "
            "save the model as safetensors"
        )
    tensors = read_safetensors(file)
    weight = tensors.get("linear.weight")
    if weight is None or weight.ndim != 2:
        raise ModelError(f"{where}: model.safetensors holds no matrix linear.weight: fetch or copy the model again")
    bias = tensors.get("linear.bias", np.zeros(len(weight), np.float32))
    return Dense(file, weight, bias, _ACTIVATIONS[name])
