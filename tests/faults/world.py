"""A folder with documents and an index in it, and a process that runs `hookrag` there: what the tests of faults share."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CONFIG = """\
[pipelines.default]
retriever = "both"

[chunkers.lines]
use = "fake-words"
size = 6

[embedders.hash]
use = "fake-hash"
width = 16

[stores.terms]
use = "lexical"
chunker = "lines"

{store}

[retrievers.words]
use = "text"
store = "terms"

[retrievers.dense]
use = "dense"
store = "vectors"

[retrievers.both]
use = "fused"
retrievers = ["words", "dense"]
fuser = "ranks"

[fusers.ranks]
use = "fake-rank"
"""

STORE = """\
[stores.vectors]
use = "{use}"
chunker = "lines"
embedder = "hash"
"""


def text(n: int, version: str) -> str:
    """Two chunks that both versions share and one or two that only this one has."""
    more = f" and {version} {n} has a second passage of its own" if version == "B" and n % 2 else ""
    return f"the document number {n} begins so then comes what stays version {version} of document {n} ends{more}"


def documents(version: str) -> dict[str, str]:
    """Thirty documents as files: of A, ten are edited in B, five are gone, five are new; B' takes half of the edits back."""
    if version == "A":
        return {f"d{n:02}.txt": text(n, "A") for n in range(30)}
    made = {f"d{n:02}.txt": text(n, "B" if n % 3 == 0 else "A") for n in range(5, 35)}
    if version == "B'":
        made |= {f"d{n:02}.txt": text(n, "A") for n in range(0, 30, 6)}
    return made


@dataclass(slots=True)
class Server:
    """The process that forks; `run` gives a command's exit code and what it printed."""

    process: subprocess.Popen[str]
    log: Path

    def run(self, folder: Path, *commands: Sequence[str], fault: object = "") -> tuple[int, str]:
        request = {
            "folder": str(folder), "argv": [list(one) for one in commands], "log": str(self.log),
            "environment": {"HOOKRAG_FAULT": str(fault)},
        }  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        code = self.process.stdout.readline()
        assert code, "the forking process is gone"
        return int(code), self.log.read_text()

    def must(self, folder: Path, *commands: Sequence[str]) -> str:
        code, told = self.run(folder, *commands)
        assert code == 0, f"{commands}: {code}\n{told}"
        assert "Traceback" not in told
        return told

    def rows(self, folder: Path) -> dict[str, list[list]]:
        return json.loads(self.must(folder, ["rows"]).splitlines()[-1])

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def plugins(folder: Path) -> dict[str, str]:
    """The environment of a process in which hookrag's fakes are an installed plugin."""
    info = folder / "hookrag_fakes-0.1.dist-info"
    if not info.exists():
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hookrag-fakes\nVersion: 0.1\n")
        (info / "entry_points.txt").write_text("[hookrag]\nfakes = hookrag.testing.plugin\n")
    return {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "HOOKRAG_FAULT": ""}


def server(folder: Path, *modules: str) -> Server:
    """A forking process that has imported hookrag and the given modules."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("forking.py")), *modules],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=plugins(folder / "plugins"), cwd=folder,
    )  # fmt: skip
    return Server(process, folder / "log")


def write(folder: Path, files: dict[str, str]) -> None:
    """Make the folder `docs` hold exactly these files."""
    docs = folder / "docs"
    docs.mkdir(exist_ok=True)
    for name in {path.name for path in docs.iterdir()} - set(files):
        (docs / name).unlink()
    for name, content in files.items():
        (docs / name).write_text(content)


def start(folder: Path, store: str) -> Path:
    """A folder with a configuration whose second store is `store`."""
    folder.mkdir()
    (folder / "hookrag.toml").write_text(CONFIG.format(store=store))
    return folder


def journal(folder: Path) -> Path:
    """The journal of the index."""
    (found,) = (folder / ".hookrag").rglob("journal.sqlite3")
    return found


def left(folder: Path) -> dict[str, int]:
    """What the journal has unfinished."""
    db = sqlite3.connect(journal(folder))
    try:
        return {
            table: count
            for table in ("planned", "owed", "failed")
            if (count := db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
        }
    finally:
        db.close()


def copied(folder: Path, other: Path) -> Path:
    """A copy of a folder that nobody writes to."""
    return Path(shutil.copytree(folder, other))
