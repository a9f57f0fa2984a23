"""`hookrag verify` on real stores: what was bent in the files is found and mended, and a lost journal is made anew."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hookrag.testing.plugin
import pytest
from click.testing import CliRunner, Result
from hookrag import Pipeline
from hookrag.cli.main import hookrag as command_line
from hookrag.config.catalogue import Catalogue

CONFIG = """\
[pipelines.default]
retriever = "best"
[index]
path = "index"
[chunkers.passages]
use = "words"
size = 20
overlap = 0
[embedders.counts]
use = "fake-hash"
[stores.terms]
use = "lexical"
chunker = "passages"
[stores.vectors]
use = "milvus"
chunker = "passages"
embedder = "counts"
[retrievers.words]
use = "text"
store = "terms"
[retrievers.near]
use = "dense"
store = "vectors"
[retrievers.best]
use = "fused"
retrievers = ["words", "near"]
fuser = "sum"
[fusers.sum]
use = "rrf"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    installed = Catalogue.installed({"fakes": hookrag.testing.plugin})
    monkeypatch.setattr(Catalogue, "installed", classmethod(lambda cls, plugins=None: installed))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hookrag.toml").write_text(CONFIG)
    (tmp_path / "docs").mkdir()
    for n in range(12):
        (tmp_path / "docs" / f"{n}.txt").write_text(" ".join(f"word{n * 31 + i % (n + 3)}" for i in range(100)))
    run("index", "docs")
    return tmp_path


