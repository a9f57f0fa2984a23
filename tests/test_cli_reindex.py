"""`hookrag reindex` with the store `lexical`, a process for each command: searched throughout, killed anywhere."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hookrag import Pipeline
from hookrag.cli.main import main
from hookrag.ingest import faults

HOOKRAG = Path(sys.executable).with_name("hookrag")

CONFIG = """
[pipelines.default]
retriever = "bm25"

[chunkers.passages]
use = "words"
size = {size}
overlap = 0

[stores.terms]
use = "lexical"
chunker = "passages"

[retrievers.bm25]
use = "text"
store = "terms"
"""

SEARCHER = """
import sys, time
from pathlib import Path
from hookrag import Pipeline

with Pipeline.from_config(sys.argv[1]) as pipeline:
    first, searches = None, 0
    while not Path("stop").exists():
        found = [{hit.chunk.text for hit in ranking.hits} for ranking in pipeline.retrieve(["moon", "grams"], 50)]
        if first is None:
            print("searching", flush=True)
        first = first or found
        assert all(found), found
        assert found == first
        searches += 1
        time.sleep(0.02)
    print(searches)
"""


def child(folder: Path, arguments: tuple[str, ...], fault: int) -> None:
    os.chdir(folder)
    os.environ.update({"OMP_NUM_THREADS": "1", faults.VARIABLE: str(fault or "")})
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = ["hookrag", *arguments]
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")  # not those that pytest reads
    main()


def run(folder: Path, *arguments: str, code: int = 0, fault: int = 0) -> tuple[str, str]:
    """What a command says on standard output and error, run in a process that is forked, as Python takes long to start."""
    process = multiprocessing.get_context("fork").Process(target=child, args=(folder, arguments, fault))
    process.start()
    process.join(120)
    out, err = ((folder / name).read_text() for name in ("out", "err"))
    assert process.exitcode == code, f"{arguments}: {process.exitcode}\n{out}\n{err}"
    assert "Traceback" not in err
    return out, err


def begin(folder: Path, documents: int = 60) -> Path:
    """Documents, a configuration `old.toml` with an index made by it, and `new.toml`, which cuts smaller chunks."""
    (folder / "docs").mkdir()
    lines = [{"_id": f"d{n}", "text": f"Item {n} weighs {n * 7} grams. " * 12} for n in range(documents)]
    (folder / "docs/items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "docs/moon.txt").write_text(
        "The moon orbits the earth in twenty-seven days, and always shows us one side of it."
    )
    for name, size in (("old", 40), ("new", 10)):
        (folder / f"{name}.toml").write_text(CONFIG.format(size=size))
    run(folder, "index", "-c", "old.toml", "docs")
    return folder


def found(folder: Path, config: str, words: str = "moon") -> list[str]:
    out, _ = run(folder, "search", "-c", config, words, "-k", "1000", "--json")
    return [hit["document"] for hit in json.loads(out)[0]["hits"]]


@pytest.fixture
def stopped() -> list[subprocess.Popen[str]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_it_is_searched_before_during_and_after(tmp_path: Path, stopped: list[subprocess.Popen[str]]) -> None:
    folder = begin(tmp_path, 500)
    searcher = subprocess.Popen(
        [sys.executable, "-c", SEARCHER, "old.toml"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    stopped.append(searcher)
    assert searcher.stdout is not None
    assert searcher.stdout.readline() == "searching\n"
    process = subprocess.Popen(
        [HOOKRAG, "reindex", "-c", "new.toml", "docs", "--json"], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    stopped.append(process)
    deadline = time.monotonic() + 60
    while not (folder / ".hookrag/2/journal.sqlite3").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGSTOP)  # in the middle of it
    assert found(folder, "old.toml") == ["docs/moon.txt"]
    for command in (("reindex", "-c", "new.toml", "docs"), ("index", "-c", "old.toml", "docs")):
        said = run(folder, *command, code=5)[1]
        assert f"the index in {folder}/.hookrag is being written by pid {process.pid} " in said
    process.send_signal(signal.SIGCONT)
    report = json.loads(process.communicate(timeout=100)[0])
    assert process.returncode == 0
    assert (report["generation"], report["switched"], report["reports"][0]["new"]) == (2, True, 501)
    assert report["verified"]["ok"]
    assert found(folder, "new.toml") == ["docs/moon.txt"]
    said = run(folder, "search", "-c", "old.toml", "moon", code=1)[1]
    assert "chunker.size: indexed with 10, opened with 40" in said
    (folder / "stop").touch()
    told, errors = searcher.communicate(timeout=60)
    assert searcher.returncode == 0, errors
    assert int(told) > 0
    assert run(folder, "reindex", "-c", "new.toml", "--drop-old")[0] == "dropped: generation 1\n"
    assert sorted(os.listdir(folder / ".hookrag")) == ["2", "current", "lock"]
    assert run(folder, "reindex", "-c", "new.toml", "--drop-old")[0] == "nothing to drop\n"


def test_killed_anywhere_the_same_command_finishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = begin(tmp_path)
    monkeypatch.chdir(folder)
    places: list[str] = []
    with monkeypatch.context() as patched, Pipeline.from_config("new.toml") as pipeline:
        patched.setattr(faults, "from_environment", lambda: places.append)
        pipeline.reindex(["docs"])
    searched, other = "new.toml", "old.toml"
    filled = places.index("switch: before")
    assert places[filled:] == ["switch: before", "switch: after", "current: before", "current: after"]
    for fault in (filled // 2, *range(filled + 1, len(places) + 1)):
        run(folder, "reindex", "-c", other, "docs", code=-signal.SIGKILL, fault=fault)
        if fault < len(places):
            assert found(folder, searched) == ["docs/moon.txt"], places[fault - 1]
        if fault <= filled + 1:
            (report,) = json.loads(run(folder, "index", "-c", searched, "docs", "--json")[0])
            assert report["unchanged"] == 61
        out, _ = run(folder, "reindex", "-c", other, "docs")
        cut_off = "the switch that was cut off is finished, and no file was read" in out
        assert cut_off == (fault > filled + 1), places[fault - 1]
        searched, other = other, searched
        assert found(folder, searched) == ["docs/moon.txt"]
        assert len(set(found(folder, searched, "grams"))) == 60
        assert json.loads(run(folder, "verify", "-c", searched, "--json")[0])["ok"]
    generation = 2 + 1 + len(places) - filled
    assert (folder / ".hookrag/current").read_text() == f"{generation}\n"


def test_without_its_journal_nothing_of_the_index_is_dropped(tmp_path: Path) -> None:
    folder = begin(tmp_path)
    for file in (folder / ".hookrag/1").glob("journal.sqlite3*"):
        file.unlink()
    for _ in range(2):
        said = run(folder, "reindex", "-c", "new.toml", "docs/moon.txt", "--drop-old", code=3)[1]
        assert f"error: [stores.terms] holds what the journal in {folder}/.hookrag/1 does not know" in said
        assert "hookrag index --take-over PATH..." in said
        run(folder, "verify", "-c", "old.toml", code=1)  # which makes an empty journal
    assert len(set(found(folder, "old.toml", "grams"))) == 60


def test_paths_outside_that_overlap(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    folder = begin(tmp_path / "project", 1)
    (tmp_path / "out/docs/a").mkdir(parents=True)
    (tmp_path / "out/docs/a/one.txt").write_text("Badgers dig.")
    for path in ("docs", "docs/a", "docs/a/one.txt"):
        run(folder, "index", "-c", "old.toml", f"../out/{path}")
        assert found(folder, "old.toml", "badgers") == ["docs/a/one.txt"]
    said = run(folder, "index", "-c", "old.toml", "..", code=3)[1]
    assert f"error: {tmp_path} contains what was indexed by itself" in said
    assert f"twice, by two ids:\n  {tmp_path}/out/docs\n  {folder}/docs\nIndex that" in said


def test_exit_codes_and_what_is_said(tmp_path: Path) -> None:
    folder = begin(tmp_path)
    assert (
        "Name the paths to fill the index with, or --drop-old." in run(folder, "reindex", "-c", "new.toml", code=2)[1]
    )
    said = run(folder, "reindex", "-c", "new.toml", "docs/moon.txt", code=3)[1]
    assert f"60 documents of the index in {folder}/.hookrag come from what was not given" in said
    (folder / "docs/bad.jsonl").write_text('{"_id": "x", "text": "half')
    out, err = run(folder, "reindex", "-c", "new.toml", "docs", code=3)
    assert "docs: 61 documents" in out
    assert "not read: " in err
    assert "hookrag reindex --allow-partial PATH..." in err
    assert json.loads(run(folder, "reindex", "-c", "new.toml", "docs", "--json", code=3)[0])["switched"] is False
    out, err = run(folder, "reindex", "-c", "new.toml", "docs", "--allow-partial", "--drop-old", code=4)
    assert "generation 2 is verified and is searched from now on\ndropped: generation 1\n" in out
    (folder / "fixed.toml").write_text(CONFIG.format(size=10) + '[index]\npath = "elsewhere"\n')
    config = (folder / "fixed.toml").read_text().replace('use = "lexical"', 'use = "lexical"\npath = "mine"')
    (folder / "fixed.toml").write_text(config)
    said = run(folder, "reindex", "-c", "fixed.toml", "docs", code=2)[1]
    assert said == (
        "error: fixed.toml:12: [stores.terms] lies in 'mine': hookrag reindex can fill a new store beside it only in the index "
        f"folder {folder}/elsewhere: take the key 'path' out\n"
    )
    assert not (folder / "elsewhere/1").exists()
