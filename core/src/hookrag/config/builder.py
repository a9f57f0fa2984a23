"""From tables to components: every problem at once, references resolved, equal tables shared."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hookrag.config.catalogue import Catalogue
from hookrag.config.file import Config
from hookrag.config.plan import Plan, flat, kebab
from hookrag.config.signature import (
    PROTOCOLS,
    Mismatch,
    Parameter,
    as_names,
    beyond,
    convert,
    incapable,
    is_own_folder,
    kind_of,
    lacking_attributes,
    lacking_methods,
    parameters,
    served,
    shown,
    type_name,
)
from hookrag.disk import generations
from hookrag.errors import ConfigError, HookragError, PluginError, nearest
from hookrag.runtime.component import Instance
from hookrag.runtime.proxies import PROXIES, Proxy
from hookrag.runtime.shared import Shared
from hookrag.values import KINDS, Step

SINGULAR: Mapping[str, str] = {plural: kind for kind, plural in KINDS.items() if kind != "command"}


class Builder:
    """Builds the components of one configuration; `problems` collects what is wrong until `finish` raises it.

    Stores on disk get their places in the folder of a `generation`, stores on a server are told its number. When it is to be
    filled beside the one that is searched (`beside`), stores that can be in one place only are a problem.
    """

    def __init__(
        self, config: Config, catalogue: Catalogue, shared: Shared, *, generation: int = 1, beside: bool = False
    ) -> None:
        self.config = config
        self.catalogue = catalogue
        self.shared = shared
        self.generation = generation
        self.beside = beside
        self.problems: list[tuple[int, str]] = []
        self._broken: set[tuple[str, ...]] = set()  # the tables that have problems
        self._causes: list[Exception] = []
        self._added: list[str] = []
        self._plans: dict[tuple[str, str], Plan | None] = {}
        self._built: dict[tuple[str, str], Proxy | None] = {}

    def problem(self, table: Sequence[str], message: str, *keys: str) -> None:
        """Note a problem of a table, at the line of one of its keys."""
        line = next(
            (self.config.lines[where] for where in ((*table, *keys), tuple(table)) if where in self.config.lines), 0
        )
        self.problems.append((line, f"{self.config.located(*table, *keys)}[{'.'.join(table)}] {message}"))
        self._broken.add(tuple(table))

    def sound(self, *table: str) -> bool:
        """Whether no problem of a table was noted."""
        return table not in self._broken

    def finish(self) -> None:
        """Raise every problem that was noted, in the order of the file; the cause is what constructors raised."""
        if self.problems:
            for fingerprint in self._added:
                self.shared.instances.pop(fingerprint, None)
            ordered = sorted(dict.fromkeys(self.problems), key=lambda problem: problem[0])
            several = ExceptionGroup("constructors failed", self._causes) if len(self._causes) > 1 else None
            cause = several or next(iter(self._causes), None)
            raise ConfigError([message for _, message in ordered]) from cause

    def names(self, kind: str) -> list[str]:
        """The names of the tables of a kind, in the order of the file."""
        tables = self.config.tables.get(KINDS[kind], {})
        return list(tables) if isinstance(tables, Mapping) else []

    def check_shape(self) -> None:
        """Note every top-level table that is unknown and every component that is not a table."""
        known = [*SINGULAR, "pipelines", "index"]
        for key, value in self.config.tables.items():
            if key not in known:
                hint = nearest(key, known)
                where = self.config.located(key)
                line = self.config.lines.get(
                    (key,), min((n for k, n in self.config.lines.items() if k[0] == key), default=0)
                )
                where = f"{self.config.path.name}:{line}: " if self.config.path and line else where
                self.problems.append((line, f"{where}unknown table [{key}]{hint}; tables: {', '.join(known)}"))
            elif not isinstance(value, Mapping):
                self.problem([key], f"must be a table, got {shown(value)}")
            elif key != "index":
                for name, table in value.items():
                    if not isinstance(table, Mapping):
                        self.problem([key], f"{name} must be a table [{key}.{name}], got {shown(table)}", name)

    def component(self, kind: str, name: str) -> Proxy | None:
        """The component of a table, with all it refers to; None where problems of these tables were noted."""
        self.plan(kind, name)
        return self._make(kind, name)

    def plan_all(self) -> None:
        """Read every component table of the configuration, also those that no pipeline reaches."""
        for kind in SINGULAR.values():
            for name in self.names(kind):
                self.plan(kind, name)

    def plan(self, kind: str, name: str, trail: tuple[tuple[str, str], ...] = ()) -> Plan | None:
        """Read a table and those it refers to, without making anything; `trail` is how one came here."""
        here = (kind, name)
        if here in trail:
            cycle = " -> ".join(f"[{KINDS[k]}.{n}]" for k, n in (*trail[trail.index(here) :], here))
            self.problem([KINDS[kind], name], f"refers to itself: {cycle}")
            return None
        if here in self._plans:
            return self._plans[here]
        self._plans[here] = None
        plan = self._read(kind, name)
        self._plans[here] = plan
        if plan is not None:
            for key, parameter in plan.parameters.items():
                if key in plan.references:
                    self._follow(plan, key, parameter, (*trail, here))
        return plan

    def _read(self, kind: str, name: str) -> Plan | None:
        path = [KINDS[kind], name]
        table = self.config.tables[KINDS[kind]][name]
        if not isinstance(table, Mapping):
            return None  # noted by check_shape
        use = table.get("use")
        if use is None:
            offers = ", ".join(sorted({offer.name for offer in self.catalogue.of_kind(kind)})) or "none installed"
            self.problem(path, f"needs the key 'use', which says what it is: {offers}")
            return None
        if isinstance(use, type):
            cls, use_name, version = use, kebab(use.__name__), ""
        elif isinstance(use, str):
            try:
                offer = self.catalogue.find(kind, use)
                cls, use_name, version = offer.load(), use, f"{offer.plugin} {offer.version}"
            except PluginError as error:
                self.problem(path, str(error), "use")
                return None
        else:
            self.problem(path, f"use must be text, got {shown(use)}", "use")
            return None
        lacking = lacking_methods(cls, PROTOCOLS[kind])
        if lacking:
            self.problem(path, f"{use_name!r} is no {kind}: it has no {'(), '.join(lacking)}()", "use")
            return None
        try:
            known = parameters(cls)
        except PluginError as error:
            self.problem(path, str(error), "use")
            return None
        values, references = self._values(kind, name, table, known)
        plan = Plan(kind, name, use_name, cls, version, known, values, references)
        if self.beside and kind == "store" and not served(cls, values):
            self._check_beside(plan, table)
        return plan

    def _values(
        self, kind: str, name: str, table: Mapping[str, Any], known: Mapping[str, Parameter]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        own: dict[str, Any] = {}
        for key, parameter in known.items():
            if kind == "store" and key not in table and is_own_folder(parameter):
                own[key] = generations.place(self.config.index_folder, self.generation) / "stores" / name
        rest = {key: value for key, value in table.items() if key != "use"}
        values, references = self.read([KINDS[kind], name], rest, known, given=own)
        return {**values, **own}, references

    def read(
        self,
        path: Sequence[str],
        table: Mapping[str, Any],
        known: Mapping[str, Parameter],
        *,
        given: Collection[str] = (),
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The values of a table's keys, and the names that its references hold; whatever is wrong with them is noted.

        The keys that are `given` may be missing.
        """
        values: dict[str, Any] = {}
        references: dict[str, Any] = {}
        for key, value in table.items():
            parameter = known.get(key)
            if parameter is None:
                listed = ", ".join(known) or "none"
                self.problem(path, f"unknown key {key!r}{nearest(key, known)}; known keys: {listed}", key)
                continue
            refers = parameter.reference is not None
            try:
                wanted = as_names(parameter.annotation) if refers else parameter.annotation
                found = convert(value, wanted, self.config.folder)
            except Mismatch as error:
                message = f"{key}{error.path} {error}"
                if refers:
                    message = f"{key} must be {type_name(parameter.annotation)}, got {shown(value)}"
                self.problem(path, message, key)
                continue
            for message in parameter.problems(found):
                self.problem(path, message, key)
            if not refers:
                values[key] = found
            elif found is not None:  # None, from Python, is the same as no key
                references[key] = found
        for key, parameter in known.items():
            if parameter.required and key not in table and key not in given:
                self.problem(path, f"needs the key {key!r}: {type_name(parameter.annotation)}")
        return values, references

    def _check_beside(self, plan: Plan, table: Mapping[str, Any]) -> None:
        """Note why a store cannot be filled anew beside itself."""
        kept = any(is_own_folder(parameter) for parameter in plan.parameters.values())
        if kept and "path" in table:
            self.problem(
                plan.table,
                f"lies in {str(table['path'])!r}: hookrag reindex can fill a new store beside it only in the index folder "
                f"{self.config.index_folder}: take the key 'path' out",
                "path",
            )
        elif not kept:
            message = "cannot be filled anew beside itself: it has neither a path in the index folder nor generations"
            self.problem(plan.table, f"{message}; index into another store instead, with another configuration", "use")

    def _follow(self, plan: Plan, key: str, parameter: Parameter, trail: tuple[tuple[str, str], ...]) -> None:
        protocol = parameter.reference
        assert protocol is not None
        kind = str(kind_of(protocol))
        needed = beyond(protocol, kind).methods
        for target in _names(plan.references[key]):
            tables = self.names(kind)
            if target not in tables:
                listed = ", ".join(tables) or "none"
                hint = nearest(target, tables)
                self.problem(
                    plan.table, f"{key}: no table [{KINDS[kind]}.{target}]{hint}; {KINDS[kind]}: {listed}", key
                )
                continue
            found = self.plan(kind, target, trail)
            if found is None:
                continue
            lacking = sorted(name for name in needed if not hasattr(found.cls, name))
            if lacking:
                can = [name for name in tables if needed <= set(dir(self._class_of(kind, name)))]
                instead = f"; {KINDS[kind]} that can: {', '.join(can)}" if can else ""
                self.problem(
                    plan.table, f"{key} = {target!r}: {found.use!r} has no {'(), '.join(lacking)}(){instead}", key
                )

    def _class_of(self, kind: str, name: str) -> type | None:
        """The class of a table, without a look at anything else in it; None where there is none."""
        table = self.config.tables[KINDS[kind]][name]
        use = table.get("use") if isinstance(table, Mapping) else None
        try:
            return use if isinstance(use, type) else self.catalogue.find(kind, str(use)).load()
        except PluginError:
            return None

    def _make(self, kind: str, name: str) -> Proxy | None:
        here = (kind, name)
        if here in self._built:
            return self._built[here]
        plan = self._plans[here]
        if plan is None or not self.sound(*plan.table):
            return None
        references = {key: self._resolve(plan.parameters[key], names) for key, names in plan.references.items()}
        self._built[here] = None
        if any(None in flat(reference) for reference in references.values()):
            return None
        if not self._check_capable(plan, references):
            return None
        settings = {**plan.defaults, **plan.values}
        # The first is the one that a store makes when nobody says a number: through its alias, which others search too.
        numbered = kind == "store" and self.generation > 1 and served(plan.cls, settings)
        given = {"generation": self.generation} if numbered else {}
        settings |= given
        fingerprint = plan.fingerprint(settings, references)
        step = Step(kind, name, plan.use, fingerprint)
        instance = self.shared.instances.get(fingerprint)
        if instance is None:
            component = self._construct(plan, {**plan.values, **references, **given})
            if component is None:
                return None
            lacking = lacking_attributes(component, PROTOCOLS[kind])
            if lacking:
                self.problem(plan.table, f"{plan.use!r} is no {kind}: it has no {', '.join(lacking)}", "use")
                return None
            if kind == "store" and not self._check_embedders(plan, component):
                return None
            instance = Instance(component, settings, references, plugin_version=plan.plugin_version)
            self.shared.instances[fingerprint] = instance
            self._added.append(fingerprint)
        self._built[here] = PROXIES[kind](step, instance)
        return self._built[here]

    def _check_capable(self, plan: Plan, references: Mapping[str, Any]) -> bool:
        """Whether what a table refers to can do what it is referred to for; what it cannot is noted at the line of the key."""
        capable = True
        for key, reference in references.items():
            protocol = plan.parameters[key].reference
            assert protocol is not None
            for proxy in flat(reference):
                lack = incapable(proxy, protocol)
                if lack:
                    capable = False
                    self.problem(plan.table, f"{key} = {proxy.step.name!r}: {lack}", key)
        return capable

    def _check_embedders(self, plan: Plan, store: Any) -> bool:
        """Whether the embedders of a store give the vectors that it takes from them."""
        for output, embedder in store.embedders.items():
            if output not in embedder.outputs:
                key = next((key for key, names in plan.references.items() if embedder.step.name in flat(names)), "use")
                gives = ", ".join(sorted(embedder.outputs))
                self.problem(
                    plan.table, f"{key}: {embedder.step} gives {gives} vectors, and the store keeps {output} ones", key
                )
                return False
        return True

    def _construct(self, plan: Plan, arguments: Mapping[str, Any]) -> Any:
        """The component; None where its constructor failed, which is noted."""
        try:
            return plan.cls(**arguments)
        except (ValueError, HookragError) as error:
            self._causes.append(error)
            key = re.match(r"\w*", str(error))  # named first: the problem has its line, if it is one
            self.problem(plan.table, str(error), key[0] if key else "")
        except Exception as error:  # not what a constructor raises about its values: a mistake of whoever wrote it
            self._causes.append(error)
            self.problem(plan.table, f"{plan.use!r} failed to be made: {type(error).__name__}: {error}", "use")
        return None

    def _resolve(self, parameter: Parameter, names: Any) -> Any:
        kind = str(kind_of(parameter.reference))
        if isinstance(names, list):
            return [self._make(kind, name) for name in names]
        if isinstance(names, dict):
            return {key: self._make(kind, name) for key, name in names.items()}
        return self._make(kind, names)


def _names(reference: Any) -> list[str]:
    return [name for name in flat(reference) if name is not None]
