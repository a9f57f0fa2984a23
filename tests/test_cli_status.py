"""`hookrag status`: what is there, what failed and who writes, asked at any moment, of an index in any state."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

HOOKRAG = Path(sys.executable).with_name("hookrag")
CONFIG = """\
[pipelines.default]
retriever = "words"
[index]
path = "index"
[index.fields]
year = "int"
[chunkers.passages]
use = "words"
size = 20
overlap = 0
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
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("The Eiffel Tower was completed in 1889.")
    years = [{"_id": f"y{n}", "text": f"Year {n}. " * 20, "year": 1900 + n if n % 3 else "late"} for n in range(75)]
    (tmp_path / "docs" / "years.jsonl").write_text("".join(json.dumps(line) + "\n" for line in years))
    return tmp_path


def run(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(HOOKRAG), *arguments], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def journal(folder: Path) -> Path:
    (found,) = folder.glob("index/**/journal.sqlite3")
    return found


def test_before_anything_is_indexed_nothing_is_made(folder: Path) -> None:
    assert run(folder, "status").stdout == "nothing indexed yet: fill the index with hookrag index PATH...\n"
    assert json.loads(run(folder, "status", "--json").stdout) == {
        "documents": {}, "stores": [], "failed": [], "unfinished": 0, "writer": "", "last": "",
    }  # fmt: skip
    assert not (folder / "index").exists()


def test_documents_stores_failures_and_the_last_run(folder: Path) -> None:
    run(folder, "index", "docs", code=4)
    found = json.loads(run(folder, "status", "--json").stdout)
    assert found["documents"] == {".": 51}
    (store,) = found["stores"]
    assert (store["name"], store["documents"], store["owed"], store["epoch"]) == ("terms", 51, 0, 1)
    assert (len(found["failed"]), found["unfinished"], found["writer"]) == (25, 0, "")
    lines = run(folder, "status").stdout.splitlines()
    assert lines[0] == "51 documents of the folder of the configuration"
    assert lines[1] == f"terms\t51\t{store['rows']}\t0\t1"
    assert lines[2] == "25 documents failed; hookrag index --retry-failed PATH... tries again:"
    assert lines[3].startswith(f"  y0 ({folder}/docs/years.jsonl): metadata field year, declared as int")
    failed = [line for line in lines if line.startswith("  y")]
    assert len(failed) == 20
    assert "  and 5 more; --json lists them all" in lines
    assert lines[-1].startswith("last run: finished at 20")


def test_beside_a_process_that_writes_and_after_it_was_killed(folder: Path) -> None:
    many = [{"_id": f"m{n}", "text": f"Line {n} of many. " * 100} for n in range(20_000)]
    (folder / "many.jsonl").write_text("".join(json.dumps(line) + "\n" for line in many))
    run(folder, "index", "docs", code=4)
    process = subprocess.Popen([str(HOOKRAG), "index", "many.jsonl"], cwd=folder, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            said = run(folder, "status").stdout.splitlines()
            if said[-1].startswith("last run: running at 20") and said[0].startswith("51 documents of "):
                break
            assert process.poll() is None
            assert time.monotonic() < deadline
        assert said[-2].startswith(f"being written by pid {process.pid} (since 20")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    said = run(folder, "status").stdout.splitlines()
    assert said[-1].startswith("last run: interrupted at 20")
    assert not any("being written" in line for line in said)


def test_a_journal_that_cannot_be_used(folder: Path) -> None:
    run(folder, "index", "docs", code=4)
    path = journal(folder)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 9")
    said = run(folder, "status", code=1).stderr
    assert said == f"error: the journal {path} has format 9, this hookrag knows up to 1: use a newer hookrag\n"
    path.write_bytes(b"not a database, but long enough to be looked at as one by SQLite" * 40)
    said = run(folder, "status", code=1).stderr
    assert said == (
        f"error: the journal {path} cannot be read: file is not a database.\nIts file is damaged. Move it away, with the files "
        "beside it that begin with its name, then have it made anew from the stores: hookrag index --take-over PATH...\n"
    )
