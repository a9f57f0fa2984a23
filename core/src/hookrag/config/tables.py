"""A configuration made into the parts of a pipeline."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from hookrag.config.builder import SINGULAR, Builder
from hookrag.config.catalogue import Catalogue
from hookrag.config.file import Config, find, load
from hookrag.config.signature import Mismatch, convert, parameters
from hookrag.disk import generations
from hookrag.errors import ConfigError, nearest
from hookrag.filters import FieldType
from hookrag.options import Above, AtLeast
from hookrag.protocols import Generator, Retriever
from hookrag.runtime.component import walk
from hookrag.runtime.proxies import GeneratorProxy, MiddlewareProxy, ReaderProxy, RetrieverProxy, StoreProxy
from hookrag.runtime.shared import Shared
from hookrag.values import KINDS


@dataclass(frozen=True, slots=True)
class PipelineTable:
    """The keys of [pipelines.NAME], typed as a constructor's parameters are: a reference holds the name of a table."""

    retriever: Annotated[Retriever, "what finds the chunks"]
    generator: Annotated[Generator | None, "what answers from them; without it the pipeline can only search"] = None
    k: Annotated[int, AtLeast(1), "how many chunks are kept: those that are shown, or that an answer may rest on"] = 5
    middleware: Annotated[list[str], "names of tables `[middleware.*]`; the first is the outermost"] = field(
        default_factory=list
    )
    timeout: Annotated[float | None, Above(0, "seconds"), "seconds that one call may take"] = None
    threads: Annotated[int, AtLeast(1), "threads of the pipeline, for retrievers that run at the same time"] = 16
    outside: Annotated[
        bool,
        "whether what lies outside of the stores (on the web) may be found where there is a filter or a scope, which cannot be "
        "checked on it",
    ] = False


@dataclass(frozen=True, slots=True)
class IndexTable:
    """The keys of [index]: the folder of the journal and the stores, and the metadata that can be filtered on."""

    path: Annotated[Path, "the folder of the journal, and of the stores that are kept on disk"] = Path(".hookrag")
    fields: Annotated[dict[str, FieldType], "the metadata fields that can be filtered on, with their types"] = field(
        default_factory=dict
    )


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

    @property
    def roots(self) -> list[Any]:
        """The components that a question is put to; all others are referred to by them."""
        return [self.retriever, *([self.generator] if self.generator else []), *self.middleware]


def check_numbers(*, k: int, timeout: float | None, threads: int) -> None:
    """Hold the numbers of a pipeline that is made in Python to what its table allows. Raises ConfigError."""
    known = parameters(PipelineTable)
    wrong = []
    for key, value in (("k", k), ("timeout", timeout), ("threads", threads)):
        try:
            wrong += known[key].problems(convert(value, known[key].annotation, Path()))
        except Mismatch as error:
            wrong.append(f"{key} {error}")
    if wrong:
        raise ConfigError(wrong)


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
    folder = config.index_folder
    if builder.sound("index"):
        builder.generation = generations.current(folder) if generation is None else generation
    named = _components(builder, name, table)
    built = [builder.component(kind, target) for kind, target in named]
    builder.finish()
    read = PipelineTable(**table)
    retriever = next(proxy for proxy in built if isinstance(proxy, RetrieverProxy))
    generator = next((proxy for proxy in built if isinstance(proxy, GeneratorProxy)), None)
    middleware = tuple(proxy for proxy in built if isinstance(proxy, MiddlewareProxy))
    return Parts(
        retriever,
        generator,
        middleware,
        read.k,
        read.timeout,
        read.threads,
        folder,
        builder.generation,
        IndexTable(**index).fields,
        read.outside,
    )


def stores(
    config: Config, catalogue: Catalogue, shared: Shared, names: Collection[str], generation: int, *, beside: bool
) -> list[StoreProxy]:
    """The stores of these tables in a generation, `beside` the one that is searched if it is to be filled.

    Raises ConfigError with every problem of them; where they are to be filled, also for one that can be in one place only.
    """
    builder = Builder(config, catalogue, shared, generation=generation, beside=beside)
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
        _components(builder, name, pipeline_table(builder, name))
    builder.plan_all()
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
    builder.generation = generations.current(loaded.index_folder)
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


def index_table(builder: Builder) -> dict[str, Any]:
    """The values of the [index] table, those that can be read; what is wrong is noted."""
    return _table(builder, IndexTable, ["index"], builder.config.tables.get("index", {}))


def pipeline_table(builder: Builder, name: str) -> dict[str, Any]:
    """The values of the [pipelines.NAME] table, those that can be read; what is wrong is noted."""
    names = _pipelines(builder.config)
    if name not in names:
        listed = ", ".join(names) or "none"
        builder.problem(["pipelines"], f"no table [pipelines.{name}]{nearest(name, names)}; pipelines: {listed}")
        return {}
    return _table(builder, PipelineTable, ["pipelines", name], builder.config.tables["pipelines"][name])


def _pipelines(config: Config) -> list[str]:
    tables = config.tables.get("pipelines", {})
    return list(tables) if isinstance(tables, Mapping) else []


def _components(builder: Builder, name: str, table: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The components that a pipeline names, those that exist; the others are noted."""
    wanted = [(kind, table[kind], kind) for kind in ("retriever", "generator") if table.get(kind) is not None]
    wanted += [("middleware", one, "middleware") for one in table.get("middleware", ())]
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


def _table(builder: Builder, cls: type, path: Sequence[str], table: Any) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        return {}  # noted by check_shape
    values, references = builder.read(path, table, parameters(cls))
    return {**values, **references}
