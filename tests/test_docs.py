"""The documentation held to the code: configurations build, examples run, links resolve, and nothing is left unnamed."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import hookrag
import hookrag.testing.plugin
import pytest
from hookrag import (
    Answer,
    Chunk,
    Citation,
    Document,
    Hit,
    Part,
    Pipeline,
    Query,
    Ranking,
    ScoreKind,
    hookspecs,
    protocols,
)
from hookrag.cli.exits import Exit
from hookrag.cli.main import hookrag as command_line
from hookrag.config.catalogue import Catalogue
from hookrag.config.file import Config
from hookrag.config.signature import kind_of, parameters
from hookrag.config.tables import IndexTable, PipelineTable, check
from hookrag.index.reindex import ReindexReport
from hookrag.ingest import Estimate, Problem, Report, Status, StoreCheck, StoreStatus, VerifyReport
from hookrag.values import KINDS
from hookrag.wire import to_json
from hookrag_fusion.commands import learned_json
from hookrag_fusion.learning import Learned

ROOT = Path(__file__).resolve().parents[1]
GUIDES = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *GUIDES]
READMES = sorted((ROOT / "plugins").glob("*/README.md"))
_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: the words behind the fence, the text, and where it stands."""

    page: Path
    line: int
    words: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        yield Block(page, text.count("\n", 0, found.start()) + 1, tuple(found[1].split()), found[2])


BLOCKS = [block for page in [*PAGES, *READMES] for block in blocks_of(page)]
HAND_WRITTEN = [block for block in BLOCKS if block.page not in READMES]
DOCS = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def some(*words: str) -> list[Block]:
    found = [block for block in HAND_WRITTEN if block.words[: len(words)] == words]
    assert found, f"no block is marked {' '.join(words)}"
    return found


def plugin_modules(page: Path) -> dict[str, ModuleType]:
    """The modules that the page's `python plugin NAME` blocks make, in sys.modules as if they were installed."""
    sources: dict[str, str] = {}
    for block in blocks_of(page):
        if block.words[:2] == ("python", "plugin"):
            sources[block.words[2]] = sources.get(block.words[2], "") + block.text
    made = {}
    for name, source in sources.items():
        module = made[name] = sys.modules[name] = ModuleType(name)
        exec(compile(source, f"{page.name}:{name}", "exec", dont_inherit=True), module.__dict__)
    return made


@pytest.fixture
def plugins(request: pytest.FixtureRequest) -> Iterator[dict[str, ModuleType]]:
    made = plugin_modules(request.getfixturevalue("block").page)
    yield made
    for name in made:
        del sys.modules[name]


@pytest.mark.parametrize("block", some("toml"), ids=str)
def test_configurations_build(block: Block, plugins: dict[str, ModuleType]) -> None:
    tables = tomllib.loads(block.text)
    if block.words == ("toml",):
        check(Config(tables), Catalogue.installed(plugins))
    else:
        assert block.words in {("toml", "fragment"), ("toml", "package")}, f"{block} is marked {block.words}"


HEAVY = ('"transformers"', '"milvus"', '"openai"')


@pytest.mark.parametrize(
    "block", [b for b in some("toml") if b.words == ("toml",) and not any(use in b.text for use in HEAVY)], ids=str
)
def test_configurations_without_models_run(block: Block, plugins: dict[str, ModuleType], tmp_path: Path) -> None:
    tables = tomllib.loads(block.text) | {"index": {"path": str(tmp_path)}}
    moon = Document("moon", "The Moon orbits the Earth in 27 days.")
    with Pipeline.from_config(tables, plugins=plugins) as pipeline:
        assert pipeline.index([moon, Document("sun", "The Sun is a star, and it shines by day.")]).new == 2
        assert pipeline.retrieve(["Moon"])[0].hits[0].chunk.text == moon.text
        if "generator" in tables["pipelines"]["default"]:
            answer = pipeline.answer(["Moon"])[0]
            assert answer.text == moon.text == answer.citations[0].quote


@pytest.mark.parametrize("block", some("toml", "fragment"), ids=str)
def test_fragments_have_known_keys(block: Block) -> None:
    catalogue = Catalogue.installed()
    kinds = {plural: kind for kind, plural in KINDS.items()}
    for plural, named in tomllib.loads(block.text).items():
        if plural == "index":
            assert set(named) <= {one.name for one in fields(IndexTable)}
            continue
        for name, table in named.items():
            known = {one.name for one in fields(PipelineTable)}
            if plural != "pipelines":
                known = {"use", *parameters(catalogue.find(kinds[plural], table["use"]).load())}
            assert set(table) <= known, f"{block}: [{plural}.{name}] has no {set(table) - known}"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.words[:1] == ("toml",) and b.page in READMES], ids=str)
