"""The command line at its edges: files that cannot be, pipes that close, terminals, options that exclude each other."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hookrag import Document, Pipeline
from hookrag.cli.ask import _show
from hookrag.testing import plugin

HOOKRAG = Path(sys.executable).with_name("hookrag")

CONFIG = """\
[pipelines.default]
retriever = "words"
generator = "writer"

[chunkers.passages]
use = "words"

[stores.terms]
use = "lexical"
chunker = "passages"

[retrievers.words]
use = "text"
store = "terms"

[llms.nobody]
use = "openai"
model = "none"
base_url = "http://127.0.0.1:9/v1"

[generators.writer]
use = "cited"
llm = "nobody"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("edges")
    (made / "hookrag.toml").write_text(CONFIG)
    (made / "docs" / "with space").mkdir(parents=True)
    (made / "docs" / "tower.txt").write_text("The Eiffel Tower was completed in 1889.")
    (made / "docs" / "with space" / "port.txt").write_text("Redis listens on port 6379.")
    (made / "queries.jsonl").write_text('{"_id": "q1", "text": "tower redis"}\n')
    run(made, "index", "docs")
    return made


def run(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(HOOKRAG), *arguments], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def terminal(folder: Path, *arguments: str, keys: bytes = b"", prompt: bytes = b"> ", **env: str) -> tuple[int, str]:
    """Exit code and output of a command on a terminal; the keys are typed once the prompt is there."""
    pid, descriptor = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a process that was started in the background ignores it
        os.chdir(folder)
        os.execve(HOOKRAG, [str(HOOKRAG), *arguments], os.environ | env)
    said, typed, end = b"", not keys, time.monotonic() + 150
    while time.monotonic() < end:
        if select.select([descriptor], [], [], 0.1)[0]:
            try:
                said += os.read(descriptor, 65536)
            except OSError:  # the other side is closed
                break
        if not typed and prompt in said:
            os.write(descriptor, keys)
            typed = True
    else:
        os.kill(pid, 9)
    os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode()


def test_a_run_holds_no_ids_with_spaces_and_leaves_nothing_behind(folder: Path) -> None:
    said = run(folder, "search", "--queries", "queries.jsonl", "--run", "run.trec", code=1).stderr
    assert said == (
        "error: the id 'docs/with space/port.txt' cannot be in a TREC run, whose columns end at white space: "
        "rename it, or leave out --run to get JSON lines\n"
    )
    assert not list(folder.glob("run.trec*"))
    run(folder, "search", "--queries", "queries.jsonl", "--run", "chunks.trec", "--unit", "chunk")
    assert [len(line.split()) for line in (folder / "chunks.trec").read_text().splitlines()] == [6, 6]


def test_files_that_cannot_be_read_or_written(folder: Path) -> None:
    nowhere = run(folder, "search", "--queries", "queries.jsonl", "--run", "nowhere/run.trec", code=1).stderr
    assert nowhere == "error: nowhere/run.trec.part: No such file or directory\n"
    (folder / "latin.jsonl").write_bytes(b'{"_id": "q1", "text": "caf\xe9"}\n')
    latin = run(folder, "search", "--queries", "latin.jsonl", code=1).stderr
    assert latin == "error: latin.jsonl: is not UTF-8 (byte 26): save it as UTF-8\n"
    assert run(folder, "init", "/dev/null/x", code=1).stderr == "error: /dev/null/x: Not a directory\n"
    assert "docs: cannot be read: Is a directory" in run(folder, "check", "-c", "docs", code=2).stderr


def test_options_that_would_do_nothing(folder: Path) -> None:
    many = ("search", "--queries", "queries.jsonl", "--run", "x")
    for option in ("--json", "--explain"):
        assert "leave out --run, or --explain and --json" in run(folder, *many, option, code=2).stderr
    assert "--unit needs --run FILE" in run(folder, "search", "tower", "--unit", "chunk", code=2).stderr
    assert "is not in the range x>0" in run(folder, "ask", "x", "--timeout", "0", code=2).stderr


@pytest.mark.parametrize("command", ["plugins", "schema", "search tower --json"])
def test_a_reader_that_went_away_is_no_failure(command: str, folder: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{HOOKRAG} {command} | true; exit ${{PIPESTATUS[0]}}"], cwd=folder, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_standard_output_that_is_full_or_closed(folder: Path) -> None:
    full = subprocess.run(
        ["bash", "-c", f"{HOOKRAG} search tower > /dev/full"], cwd=folder, capture_output=True, text=True
    )
    assert (full.returncode, full.stderr) == (1, "error: No space left on device\n")
    closed = subprocess.run(["bash", "-c", f"{HOOKRAG} search tower --json >&-"], cwd=folder, capture_output=True)
    assert (closed.returncode, closed.stderr) == (0, b"")


def test_a_trace_is_shown_above_all_where_something_failed(folder: Path) -> None:
    done = subprocess.run(
        [str(HOOKRAG), "ask", "tower"],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"HOOKRAG_TRACE": "1"},
    )
    assert done.returncode == 1
    assert "\n  [generators.writer] generate x1 " in done.stderr
    assert done.stderr.index("[generators.writer] generate") < done.stderr.index("error: ")


@pytest.mark.parametrize(("keys", "code"), [(b"\x03", 130), (b"\x04", 0), (b"\r", 0)])
def test_how_a_conversation_ends(keys: bytes, code: int, folder: Path) -> None:
    assert terminal(folder, "ask", keys=keys)[0] == code


def test_a_conversation_in_json_has_no_prompt(folder: Path) -> None:
    code, said = terminal(folder, "ask", "--json", keys=b"\x04", prompt=b"")
    assert (code, said.replace("\x08", "").replace("^D", "")) == (0, "")


def test_no_color(folder: Path) -> None:
    bold, plain = "\x1b[1m", terminal(folder, "search", "tower", NO_COLOR="1")[1]
    assert "docs/tower.txt:0-39" in plain
    assert "\x1b" not in plain
    assert bold in terminal(folder, "search", "tower", NO_COLOR="")[1]


def test_an_answer_and_its_sources_give_a_terminal_no_orders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hookrag.toml").write_text(CONFIG + '\n[generators.first]\nuse = "fake-first"\n')
    with Pipeline.from_config(tmp_path / "hookrag.toml", plugins={"fakes": plugin}) as made:
        made.index([Document("bad\x1b[2J\nname", "The tower\x1b[2J\nof glass.", title="A \x9b2J title")])
        with made.override({"pipelines.default.generator": "first"}) as quoting:
            _show(quoting, "tower", None, {})
    assert capsys.readouterr().out == ("The tower\\x1b[2J\nof glass.\n\n[1] bad\\x1b[2J\\nname:0-23  A \\x9b2J title\n")


def test_json_and_nothing_else_on_standard_output(folder: Path) -> None:
    for command in ("index docs", "verify", "check", "check --online", "plugins", "search tower", "search --explain x"):
        done = subprocess.run([str(HOOKRAG), *command.split(), "--json"], cwd=folder, capture_output=True, text=True)
        assert done.stdout.count("\n") == 1, command
        json.loads(done.stdout)
