"""A configuration made into the parts of a pipeline."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

from hookrag.config.builder import SINGULAR, Builder, index_folder, nearest
from hookrag.config.catalogue import Catalogue
from hookrag.config.file import Config, find, load
from hookrag.config.signature import Mismatch, convert
from hookrag.disk import generations
from hookrag.errors import ConfigError
from hookrag.runtime.component import walk
from hookrag.runtime.proxies import GeneratorProxy, MiddlewareProxy, ReaderProxy, RetrieverProxy, StoreProxy
from hookrag.runtime.shared import Shared
from hookrag.values import KINDS

FieldType = Literal["keyword", "int", "float", "bool", "keywords"]
T = TypeVar("T", bound="PipelineTable | IndexTable")


@dataclass(frozen=True, slots=True)
class PipelineTable:
    """The keys of [pipelines.NAME]."""

    retriever: str
    generator: str | None = None
    k: int = 5
    middleware: list[str] = field(default_factory=list)
    timeout: float | None = None
    threads: int = 16
    outside: bool = False


@dataclass(frozen=True, slots=True)
class IndexTable:
    """The keys of [index]: the folder of the journal and the stores, and the metadata that can be filtered on."""

    path: Path = Path(".hookrag")
    fields: dict[str, FieldType] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a pipeline is made of."""

    retriever: Any
    generator: Any
    middleware: tuple[Any, ...]
    k: int
    timeout: float | None
    threads: int
    folder: Path
    generation: int
    fields: Mapping[str, FieldType]
    outside: bool = False

    def __post_init__(self) -> None:
        for name, low in (("k", 1), ("threads", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < low:
                raise ConfigError([f"{name} must be a whole number of at least {low}, got {value!r}"])
        if self.timeout is not None and not self.timeout > 0:
            raise ConfigError([f"timeout must be above 0 seconds, got {self.timeout!r}"])


def read(source: str | Path | Mapping[str, Any] | None) -> Config:
    """The configuration in a file or a dictionary, or in the nearest hookrag.toml."""
    if source is None:
        source = find(Path.cwd())
    return Config(dict(source)) if isinstance(source, Mapping) else load(Path(source))


def pipeline(config: Config, catalogue: Catalogue, shared: Shared, name: str, generation: int | None = None) -> Parts:
    """The parts of one pipeline, whose index is the generation that is searched now, or another.

    Raises ConfigError with every problem of the tables that it reaches.
    """
    builder = Builder(config, catalogue, shared)
    builder.check_shape()
    index = index_table(builder)
    table = pipeline_table(builder, name)
    builder.finish()
    assert table is not None
    folder = index_folder(config)
    builder.generation = generations.current(folder) if generation is None else generation
    named = _components(builder, name, table)
    for kind, target in named:
        builder.plan(kind, target)
    builder.finish()
    built = [builder.component(kind, target) for kind, target in named]
    builder.finish()
    retriever = next(proxy for proxy in built if isinstance(proxy, RetrieverProxy))
    generator = next((proxy for proxy in built if isinstance(proxy, GeneratorProxy)), None)
    middleware = tuple(proxy for proxy in built if isinstance(proxy, MiddlewareProxy))
    return Parts(
        retriever,
        generator,
        middleware,
        table.k,
        table.timeout,
        table.threads,
        folder,
        builder.generation,
        index.fields,
        table.outside,
    )


def stores(
    config: Config, catalogue: Catalogue, shared: Shared, names: Collection[str], generation: int, *, beside: bool
) -> list[StoreProxy]:
    """The stores of these tables in a generation, `beside` the one that is searched if it is to be filled.

    Raises ConfigError with every problem of them; where they are to be filled, also for one that can be in one place only.
    """
    builder = Builder(config, catalogue, shared, generation=generation, beside=beside)
    for name in names:
        builder.plan("store", name)
    builder.finish()
    built = [builder.component("store", name) for name in names]
    builder.finish()
    return [store for store in built if isinstance(store, StoreProxy)]


def check(config: Config, catalogue: Catalogue) -> list[str]:
    """Build every table and every pipeline; the names of the pipelines. Raises ConfigError with every problem of the file."""
    builder = Builder(config, catalogue, Shared())
    builder.check_shape()
    index_table(builder)
    names = _pipelines(config)
    if not names:
        builder.problem(["pipelines"], "there is no pipeline: add [pipelines.default] with a retriever and a generator")
    for name in names:
        table = pipeline_table(builder, name)
        if table is not None:
            _components(builder, name, table)
    builder.plan_all()
    builder.finish()
    for kind in (kind for kind in KINDS if kind != "command"):
        for name in builder.names(kind):
            builder.component(kind, name)
    builder.finish()
    return names


@contextmanager
def component(
    config: str | Path | Mapping[str, Any] | None, kind: str, name: str, *, plugins: Mapping[str, object] | None = None
) -> Iterator[Any]:
    """One component of a configuration with all that it refers to, [llms.gpt] as component(None, "llm", "gpt").

    For commands, and for processes that do a part of the work: it belongs to no pipeline, so its calls go through no
    middleware. It is opened at its first use and closed at the end. `config` is what `Pipeline.from_config` takes. Raises
    ConfigError with every problem of the tables that it reaches.
    """
    loaded, shared = read(config), Shared()
    builder = Builder(loaded, Catalogue.installed(plugins), shared)
    builder.check_shape()
    builder.finish()
    if kind not in SINGULAR.values():
        raise ConfigError([f"no kind of component is called {kind!r}{nearest(kind, list(SINGULAR.values()))}"])
    if name not in builder.names(kind):
        listed = ", ".join(builder.names(kind)) or "none"
        builder.problem(
            [KINDS[kind]],
            f"no table [{KINDS[kind]}.{name}]{nearest(name, builder.names(kind))}; {KINDS[kind]}: {listed}",
        )
        builder.finish()
    builder.generation = generations.current(index_folder(loaded))
    made = builder.component(kind, name)
    builder.finish()
    used = list(walk([made]))
    shared.enter(used)
    try:
        yield made
    finally:
        shared.leave(used)


def readers(config: Config, catalogue: Catalogue, shared: Shared) -> dict[str, ReaderProxy]:
    """The reader of each file suffix: those of the [readers.*] tables, then the core's own for suffixes that are left."""
    builder = Builder(config, catalogue, shared)
    found: dict[str, ReaderProxy] = {}
    configured = builder.names("reader")
    own = [offer.name for offer in catalogue.of_kind("reader") if offer.plugin == "hookrag"]
    proxies = [builder.component("reader", name) for name in configured]
    builder.finish()
    plain = Builder(Config({"readers": {name: {"use": name} for name in own}}), catalogue, shared)
    proxies += [plain.component("reader", name) for name in own]
    plain.finish()
    for proxy in proxies:
        assert isinstance(proxy, ReaderProxy)
        for suffix in proxy.suffixes:
            found.setdefault(suffix, proxy)
    return found


def index_table(builder: Builder) -> IndexTable:
    """The [index] table; the defaults where there is none."""
    table = builder.config.tables.get("index", {})
    made = _table(builder, IndexTable, ["index"], table) if isinstance(table, Mapping) else None
    return made if made is not None else IndexTable()


def pipeline_table(builder: Builder, name: str) -> PipelineTable | None:
    """The [pipelines.NAME] table; None, with the problems noted, where it cannot be read."""
    names = _pipelines(builder.config)
    if name not in names:
        listed = ", ".join(names) or "none"
        builder.problem(["pipelines"], f"no table [pipelines.{name}]{nearest(name, names)}; pipelines: {listed}")
        return None
    table = builder.config.tables["pipelines"][name]
    made = _table(builder, PipelineTable, ["pipelines", name], table) if isinstance(table, Mapping) else None
    if made is not None:
        for key, low in (("k", 1), ("threads", 1)):
            if getattr(made, key) < low:
                builder.problem(["pipelines", name], f"{key} must be at least {low}, got {getattr(made, key)}", key)
        if made.timeout is not None and made.timeout <= 0:
            builder.problem(["pipelines", name], f"timeout must be above 0 seconds, got {made.timeout}", "timeout")
    return made


def _pipelines(config: Config) -> list[str]:
    tables = config.tables.get("pipelines", {})
    return list(tables) if isinstance(tables, Mapping) else []


def _components(builder: Builder, name: str, table: PipelineTable) -> list[tuple[str, str]]:
    """The components that a pipeline names, those that exist; the others are noted."""
    wanted = [("retriever", table.retriever, "retriever")]
    wanted += [("generator", table.generator, "generator")] if table.generator is not None else []
    wanted += [("middleware", one, "middleware") for one in table.middleware]
    found = []
    for kind, target, key in wanted:
        tables = builder.names(kind)
        if target in tables:
            found.append((kind, target))
        else:
            listed = ", ".join(tables) or "none"
            hint = nearest(target, tables)
            message = f"{key}: no table [{KINDS[kind]}.{target}]{hint}; {KINDS[kind]}: {listed}"
            builder.problem(["pipelines", name], message, key)
    return found


def _table(builder: Builder, cls: type[T], place: Sequence[str], table: Mapping[str, Any]) -> T | None:
    hints = get_type_hints(cls)
    values, sound = {}, True
    for key, value in table.items():
        if key not in hints:
            builder.problem(place, f"unknown key {key!r}{nearest(key, hints)}; known keys: {', '.join(hints)}", key)
            continue
        try:
            values[key] = convert(value, hints[key], builder.config.folder)
        except Mismatch as error:
            sound = False
            builder.problem(place, f"{key}{error.path} {error}", key)
    for one in fields(cls):
        if one.name not in table and one.default is NO_DEFAULT and one.default_factory is NO_DEFAULT:
            sound = False
            builder.problem(place, f"needs the key {one.name!r}")
    return cls(**values) if sound else None
