"""A JSON Schema of the configuration, made from the installed components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from hookrag.config.catalogue import Catalogue, Offer
from hookrag.config.signature import json_schema, parameters
from hookrag.config.tables import IndexTable, PipelineTable
from hookrag.errors import PluginError
from hookrag.values import KINDS


def config_schema(catalogue: Catalogue) -> dict[str, Any]:
    """The schema of the whole file. A component that cannot be loaded accepts any key."""
    properties: dict[str, Any] = {
        "pipelines": {"type": "object", "minProperties": 1, "additionalProperties": _dataclass(PipelineTable)},
        "index": _dataclass(IndexTable),
    }
    for kind, plural in KINDS.items():
        if kind != "command":
            choices = [_component(offer) for offer in catalogue.of_kind(kind)]
            table: dict[str, Any] = (
                {"type": "object", "required": ["use"], "oneOf": choices} if choices else {"not": {}}
            )
            properties[plural] = {"type": "object", "additionalProperties": table}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hookrag.toml",
        "type": "object",
        "additionalProperties": False,
        "required": ["pipelines"],
        "properties": properties,
    }


def _component(offer: Offer) -> dict[str, Any]:
    use = {"enum": [offer.name, f"{offer.plugin}:{offer.name}"], "description": offer.component.summary}
    try:
        known = parameters(offer.load())
    except PluginError:
        return {"properties": {"use": use}}
    keys: dict[str, Any] = {"use": use}
    required = ["use"]
    for name, parameter in known.items():
        keys[name] = json_schema(parameter.annotation)
        if parameter.required and not (offer.kind == "store" and name == "path"):
            required.append(name)
        elif parameter.default is not None and isinstance(parameter.default, str | int | float | bool):
            keys[name]["default"] = parameter.default
    return {"title": offer.name, "properties": keys, "required": required, "additionalProperties": False}


# What the pipeline's own checks ask for besides the types.
_LEAST: Mapping[str, Mapping[str, int]] = {
    "k": {"minimum": 1},
    "threads": {"minimum": 1},
    "timeout": {"exclusiveMinimum": 0},
}


def _dataclass(cls: type[PipelineTable] | type[IndexTable]) -> dict[str, Any]:
    hints: Mapping[str, Any] = get_type_hints(cls)
    keys: dict[str, Any] = {}
    required = []
    for one in fields(cls):
        keys[one.name] = {**json_schema(hints[one.name]), **_LEAST.get(one.name, {})}
        if one.default is NO_DEFAULT and one.default_factory is NO_DEFAULT:
            required.append(one.name)
        elif isinstance(one.default, str | int | float | Path):
            keys[one.name]["default"] = str(one.default) if isinstance(one.default, Path) else one.default
    return {"type": "object", "properties": keys, "required": required, "additionalProperties": False}
