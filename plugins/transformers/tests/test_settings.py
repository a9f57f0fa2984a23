from __future__ import annotations

import json
from pathlib import Path

import pytest
from hookrag_transformers.models import Model, ModelError, locate
from hookrag_transformers.settings import positions_of, settings_of, width_of


def model(folder: Path, **files: object) -> Model:
    """A folder with these JSON files; `__` stands for a slash."""
    for name, value in files.items():
        path = folder / (name.replace("__", "/") + ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
    return Model("acme", folder)


def module(kind: str, path: str = "") -> dict[str, str]:
    return {"path": path, "type": f"sentence_transformers.models.{kind}"}


PLAIN = [module("Transformer"), module("Pooling", "1_Pooling")]
MEAN = {"pooling_mode_mean_tokens": True}


def test_the_published_settings():
    minilm = settings_of(locate("all-MiniLM-L6-v2"), "query")
    bge = settings_of(locate("bge-small-en-v1.5"), "document")
    assert (minilm.max_tokens, minilm.pooling, minilm.normalize, minilm.similarity) == (256, "mean", True, "cosine")
    assert (bge.max_tokens, bge.pooling, bge.normalize, bge.lower) == (512, "cls", True, True)


def test_a_bare_transformer_gets_the_mean_and_the_smaller_length(tmp_path):
    config = {"max_position_embeddings": 514, "model_type": "roberta"}
    acme = model(tmp_path, config=config, tokenizer_config={"model_max_length": 10**30})
    found = settings_of(acme, "query")
    assert (found.max_tokens, found.pooling, found.normalize) == (512, "mean", False)


@pytest.mark.parametrize(
    ("config", "positions", "width"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512, "hidden_size": 384}, 512, 384),
        ({"model_type": "camembert", "max_position_embeddings": 514, "pad_token_id": 1, "hidden_size": 768}, 512, 768),
        ({"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 1, "hidden_size": 768}, 512, 768),
        ({"model_type": "distilbert", "max_position_embeddings": 512, "dim": 768}, 512, 768),
        ({"model_type": "t5", "n_positions": 512, "d_model": 512}, 512, 512),
    ],
)
def test_sizes_by_family(tmp_path, config, positions, width):
    acme = model(tmp_path, config=config)
    assert (positions_of(acme), width_of(acme)) == (positions, width)


def test_dpr_takes_the_first_state_and_the_inner_product(tmp_path):
    found = settings_of(model(tmp_path, config={"model_type": "dpr"}), "query")
    assert (found.pooling, found.normalize, found.similarity) == ("cls", False, "dot")


def test_prompts_and_truncation_side(tmp_path):
    published = {"prompts": {"query": "query: ", "passage": "passage: ", "topic": "t: "}, "similarity_fn_name": "dot"}
    acme = model(tmp_path, config_sentence_transformers=published, tokenizer_config={"truncation_side": "left"})
    query, document = settings_of(acme, "query"), settings_of(acme, "document")
    assert (query.prefix, document.prefix) == ("query: ", "passage: ")
    assert (query.similarity, query.cut_from) == ("dot", "left")
    assert settings_of(acme, "document", prompt_name="topic").prefix == "t: "
    with pytest.raises(ModelError) as raised:
        settings_of(acme, "query", prompt_name="other")
    assert str(raised.value) == (
        "model acme: it has no prompt 'other'; it has query, passage, topic: choose one of them, "
        "or write the text as query_prefix"
    )
    default = {"prompts": {"any": "text: "}, "default_prompt_name": "any"}
    acme = model(tmp_path, config_sentence_transformers=default)
    assert (settings_of(acme, "query").prefix, settings_of(acme, "document").prefix) == ("text: ", "text: ")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt_len"),
        ({"pooling_mode_weightedmean_tokens": True}, "weightedmean"),
        ({"pooling_mode": "mean", "embedding_dimension": 8}, "mean"),
        ({"pooling_mode": "weightedmean"}, "weightedmean"),
    ],
)
def test_poolings(tmp_path, config, expected):
    acme = model(tmp_path, modules=PLAIN, **{"1_Pooling__config": config})
    found = settings_of(acme, "query")
    assert (found.pooling, found.pooled_prefix) == (expected, True)


