"""What the installed plugins offer: names, without importing the components they stand for."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

import pluggy

from hookrag import hookspecs
from hookrag.errors import PluginError
from hookrag.hookspecs import API, Component
from hookrag.values import KINDS

_OWN: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "hookrag-chunking": {
        "chunker": (
            "words",
            "sentences",
            "recursive",
            "sections",
            "characters",
            "tokens",
            "semantic",
            "document",
            "parent-child",
            "nested",
        )
    },
    "hookrag-citations": {"generator": ("cited",)},
    "hookrag-cross-encoder": {"reranker": ("cross-encoder",)},
    "hookrag-elasticsearch": {"store": ("elasticsearch",)},
    "hookrag-extractive": {"generator": ("extractive",)},
    "hookrag-faiss": {"store": ("faiss",)},
    "hookrag-fusion": {"fuser": ("rrf", "min-max", "z-score", "dbsf", "combsum", "combmnz")},
    "hookrag-lexical": {"store": ("lexical",)},
    "hookrag-milvus": {"store": ("milvus",)},
    "hookrag-openai": {"embedder": ("openai",), "llm": ("openai",)},
    "hookrag-readers": {"reader": ("html", "pdf", "docx", "pptx", "xlsx", "epub")},
    "hookrag-transformers": {"embedder": ("transformers",)},
}
KNOWN: Mapping[tuple[str, str], str] = MappingProxyType(
    {(kind, name): package for package, kinds in _OWN.items() for kind, names in kinds.items() for name in names}
)
"""Components of hookrag's own packages, so that an error can say which one to install."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A component that an installed plugin offers."""

    kind: str
    name: str
    component: Component
    plugin: str
    version: str

    def load(self) -> Any:
        """Import the component. Raises PluginError, which says what failed."""
        module, _, attribute = self.component.target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise PluginError(
                f"plugin {self.plugin!r} offers the {self.kind} {self.name!r} but cannot load it: {reason}"
            ) from error


@dataclass(slots=True)
class Catalogue:
    """All offers by (kind, name), and what is wrong with plugins that could not be read."""

    offers: dict[tuple[str, str], list[Offer]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def installed(cls, plugins: Mapping[str, object] | None = None) -> Catalogue:
        """What the entry points of the group `hookrag` offer, and besides the `plugins` given: {name: module or object}."""
        catalogue = cls()
        manager = pluggy.PluginManager("hookrag")
        manager.add_hookspecs(hookspecs)
        versions: dict[str, str] = {}
        for entry in importlib.metadata.entry_points(group="hookrag"):
            distribution = entry.dist
            name = distribution.name if distribution else entry.name
            if name in versions:
                name = f"{name}:{entry.name}"
            try:
                catalogue._register(manager, name, entry.load())
            except Exception as error:
                catalogue.problems.append(f"plugin {name!r} cannot be read: {type(error).__name__}: {error}")
            else:
                versions[name] = distribution.version if distribution else ""
        for name, plugin in (plugins or {}).items():
            catalogue._register(manager, name, plugin)
        for kind, plural in KINDS.items():
            catalogue._collect(manager, kind, plural, versions)
        return catalogue

    def _register(self, manager: pluggy.PluginManager, name: str, plugin: object) -> None:
        api = getattr(plugin, "hookrag_api", None)
        if api is None:
            raise PluginError(f"plugin {name!r} does not say which hooks it was made for: add `hookrag_api = {API}`")
        if api != API:
            older = "the plugin" if isinstance(api, int) and api < API else "hookrag"
            raise PluginError(
                f"plugin {name!r} is made for version {api!r} of the hooks, this is {API}: upgrade {older}"
            )
        try:
            manager.register(plugin, name)
        except ValueError as error:
            raise PluginError(f"plugin {name!r} is there already: give each plugin once, under its own name") from error
        try:
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            manager.unregister(plugin)
            raise PluginError(f"plugin {name!r}: {error}") from error

    def _collect(self, manager: pluggy.PluginManager, kind: str, plural: str, versions: Mapping[str, str]) -> None:
        # Each implementation is called by itself: a joint hook call says neither who answered nor survives one that raises.
        for implementation in getattr(manager.hook, plural).get_hookimpls():
            plugin = implementation.plugin_name
            try:
                offered = dict(implementation.function())
            except Exception as error:
                self.problems.append(f"plugin {plugin!r} cannot list its {plural}: {type(error).__name__}: {error}")
                continue
            for name, component in offered.items():
                if not isinstance(component, Component) or ":" not in component.target:
                    self.problems.append(
                        f"plugin {plugin!r}: {plural}() gives {name!r} as {component!r}; "
                        f'expected Component("package.module:Class", "one line")'
                    )
                    continue
                offer = Offer(kind, name, component, plugin, versions.get(plugin, ""))
                self.offers.setdefault((kind, name), []).append(offer)

    def of_kind(self, kind: str) -> list[Offer]:
        """The offers of one kind, by name."""
        return sorted(
            (o for (k, _), os in self.offers.items() if k == kind for o in os), key=lambda o: (o.name, o.plugin)
        )

    def find(self, kind: str, use: str) -> Offer:
        """The offer that `use` names: a name, or "plugin:name" where several plugins offer it.

        Raises PluginError, which says what there is and what to install.
        """
        plugin, _, name = use.rpartition(":")
        found = [offer for offer in self.offers.get((kind, name), ()) if plugin in ("", offer.plugin)]
        if len(found) == 1:
            return found[0]
        if found:
            ways = " or ".join(
                f"use = {offer.plugin + ':' + name!r}" for offer in sorted(found, key=lambda offer: offer.plugin)
            )
            raise PluginError(f"{len(found)} plugins offer the {kind} {name!r}: say {ways}")
        raise PluginError(self._unknown(kind, use))

    def _unknown(self, kind: str, use: str) -> str:
        there = sorted({offer.name for offer in self.of_kind(kind)})
        package = KNOWN.get((kind, use))
        elsewhere = sorted(other for other, name in self.offers if name == use)
        if elsewhere:
            return (
                f"{use!r} is a {' and a '.join(elsewhere)}, not a {kind}; {KINDS[kind]}: {', '.join(there) or 'none'}"
            )
        if package:
            return f"the {kind} {use!r} is not installed: pip install {package}"
        near = get_close_matches(use, there + [name for k, name in KNOWN if k == kind], 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        if near and near[0] not in there:
            hint += f" (pip install {KNOWN[kind, near[0]]})"
        listed = f"installed: {', '.join(there)}" if there else f"no {KINDS[kind]} are installed"
        broken = "".join(f"\n    {problem}" for problem in self.problems)
        return f"no {kind} is called {use!r}{hint}; {listed}{broken}"
