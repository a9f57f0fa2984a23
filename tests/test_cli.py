"""The command line as its users run it: real models, real stores, a process for each command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from hookrag.cli.main import hookrag as command_line
from hookrag.config.catalogue import Catalogue

HOOKRAG = Path(sys.executable).with_name("hookrag")

FILES = {
    "docs/tower.md": "# Eiffel Tower\n\nThe Eiffel Tower was completed in 1889. It stands in Paris and is 330 metres high.\n",
    "docs/port.txt": "PostgreSQL listens on port 5432 by default. Redis listens on port 6379.\n",
    "docs/moon.html": "<html><head><title>Moon</title></head><body><p>The Moon orbits the Earth in 27 days.</p></body></html>",
    "docs/notes.jsonl": '{"_id": "n1", "title": "Zürich", "text": "Zürich lies on the Limmat.", "lang": "de"}\n'
    '{"_id": "n2", "title": "Kyoto", "text": "京都は日本の古都です。", "lang": "ja"}\n',
    "docs/cities.csv": "id,title,text,lang\nc1,Oslo,Oslo is the capital of Norway.,en\n",
    "docs/picture.png": "not for the index",
}


def run(folder: Path, *arguments: str, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(HOOKRAG), *arguments], cwd=folder, capture_output=True, text=True, input=stdin, timeout=240
    )
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def fresh(folder: Path) -> Path:
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    run(folder, "init")
    config = folder / "hookrag.toml"
    config.write_text(config.read_text().replace("# fields =", "fields ="))
    return folder


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = fresh(tmp_path_factory.mktemp("indexed"))
    (report,) = json.loads(run(folder, "index", "docs", "--json").stdout)
    assert (report["new"], report["failed"], report["skipped"]) == (6, [], {"no reader for .png": 1})
    return folder


@pytest.mark.parametrize("asked", ["--help", "plugins"])
def test_what_needs_no_pipeline_is_quick_to_load(asked: str) -> None:
    code = (
        f"import sys; sys.argv = ['hookrag', {asked!r}]\n"
        "from hookrag.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'transformers', 'onnxruntime', 'pymilvus', 'openai', 'pandas', 'rich', 'tenacity'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    if asked == "--help":
        for command in ("init", "check", "plugins", "schema", "index", "search", "ask", "verify", "models"):
            assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["models", "list"], ["serch"]])
def test_plugins_are_read_once_for_their_commands(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Catalogue] = []
    installed = Catalogue.installed

    def counted() -> Catalogue:
        read.append(installed())
        return read[-1]

    monkeypatch.setattr(Catalogue, "installed", counted)
    monkeypatch.setenv("HOOKRAG_MODELS", "none")
    CliRunner().invoke(command_line, arguments)
    assert len(read) == 1


def test_unknown_command_gets_the_nearest(tmp_path: Path) -> None:
    assert "No such command 'serch'. Did you mean 'search'?" in run(tmp_path, "serch", code=2).stderr


def test_init_does_not_write_over_a_file(tmp_path: Path) -> None:
    run(tmp_path, "init")
    before = (tmp_path / "hookrag.toml").read_text()
    assert (
        "hookrag.toml is there already: edit it, or write over it with --force" in run(tmp_path, "init", code=2).stderr
    )
    run(tmp_path, "init", "--force")
    assert (tmp_path / "hookrag.toml").read_text() == before


def test_without_a_configuration_it_says_how_to_get_one(tmp_path: Path) -> None:
    said = run(tmp_path, "search", "x", code=2).stderr
    assert said == (
        f"error: no hookrag.toml in {tmp_path} or above it: write one with `hookrag init`, or name a file with -c FILE\n"
    )


def test_the_configuration_is_found_from_a_folder_below(indexed: Path) -> None:
    assert "docs/tower.md" in run(indexed / "docs", "search", "Eiffel Tower", "-k", "1").stdout


def test_check(indexed: Path, tmp_path: Path) -> None:
    assert "no problems" in run(indexed, "check").stdout
    online = json.loads(run(indexed, "check", "--online", "--json").stdout)
    assert online["ok"]
    assert online["problems"] == []
    assert "[stores.vectors]" in online["pipelines"]["default"]
    broken = tmp_path / "hookrag.toml"
    broken.write_text(
        (indexed / "hookrag.toml")
        .read_text()
        .replace("size = 100", 'size = "many"')
        .replace("depth = 20", "depht = 20")
    )
    done = run(tmp_path, "check", code=2)
    assert "[chunkers.passages] size must be a whole number, got 'many' (str)" in done.stderr
    assert "[retrievers.best] unknown key 'depht' (did you mean 'depth'?)" in done.stderr
    assert "2 problems in " in done.stderr
    assert len(json.loads(run(tmp_path, "check", "--json", code=2).stdout)["problems"]) == 2


def test_plugins_and_schema(indexed: Path) -> None:
    listed = json.loads(run(indexed, "plugins", "--json", "--verbose").stdout)
    assert listed["problems"] == []
    assert {"kind": "fuser", "name": "rrf"}.items() <= next(
        c for c in listed["components"] if c["name"] == "rrf"
    ).items()
    lines = run(indexed, "plugins").stdout.splitlines()
    assert all(len(line.split("\t")) == 4 for line in lines)
    schema = json.loads(run(indexed, "schema").stdout)
    words = next(c for c in schema["properties"]["chunkers"]["additionalProperties"]["oneOf"] if c["title"] == "words")
    size = {"type": "integer", "minimum": 1, "default": 200, "description": "words in a chunk"}
    assert words["properties"]["size"] == size
    assert words["additionalProperties"] is False


def test_search(indexed: Path) -> None:
    plain = run(indexed, "search", "which", "port", "does", "PostgreSQL", "use", "-k", "1").stdout
    assert plain.splitlines()[0].startswith("  1  docs/port.txt:0-")
    (ranking,) = json.loads(run(indexed, "search", "PostgreSQL port", "-k", "2", "--explain", "--json").stdout)
    assert set(ranking) == {"query", "stage", "kind", "producer", "hits"}
    hit = ranking["hits"][0]
    assert set(hit) == {"rank", "score", "document", "chunk", "start", "end", "context", "text", "metadata", "parts"}
    assert [part["stage"] for part in hit["parts"]] == ["dense", "text", "fused"]
    assert hit["parts"][1]["terms"]
    assert hit["text"] == FILES["docs/port.txt"].strip()


def test_search_in_other_scripts_and_with_a_filter(indexed: Path) -> None:
    found = json.loads(run(indexed, "search", "京都", "-k", "9", "--where", 'lang == "ja"', "--json").stdout)[0]["hits"]
    assert [hit["document"] for hit in found] == ["n2"]
    said = run(indexed, "search", "x", "--where", 'land == "ja"', code=1).stderr
    assert "land" in said
    assert "lang" in said
    assert "^" in run(indexed, "search", "x", "--where", 'lang = "ja"', code=1).stderr


def test_a_run_of_many_queries(indexed: Path, tmp_path: Path) -> None:
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"_id": "q1", "text": "Eiffel Tower"}\n\n{"_id": "q2", "text": "Limmat"}\n')
    run(indexed, "search", "--queries", str(queries), "--run", str(tmp_path / "run.trec"), "-k", "3")
    rows = [line.split() for line in (tmp_path / "run.trec").read_text().splitlines()]
    assert {row[0] for row in rows} == {"q1", "q2"}
    assert all(len(row) == 6 and row[1] == "Q0" for row in rows)
    first = [row for row in rows if row[0] == "q1"]
    assert first[0][2] == "docs/tower.md"
    assert [int(row[3]) for row in first] == list(range(1, len(first) + 1))
    assert len({row[2] for row in first}) == len(first)
    lines = run(indexed, "search", "--queries", str(queries), "-k", "1").stdout.splitlines()
    assert [json.loads(line)["query"]["id"] for line in lines] == ["q1", "q2"]
    queries.write_text('{"_id": "q1", "text": "x"}\n{"id": "q2"}\n')
    said = run(indexed, "search", "--queries", str(queries), "--run", str(tmp_path / "other"), code=1).stderr
    assert 'queries.jsonl:2: must be an object {"_id": ..., "text": ...}, got \'{"id": "q2"}\'' in said
    assert not (tmp_path / "other").exists()


def test_usage_errors(indexed: Path) -> None:
    assert "give either a QUERY or --queries FILE" in run(indexed, "search", code=2).stderr
    assert "--run needs --queries FILE" in run(indexed, "search", "x", "--run", "y", code=2).stderr
    assert "there is no such file or folder" in run(indexed, "index", "nowhere", code=1).stderr
    assert "no table [pipelines.other]" in run(indexed, "search", "x", "--pipeline", "other", code=2).stderr


def test_ask(indexed: Path) -> None:
    said = run(indexed, "ask", "When was the Eiffel Tower completed?").stdout
    assert said.startswith("The Eiffel Tower was completed in 1889. [1]")
    assert "\n[1] docs/tower.md:" in said
    (answer,) = json.loads(run(indexed, "ask", "Which port does Redis listen on?", "--json").stdout)
    assert answer["known"]
    citation = answer["citations"][0]
    assert citation["quote"] in FILES["docs/port.txt"]
    assert citation["status"] == "exact"
    (unknown,) = json.loads(run(indexed, "ask", "Who painted the Mona Lisa?", "--json").stdout)
    assert not unknown["known"]
    assert unknown["citations"] == []


def test_ask_reads_questions_from_a_pipe(indexed: Path) -> None:
    said = run(indexed, "ask", stdin="How long does the Moon take?\n\nWhat is the capital of Norway?\n").stdout
    assert "27 days" in said
    assert "Oslo" in said


def test_trace(indexed: Path) -> None:
    done = subprocess.run(
        [str(HOOKRAG), "search", "port"],
        cwd=indexed,
        capture_output=True,
        text=True,
        env=os.environ | {"HOOKRAG_TRACE": "1"},
    )
    assert "\n  [retrievers.best] retrieve x1 " in done.stderr
    assert "\n      [retrievers.bm25] retrieve x1 " in done.stderr


def test_a_closed_pipe_is_no_error(indexed: Path) -> None:
    done = subprocess.run(
        f"{HOOKRAG} plugins | head -n 1", shell=True, cwd=indexed, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_index_changes_removals_and_refusals(tmp_path: Path) -> None:
    folder = fresh(tmp_path)
    run(folder, "index", "docs")
    assert "docs: 6 unchanged" in run(folder, "index", "docs").stdout
    (folder / "docs/tower.md").write_text("# Tower\n\nThe tower was painted in 2024.\n")
    (folder / "docs/port.txt").unlink()
    dry = json.loads(run(folder, "index", "docs", "--dry-run", "--json").stdout)[0]
    assert (dry["changed"], dry["removed"], dry["unchanged"]) == (1, 1, 4)
    done = json.loads(run(folder, "index", "docs", "--json").stdout)[0]
    assert (done["changed"], done["removed"], done["unchanged"]) == (1, 1, 4)
    assert "docs/port.txt" not in run(folder, "search", "PostgreSQL port").stdout
    assert "painted in 2024" in run(folder, "ask", "When was the tower painted?").stdout
    (folder / "docs/latin.txt").write_bytes(b"caf\xe9")
    partly = run(folder, "index", "docs", code=4)
    assert "latin.txt" in partly.stderr
    assert "expected UTF-8" in partly.stderr
    for path in (folder / "docs").iterdir():
        path.unlink()
    refused = run(folder, "index", "docs", code=3).stderr
    assert "--prune" in refused
    assert json.loads(run(folder, "verify", "--json").stdout)["ok"]
    run(folder, "index", "docs", "--prune")
    assert "nothing found" in run(folder, "search", "tower").stderr


def test_another_chunker_is_refused_and_the_way_out_is_named(tmp_path: Path) -> None:
    folder = fresh(tmp_path)
    run(folder, "index", "docs")
    config = folder / "hookrag.toml"
    config.write_text(config.read_text().replace("size = 100 ", "size = 20 "))
    said = run(folder, "search", "tower", code=1).stderr
    assert "chunker.size: indexed with 100, opened with 20" in said
    assert "make their rows anew: hookrag index --rebuild vectors --rebuild terms PATH..." in said
    run(folder, "index", "--rebuild", "vectors", "--rebuild", "terms", "docs")
    assert "docs/tower.md" in run(folder, "search", "tower").stdout
    assert json.loads(run(folder, "verify", "--json").stdout)["ok"]


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_an_index_that_was_cut_off_goes_on(sign: signal.Signals, tmp_path: Path) -> None:
    folder = fresh(tmp_path)
    many = folder / "docs/many.jsonl"
    many.write_text(
        "".join(
            json.dumps({"_id": f"m{i}", "text": f"Item {i} weighs {i * 7} grams. " * 20}) + "\n" for i in range(400)
        )
    )
    process = subprocess.Popen(
        [str(HOOKRAG), "index", "docs"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    lock = folder / ".hookrag"
    deadline = time.monotonic() + 120
    while not (lock / "1" / "journal.sqlite3").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    busy = run(folder, "index", "docs", code=5).stderr
    assert f"pid {process.pid}" in busy
    time.sleep(1.0)
    process.send_signal(sign)
    _, said = process.communicate(timeout=120)
    if sign == signal.SIGINT:
        assert process.returncode == 130
        assert "Traceback" not in said
    many.write_text("".join(many.read_text().splitlines(keepends=True)[:20]))
    run(folder, "index", "docs", "--prune")
    verified = json.loads(run(folder, "verify", "--json").stdout)
    assert verified["ok"]
    assert {store["rows"] for store in verified["stores"]} == {26}
    found = json.loads(run(folder, "search", "Item 7 weighs 49 grams", "-k", "1", "--json").stdout)
    assert found[0]["hits"][0]["document"] == "m7"
