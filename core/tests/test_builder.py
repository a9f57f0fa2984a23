"""Tables and constructors at their edges: optional references, odd overrides, odd types, lines, and the schema."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hookrag import ConfigError, DenseStore, Pipeline, PluginError, Query, Ranking, Retriever, ScoreKind, TextStore
from hookrag.config.catalogue import Catalogue
from hookrag.config.file import line_numbers
from hookrag.config.schema import config_schema
from hookrag.config.signature import convert, parameters
from hookrag.testing import plugin

PLUGINS = {"fakes": plugin}

TABLES: Mapping[str, Any] = {
    "pipelines": {"default": {"retriever": "dense"}},
    "chunkers": {"words": {"use": "fake-words"}},
    "embedders": {"hash": {"use": "fake-hash"}, "other": {"use": "fake-hash", "width": 32}},
    "stores": {"memory": {"use": "fake-memory", "chunker": "words", "embedder": "hash"}},
    "retrievers": {"dense": {"use": "dense", "store": "memory", "embedder": "hash"}},
}


def built(tables: Mapping[str, Any], folder: Path) -> Pipeline:
    return Pipeline.from_config({**tables, "index": {"path": str(folder)}}, plugins=PLUGINS)


def test_an_optional_reference_can_be_none(tmp_path: Path) -> None:
    without = copy.deepcopy(dict(TABLES))
    del without["retrievers"]["dense"]["embedder"]
    with built(TABLES, tmp_path) as pipeline, built(without, tmp_path) as plain:
        assert "embedder" in pipeline.components[-1].instance.references
        with pipeline.override({"retrievers.dense.embedder": None}) as other:
            assert "embedder" not in other.components[-1].instance.references
            assert other.components[-1].step == plain.components[-1].step


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("index.path.x", "override 'index.path.x': index.path is no table"),
        (
            "retrievers",
            'override \'retrievers\': no such table; write "kind.name.key", as in "retrievers.bm25.k1"',
        ),
        ("retrievers.dense.", "[retrievers.dense] unknown key ''; known keys: store, embedder"),
    ],
)
def test_an_override_of_nothing(path: str, expected: str, tmp_path: Path) -> None:
    with built(TABLES, tmp_path) as pipeline, pytest.raises(ConfigError) as raised:
        pipeline.override({path: 1})
    assert str(raised.value) == expected


def test_an_override_of_a_table_whose_name_has_dots(tmp_path: Path) -> None:
    tables = copy.deepcopy(dict(TABLES))
    tables["embedders"]["hash.v1"] = {"use": "fake-hash"}
    tables["retrievers"]["dense"]["embedder"] = "hash.v1"
    with built(tables, tmp_path) as pipeline, pipeline.override({"embedders.hash.v1.width": 8}) as narrow:
        assert narrow.components[-1].instance.references["embedder"].instance.settings["width"] == 8


class Declared(Retriever):
    """A component that names its protocol as a base, for its type checker."""

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        return [Ranking(query, (), "declared", ScoreKind("place")) for query in queries]


def test_a_component_without_a_constructor() -> None:
    class Bare:
        """Nothing to set."""

    assert parameters(Bare) == {}
    assert parameters(Declared) == {}


def test_a_parameter_that_refers_to_two_protocols() -> None:
    class Both:
        def __init__(self, *, store: DenseStore | TextStore) -> None: ...

    class Legs:
        def __init__(self, *, legs: dict[str, Retriever] | list[Retriever]) -> None: ...

    with pytest.raises(PluginError) as raised:
        parameters(Both)
    assert str(raised.value).endswith(
        "Both: the parameter 'store' of the constructor is DenseStore and TextStore: name one of them"
    )
    assert parameters(Legs)["legs"].reference is Retriever


def test_a_type_that_cannot_be_read() -> None:
    class Lost:
        def __init__(self, *, size: pytest.NoSuchName) -> None: ...  # type: ignore[name-defined]  # what is tested

    with pytest.raises(PluginError, match="Lost: a type of its constructor cannot be resolved"):
        parameters(Lost)


@pytest.mark.parametrize("annotation", [Path, str | Path])
def test_paths_that_no_file_can_have(annotation: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as raised:
        convert("~nobody-of-this-name/x", annotation, tmp_path)
    assert str(raised.value) == ("must be a path, got '~nobody-of-this-name/x' (str): there is no such home folder")
    assert convert("x" * 5000, str | Path, tmp_path) == "x" * 5000


def test_a_name_or_a_path_is_what_it_is_written_as(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    told = {
        value: convert(value, str | Path, tmp_path) for value in ("mine", "other", "./other", "../other", "/o/x", "")
    }
    assert told == {
        "mine": tmp_path / "mine", "other": "other", "./other": tmp_path / "other", "../other": tmp_path / "../other",
        "/o/x": Path("/o/x"), "": "",
    }  # fmt: skip


def test_the_index_in_a_home_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[index\] path must be a path, got '~nobody-of-this-name/x'"):
        Pipeline.from_config({**TABLES, "index": {"path": "~nobody-of-this-name/x"}}, plugins=PLUGINS)


def test_lines_are_counted_as_toml_counts_them() -> None:
    text = '# a\u2028b\u0085c\x0c\n["a.b".\'c d\']\r\nk = """\n[no]\n"""\nl = 1'
    assert line_numbers(text) == {("a.b", "c d"): 2, ("a.b", "c d", "k"): 3, ("a.b", "c d", "l"): 6}


@pytest.mark.parametrize(
    ("plugins", "expected"),
    [
        (
            {"hookrag": SimpleNamespace(hookrag_api=1)},
            "plugin 'hookrag' is there already: give each plugin once, under its own name",
        ),
        (
            {"acme": SimpleNamespace(hookrag_api="1")},
            "plugin 'acme' is made for version '1' of the hooks, this is 1: upgrade hookrag",
        ),
    ],
)
def test_plugins_that_cannot_be_taken(plugins: dict[str, object], expected: str) -> None:
    with pytest.raises(PluginError) as raised:
        Catalogue.installed(plugins)
    assert str(raised.value) == expected


def test_the_schema_knows_what_a_pipeline_asks_for() -> None:
    schema = config_schema(Catalogue.installed(PLUGINS))
    keys = schema["properties"]["pipelines"]["additionalProperties"]["properties"]
    assert schema["required"] == ["pipelines"]
    for key, limited in {
        "k": {"type": "integer", "minimum": 1, "default": 5},
        "threads": {"type": "integer", "minimum": 1, "default": 16},
        "timeout": {"type": "number", "exclusiveMinimum": 0},
    }.items():
        assert keys[key].pop("description")
        assert keys[key] == limited
    assert keys["retriever"] == {
        "type": "string",
        "description": "what finds the chunks. The name of a table of [retrievers.*].",
    }
