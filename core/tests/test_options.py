"""Limits and descriptions of options: what each refuses and says, in a type, in a schema, in a table and in Python."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hookrag import (
    Above,
    AtLeast,
    AtMost,
    Between,
    ConfigError,
    Finite,
    Limit,
    Matching,
    NotEmpty,
    Pipeline,
    PluginError,
    checked,
)
from hookrag.config.catalogue import Catalogue
from hookrag.config.schema import config_schema
from hookrag.config.signature import json_schema, parameters
from hookrag.options.reading import limits_in_words, outside
from hookrag.testing import plugin

Name = Annotated[str, Matching("[a-z]+", "small letters")]


@pytest.mark.parametrize(
    ("limit", "good", "bad", "text", "schema"),
    [
        (AtLeast(1), [1, 2, math.inf], 0, "must be at least 1, got 0", {"minimum": 1}),
        (AtLeast(0, "sentences"), [0], -1, "must be at least 0 sentences, got -1", {"minimum": 0}),
        (AtLeast(1), [], math.nan, "must be at least 1, got nan", {"minimum": 1}),
        (AtLeast(1), [], "1", "must be at least 1, got '1'", {"minimum": 1}),
        (Above(0, "seconds"), [0.1], 0, "must be above 0 seconds, got 0", {"exclusiveMinimum": 0}),
        (AtMost(6), [6], 7, "must be at most 6, got 7", {"maximum": 6}),
        (Between(0, 1), [0, 0.5, 1], 1.5, "must be in [0, 1], got 1.5", {"minimum": 0, "maximum": 1}),
        (Finite(), [0, 1.5], math.inf, "must be a finite number, got inf", {}),
        (NotEmpty(), ["a"], "", "must not be empty", {"minLength": 1, "minItems": 1, "minProperties": 1}),
        (
            NotEmpty("retriever"),
            [["a"]],
            [],
            "must name at least one retriever, got []",
            {"minLength": 1, "minItems": 1, "minProperties": 1},
        ),
        (
            Matching("[a-z]+", "small letters"),
            ["ab"],
            "aB",
            "must be small letters, got 'aB'",
            {"pattern": "^(?:[a-z]+)$"},
        ),
    ],
)
def test_each_limit(limit: Limit, good: list[Any], bad: Any, text: str, schema: dict[str, Any]) -> None:
    assert [limit.check(value) for value in good] == [None] * len(good)
    assert limit.check(bad) == text
    assert limit.schema() == schema


class Everything:
    """One parameter of every form."""

    @checked
    def __init__(
        self,
        *,
        size: Annotated[int, AtLeast(1), "words of a chunk"] = 200,
        share: Annotated[float | None, Between(0, 1)] = None,
        sizes: Annotated[list[Annotated[int, AtLeast(1)]], NotEmpty()] = [1],  # noqa: B006  # never changed
        weights: dict[str, Annotated[float, Finite(), AtLeast(0)]] | None = None,
        b: Annotated[float, Between(0, 1)] | dict[str, Annotated[float, Between(0, 1)]] = 0.75,
        name: Name | None = None,
        mode: Literal["fast", "exact"] = "fast",
        folder: Path = Path(),
    ) -> None:
        self.given = (size, share, sizes, weights, b, name, mode, folder)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"share": 2}, "share must be in [0, 1], got 2"),
        ({"sizes": []}, "sizes must not be empty"),
        ({"sizes": [1, 0, 3, -1]}, "sizes[1] must be at least 1, got 0; sizes[3] must be at least 1, got -1"),
        (
            {"weights": {"text": math.nan, "title": -1}},
            "weights.text must be a finite number, got nan; weights.title must be at least 0, got -1",
        ),
        ({"b": 2}, "b must be in [0, 1], got 2"),
        ({"b": {"text": 2}}, "b.text must be in [0, 1], got 2"),
        ({"name": "A"}, "name must be small letters, got 'A'"),
        ({"mode": "slow"}, "mode must be one of 'fast', 'exact', got 'slow' (str)"),
        (
            {"mode": "slow", "size": -5},
            "size must be at least 1, got -5; mode must be one of 'fast', 'exact', got 'slow' (str)",
        ),
    ],
)
def test_python_is_told_all_that_is_out_of_range(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as raised:
        Everything(**given)
    assert str(raised.value) == message


def test_what_is_in_range_passes() -> None:
    made = Everything(
        size=1, share=0.5, sizes=[2], weights={"a": 0}, b={"a": 1}, name="a", mode="exact", folder=Path("x")
    )
    assert made.given == (1, 0.5, [2], {"a": 0}, {"a": 1}, "a", "exact", Path("x"))
    assert Everything(share=None, weights=None, name=None).given[:2] == (200, None)


def test_a_checked_constructor_looks_as_it_was_written() -> None:
    assert list(inspect.signature(Everything).parameters)[:2] == ["size", "share"]
    assert Everything.__init__.__name__ == "__init__"
    with pytest.raises(TypeError, match="unexpected keyword argument 'sise'"):
        Everything(sise=1)  # type: ignore[call-arg]  # what is tested


def test_arguments_by_position_are_checked() -> None:
    class Positional:
        @checked
        def __init__(self, size: Annotated[int, AtLeast(1)], overlap: Annotated[int, AtLeast(0)] = 0) -> None:
            self.size = size

    with pytest.raises(ValueError, match=r"^size must be at least 1, got 0; overlap must be at least 0, got -1$"):
        Positional(0, -1)
    assert Positional(1, overlap=1).size == 1


def test_a_type_that_cannot_be_resolved_is_told_at_the_first_call() -> None:
    class Lost:
        @checked
        def __init__(self, *, size: pytest.NoSuchName) -> None: ...  # type: ignore[name-defined]  # what is tested

    with pytest.raises(PluginError, match="Lost: a type of its constructor cannot be resolved"):
        Lost(size=1)


def test_a_limit_that_was_not_made_is_told() -> None:
    class Unmade:
        @checked
        def __init__(self, *, size: Annotated[int, NotEmpty]) -> None: ...

    with pytest.raises(PluginError, match=r"has the class NotEmpty, expected an object: NotEmpty\(\.\.\.\)"):
        Unmade(size=1)


@dataclass(frozen=True)
class Even:
    """A limit as a third party writes it."""

    def check(self, value: Any, /) -> str | None:
        return None if value % 2 == 0 else f"must be even, got {value}"

    def schema(self) -> dict[str, Any]:
        return {"multipleOf": 2}

    def __str__(self) -> str:
        return "even"


def test_a_limit_of_ones_own() -> None:
    declared = Annotated[int, AtLeast(2), Even(), "eyes"]
    assert json_schema(declared) == {"type": "integer", "minimum": 2, "multipleOf": 2, "description": "eyes"}
    assert limits_in_words(declared) == "at least 2, even"


def test_parameters_know_limits_and_descriptions() -> None:
    known = parameters(Everything)
    assert known["size"].annotation is int
    assert known["size"].description == "words of a chunk"
    assert {name: one.limits for name, one in known.items() if one.limits} == {
        "size": "at least 1",
        "share": "in [0, 1]",
        "sizes": "not empty, each at least 1",
        "weights": "each finite, at least 0",
        "b": "in [0, 1] or each in [0, 1]",
        "name": "small letters",
    }


def test_the_schema_of_limits() -> None:
    known = parameters(Everything)
    assert {name: json_schema(one.declared) for name, one in known.items()} == {
        "size": {"type": "integer", "minimum": 1, "description": "words of a chunk"},
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "sizes": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1},
        "weights": {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}},
        "b": {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "object", "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1}},
            ]
        },
        "name": {"type": "string", "pattern": "^(?:[a-z]+)$"},
        "mode": {"enum": ["fast", "exact"]},
        "folder": {"type": "string"},
    }


def test_references_are_described_in_the_schema() -> None:
    made = config_schema(Catalogue.installed({"fakes": plugin}))
    fused = next(
        one for one in made["properties"]["retrievers"]["additionalProperties"]["oneOf"] if one["title"] == "fused"
    )["properties"]
    assert fused["fuser"]["description"] == "makes one ranking of theirs. The name of a table of [fusers.*]."
    assert fused["retrievers"]["minItems"] == 1
    assert fused["depth"] == {
        "type": "integer",
        "minimum": 1,
        "default": 100,
        "description": fused["depth"]["description"],
    }


def test_what_lies_outside_of_each() -> None:
    for name, parameter in parameters(Everything).items():
        tried = outside(parameter.declared)
        assert all(parameter.problems(value) for value in tried), name
        assert tried or name in ("name", "folder")
    assert outside(Annotated[int, AtLeast(1)]) == [0]
    assert outside(Annotated[list[int], NotEmpty()]) == [[]]


def test_a_table_has_the_line_of_the_key(tmp_path: Path) -> None:
    tables = {
        "pipelines": {"default": {"retriever": "r"}},
        "retrievers": {"r": {"use": "fused", "retrievers": [], "fuser": "f", "depth": 0}},
        "fusers": {"f": {"use": "fake-rank"}},
        "middleware": {"again": {"use": "retry", "attempts": 0, "seconds": 0.0, "wait": -1}},
    }
    with pytest.raises(ConfigError) as raised:
        Pipeline.from_config({**tables, "index": {"path": str(tmp_path)}}, plugins={"fakes": plugin})
    assert raised.value.problems == (
        "[retrievers.r] retrievers must name at least one retriever, got []",
        "[retrievers.r] depth must be at least 1, got 0",
    )