def test_a_prompt_that_is_not_pooled(tmp_path):
    acme = model(tmp_path, modules=PLAIN, **{"1_Pooling__config": {**MEAN, "include_prompt": False}})
    assert settings_of(acme, "query").pooled_prefix is False


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"pooling_mode": "attention"}, "attention"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "mean_tokens and cls_token"),
        ({}, "none"),
    ],
)
def test_a_pooling_that_is_not_supported(tmp_path, config, named):
    acme = model(tmp_path, modules=PLAIN, **{"1_Pooling__config": config})
    with pytest.raises(ModelError) as raised:
        settings_of(acme, "query")
    assert str(raised.value) == (
        f"model acme: the pooling {named} in 1_Pooling/config.json is not supported; "
        "supported are mean, cls, last, max, mean_sqrt_len, weightedmean: set `pooling` to override it"
    )
    assert settings_of(acme, "query", pooling="mean").pooling == "mean"


def test_modules_that_are_not_supported(tmp_path):
    with pytest.raises(ModelError) as raised:
        settings_of(model(tmp_path, modules=[*PLAIN, module("LSTM", "2_LSTM")]), "query")
    assert str(raised.value) == (
        "model acme: it has the module LSTM; supported are Transformer, Pooling, Dense, Normalize, Dropout, Router: "
        "choose a model made of these"
    )
    files = {"1_Pooling__config": MEAN}
    with pytest.raises(ModelError) as raised:
        settings_of(
            model(tmp_path, modules=[*PLAIN, module("Normalize"), module("Dense", "3_Dense")], **files), "query"
        )
    assert str(raised.value) == (
        "model acme: its modules are Transformer, Pooling, Normalize, Dense; supported are Transformer, Pooling, any Dense "
        "and perhaps Normalize, in this order: choose a model made so"
    )


def test_a_router_has_a_route_for_each_role(tmp_path):
    kinds = {
        name: f"sentence_transformers.models.{name.split('_')[2]}"
        for name in ("query_0_Transformer", "query_1_Pooling", "document_0_Transformer", "document_1_Pooling")
    }
    routes = {role: [name for name in kinds if name.startswith(role)] for role in ("query", "document")}
    files = {
        "modules": [module("Router"), module("Normalize", "1_Normalize")],
        "router_config": {"types": kinds, "structure": routes, "parameters": {"default_route": None}},
        "query_1_Pooling__config": {"pooling_mode": "cls"},
        "document_1_Pooling__config": {"pooling_mode": "mean"},
        "query_0_Transformer__sentence_bert_config": {"max_seq_length": 32},
        "document_0_Transformer__sentence_bert_config": {"max_seq_length": 128},
    }
    acme = model(tmp_path, **files)
    query, document = settings_of(acme, "query"), settings_of(acme, "document")
    assert (query.transformer, query.pooling, query.max_tokens) == ("query_0_Transformer", "cls", 32)
    assert (document.transformer, document.pooling, document.max_tokens) == ("document_0_Transformer", "mean", 128)
    assert query.normalize
    assert document.normalize
    files["router_config"] = {"types": kinds, "structure": {"query": routes["query"]}}
    with pytest.raises(
        ModelError, match=r"router_config\.json has no route 'document' but query: choose a model with one"
    ):
        settings_of(model(tmp_path, **files), "document")


def test_a_module_does_not_lead_out_of_the_folder(tmp_path):
    with pytest.raises(ModelError, match=r"a module lies at '\.\./other', outside of"):
        settings_of(model(tmp_path, modules=[module("Transformer", "../other"), module("Pooling")]), "query")


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"])
def test_the_length_by_each_of_its_names(tmp_path, name):
    acme = model(tmp_path, **{f"sentence_{name}_config": {"max_seq_length": 64}})
    assert settings_of(acme, "query").max_tokens == 64


def test_the_first_numbers_are_those_that_the_model_keeps(tmp_path):
    assert settings_of(model(tmp_path), "query").dimensions is None
    assert settings_of(model(tmp_path, config_sentence_transformers={"truncate_dim": 8}), "query").dimensions == 8


@pytest.mark.parametrize(
    ("file", "value", "told"),
    [
        (
            "config",
            {"max_position_embeddings": "many"},
            "config.json has 'many' as max_position_embeddings, which must be a",
        ),
        (
            "sentence_bert_config",
            {"max_seq_length": "x"},
            "sentence_bert_config.json has 'x' as max_seq_length, which must",
        ),
        (
            "tokenizer_config",
            {"model_max_length": True},
            "tokenizer_config.json has True as model_max_length, which must",
        ),
        (
            "config_sentence_transformers",
            {"truncate_dim": -1},
            "config_sentence_transformers.json has -1 as truncate_dim,",
        ),
        (
            "config_sentence_transformers",
            {"prompts": {"query": None}},
            "the prompts in config_sentence_transformers.json are",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(tmp_path, file, value, told):
    with pytest.raises(ModelError) as raised:
        settings_of(model(tmp_path, **{file: value}), "query")
    assert str(raised.value).startswith(f"model acme: {told}")
    assert str(raised.value).endswith("fetch or copy the model again")
