"""A component's constructor read as the schema of its table: parameters, types, defaults, references."""

from __future__ import annotations

import inspect
import os
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import hookrag.protocols as protocols
from hookrag.errors import PluginError
from hookrag.options import limits, reading
from hookrag.runtime.table import output_of
from hookrag.values import KINDS

PROTOCOLS: Mapping[str, type] = {
    "chunker": protocols.Chunker,
    "embedder": protocols.Embedder,
    "store": protocols.Store,
    "retriever": protocols.Retriever,
    "fuser": protocols.Fuser,
    "reranker": protocols.Reranker,
    "llm": protocols.LLM,
    "generator": protocols.Generator,
    "middleware": protocols.Middleware,
    "reader": protocols.Reader,
}
"""The protocol that makes a class a component of each kind."""

_KINDS: Mapping[type, str] = {
    protocol: kind for kind, protocol in PROTOCOLS.items() if kind not in ("middleware", "reader")
}


@dataclass(frozen=True, slots=True)
class Members:
    """What a protocol names: methods, which a class has, and attributes, which its objects have."""

    methods: frozenset[str]
    attributes: frozenset[str]


def _is_protocol(annotation: Any) -> bool:
    return isinstance(annotation, type) and bool(getattr(annotation, "_is_protocol", False))


def kind_of(annotation: Any) -> str | None:
    """The kind of component that a parameter of this type refers to; None for a plain value.

    It is typed with the protocol of a kind, or with one that extends it: hookrag's own, or a third party's.
    """
    if not _is_protocol(annotation):
        return None
    return next((_KINDS[base] for base in annotation.__mro__ if base in _KINDS), None)


@cache
def members(protocol: type) -> Members:
    """What the protocol names, with what it inherits."""
    methods: set[str] = set()
    attributes: set[str] = set()
    for base in protocol.__mro__:
        if not _is_protocol(base) or base is typing.Protocol:
            continue
        for name, value in vars(base).items():
            if not name.startswith("_"):
                (methods if inspect.isfunction(value) else attributes).add(name)
        attributes.update(name for name in vars(base).get("__annotations__", ()) if not name.startswith("_"))
    return Members(frozenset(methods), frozenset(attributes - methods))


def beyond(protocol: type, kind: str) -> Members:
    """What a protocol names besides what every component of the kind has."""
    all_, base = members(protocol), members(PROTOCOLS[kind])
    return Members(all_.methods - base.methods, all_.attributes - base.attributes)


def lacking_methods(cls: type, protocol: type) -> list[str]:
    """The methods of the protocol that a class has not, in order of their names."""
    return sorted(name for name in members(protocol).methods if not hasattr(cls, name))


def lacking_attributes(component: Any, protocol: type) -> list[str]:
    """The attributes of the protocol that an object has not, in order of their names."""
    return sorted(members(protocol).attributes - set(dir(component)))


def incapable(proxy: Any, protocol: type) -> str:
    """What a built component, behind its proxy, lacks of the protocol that it is referred to by: "" where it lacks nothing.

    Asked of the object: whether a store can search sparse vectors depends on the embedder that it was given.
    """
    wanted = beyond(protocol, proxy.step.kind)
    names = [f"{name}()" for name in sorted(wanted.methods) if not proxy.can(name)]
    names += sorted(wanted.attributes - set(dir(proxy.instance.component)))
    if not names:
        return ""
    there = [name for name in sorted(wanted.methods) if hasattr(proxy.instance.component, name)]
    configured = " as it is configured" if there else ""
    outputs = sorted({str(output) for name in there if (output := output_of(proxy.step.kind, name))})
    advice = f": give it an embedder of {' and '.join(outputs)} vectors" if outputs else ""
    return f"{proxy.step} (use = {proxy.step.use!r}) has no {', '.join(names)}{configured}{advice}"


MISSING: Any = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Parameter:
    """One key of a table; `default` is MISSING where the key is required.

    `annotation` is the bare type, `declared` the same with the limits and the description that stand in it.
    """

    name: str
    annotation: Any
    default: Any
    declared: Any

    @property
    def description(self) -> str:
        """What the key means, "" where its type does not say."""
        return reading.described(self.declared)

    @property
    def limits(self) -> str:
        """Its limits in words, "" where it has none."""
        return reading.limits_in_words(self.declared)

    def problems(self, value: Any) -> list[str]:
        """What is wrong with a value of the right type, each problem with the key in front."""
        check = reading.check_of(self.declared)
        return [f"{self.name}{wrong}" for wrong in check(value)] if check is not None else []

    @property
    def required(self) -> bool:
        return self.default is MISSING

    @property
    def reference(self) -> type | None:
        """The protocol that the parameter refers to, alone or in a list, a dict or an optional; None for a plain value."""
        return next(iter(_references(self.annotation)), None)


