"""What a sentence-transformers folder says about its model: its modules, length, pooling, normalisation, prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hookrag import Role

from hookrag_transformers.architecture import whole
from hookrag_transformers.models import Model, ModelError
from hookrag_transformers.pooling import POOLINGS, Pooling

_POOLING_NAMES: Mapping[str, Pooling] = {
    "mean": "mean",
    "cls": "cls",
    "lasttoken": "last",
    "max": "max",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean": "weightedmean",
    # The older files have one switch for each.
    "mean_tokens": "mean",
    "cls_token": "cls",
    "max_tokens": "max",
    "weightedmean_tokens": "weightedmean",
}
_MODULES = ("Transformer", "Pooling", "Dense", "Normalize", "Dropout", "Router")
# Families whose table of positions begins with unused rows up to that of padding.
_OFFSET = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer", "data2vec-text")
# What sentence-transformers has called the file of a transformer's length; the first that is there counts.
_LENGTHS = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_PUBLISHED = "config_sentence_transformers.json"
# The prompt of a role is the first of these that a model has.
_PROMPTS: Mapping[Role, Sequence[str]] = {"query": ("query",), "document": ("document", "passage", "corpus")}


@dataclass(frozen=True, slots=True)
class Settings:
    """How the texts of one role become vectors, as the model's files have it.

    `transformer` is the folder of the transformer inside the model's and `dense` those of the layers after the pooling.
    """

    transformer: str
    dense: tuple[str, ...]
    max_tokens: int
    dimensions: int | None
    pooling: Pooling
    pooled_prefix: bool
    normalize: bool
    prefix: str
    lower: bool
    cut_from: Literal["left", "right"]
    similarity: str


def settings_of(
    model: Model, role: Role, *, pooling: Pooling | None = None, prompt_name: str | None = None
) -> Settings:
    """The settings in the files of a model for a role, with another pooling or the prompt of another name if they are given.

    `dimensions` are the first numbers of a vector, where the model keeps no others. Raises ModelError for a module, pooling or
    prompt that there is not, and for a value that is of the wrong kind.

    Without `modules.json`: mean pooling, no normalisation, as sentence-transformers does with a bare transformer; the
    encoders of DPR (Karpukhin et al. 2020, section 3.1) take the first state and compare by inner product.
    """
    modules = _route(model, role, [(_kind(one), str(one.get("path", ""))) for one in model.read("modules.json") or []])
    where = dict(modules)
    transformer = where.get("Transformer", "")
    part = model.inside(transformer)
    dpr = part.read("config.json").get("model_type") == "dpr"
    own: tuple[Pooling, bool] = ("cls" if dpr else "mean", True)
    if "Pooling" in where:
        own = _pooling(model, where["Pooling"], pooling)
    lengths = next((file for file in _LENGTHS if part.read(file)), _LENGTHS[0])
    sentence = part.read(lengths)
    tokenizer = part.read("tokenizer_config.json")
    published = model.read(_PUBLISHED)
    return Settings(
        transformer=transformer,
        dense=tuple(path for kind, path in modules if kind == "Dense"),
        max_tokens=whole(sentence, "max_seq_length", f"model {model.name}: {lengths}", 0) or default_length(part),
        dimensions=whole(published, "truncate_dim", f"model {model.name}: {_PUBLISHED}", 0) or None,
        pooling=pooling or own[0],
        pooled_prefix=own[1],
        normalize="Normalize" in where,
        prefix=_prompt(model, published, role, prompt_name),
        lower=bool(sentence.get("do_lower_case", False)),
        cut_from="left" if tokenizer.get("truncation_side") == "left" else "right",
        similarity=str(published.get("similarity_fn_name") or ("dot" if dpr else "cosine")),
    )


def default_length(model: Model) -> int:
    """The most tokens that both the tokenizer and the table of positions allow."""
    tokenizer = model.read("tokenizer_config.json")
    longest = whole(tokenizer, "model_max_length", f"model {model.name}: tokenizer_config.json", 0) or 512
    return min(positions_of(model), longest)


def positions_of(model: Model) -> int:
    """How many tokens have a position of their own."""
    config, where = model.read("config.json"), f"model {model.name}: config.json"
    positions = whole(config, "max_position_embeddings", where, 0) or whole(config, "n_positions", where, 0) or 512
    return positions - whole(config, "pad_token_id", where, 1) - 1 if config.get("model_type") in _OFFSET else positions


def width_of(model: Model) -> int:
    """How many numbers a state of the model has."""
    config = model.read("config.json")
    for key in ("hidden_size", "dim", "d_model", "n_embd"):
        if key in config:
            return whole(config, key, f"model {model.name}: config.json")
    raise ModelError(
        f"model {model.name}: config.json in {model.folder} does not say how wide the model is (hidden_size): "
        "fetch or copy the model again"
    )


def _kind(module: Mapping[str, Any]) -> str:
    return str(module.get("type", "")).rpartition(".")[2]


def _route(model: Model, role: Role, modules: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """(kind, folder) of the modules that a text of that role goes through, a router's replaced by those of its route."""
    taken: list[tuple[str, str]] = []
    for kind, path in modules:
        if kind != "Router":
            taken.append((kind, path))
            continue
        router = model.inside(path).read("router_config.json")
        routes = router.get("structure") or {}
        name = role if role in routes else (router.get("parameters") or {}).get("default_route")
        if name not in routes:
            raise ModelError(
                f"model {model.name}: router_config.json has no route {role!r} but {', '.join(routes) or 'none'}: "
                "choose a model with one"
            )
        for module in routes[name]:
            inner = f"{path}/{module}" if path else str(module)
            taken.append((_kind({"type": (router.get("types") or {}).get(module, "")}), inner))
    for kind, _ in taken:
        if kind not in _MODULES:
            raise ModelError(
                f"model {model.name}: it has the module {kind}; supported are {', '.join(_MODULES)}: "
                "choose a model made of these"
            )
    kinds = [kind for kind, _ in taken if kind != "Dropout"]
    order = [kind for kind in kinds if kind != "Dense"]
    if taken and (
        order not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
        or kinds[:2] != ["Transformer", "Pooling"]
        or "Normalize" in kinds[:-1]
    ):
        raise ModelError(
            f"model {model.name}: its modules are {', '.join(kinds)}; supported are Transformer, Pooling, any Dense and "
            "perhaps Normalize, in this order: choose a model made so"
        )
    return taken


def _prompt(model: Model, published: Mapping[str, Any], role: Role, name: str | None) -> str:
    prompts = published.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise ModelError(
            f"model {model.name}: the prompts in {_PUBLISHED} are not texts by name: fetch or copy the model again"
        )
    if name is None:
        default = prompts.get(published.get("default_prompt_name") or "", "")
        return str(next((prompts[one] for one in _PROMPTS[role] if one in prompts), default))
    if name not in prompts:
        raise ModelError(
            f"model {model.name}: it has no prompt {name!r}; it has {', '.join(prompts) or 'none'}: "
            f"choose one of them, or write the text as {role}_prefix"
        )
    return str(prompts[name])


def _pooling(model: Model, path: str, given: Pooling | None) -> tuple[Pooling, bool]:
    """(pooling, whether the prompt's tokens count) by the file of a pooling module."""
    file = f"{path}/config.json" if path else "config.json"
    config = model.read(file)
    counts = config.get("include_prompt", True) is not False
    if given is not None:
        return given, counts
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
    return _POOLING_NAMES[chosen[0]], counts
