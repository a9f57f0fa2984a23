"""The BERT family under one set of names: what BERT, RoBERTa and DistilBERT call the same weights and sizes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hookrag_transformers.models import ModelError

Floats = NDArray[np.float32]
Activation = Literal["gelu", "gelu_tanh", "relu"]
_ROBERTA = ("roberta", "xlm-roberta", "camembert")
SUPPORTED = ("bert", *_ROBERTA, "distilbert", "dpr")
_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}

# What a config.json says of itself, of training and of generating: no number of a vector or a score depends on it.
_NOTES = frozenset(
    ("_name_or_path", "_commit_hash", "architectures", "dtype", "gradient_checkpointing", "id2label", "label2id")
) | {"torch_dtype", "transformers_version", "use_cache"}

# Rewrites of published names into BERT's, applied in order; the prefix of a checkpoint depends on its head.
_COMMON = (
    (r"^(bert|roberta|distilbert|model|0\.auto_model|(ctx|question)_encoder\.bert_model)\.", ""),
    (r"LayerNorm\.gamma$", "LayerNorm.weight"),
    (r"LayerNorm\.beta$", "LayerNorm.bias"),
)
_RENAMES: dict[str, tuple[tuple[str, str], ...]] = {
    "roberta": ((r"^classifier\.dense\.", "pooler.dense."), (r"^classifier\.out_proj\.", "classifier.")),
    "distilbert": (
        (r"^transformer\.layer\.", "encoder.layer."),
        (r"attention\.q_lin\.", "attention.self.query."),
        (r"attention\.k_lin\.", "attention.self.key."),
        (r"attention\.v_lin\.", "attention.self.value."),
        (r"attention\.out_lin\.", "attention.output.dense."),
        (r"\.sa_layer_norm\.", ".attention.output.LayerNorm."),
        (r"\.ffn\.lin1\.", ".intermediate.dense."),
        (r"\.ffn\.lin2\.", ".output.dense."),
        (r"\.output_layer_norm\.", ".output.LayerNorm."),
        (r"^pre_classifier\.", "pooler.dense."),
    ),
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """An encoder with absolute positions and layer normalisation after each part (BERT, Devlin et al. 2019)."""

    layers: int
    heads: int
    epsilon: float
    activation: Activation
    pooler: Literal["tanh", "relu"]


def architecture_of(config: Mapping[str, Any], where: str) -> Architecture:
    """What a config.json says; raises ModelError, naming the families that can be built, for any other."""
    family = config.get("model_type")
    if family not in SUPPORTED:
        raise ModelError(
            f"{where}: model_type is {family!r} in config.json; a graph can be built for {', '.join(SUPPORTED)}: choose such a "
            f"model, put an export with float32 weights at onnx/model.onnx, or install hookrag-transformers[torch]"
        )
    refuse_other_code(config, where)
    positions = config.get("position_embedding_type") or "absolute"
    if positions != "absolute":
        raise ModelError(
            f"{where}: position_embedding_type is {positions!r} in config.json; only 'absolute' is supported: "
            "install hookrag-transformers[torch]"
        )
    distil = family == "distilbert"
    name = str(config.get("activation" if distil else "hidden_act", "gelu"))
    if name not in _ACTIVATIONS:
        raise ModelError(f"{where}: the activation {name!r} is not supported; supported are {', '.join(_ACTIVATIONS)}")
    epsilon = 1e-12 if distil else config.get("layer_norm_eps", 1e-12)
    if not isinstance(epsilon, float | int):
        raise ModelError(
            f"{where}: config.json has {epsilon!r} as layer_norm_eps, which must be a number: fetch or copy the model again"
        )
    return Architecture(
        layers=whole(config, "n_layers" if distil else "num_hidden_layers", f"{where}: config.json"),
        heads=whole(config, "n_heads" if distil else "num_attention_heads", f"{where}: config.json"),
        epsilon=float(epsilon),
        activation=_ACTIVATIONS[name],
        pooler="relu" if distil else "tanh",
    )


def whole(config: Mapping[str, Any], key: str, where: str, default: int | None = None) -> int:
    """The whole number that a settings file has under a key, or else the default. Raises ModelError for anything other."""
    value = config.get(key)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value % 1:
        told = f"has {value!r} as {key}" if key in config else f"lacks {key}"
        raise ModelError(f"{where} {told}, which must be a whole number: fetch or copy the model again")
    return int(value)


def decided_by(config: Mapping[str, Any]) -> str:
    """The sha256 of what a config.json decides about vectors and scores, beside the weights.

    Of a family that a graph can be built for these are the few facts that go into it, of any other all but its notes.
    """
    try:
        shape = asdict(architecture_of(config, ""))
    except ModelError:
        facts = {key: value for key, value in config.items() if key not in _NOTES}
    else:
        facts = {**shape, "model_type": config["model_type"], "pad_token_id": config.get("pad_token_id")}
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def refuse_other_code(config: Mapping[str, Any], where: str) -> None:
    """Raise ModelError for a model that is not computed as its family is: by code of its own, or through a projection."""
    classes = config.get("auto_map") or {}
    if any(name.startswith("AutoModel") for name in classes):
        raise ModelError(
            f"{where}: config.json names code that comes with the model (auto_map), which is never run; choose another model, "
            "or take auto_map out of config.json where its family's own class computes the same"
        )
    if config.get("model_type") == "dpr" and config.get("projection_dim"):
        raise ModelError(
            f"{where}: projection_dim is {config['projection_dim']} in config.json; for DPR only 0 is supported: choose another"
        )


def canonical(tensors: Mapping[str, Floats], config: Mapping[str, Any]) -> dict[str, Floats]:
    """The tensors under BERT's names, with a table of positions that begins at 0 and one of token types."""
    family = str(config["model_type"])
    rules = _COMMON + _RENAMES.get("roberta" if family in _ROBERTA else family, ())
    named = {}
    for name, tensor in tensors.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        named[name] = tensor
    words, positions = "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"
    if words not in named or positions not in named:
        raise ModelError(f"the weights hold no {words} and {positions} but {', '.join(sorted(named)[:3])}, ...")
    if family in _ROBERTA:
        # RoBERTa counts positions from the one after that of padding.
        named[positions] = named[positions][whole(config, "pad_token_id", "config.json", 1) + 1 :]
    # Batches are padded to multiples of 8, which may reach past the last position; what is there is masked.
    missing = -len(named[positions]) % 8
    named[positions] = np.pad(named[positions], ((0, missing), (0, 0))) if missing else named[positions]
    named.setdefault("embeddings.token_type_embeddings.weight", np.zeros((1, named[words].shape[1]), np.float32))
    return named
