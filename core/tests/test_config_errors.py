"""Broken configurations and the whole text of what people read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hookrag import Chunk, ConfigError, Document, HookragError, Pipeline
from hookrag.config import tables
from hookrag.config.catalogue import Catalogue
from hookrag.config.file import Config, load
from hookrag.runtime.shared import Shared
from hookrag.testing import plugin
from hookrag.testing.fakes import ListRetriever

GOOD = """\
[pipelines.default]
retriever = "best"
generator = "first"

[chunkers.words]
use = "fake-words"
size = 10

[embedders.hash]
use = "fake-hash"

[stores.memory]
use = "fake-memory"
chunker = "words"
embedder = "hash"

[retrievers.dense]
use = "dense"
store = "memory"

[retrievers.bm25]
use = "text"
store = "memory"

[retrievers.hybrid]
use = "fused"
retrievers = ["dense", "bm25"]
fuser = "rank"

[fusers.rank]
use = "fake-rank"

[rerankers.overlap]
use = "fake-overlap"

[retrievers.best]
use = "reranked"
retriever = "hybrid"
reranker = "overlap"

[generators.first]
use = "fake-first"
"""

# Each: what is replaced in GOOD, by what, and every problem that is reported.
BROKEN = {
    "not TOML": (
        'retriever = "best"',
        "retriever = best",
        ["hookrag.toml:2: is not TOML: Invalid value\n    retriever = best\n                ^"],
    ),
    "unknown table": (
        "[fusers.rank]",
        "[fuser.rank]",
        [
            "hookrag.toml:28: [retrievers.hybrid] fuser: no table [fusers.rank]; fusers: none",
            "hookrag.toml:30: unknown table [fuser] (did you mean 'fusers'?); tables: chunkers, embedders, stores, "
            "retrievers, fusers, rerankers, llms, generators, middleware, readers, pipelines, index",
        ],
    ),
    "unknown key": (
        "size = 10",
        "sise = 10",
        ["hookrag.toml:7: [chunkers.words] unknown key 'sise' (did you mean 'size'?); known keys: size"],
    ),
    "text for a number": (
        "size = 10",
        'size = "10"',
        ["hookrag.toml:7: [chunkers.words] size must be a whole number, got '10' (str)"],
    ),
    "true for a number": (
        "size = 10",
        "size = true",
        ["hookrag.toml:7: [chunkers.words] size must be a whole number, got True (bool)"],
    ),
    "out of range": (
        "size = 10",
        "size = 0",
        ["hookrag.toml:7: [chunkers.words] size must be at least 1, got 0"],
    ),
    "unknown component": (
        'use = "fake-words"',
        'use = "fake-word"',
        [
            "hookrag.toml:6: [chunkers.words] no chunker is called 'fake-word'; did you mean 'fake-words'?; "
            "installed: fake-words"
        ],
    ),
    "component of another package": (
        'use = "fake-overlap"',
        'use = "cross-encoder"',
        [
            "hookrag.toml:34: [rerankers.overlap] the reranker 'cross-encoder' is not installed: "
            "pip install hookrag-cross-encoder"
        ],
    ),
    "nearly one of another package": (
        'use = "fake-rank"',
        'use = "rff"',
        [
            "hookrag.toml:31: [fusers.rank] no fuser is called 'rff'; did you mean 'rrf'? (pip install hookrag-fusion); "
            "installed: fake-rank"
        ],
    ),
    "component of another kind": (
        'use = "fake-rank"',
        'use = "fake-overlap"',
        ["hookrag.toml:31: [fusers.rank] 'fake-overlap' is a reranker, not a fuser; fusers: fake-rank"],
    ),
    "no use": (
        'use = "fake-rank"',
        "",
        ["hookrag.toml:30: [fusers.rank] needs the key 'use', which says what it is: fake-rank"],
    ),
    "use is a number": (
        'use = "fake-rank"',
        "use = 3",
        ["hookrag.toml:31: [fusers.rank] use must be text, got 3 (int)"],
    ),
    "reference to nothing": (
        'store = "memory"\n\n[retrievers.bm25]',
        'store = "memoria"\n\n[retrievers.bm25]',
        [
            "hookrag.toml:19: [retrievers.dense] store: no table [stores.memoria] (did you mean 'memory'?); stores: memory"
        ],
    ),
    "reference of the wrong type": (
        'retrievers = ["dense", "bm25"]',
        'retrievers = "dense"',
        [
            "hookrag.toml:27: [retrievers.hybrid] retrievers must be a list, each the name of a table [retrievers.*], "
            "got 'dense' (str)"
        ],
    ),
    "empty list": (
        'retrievers = ["dense", "bm25"]',
        "retrievers = []",
        ["hookrag.toml:27: [retrievers.hybrid] retrievers must name at least one retriever, got []"],
    ),
    "missing key": (
        'chunker = "words"\n',
        "",
        ["hookrag.toml:12: [stores.memory] needs the key 'chunker': the name of a table [chunkers.*]"],
    ),
    "circle": (
        'retrievers = ["dense", "bm25"]',
        'retrievers = ["dense", "best"]',
        [
            "hookrag.toml:25: [retrievers.hybrid] refers to itself: "
            "[retrievers.hybrid] -> [retrievers.best] -> [retrievers.hybrid]"
        ],
    ),
    "pipeline names nothing": (
        'retriever = "best"',
        'retriever = "besst"',
        [
            "hookrag.toml:2: [pipelines.default] retriever: no table [retrievers.besst] (did you mean 'best'?); "
            "retrievers: dense, bm25, hybrid, best"
        ],
    ),
    "pipeline without a retriever": (
        'retriever = "best"\n',
        "",
        ["hookrag.toml:1: [pipelines.default] needs the key 'retriever': the name of a table [retrievers.*]"],
    ),
    "pipeline with an unknown key": (
        'generator = "first"',
        'generator = "first"\ntop_k = 5',
        [
            "hookrag.toml:4: [pipelines.default] unknown key 'top_k'; "
            "known keys: retriever, generator, k, middleware, timeout, threads, outside"
        ],
    ),
    "pipeline that keeps nothing": (
        'generator = "first"',
        'generator = "first"\nk = 0\ntimeout = -1',
        [
            "hookrag.toml:4: [pipelines.default] k must be at least 1, got 0",
            "hookrag.toml:5: [pipelines.default] timeout must be above 0 seconds, got -1.0",
        ],
    ),
    "several mistakes in one table": (
        "size = 10",
        "sise = 10\nsize = 0",
        [
            "hookrag.toml:7: [chunkers.words] unknown key 'sise' (did you mean 'size'?); known keys: size",
            "hookrag.toml:8: [chunkers.words] size must be at least 1, got 0",
        ],
    ),
    "a misspelt key beside a missing one": (
        'chunker = "words"\n',
        'chunkr = "words"\n',
        [
            "hookrag.toml:12: [stores.memory] needs the key 'chunker': the name of a table [chunkers.*]",
            "hookrag.toml:14: [stores.memory] unknown key 'chunkr' (did you mean 'chunker'?); "
            "known keys: chunker, embedder, outputs",
        ],
    ),
    "a pipeline that names nothing and keeps nothing": (
        'retriever = "best"\n',
        'retriever = "besst"\nk = 0\n',
        [
            "hookrag.toml:2: [pipelines.default] retriever: no table [retrievers.besst] (did you mean 'best'?); "
            "retrievers: dense, bm25, hybrid, best",
            "hookrag.toml:3: [pipelines.default] k must be at least 1, got 0",
        ],
    ),
    "field of no type": (
        "[chunkers.words]",
        '[index]\nfields = { year = "integer" }\n\n[chunkers.words]',
        [
            "hookrag.toml:6: [index] fields.year must be one of 'keyword', 'int', 'float', 'bool', 'keywords', "
            "got 'integer' (str)"
        ],
    ),
    "a value where a table belongs": (
        "[generators.first]\nuse",
        "[generators]\nfirst",
        ["hookrag.toml:42: [generators] first must be a table [generators.first], got 'fake-first' (str)"],
    ),
}


def problems(folder: Path, text: str) -> list[str]:
    path = folder / "hookrag.toml"
    path.write_text(text)
    catalogue = Catalogue()
    known = Catalogue.installed({"fakes": plugin})
    # Only the core and the fakes: what else is installed here must not change the texts.
    for key, offers in known.offers.items():
        kept = [offer for offer in offers if offer.plugin in ("hookrag", "fakes")]
        if kept:
            catalogue.offers[key] = kept
    with pytest.raises(ConfigError) as raised:
        tables.check(load(path), catalogue)
    assert str(raised.value) == "\n".join(raised.value.problems)
    return list(raised.value.problems)


def test_the_good_configuration_is_good(tmp_path: Path) -> None:
    path = tmp_path / "hookrag.toml"
    path.write_text(GOOD)
    assert tables.check(load(path), Catalogue.installed({"fakes": plugin})) == ["default"]


@pytest.mark.parametrize("name", BROKEN)
def test_broken_configuration(name: str, tmp_path: Path) -> None:
    before, after, expected = BROKEN[name]
    assert before in GOOD
    assert problems(tmp_path, GOOD.replace(before, after, 1)) == expected


def test_all_problems_are_reported_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("size = 10", "size = 1.5").replace('"fake-rank"', '"rank"')
    text = text.replace('"memory"\n\n[retr', '"m"\n\n[retr', 1)
    found = problems(tmp_path, text)
    assert [problem.split(" ", 1)[0] for problem in found] == [f"hookrag.toml:{line}:" for line in (7, 19, 31)]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        load(tmp_path / "none.toml")


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "hookrag.toml"
    path.write_bytes(b"[pipelines]\n# caf\xe9")
    with pytest.raises(ConfigError, match=r"is not UTF-8 \(byte 17\): save it as UTF-8"):
        load(path)


class Careful:
    """A chunker with a rule about two of its options."""

    def __init__(self, *, size: int = 5, overlap: int = 0) -> None:
        if overlap >= size:
            raise ValueError(f"overlap must be less than size, which is {size}, got {overlap}")
        self.size = size
        self.overlap = overlap

    def chunk(self, documents: Sequence[Document], /) -> list[list[Chunk]]:
        return [[] for _ in documents]


class Refuses(Careful):
    def __init__(self) -> None:
        raise HookragError("there is no dictionary for this language")


class Forgets(Careful):
    def __init__(self) -> None:
        raise KeyError("HOME")


class Confuses(Careful):
    def __init__(self, *, size: int = 5) -> None:
        super().__init__(size=size, lap=1)  # type: ignore[call-arg]  # what is tested


def raised_by(**chunkers: object) -> ConfigError:
    tables_ = {"pipelines": {"default": {"retriever": "gone"}}, "chunkers": chunkers}
    with pytest.raises(ConfigError) as raised:
        tables.check(Config(tables_), Catalogue.installed({"fakes": plugin}))
    return raised.value


def test_what_constructors_refuse_comes_with_the_mistakes_of_other_tables() -> None:
    error = raised_by(
        lap={"use": Careful, "overlap": 9}, small={"use": "fake-words", "size": 0}, odd={"use": "fake-wrds"}
    )
    assert error.problems == (
        "[pipelines.default] retriever: no table [retrievers.gone]; retrievers: none",
        "[chunkers.small] size must be at least 1, got 0",
        error.problems[2],
        "[chunkers.lap] overlap must be less than size, which is 5, got 9",
    )
    assert error.problems[2].startswith("[chunkers.odd] no chunker is called 'fake-wrds'; did you mean 'fake-words'?")
    assert isinstance(error.__cause__, ValueError)


@pytest.mark.parametrize(
    ("use", "expected", "cause"),
    [
        (Refuses, "[chunkers.a] there is no dictionary for this language", HookragError),
        (Forgets, "[chunkers.a] 'forgets' failed to be made: KeyError: 'HOME'", KeyError),
        (
            Confuses,
            "[chunkers.a] 'confuses' failed to be made: TypeError: Careful.__init__() got an unexpected keyword argument 'lap'",
            TypeError,
        ),
    ],
)
def test_a_constructor_that_fails_is_named(use: type, expected: str, cause: type[Exception]) -> None:
    error = raised_by(a={"use": use})
    assert error.problems[1:] == (expected,)
    assert type(error.__cause__) is cause


def test_the_causes_of_several_failures_are_kept() -> None:
    cause = raised_by(a={"use": Forgets}, b={"use": Careful, "overlap": 5}).__cause__
    assert isinstance(cause, ExceptionGroup)
    assert [type(one) for one in cause.exceptions] == [KeyError, ValueError]


def test_a_configuration_that_failed_leaves_no_component_behind() -> None:
    shared = Shared()
    tables_ = {
        "pipelines": {"default": {"retriever": "dense"}},
        "retrievers": {"dense": {"use": "dense", "store": "m"}},
    }
    tables_["chunkers"] = {"words": {"use": "fake-words"}}
    tables_["stores"] = {"m": {"use": "fake-memory", "chunker": "words", "outputs": ["all"]}}
    with pytest.raises(ConfigError, match=r"\[stores.m\] outputs\[0\] must be one of"):
        tables.pipeline(Config(tables_), Catalogue.installed({"fakes": plugin}), shared, "default")
    assert shared.instances == {}


def test_the_numbers_of_a_pipeline_made_in_python_are_checked_at_once(tmp_path: Path) -> None:
    retriever = ListRetriever(texts=["a"])
    with pytest.raises(ConfigError) as raised:
        Pipeline(retriever=retriever, k=0, timeout=0, threads=True, folder=tmp_path)
    assert raised.value.problems == (
        "k must be at least 1, got 0",
        "timeout must be above 0 seconds, got 0.0",
        "threads must be a whole number, got True (bool)",
    )