def _references(annotation: Any) -> list[type]:
    """The different protocols in a type."""
    if kind_of(annotation) is not None:
        return [annotation]
    inner = get_args(annotation) if get_origin(annotation) is not Literal else ()
    return list(dict.fromkeys(protocol for one in inner for protocol in _references(one)))


def as_names(annotation: Any) -> Any:
    """A reference type with every protocol replaced by str: what the table holds."""
    if kind_of(annotation) is not None:
        return str
    inner = tuple(as_names(one) for one in get_args(annotation))
    if not inner:
        return annotation
    if type(annotation).__name__ == "UnionType":
        found: Any = inner[0]
        for one in inner[1:]:
            found = found | one
        return found
    return annotation.copy_with(inner) if hasattr(annotation, "copy_with") else annotation.__origin__[inner]


def parameters(cls: type) -> dict[str, Parameter]:
    """The constructor's parameters in order.

    Raises PluginError where the constructor cannot serve as a schema: *args, **kwargs, or a parameter without a type.
    """
    where = f"{cls.__module__}.{cls.__qualname__}"
    constructor = getattr(cls, "__init__")  # noqa: B009  # of the class, which a type checker takes for an object's
    if (
        getattr(constructor, "__module__", "") == "typing"
    ):  # the one of Protocol: a class that names a protocol as its base has none
        return {}
    signature = inspect.signature(cls)
    declared = reading.hints(constructor)
    bare = {name: reading.bare(one) for name, one in declared.items()}
    found: dict[str, Parameter] = {}
    for parameter in signature.parameters.values():
        if parameter.name == "generation" and generational(cls):
            continue  # the core's to give, not the configuration's
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            raise PluginError(f"{where}: the constructor takes *{parameter.name}; name every option, with its type")
        if parameter.name not in bare:
            raise PluginError(f"{where}: the parameter {parameter.name!r} of the constructor has no type")
        referred = _references(bare[parameter.name])
        if len(referred) > 1:
            names = " and ".join(protocol.__name__ for protocol in referred)
            raise PluginError(
                f"{where}: the parameter {parameter.name!r} of the constructor is {names}: name one of them"
            )
        found[parameter.name] = Parameter(
            parameter.name, bare[parameter.name], parameter.default, declared[parameter.name]
        )
    return found


def generational(cls: type) -> bool:
    """Whether a store's class is made for one generation at a time: see `protocols.Generational`."""
    return hasattr(cls, "promote") and hasattr(cls, "retire") and "generation" in inspect.signature(cls).parameters


def is_own_folder(parameter: Parameter) -> bool:
    """Whether it is the folder of a store, which the builder fills in where a table does not."""
    return parameter.name == "path" and parameter.annotation is Path and parameter.required


def served(cls: type, settings: Mapping[str, Any]) -> bool:
    """Whether a store of these settings keeps its generations on a server; one with a folder does where it has a `uri`."""
    embedded = any(is_own_folder(parameter) for parameter in parameters(cls).values()) and settings.get("uri") is None
    return generational(cls) and not embedded


class Mismatch(ValueError):
    """A value is not of the type that a parameter asks for: "must be ..., got ...", at a path inside it (".year", "[2]")."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


def convert(value: Any, annotation: Any, folder: Path) -> Any:
    """The value as the parameter wants it: int accepted for float, text for Path (relative to `folder`), nothing else bent.

    Raises Mismatch.
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return value
    if _is_protocol(annotation):
        raise Mismatch(f"must be an object with what {annotation.__name__} names, which no configuration can give")
    if origin is Literal:
        if any(value == choice and type(value) is type(choice) for choice in inner):
            return value
        raise Mismatch(f"must be one of {', '.join(map(repr, inner))}, got {shown(value)}")
    if origin in (Union, types.UnionType):
        return _convert_union(value, inner, annotation, folder)
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if annotation is Path and isinstance(value, str):
        return _path(value, folder)
    if origin in (list, tuple, Sequence) and isinstance(value, list | tuple):
        return [_convert_inner(item, inner[0], folder, f"[{index}]") for index, item in enumerate(value)]
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return {str(key): _convert_inner(item, inner[1], folder, f".{key}") for key, item in value.items()}
    if (
        isinstance(annotation, type)
        and isinstance(value, annotation)
        and not (isinstance(value, bool) and annotation is int)
    ):
        return value
    raise Mismatch(f"must be {type_name(annotation)}, got {shown(value)}")


