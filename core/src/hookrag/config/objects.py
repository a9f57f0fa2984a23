"""Components that were made in Python, taken into a pipeline: each gets a proxy, also those inside others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from hookrag.config.plan import flat
from hookrag.config.signature import PROTOCOLS, incapable, kind_of, lacking_attributes, lacking_methods, parameters
from hookrag.errors import ConfigError
from hookrag.runtime.component import Instance, walk
from hookrag.runtime.proxies import PROXIES, Proxy
from hookrag.runtime.shared import Shared
from hookrag.values import Step

_ABSENT = object()


class Adoption:
    """Gives proxies to objects. An object met twice has one proxy; its references are replaced by theirs, in place.

    A component keeps every parameter of its constructor under the parameter's name, with or without a leading underscore:
    that is where its references and settings are found.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._proxies: dict[int, Proxy] = {}
        self._names: set[tuple[str, str]] = set()

    def adopt(self, kind: str, component: Any) -> Proxy:
        """The proxy of a component and, inside it, of all it refers to. Raises ConfigError where it is no such component."""
        if isinstance(component, Proxy):
            self._take_names(component)
            return component
        if id(component) in self._proxies:
            return self._proxies[id(component)]
        cls = type(component)
        lacking = [f"{name}()" for name in lacking_methods(cls, PROTOCOLS[kind])]
        lacking += lacking_attributes(component, PROTOCOLS[kind])
        if lacking:
            raise ConfigError([f"{cls.__name__} is no {kind}: it has no {', '.join(lacking)}"])
        settings: dict[str, Any] = {}
        references: dict[str, Any] = {}
        for name, parameter in parameters(cls).items():
            attribute, value = _kept(component, name)
            if parameter.reference is None:
                settings[name] = (
                    value if value is None or isinstance(value, str | int | float | bool) else _plain(value)
                )
            elif value is not None:
                references[name] = self._inside(str(kind_of(parameter.reference)), value)
                self._check_capable(cls, name, parameter.reference, references[name])
                object.__setattr__(component, attribute, references[name])
        # Two objects are two components, whatever they are made of: sharing was the caller's decision. No address either:
        # a cache that outlives this pipeline would take the next object at it for this one.
        step = Step(kind, self._name(kind, cls.__name__.lower()), cls.__name__.lower(), uuid4().hex)
        instance = Instance(component, settings, references)
        self._shared.instances[step.fingerprint] = instance
        proxy = self._proxies[id(component)] = PROXIES[kind](step, instance)
        return proxy

    def _check_capable(self, cls: type, name: str, protocol: type, reference: Any) -> None:
        for proxy in flat(reference):
            lack = incapable(proxy, protocol)
            if lack:
                raise ConfigError([f"{cls.__name__}: its {name} must be a {protocol.__name__}; {lack}"])

    def _inside(self, kind: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self.adopt(kind, one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.adopt(kind, one) for one in value]
        return self.adopt(kind, value)

    def _take_names(self, adopted: Proxy) -> None:
        """Leave the names that another pipeline gave to the objects it shares with this one."""
        self._names.update((proxy.step.kind, proxy.step.name) for proxy in walk([adopted]))

    def _name(self, kind: str, base: str) -> str:
        name, number = base, 1
        while (kind, name) in self._names:
            number += 1
            name = f"{base}-{number}"
        self._names.add((kind, name))
        return name


def _kept(component: Any, name: str) -> tuple[str, Any]:
    # A property only shows what the other attribute keeps.
    shown = isinstance(getattr(type(component), name, None), property)
    for attribute in (f"_{name}", name) if shown else (name, f"_{name}"):
        value = getattr(component, attribute, _ABSENT)
        if value is not _ABSENT:
            return attribute, value
    cls = type(component).__name__
    raise ConfigError(
        [
            f"{cls} keeps its parameter {name!r} neither as self.{name} nor as self._{name}, so a pipeline cannot see it: "
            f"name it so, or describe the pipeline by a configuration"
        ]
    )


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else json.loads(json.dumps(value, default=str))
