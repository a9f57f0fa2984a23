"""The boundary that strangers use: wheels of the core and of a plugin, in an environment that has nothing else of ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

USE = """
import json, sys
from hookrag import Document, Pipeline
from hookrag.config.catalogue import Catalogue
from hookrag.testing import plugin

offer = Catalogue.installed().find("retriever", "recency")
listed_without_importing = "hookrag_recency.retriever" not in sys.modules
config = {
    "pipelines": {"default": {"retriever": "fresh"}},
    "chunkers": {"words": {"use": "fake-words"}},
    "stores": {"memory": {"use": "fake-memory", "chunker": "words"}},
    "retrievers": {
        "bm25": {"use": "text", "store": "memory"},
        "fresh": {"use": "recency", "retriever": "bm25", "half_life": 30, "today": "2026-01-31"},
    },
    "index": {"path": sys.argv[1]},
}
documents = [
    Document("old", "the same words", metadata={"date": "2025-01-01"}),
    Document("new", "the same words", metadata={"date": "2026-01-30"}),
    Document("undated", "the same words"),
]
with Pipeline.from_config(config, plugins={"fakes": plugin}) as pipeline:
    pipeline.index(documents)
    found = [hit.chunk.document_id for hit in pipeline.retrieve(["words"])[0].hits]
print(json.dumps({"lazy": listed_without_importing, "version": offer.version, "found": found}))
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_a_strangers_plugin_in_a_fresh_environment(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    for package in (ROOT / "core", ROOT / "examples" / "third-party-plugin"):
        run(
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            wheels,
            package,
            cwd=tmp_path,
        )
    names = sorted(wheel.name for wheel in wheels.iterdir())
    assert names == ["hookrag-0.1.0-py3-none-any.whl", "hookrag_recency-0.1.0-py3-none-any.whl"]
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    run(python, "-m", "pip", "install", "-q", "-c", constraints, *wheels.iterdir(), "pytest", cwd=tmp_path)

    hookrag = tmp_path / "venv" / "bin" / "hookrag"
    listed = json.loads(run(hookrag, "plugins", "--json", cwd=tmp_path))
    (mine,) = [one for one in listed["components"] if one["plugin"] == "hookrag-recency"]
    assert mine == {
        "kind": "retriever",
        "name": "recency",
        "plugin": "hookrag-recency",
        "version": "0.1.0",
        "summary": "Prefers recent documents.",
    }
    assert listed["problems"] == []

    used = json.loads(run(python, "-c", USE, tmp_path / "index", cwd=tmp_path))
    assert used == {"lazy": True, "version": "0.1.0", "found": ["new", "undated", "old"]}

    # Away from this repository, whose settings for pytest a stranger does not have.
    tests = shutil.copytree(ROOT / "examples" / "third-party-plugin" / "tests", tmp_path / "tests")
    printed = run(python, "-m", "pytest", "-q", tests, cwd=tmp_path)
    assert " passed" in printed


def test_the_example_is_short() -> None:
    sources = (ROOT / "examples" / "third-party-plugin" / "src").rglob("*.py")
    assert sum(len(source.read_text().splitlines()) for source in sources) < 70