def _path(value: str, folder: Path) -> Path:
    try:
        return folder / Path(value).expanduser()
    except RuntimeError as error:
        raise Mismatch(f"must be a path, got {shown(value)}: there is no such home folder") from error


def _convert_inner(value: Any, annotation: Any, folder: Path, path: str) -> Any:
    try:
        return convert(value, annotation, folder)
    except Mismatch as error:
        raise Mismatch(str(error), path + error.path) from None


def _convert_union(value: Any, choices: Sequence[Any], annotation: Any, folder: Path) -> Any:
    if isinstance(value, str) and str in choices and Path in choices:
        # A name or a path ("all-MiniLM-L6-v2", "models/mine"): a path where it is written as one, or where there is something.
        path = _path(value, folder)
        if value.startswith((".", "~")) or os.path.isabs(value):
            return path
        return path if value and os.path.exists(path) else value  # pathlib's raises where a name is too long for a file
    if value is None and type(None) in choices:
        return None
    real = [choice for choice in choices if choice is not type(None)]
    if len(real) == 1:
        return convert(value, real[0], folder)  # says where in a list or a table the mistake is
    for choice in real:
        try:
            return convert(value, choice, folder)
        except Mismatch:
            continue
    raise Mismatch(f"must be {type_name(annotation)}, got {shown(value)}")


def shown(value: Any) -> str:
    """A value as an error shows it, with its type."""
    return f"{limits.shown(value)} ({type(value).__name__})"


_NAMES: Mapping[Any, str] = {
    str: "text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path", type(None): "nothing"
}  # fmt: skip


def type_name(annotation: Any) -> str:
    """A type in words, with its limits: "a number, at least 0", "a list, each text", "the name of a table [embedders.*]"."""
    if get_origin(annotation) is Annotated:
        return ", ".join([type_name(get_args(annotation)[0]), *map(str, reading.limits(annotation))])
    kind = kind_of(annotation)
    if kind is not None:
        return f"the name of a table [{KINDS[kind]}.*]"
    if annotation in _NAMES:
        return _NAMES[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, inner))
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(choice) for choice in inner if choice is not type(None))
    if origin in (list, tuple, Sequence):
        return f"a list, each {type_name(inner[0])}"
    if origin in (dict, Mapping):
        return f"a table, each value {type_name(inner[1])}"
    return getattr(annotation, "__name__", str(annotation))


def json_schema(declared: Any) -> dict[str, Any]:
    """The JSON Schema of a value of this type, with its limits and description; a reference is the name of a table."""
    if get_origin(declared) is Annotated:
        return _annotated_schema(declared)
    plain = {str: "string", int: "integer", float: "number", bool: "boolean", Path: "string"}
    if declared in plain:
        return {"type": plain[declared]}
    origin, inner = get_origin(declared), get_args(declared)
    if origin is Literal:
        return {"enum": list(inner)}
    if origin in (Union, types.UnionType):
        choices = [json_schema(choice) for choice in inner if choice is not type(None)]
        return choices[0] if len(choices) == 1 else {"anyOf": choices}
    if origin in (list, tuple, Sequence):
        return {"type": "array", "items": json_schema(inner[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": json_schema(inner[1])}
    kind = kind_of(declared)
    if kind is not None:
        return {"type": "string", "description": f"The name of a table of [{KINDS[kind]}.*]."}
    return {}


_SIZES: Mapping[str, str] = {"minLength": "string", "minItems": "array", "minProperties": "object"}


def _annotated_schema(declared: Any) -> dict[str, Any]:
    schema = json_schema(reading.bare_once(declared))
    for limit in reading.limits(declared):
        for keyword, value in limit.schema().items():
            if keyword not in _SIZES or schema.get("type") in (None, _SIZES[keyword]):
                schema[keyword] = value
    text = reading.described(declared)
    if text:
        named = schema.get("description", "")
        schema["description"] = f"{text}. {named}" if named else text
    return schema
