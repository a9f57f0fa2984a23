"""The options of a component as people and programs read them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hookrag.config.signature import Parameter, is_own_folder, parameters, type_name
from hookrag.values import KINDS


@dataclass(frozen=True, slots=True)
class Option:
    """A key of a component's table in words: `kind` is its type with the limits, `default` "" where there is none to show."""

    name: str
    kind: str
    type: str
    limits: str
    required: bool
    default: str
    value: Any
    description: str

    def to_json(self) -> dict[str, Any]:
        """For a program, with the default as a value; null where there is none."""
        return {
            "name": self.name,
            "type": self.type,
            "limits": self.limits,
            "required": self.required,
            "default": self.value,
            "description": self.description,
        }


def options_of(cls: type, kind: str) -> list[Option]:
    """The options of a component's class, in the order of its constructor. Raises PluginError where it is no schema."""
    return [_option(parameter, kind) for parameter in parameters(cls).values()]


def _option(parameter: Parameter, kind: str) -> Option:
    own_folder = kind == "store" and is_own_folder(parameter)
    required = parameter.required and not own_folder
    value = _plain(parameter.default)
    default = "in the index folder" if own_folder else "required" if required else _written(value)
    kind_of_value, type_ = type_name(parameter.declared), type_name(parameter.annotation)
    return Option(
        parameter.name, kind_of_value, type_, parameter.limits, required, default, value, parameter.description
    )


def _plain(default: Any) -> Any:
    """A default as JSON has it; None where there is none, or one that is made at each call."""
    if isinstance(default, Path):
        return str(default)
    return default if isinstance(default, str | int | float | bool | list | dict) else None


def _written(value: Any) -> str:
    """A value as TOML writes it."""
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def kind_named(word: str) -> str | None:
    """The kind that a word stands for, in the singular or the plural; None where it is none."""
    return next((kind for kind, plural in KINDS.items() if word in (kind, plural)), None)
