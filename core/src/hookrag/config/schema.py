"""A JSON Schema of the configuration, made from the installed components."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hookrag.config.catalogue import Catalogue, Offer
from hookrag.config.signature import Parameter, json_schema, parameters
from hookrag.config.tables import IndexTable, PipelineTable
from hookrag.errors import PluginError
from hookrag.values import KINDS


def config_schema(catalogue: Catalogue) -> dict[str, Any]:
    """The schema of the whole file. A component that cannot be loaded accepts any key."""
    properties: dict[str, Any] = {
        "pipelines": {"type": "object", "minProperties": 1, "additionalProperties": _table(PipelineTable)},
        "index": _table(IndexTable),
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
    keys, required = _keys(known)
    if offer.kind == "store":
        required = [name for name in required if name != "path"]
    described = {"properties": {"use": use, **keys}, "required": ["use", *required], "additionalProperties": False}
    return {"title": offer.name, **described}


def _table(cls: type) -> dict[str, Any]:
    keys, required = _keys(parameters(cls))
    return {"type": "object", "properties": keys, "required": required, "additionalProperties": False}


def _keys(known: Mapping[str, Parameter]) -> tuple[dict[str, Any], list[str]]:
    """The schemas of all keys, and the keys that must be there."""
    keys = {name: json_schema(parameter.declared) for name, parameter in known.items()}
    for name, parameter in known.items():
        if isinstance(parameter.default, str | int | float | bool | list):
            keys[name]["default"] = parameter.default
        elif isinstance(parameter.default, Path):
            keys[name]["default"] = str(parameter.default)
    return keys, [name for name, parameter in known.items() if parameter.required]
