from __future__ import annotations

import json
from pathlib import Path

import pytest
from hookrag_transformers.models import Model, ModelError, locate
from hookrag_transformers.settings import settings_of


def model(folder: Path, **files: object) -> Model:
    """A folder with these JSON files; `__` stands for a slash."""
    for name, value in files.items():
        path = folder / (name.replace("__", "/") + ".json")
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(value))
    return Model("acme", folder)


def module(kind: str, path: str = "") -> dict[str, str]:
    return {"path": path, "type": f"sentence_transformers.models.{kind}"}


def test_the_published_settings():
    minilm, bge = settings_of(locate("all-MiniLM-L6-v2")), settings_of(locate("bge-small-en-v1.5"))
    assert (minilm.max_tokens, minilm.pooling, minilm.normalize, minilm.similarity) == (256, "mean", True, "cosine")
    assert (bge.max_tokens, bge.pooling, bge.normalize, bge.lower) == (512, "cls", True, True)


def test_a_bare_transformer_gets_the_mean_and_the_smaller_length(tmp_path):
    found = settings_of(
        model(
            tmp_path,
            config={"max_position_embeddings": 514, "model_type": "roberta"},
            tokenizer_config={"model_max_length": 10**30},
        )
    )
    assert (found.max_tokens, found.pooling, found.normalize) == (512, "mean", False)


def test_prompts_and_truncation_side(tmp_path):
    found = settings_of(
        model(
            tmp_path,
            config_sentence_transformers={
                "prompts": {"query": "query: ", "passage": "passage: "},
                "similarity_fn_name": "dot",
            },
            tokenizer_config={"truncation_side": "left"},
        )
    )
    assert (found.query_prefix, found.document_prefix, found.similarity, found.cut_from) == (
        "query: ",
        "passage: ",
        "dot",
        "left",
    )
    default = {"prompts": {"any": "text: "}, "default_prompt_name": "any"}
    found = settings_of(model(tmp_path, config_sentence_transformers=default))
    assert (found.query_prefix, found.document_prefix) == ("text: ", "text: ")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "mean", "embedding_dimension": 8}, "mean"),
    ],
)
def test_poolings(tmp_path, config, expected):
    files = {"modules": [module("Transformer"), module("Pooling", "1_Pooling")], "1_Pooling__config": config}
    assert settings_of(model(tmp_path, **files)).pooling == expected


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"pooling_mode_max_tokens": True}, "max_tokens"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "mean_tokens and cls_token"),
        ({}, "none"),
    ],
)
def test_a_pooling_that_is_not_supported(tmp_path, config, named):
    files = {"modules": [module("Pooling", "1_Pooling")], "1_Pooling__config": config}
    with pytest.raises(ModelError) as raised:
        settings_of(model(tmp_path, **files))
    assert str(raised.value) == (
        f"model acme: the pooling {named} in 1_Pooling/config.json is not supported; "
        "supported are mean, cls, last: set `pooling` to override it"
    )
    assert settings_of(model(tmp_path, **files), "mean").pooling == "mean"


def test_modules_that_are_not_supported(tmp_path):
    with pytest.raises(ModelError) as raised:
        settings_of(model(tmp_path, modules=[module("Transformer"), module("Dense", "2_Dense")]))
    assert str(raised.value) == (
        "model acme: modules.json names the module 'sentence_transformers.models.Dense'; "
        "supported are Transformer, Pooling and Normalize: choose a model made of these"
    )
    files = {
        "modules": [module("Pooling", "1_Pooling")],
        "1_Pooling__config": {"include_prompt": False, "pooling_mode_mean_tokens": True},
    }
    with pytest.raises(ModelError, match=r"include_prompt = false in 1_Pooling/config.json is not supported"):
        settings_of(model(tmp_path, **files))
