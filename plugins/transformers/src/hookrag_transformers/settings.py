"""What a sentence-transformers folder says about its model: length, pooling, normalisation, prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hookrag_transformers.models import Model, ModelError
from hookrag_transformers.pooling import POOLINGS, Pooling

_POOLING_NAMES: Mapping[str, Pooling] = {
    "mean": "mean",
    "cls": "cls",
    "lasttoken": "last",
    "mean_tokens": "mean",
    "cls_token": "cls",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """How texts become vectors, as the model's files have it."""

    max_tokens: int
    pooling: Pooling
    normalize: bool
    query_prefix: str
    document_prefix: str
    lower: bool
    cut_from: Literal["left", "right"]
    similarity: str


def settings_of(model: Model, pooling: Pooling | None = None) -> Settings:
    """The settings in the files of a model, with another pooling if one is given.

    Raises ModelError for a module or pooling that is not supported.

    Without `modules.json`: mean pooling, no normalisation, as sentence-transformers does with a bare transformer.
    """
    modules = model.read("modules.json") or []
    given = pooling
    pooling = given or "mean"
    normalize = False
    for module in modules:
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind == "Pooling":
            pooling = given or _pooling(model, str(module.get("path", "")))
        elif kind == "Normalize":
            normalize = True
        elif kind != "Transformer":
            raise ModelError(
                f"model {model.name}: modules.json names the module {module.get('type')!r}; "
                "supported are Transformer, Pooling and Normalize: choose a model made of these"
            )
    sentence, tokenizer = model.read("sentence_bert_config.json"), model.read("tokenizer_config.json")
    published = model.read("config_sentence_transformers.json")
    prompts = published.get("prompts") or {}
    default = prompts.get(published.get("default_prompt_name") or "", "")
    return Settings(
        max_tokens=int(sentence.get("max_seq_length") or default_length(model)),
        pooling=pooling,
        normalize=normalize,
        query_prefix=str(prompts.get("query", default)),
        document_prefix=str(
            next((prompts[name] for name in ("document", "passage", "corpus") if name in prompts), default)
        ),
        lower=bool(sentence.get("do_lower_case", False)),
        cut_from="left" if tokenizer.get("truncation_side") == "left" else "right",
        similarity=str(published.get("similarity_fn_name") or "cosine"),
    )


def default_length(model: Model) -> int:
    """The most tokens that both the tokenizer and the table of positions allow."""
    config, tokenizer = model.read("config.json"), model.read("tokenizer_config.json")
    return min(positions_of(config), int(tokenizer.get("model_max_length") or 512))


def positions_of(config: Mapping[str, Any]) -> int:
    """How many tokens have a position of their own."""
    positions = int(config.get("max_position_embeddings", 512))
    # RoBERTa's table begins with unused rows up to that of padding.
    return (
        positions - int(config.get("pad_token_id", 1)) - 1 if "roberta" in str(config.get("model_type")) else positions
    )


def _pooling(model: Model, path: str) -> Pooling:
    file = f"{path}/config.json" if path else "config.json"
    config = model.read(file)
    if config.get("include_prompt", True) is False:
        raise ModelError(f"model {model.name}: include_prompt = false in {file} is not supported: choose another")
    named = config.get("pooling_mode")
    if named is None:
        chosen = [
            key.removeprefix("pooling_mode_")
            for key, on in config.items()
            if key.startswith("pooling_mode_") and on is True
        ]
    else:
        chosen = [named] if isinstance(named, str) else list(named)
    if len(chosen) != 1 or chosen[0] not in _POOLING_NAMES:
        raise ModelError(
            f"model {model.name}: the pooling {' and '.join(map(str, chosen)) or 'none'} in {file} is not supported; "
            f"supported are {', '.join(POOLINGS)}: set `pooling` to override it"
        )
    return _POOLING_NAMES[chosen[0]]