def run(*arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(command_line, arguments)
    error = done.exception
    assert error is None or isinstance(error, SystemExit) or code == 1, error
    assert done.exit_code == code, f"{arguments}: {done.exit_code}\n{done.output}\n{error}"
    return done


def checked(*arguments: str, code: int = 0) -> dict[str, dict[str, object]]:
    """What verify says of each store."""
    return {
        store["name"]: store for store in json.loads(run("verify", *arguments, "--json", code=code).stdout)["stores"]
    }


def test_what_is_as_it_should_be_is_ok_in_every_way(folder: Path) -> None:
    assert run("verify").stdout == "terms: ok: 60 rows\nvectors: ok: 60 rows\n"
    assert run("verify", "--deep").stdout == "terms: ok: 60 rows, 60 compared\nvectors: ok: 60 rows, 60 compared\n"
    assert run("verify", "--sample", "7").stdout == "terms: ok: 60 rows, 7 compared\nvectors: ok: 60 rows, 7 compared\n"
    said = run("verify", "--sample", "7", "--deep", code=2).stderr
    assert "give either --deep, which looks at every row, or --sample N" in said


@pytest.mark.parametrize("how", [("--deep",), ("--sample", "60")])
def test_vectors_that_were_swapped_in_a_vector_database(how: tuple[str, ...], folder: Path) -> None:
    with Pipeline.from_config(folder / "hookrag.toml") as pipeline:
        (vectors,) = (store for store in pipeline.stores if store.step.name == "vectors")
        ids = sorted(key.chunk_id for page in vectors.scan() for key in page)[:2]
        one, other = vectors.fetch(ids, vectors=True)
        assert one is not None
        assert other is not None
        vectors.drop(ids, version=2**61)
        vectors.put([replace(one, dense=other.dense), replace(other, dense=one.dense)], version=2**61)
        vectors.sync()
    assert checked()["vectors"]["ok"], "a scan does not see vectors"
    done = run("verify", *how, code=1)
    assert done.stdout.splitlines()[1] == "vectors: differs: 60 rows, 60 expected, 60 compared, 2 damaged"
    assert "  vectors: damaged: " in done.stderr
    assert all(f"{id} of docs/" in done.stderr for id in ids)
    assert done.stderr.endswith("mend it with: hookrag verify --repair, then hookrag index PATH...\n")
    found = checked(*how, "--repair", code=1)
    assert (found["vectors"]["repaired"], found["terms"]["repaired"]) == (True, True)
    (report,) = json.loads(run("index", "docs", "--json").stdout)
    assert (report["written"], report["failed"], report["lacking"]) == (2, [], {})
    assert all(store["ok"] for store in checked(*how).values())


def test_a_byte_that_turned_over_in_a_file(folder: Path) -> None:
    # Of a text: nothing else in the file depends on it.
    for path in (folder / "index").rglob("*"):
        if path.is_file() and "terms" in path.parts and b"word31 " in (data := path.read_bytes()):
            path.write_bytes(data.replace(b"word31 ", b"word39 ", 1))
    assert checked()["terms"]["ok"], "a scan reads no texts"
    found = checked("--deep", code=1)
    assert found["terms"]["files"]
    assert (found["terms"]["damaged"], found["terms"]["rebuild"], found["vectors"]["ok"]) == (1, True, True)
    assert (
        "terms: its files are damaged: restore its folder from a backup, or delete it and fill it again with "
        "hookrag index --rebuild terms PATH..." in run("verify", "--deep", "--repair", code=1).stderr
    )
    run("index", "--rebuild", "terms", "docs")
    assert all(store["ok"] for store in checked("--deep").values())


def cut(file: Path) -> None:
    os.truncate(file, 1000)


@pytest.mark.parametrize(("damage", "kind"), [(cut, "segment"), (os.unlink, "segment"), (os.unlink, "manifest.json")])
def test_a_store_that_cannot_be_opened_is_deleted_and_filled_again(
    damage: Callable[[Path], None], kind: str, folder: Path
) -> None:
    (file,) = (folder / "index").rglob(f"terms/*{kind}")
    damage(file)
    found = checked("--deep", "--repair", code=1)
    assert (found["terms"]["rebuild"], found["terms"]["expected"], found["vectors"]["ok"]) == (True, 60, True)
    assert str(found["terms"]["files"]).startswith(f"{file} is damaged: got ")
    todo = "delete it and fill the store again by its name: hookrag index --rebuild NAME PATH..."
    said = run("verify", code=1)
    assert said.stdout == "terms: differs: 0 rows, 60 expected\nvectors: ok: 60 rows\n"
    assert f"Restore the folder {file.parent} from a backup, or {todo}\n" in said.stderr
    assert str(run("index", "--rebuild", "terms", "docs", code=1).exception).endswith(todo)
    shutil.rmtree(file.parent)
    run("index", "--rebuild", "terms", "docs")
    assert all(store["ok"] for store in checked("--deep").values())


def test_a_damaged_journal_is_moved_away_and_made_anew(folder: Path) -> None:
    (path,) = (folder / "index").rglob("journal.sqlite3")
    data = bytearray(path.read_bytes())
    data[4096 * 2 :] = bytes(byte ^ 255 for byte in data[4096 * 2 :])
    path.write_bytes(data)
    way_out = "have it made anew from the stores: hookrag index --take-over PATH..."
    for command in ("status", "verify"):
        error = str(run(command, code=1).exception)
        assert error.startswith(f"the journal {path} cannot be read: ")
        assert error.endswith(way_out)
    assert str(run("index", "docs", code=1).exception).startswith(f"the journal {path} cannot be ")
    for file in path.parent.glob("journal.sqlite3*"):
        file.rename(folder / file.name)
    (report,) = json.loads(run("index", "--take-over", "docs", "--json").stdout)
    assert (report["embedded"], report["written"], report["kept"]) == (0, 0, 120)
    assert all(store["ok"] for store in checked("--deep").values())


def test_a_sample_that_is_too_large_is_a_mistake_on_the_command_line(folder: Path) -> None:
    assert "is not in the range 1<=x<=9223372036854775807" in run("verify", "--sample", "1" + "0" * 20, code=2).stderr


def test_a_lost_journal_is_made_anew_from_the_stores(folder: Path) -> None:
    for path in (folder / "index").rglob("journal.sqlite3*"):
        path.unlink()
    (folder / "docs" / "0.txt").write_text("changed meanwhile")
    (folder / "docs" / "1.txt").unlink()
    assert "verify --repair" not in run("verify", code=1).stderr, "it would not help"
    found = checked(code=1)
    assert "hookrag index --take-over PATH..." in str(found["terms"]["card"])
    assert (found["terms"]["foreign"], found["terms"]["expected"]) == (60, 0)
    run("index", "docs", code=1)
    (report,) = json.loads(run("index", "--take-over", "docs", "--json").stdout)
    # Nothing is embedded or written again but what changed; what no file gives any more stays until --prune.
    assert (report["embedded"], report["written"], report["kept"]) == (1, 2, 100)
    found = checked()
    assert [store["rows"] for store in found.values()] == [56, 56]
    (report,) = json.loads(run("index", "--prune", "docs", "--json").stdout)
    assert report["removed"] == 1
    assert [(store["rows"], store["ok"]) for store in checked().values()] == [(51, True), (51, True)]


def test_an_embedder_that_cannot_be_reached_is_named_and_status_needs_none(folder: Path) -> None:
    config = folder / "hookrag.toml"
    away = 'use = "openai"\nmodel = "none"\nbase_url = "http://127.0.0.1:9/v1"'
    config.write_text(CONFIG.replace('use = "fake-hash"', away))
    for arguments in ((), ("--sample", "3")):
        done = run("verify", *arguments, code=1)
        assert "http://127.0.0.1:9/v1" in str(done.exception)
        assert "[embedders.counts]" in "".join(getattr(done.exception, "__notes__", ()))
    assert "12 documents of " in run("status").stdout
