"""`hookrag index` at its edges: several paths of which one is refused, empty paths, and names that a terminal would obey."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HOOKRAG = Path(sys.executable).with_name("hookrag")
CONFIG = """\
[pipelines.default]
retriever = "words"
[index.fields]
year = "int"
[chunkers.passages]
use = "words"
[stores.terms]
use = "lexical"
chunker = "passages"
[retrievers.words]
use = "text"
store = "terms"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hookrag.toml").write_text(CONFIG)
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "old.txt").write_text(f"An old text of {name}.")
    return tmp_path


def run(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(HOOKRAG), *arguments], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def found(folder: Path, query: str) -> set[str]:
    (ranking,) = json.loads(run(folder, "search", query, "--json").stdout)
    return {hit["document"] for hit in ranking["hits"]}


@pytest.mark.parametrize("paths", [("x", "y"), ("y", "x")])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_refused_path_keeps_no_other_from_being_indexed(
    paths: tuple[str, ...], options: tuple[str, ...], folder: Path
) -> None:
    run(folder, "index", "x", "y")
    (folder / "x/old.txt").unlink()
    (folder / "y/new.txt").write_text("A tower.")
    (folder / "y/latin.txt").write_bytes(b"caf\xe9")
    said = run(folder, "index", *paths, *options, code=3)  # and not 4 because of latin.txt
    assert found(folder, "tower old") == {"x/old.txt", "y/old.txt", "y/new.txt"}
    assert said.stderr.count("1 of 1 documents of x are gone, and nothing at all was found there") == 1
    assert said.stderr.count("hookrag index --prune PATH...") == 1
    if options:
        told = dict(zip(paths, json.loads(said.stdout), strict=True))
        assert (told["x"]["held"], told["y"]["new"], told["y"]["unchanged"]) == (1, 1, 1)
        assert told["x"]["refused"].startswith("1 of 1 documents of x are gone")
        assert not told["y"]["refused"]
    else:
        lines = {line.split(":")[0]: line for line in said.stdout.splitlines()}
        assert lines["x"].startswith("x: 1 gone but kept; ")
        assert lines["y"].startswith("y: 1 new, 1 unchanged, 1 could not be read; ")


def test_a_path_that_is_missing_is_told_before_anything_is_written(folder: Path) -> None:
    said = run(folder, "index", "y", "nosuch", "--json", code=1)
    assert said.stderr == f"error: {folder}/nosuch: there is no such file or folder\n"
    assert (said.stdout, sorted(one.name for one in folder.iterdir())) == ("", ["hookrag.toml", "x", "y"])


def test_the_reports_of_finished_paths_are_printed_when_a_later_one_fails(folder: Path) -> None:
    lines = [json.dumps({"_id": f"b{n}", "text": "Some words.", "year": "late"}) for n in range(20)]
    (folder / "bad.jsonl").write_text("\n".join(lines))
    said = run(folder, "index", "y", "bad.jsonl", "--json", code=1)
    assert "20 documents in a row failed" in said.stderr
    assert [report["new"] for report in json.loads(said.stdout)] == [1]


def test_a_dry_run_changes_no_store(folder: Path) -> None:
    for option in (("--take-over",), ("--rebuild", "terms")):
        said = run(folder, "index", "x", "--dry-run", *option, code=2).stderr
        assert f"Error: --dry-run writes nothing, and {option[0]} changes stores: leave one out\n" in said


@pytest.mark.parametrize("command", ["index", "reindex"])
def test_an_empty_path_is_not_the_current_folder(command: str, folder: Path) -> None:
    for paths in (("",), ("x", "")):
        said = run(folder, command, *paths, code=2).stderr
        assert "a path is empty, which would be the current folder: write . if that is meant" in said
    assert not (folder / ".hookrag").exists()
    run(folder, command, ".")


def test_a_failed_record_is_named_with_its_file(folder: Path) -> None:
    lines = [json.dumps({"_id": f"b{n}", "text": f"Words of {n}.", "year": "late"}) for n in range(2)]
    (folder / "d.jsonl").write_text("\n".join(lines))
    said = run(folder, "index", "d.jsonl", code=4).stderr
    assert [line[: line.index("metadata")] for line in said.splitlines()] == [
        f"  failed: b{n} ({folder}/d.jsonl): " for n in range(2)
    ]


def test_names_and_texts_give_a_terminal_no_orders(folder: Path) -> None:
    (folder / "y/bad\x1b[2J\nname.txt").write_text("A tower\x1b]0;title\x07 \x9b2J of \x7f glass.")
    (folder / "y/bad\x1b[2Jlatin.txt").write_bytes(b"caf\xe9")
    said = run(folder, "index", "y", code=4)
    assert r"not read: " in said.stderr
    assert rf"{folder}/y/bad\x1b[2Jlatin.txt: " in said.stderr
    shown = run(folder, "search", "tower")
    assert r"  1  y/bad\x1b[2J\nname.txt:0-" in shown.stdout.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert r"A tower\x1b]0;title\x07 \x9b2J of \x7f glass." in shown.stdout
    run(folder, "index", "y", "--json", code=4)
    (ranking,) = json.loads(run(folder, "search", "tower", "--json").stdout)
    assert ranking["hits"][0]["document"] == "y/bad\x1b[2J\nname.txt"
    for told in (said, shown):
        assert not set(told.stdout + told.stderr) & {"\x07", "\x7f", "\x9b"}
        assert "\x1b[2J" not in told.stdout + told.stderr