def test_tables_of_plugin_readmes_have_known_keys(block: Block) -> None:
    test_fragments_have_known_keys(block)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.words[:1] == ("python",)], ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec", dont_inherit=True)


LIGHT = """
[pipelines.default]
retriever = "bm25"
generator = "first"
[index.fields]
lang = "keyword"
[chunkers.passages]
use = "words"
[stores.terms]
use = "lexical"
chunker = "passages"
[retrievers.bm25]
use = "text"
store = "terms"
[generators.first]
use = "fake-first"
"""


RUN = [block for block in BLOCKS if block.words[:2] == ("python", "run")]


@pytest.mark.parametrize("page", sorted({it.page for it in RUN}), ids=lambda page: str(page.relative_to(ROOT)))
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page one after the other, in a folder with a hookrag.toml whose only fake is the generator."""
    (tmp_path / "hookrag.toml").write_text(LIGHT)
    monkeypatch.chdir(tmp_path)
    installed = Catalogue.installed({"fakes": hookrag.testing.plugin})
    monkeypatch.setattr(Catalogue, "installed", classmethod(lambda cls, plugins=None: installed))
    module = ModuleType(f"page_{page.stem}")  # in sys.modules, because that is where the types of a class are looked up
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in RUN:
        if block.page == page:
            exec(compile(block.text, str(block), "exec", dont_inherit=True), module.__dict__)


def shape(value: Any) -> Any:
    """The keys of a JSON value, those of its first item where it is a list; free-form objects are left out."""
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, dict):
        free = ("metadata", "skipped", "seconds", "lacking", "examples", "pipelines", "documents", "remake")
        return {key: shape(inner) if key not in free else "free" for key, inner in value.items()}
    return None


def printed(command: str) -> Any:
    chunk, query = Chunk("c", "d", "text", 0, 4), Query("1", "q")
    if command == "search":
        part = Part("fused", ScoreKind("rrf"), 1, 0.5)
        return [to_json(Ranking(query, (Hit(chunk, 1.0, (part,)),), "text", ScoreKind("bm25")))]
    if command == "ask":
        return [to_json(Answer(query, "text", (Citation(0, 4, chunk),), (Hit(chunk, 1.0),)))]
    if command == "index":
        report = Report(unread=[Problem("a", "b", "c")], to_embed=[Estimate("e")])
        return [report.to_json()]
    if command == "reindex":
        return ReindexReport(2, switched=True).to_json()
    if command == "verify":
        return VerifyReport([StoreCheck("terms")]).to_json()
    if command == "learn-weights":
        return [learned_json("rrf", Learned((0.5, 0.5), 0.5, 0.5, 0.0, 0.0))]
    if command == "status":
        store = StoreStatus("terms", documents=1, rows=1, owed=0, epoch=1)
        return Status({"docs": 1}, [store], [Problem("a", "b", "c")], 0, "", "").to_json()
    from click.testing import CliRunner

    made = CliRunner().invoke(command_line, [command, "--json"])
    return json.loads(made.output)


@pytest.mark.parametrize("block", some("json"), ids=str)
def test_json_is_what_the_commands_print(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hookrag.toml").write_text(LIGHT.replace('generator = "first"\n', "").partition("[generators")[0])
    monkeypatch.chdir(tmp_path)
    told, really = shape(json.loads(block.text)), shape(printed(block.words[1]))
    if block.words[1] == "plugins":
        told["problems"] = really["problems"] = []
    assert told == really


def test_json_of_every_command_is_told() -> None:
    told = {block.words[1] for block in some("json")}
    offering = {name for name, command in commands() if any("--json" in p.opts for p in command.params)}
    assert told == offering


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(command_line)
    for name in command_line.list_commands(context):
        command = command_line.get_command(context, name)
        assert command is not None
        yield name, command


def test_every_command_and_option_is_named() -> None:
    everything = DOCS + "\n".join(readme.read_text(encoding="utf-8") for readme in READMES)
    for name, command in commands():
        assert f"hookrag {name}" in DOCS, name
        inner = command.commands.items() if isinstance(command, click.Group) else [("", command)]
        for below, one in inner:
            assert f"hookrag {name} {below}".strip() in everything
            for parameter in one.params:
                for option in parameter.opts if isinstance(parameter, click.Option) else ():
                    assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", everything), f"{name} {below} {option}"


def shown_commands() -> Iterator[str]:
    """What follows `hookrag ` in blocks without a language and in code within sentences."""
    for block in HAND_WRITTEN:
        if not block.words:
            yield from re.findall(r"^(?:\$ |\.venv/bin/)?hookrag ([a-z][^#|<\n]*)", block.text, re.MULTILINE)
    yield from re.findall(r"`hookrag ([a-z][^`]*)`", _FENCE.sub("", DOCS))


def test_commands_in_the_docs_exist() -> None:
    known = dict(commands())
    for shown in shown_commands():
        words = shlex.split(shown)
        assert words[0] in known, shown
        command = known[words[0]]
        if isinstance(command, click.Group) and len(words) > 1:
            command = command.commands[words[1]]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options, shown


def test_every_exit_code_is_told() -> None:
    page = (ROOT / "docs/indexing.md").read_text(encoding="utf-8")
    for code in Exit:
        assert re.search(rf"^\| {code.value} \|", page, re.MULTILINE), code


def test_every_hook_is_told() -> None:
    page = (ROOT / "docs/writing-plugins.md").read_text(encoding="utf-8")
    hooks = [name for name, value in vars(hookspecs).items() if hasattr(value, "hookrag_spec")]
    assert set(hooks) == set(KINDS.values())
    for hook in hooks:
        assert f"| `{hook}` |" in page, hook
    for name, protocol in vars(protocols).items():
        assert kind_of(protocol) is None or f"`{name}`" in page, name


def test_every_table_and_key_of_the_core_is_told() -> None:
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    for plural in KINDS.values():
        assert plural == "commands" or f"`[{plural}.*]`" in page, plural
    for table in (PipelineTable, IndexTable):
        for one in fields(table):
            assert f"| `{one.name}` |" in page, one.name
    for offers in Catalogue.installed().offers.values():
        for offer in offers:
            if offer.plugin == "hookrag" and offer.kind != "reader":
                for key in parameters(offer.load()):
                    assert re.search(rf"\b{key}\b", page), f"{offer.kind} {offer.name}: {key}"


def test_every_component_is_named() -> None:
    everything = DOCS + "\n".join(readme.read_text(encoding="utf-8") for readme in READMES)
    catalogue = Catalogue.installed()
    for kind, name in catalogue.offers:
        assert f"`{name}`" in everything or f'use = "{name}"' in everything, f"{kind} {name}"


TABLES = runpy.run_path(str(ROOT / "tests/option_tables.py"))


@pytest.mark.parametrize("page", TABLES["PAGES"], ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_of_options_are_current(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert TABLES["renewed"](text) == text, "run: make tables"


def test_every_component_of_a_plugin_has_a_table_of_its_options() -> None:
    told = {page.parent.name: TABLES["marked"](page.read_text(encoding="utf-8")) for page in READMES}
    for offers in Catalogue.installed().offers.values():
        for offer in offers:
            folder = offer.plugin.removeprefix("hookrag-")
            if folder in told and offer.kind != "command" and parameters(offer.load()):
                assert f"{offer.kind} {offer.name}" in told[folder], "put two marks there: see tests/option_tables.py"


def test_every_option_of_our_components_is_described() -> None:
    lacking = []
    for offers in Catalogue.installed().offers.values():
        for offer in offers:
            if offer.kind != "command" and offer.plugin.startswith("hookrag"):
                known = parameters(offer.load()).values()
                lacking += [f"{offer.kind} {offer.name} {one.name}" for one in known if not one.description]
    assert lacking == []


def test_every_public_error_is_told() -> None:
    from hookrag import errors

    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.HookragError):
            assert f"`{name}`" in page, name


@pytest.mark.parametrize("page", [*PAGES, *READMES], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+://", target):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_blocks_are_marked() -> None:
    known = {"toml", "python", "json"}
    for block in HAND_WRITTEN:
        assert not block.words or block.words[0] in known, f"{block} is marked {block.words}"
        if block.words[:1] == ("python",):
            assert block.words[1:2] in {(), ("run",), ("plugin",)}, f"{block} is marked {block.words}"


def test_the_demo_configuration_builds() -> None:
    from hookrag.config.file import load

    assert check(load(ROOT / "examples/demo/hookrag.toml"), Catalogue.installed()) == ["default"]
