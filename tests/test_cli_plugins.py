"""`hookrag plugins NAME`: the options of one component, and what is said where no component or several are meant."""

from __future__ import annotations

import json
from types import SimpleNamespace

import hookrag.testing.plugin
import pytest
from click.testing import CliRunner
from hookrag import Component, hookimpl
from hookrag.cli.main import hookrag as command_line
from hookrag.config.catalogue import Catalogue


def plugins(*words: str) -> tuple[int, str]:
    made = CliRunner().invoke(command_line, ["plugins", *words])
    return made.exit_code, made.output


@pytest.fixture(autouse=True)
def _core_and_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else is installed here must not change the texts."""
    twice = SimpleNamespace(
        hookrag_api=1,
        chunkers=hookimpl(
            lambda: {"cache": Component("hookrag.testing.fakes:WordChunker", "Another.")}, specname="chunkers"
        ),
        readers=hookimpl(lambda: {"csv": Component("hookrag.components.readers:Csv", "Another.")}, specname="readers"),
    )
    whole = Catalogue.installed({"fakes": hookrag.testing.plugin, "twice": twice})
    few = Catalogue()
    for key, offers in whole.offers.items():
        if kept := [offer for offer in offers if offer.plugin in ("hookrag", "fakes", "twice")]:
            few.offers[key] = kept
    monkeypatch.setattr(Catalogue, "installed", classmethod(lambda cls, plugins=None: few))


def test_the_options_of_a_component() -> None:
    code, output = plugins("reranked")
    first, *options = output.splitlines()
    assert (code, first.split(" (hookrag ")[0]) == (0, "retriever reranked")
    assert options == [
        "retriever\tthe name of a table [retrievers.*]\trequired\tfinds the candidates",
        "reranker\tthe name of a table [rerankers.*]\trequired\tscores them anew",
        "depth\ta whole number, at least 1\t50\tcandidates; as many as are wanted, if that is more",
    ]


def test_the_options_for_a_program() -> None:
    code, output = plugins("middleware:cache", "--json")
    told = json.loads(output)
    assert code == 0
    assert (told["kind"], told["name"], told["plugin"]) == ("middleware", "cache", "hookrag")
    assert told["options"] == [
        {
            "name": "size",
            "type": "a whole number",
            "limits": "at least 1",
            "required": False,
            "default": 10000,
            "description": "items that are kept: those used last",
        }
    ]


@pytest.mark.parametrize(
    "words", [("middleware", "cache"), ("middleware:cache",), ("hookrag:cache",)], ids=lambda words: " ".join(words)
)
def test_ways_to_name_one_of_several(words: tuple[str, ...]) -> None:
    code, output = plugins(*words)
    assert (code, output.split(" (")[0]) == (0, "middleware cache")


def test_a_component_without_options() -> None:
    assert plugins("fake-rank")[1].splitlines()[1:] == ["it has no options"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("cahce",), "no component is called 'cahce'. Did you mean 'cache'?"),
        (("retriever", "cache"), "no retriever is called 'cache'."),
        (
            ("cache",),
            "2 components are called 'cache': say hookrag plugins chunker cache or hookrag plugins middleware cache",
        ),
        (("csv",), "2 components are called 'csv': say hookrag plugins hookrag:csv or hookrag plugins twice:csv"),
        (("cross-encoder",), "the component 'cross-encoder' is not installed: pip install hookrag-cross-encoder"),
        (
            ("retreiver", "fused"),
            "there is no kind 'retreiver'. Did you mean 'retriever'? The kinds are chunker, embedder, fuser, generator, "
            "llm, middleware, reader, reranker, retriever, store.",
        ),
        (("a", "b", "c"), "expected NAME or KIND NAME, got 'a b c'"),
    ],
)
def test_a_name_that_stands_for_none_or_several(words: tuple[str, ...], expected: str) -> None:
    code, output = plugins(*words)
    assert code == 2
    assert output.splitlines()[-1] == f"Error: {expected}"
