"""Plugins that are well, broken, too old, or in each other's way; and that listing imports nothing."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from hookrag import Component, PluginError, hookimpl
from hookrag.cli.starter import starter
from hookrag.config.catalogue import Catalogue
from hookrag.config.signature import parameters


def offering(**hooks: Any) -> SimpleNamespace:
    functions = {name: hookimpl(value) for name, value in hooks.items()}
    return SimpleNamespace(hookrag_api=1, **functions)


def test_a_plugin_that_does_not_say_its_api() -> None:
    with pytest.raises(PluginError) as raised:
        Catalogue.installed({"old": SimpleNamespace()})
    assert str(raised.value) == "plugin 'old' does not say which hooks it was made for: add `hookrag_api = 1`"


@pytest.mark.parametrize(("api", "who"), [(0, "the plugin"), (2, "hookrag")])
def test_a_plugin_for_another_api(api: int, who: str) -> None:
    with pytest.raises(PluginError) as raised:
        Catalogue.installed({"old": SimpleNamespace(hookrag_api=api)})
    assert str(raised.value) == f"plugin 'old' is made for version {api} of the hooks, this is 1: upgrade {who}"


def test_a_misspelt_hook() -> None:
    def retriever() -> dict[str, Component]:
        return {}

    with pytest.raises(PluginError, match="plugin 'acme': unknown hook 'retriever'"):
        Catalogue.installed({"acme": offering(retriever=retriever)})


def test_a_plugin_that_cannot_list_does_not_stop_the_others() -> None:
    def fail() -> dict[str, Component]:
        raise RuntimeError("no licence")

    catalogue = Catalogue.installed(
        {"acme": offering(fusers=fail), "other": offering(fusers=lambda: {"x": Component("a:B", "")})}
    )
    assert "plugin 'acme' cannot list its fusers: RuntimeError: no licence" in catalogue.problems
    assert catalogue.find("fuser", "x").plugin == "other"
    with pytest.raises(PluginError, match="no licence"):
        catalogue.find("fuser", "zzz")


def test_a_component_that_is_no_component() -> None:
    catalogue = Catalogue.installed({"acme": offering(fusers=lambda: {"x": "a:B"})})
    assert catalogue.problems == [
        "plugin 'acme': fusers() gives 'x' as 'a:B'; expected Component(\"package.module:Class\", \"one line\")"
    ]


def test_one_name_from_two_plugins_has_to_be_told_apart() -> None:
    both = {name: offering(fusers=lambda: {"x": Component("a:B", "")}) for name in ("acme", "other")}
    catalogue = Catalogue.installed(both)
    with pytest.raises(PluginError) as raised:
        catalogue.find("fuser", "x")
    assert str(raised.value) == "2 plugins offer the fuser 'x': say use = 'acme:x' or use = 'other:x'"
    assert catalogue.find("fuser", "acme:x").plugin == "acme"


def test_a_component_that_cannot_be_imported() -> None:
    catalogue = Catalogue.installed({"acme": offering(fusers=lambda: {"x": Component("no_such_module:B", "")})})
    with pytest.raises(PluginError) as raised:
        catalogue.find("fuser", "x").load()
    assert str(raised.value) == (
        "plugin 'acme' offers the fuser 'x' but cannot load it: ModuleNotFoundError: No module named 'no_such_module'"
    )


def test_constructors_that_are_no_schema() -> None:
    class Loose:
        def __init__(self, **options: Any) -> None: ...

    class Untyped:
        def __init__(self, *, size) -> None: ...

    with pytest.raises(PluginError, match=r"Loose: the constructor takes \*options; name every option, with its type"):
        parameters(Loose)
    with pytest.raises(PluginError, match=r"Untyped: the parameter 'size' of the constructor has no type"):
        parameters(Untyped)


def test_listing_imports_no_component_and_nothing_heavy() -> None:
    code = (
        "import sys; from hookrag.config.catalogue import Catalogue;"
        "c = Catalogue.installed(); assert c.offers and not c.problems;"
        "heavy = {'numpy', 'torch', 'transformers', 'onnxruntime', 'pymilvus', 'openai', 'pandas', 'rich', 'tenacity', 'click',"
        "'hookrag.components.search', 'hookrag.pipeline', 'hookrag.ingest'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_starting_configuration_fits_what_is_installed() -> None:
    import tomllib

    cut, text = ("chunker", "recursive"), ("store", "lexical")
    dense = {("embedder", "transformers"), ("store", "milvus")}
    judge, quotes = ("reranker", "cross-encoder"), ("generator", "extractive")
    cases: list[tuple[set[tuple[str, str]], str, str | None]] = [
        ({cut, text}, "bm25", None),
        ({cut, *dense}, "dense", None),
        ({cut, *dense, ("store", "faiss")}, "dense", None),
        ({cut, ("store", "faiss"), ("embedder", "transformers")}, "dense", None),
        ({cut, text, *dense}, "dense", None),
        ({cut, text, *dense, ("fuser", "dbsf")}, "hybrid", None),
        ({cut, text, judge}, "best", None),
        ({cut, text, judge, quotes}, "best", "quotes"),
        (
            {cut, text, *dense, ("fuser", "dbsf"), judge, quotes, ("reader", "html"), ("llm", "openai")},
            "best",
            "quotes",
        ),
    ]
    for installed, retriever, generator in cases:
        made = tomllib.loads(starter(installed))
        assert made["pipelines"]["default"]["retriever"] == retriever
        assert made["pipelines"]["default"].get("generator") == generator
        used = {
            (kind[:-1], table["use"])
            for kind, tables in made.items()
            if kind not in ("pipelines", "index")
            for table in tables.values()
        }
        stores = {use for kind, use in used if kind == "store"}
        assert stores & {"faiss", "milvus"} == {"faiss"} if ("store", "faiss") in installed else "faiss" not in stores
        assert used - {("retriever", use) for use in ("dense", "text", "fused", "reranked")} <= installed
    with pytest.raises(Exception, match=r'pip install "hookrag\[default\]"'):
        starter(set())


def test_commands_of_one_name_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    from click import Context
    from hookrag.cli import main

    command = Component("hookrag.cli.inspect:schema", "")
    plugins = {
        "acme": offering(commands=lambda: {"serve": command, "index": command}),
        "other": offering(commands=lambda: {"serve": command}),
    }
    installed = Catalogue.installed(plugins)
    monkeypatch.setattr(Catalogue, "installed", lambda: installed)
    assert {"acme:serve", "other:serve", "acme:index"} <= set(main.hookrag.list_commands(Context(main.hookrag)))
