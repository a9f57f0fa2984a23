"""How `hookrag index` says how far it is: on a terminal of any width, in a log, for a program, and when the run fails."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from hookrag.cli.meter import Meter
from hookrag.cli.progress import frames
from hookrag.ingest import Progress
from hookrag.ingest.report import Phase
from rich.console import Console

HOOKRAG = Path(sys.executable).with_name("hookrag")
CONFIG = """\
[pipelines.default]
retriever = "words"
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
    for path, count in (("docs", 30), ("one", 1), ("none", 0)):
        (tmp_path / path).mkdir()
        for n in range(count):
            (tmp_path / path / f"{n}.txt").write_text(f"Item {n} of {path} weighs {n * 7} grams. " * 20)
    lines = [{"_id": f"b{n}", "text": "Some words. " * 200, "year": n if n < 1900 else "late"} for n in range(2000)]
    (tmp_path / "bad.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def run(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(HOOKRAG), *arguments], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def terminal(folder: Path, *arguments: str, width: int = 80, **env: str) -> tuple[int, str]:
    """Exit code and output of a command on a terminal of this width."""
    pid, descriptor = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        os.chdir(folder)
        os.execve(HOOKRAG, [str(HOOKRAG), *arguments], os.environ | {"TERM": "xterm"} | env)
    said, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([descriptor], [], [], 0.1)[0]:
            try:
                said += os.read(descriptor, 65536)
            except OSError:  # the other side is closed
                break
    else:
        os.kill(pid, 9)
    os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode()


def screen(said: str) -> list[str]:
    """The lines that are left on the screen in the end, of output that moves the cursor as the bar does."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", said):
        if part == "\r":
            column = 0
        elif part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part.endswith("A") and part.startswith("\x1b"):
            row -= int(part[2:-1] or 1)
        elif part == "\x1b[2K":
            lines[row] = ""
        elif not part.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines if line.strip()]


@pytest.mark.parametrize(
    ("path", "files", "width"),
    [("docs", "30 new", 120), ("docs", "30 new", 40), ("one", "1 new", 80), ("none", "nothing to do", 80)],
)
def test_on_a_terminal_the_bar_leaves_nothing_but_the_report(path: str, files: str, width: int, folder: Path) -> None:
    # COLUMNS is of another terminal, as where it was exported before this one was made narrower.
    code, said = terminal(folder, "index", path, width=width, COLUMNS="200")
    assert code == 0
    (line,) = screen(said)
    assert line.startswith(f"{path}: {files}; ")
    frames = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", frame) for frame in said.split("\r") if " file" in frame]
    assert frames
    assert max(map(len, frames)) <= width


def test_without_colour_and_on_a_dumb_terminal(folder: Path) -> None:
    code, said = terminal(folder, "index", "docs", NO_COLOR="1")
    assert code == 0
    assert set(re.findall(r"\x1b\[([0-9;]*)m", said)) <= {"0", "1", "2"}, "bold and dim are no colours"
    code, said = terminal(folder, "index", "docs", TERM="dumb")
    assert code == 0
    assert said.splitlines() == [screen(said)[0]]
    assert said.startswith("docs: 30 unchanged;")


def test_a_run_that_fails_keeps_its_message_below_the_bar(folder: Path) -> None:
    code, said = terminal(folder, "index", "bad.jsonl", width=200)
    assert code == 1
    lines = screen(said)
    assert re.fullmatch(r"[━╸╺]+ 1/1 file read, .*", lines[0])
    assert lines[1].startswith("error: 20 documents in a row failed at metadata in the same way")
    assert lines[-1].startswith("indexing was stopped: ")
    assert said.count("\x1b[?25l") == said.count("\x1b[?25h") == 1, "the cursor is shown again"


KEYS = {
    "phase", "items", "total", "new", "changed", "unchanged", "failed", "chunks", "embedded", "pending_bytes", "seconds",
    "chunks_per_second", "seconds_left",
}  # fmt: skip


def test_json_is_one_object_a_line_and_the_last_is_the_end(folder: Path) -> None:
    done = run(folder, "index", "docs", "--progress", "json", "--json")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert all(set(line) == KEYS for line in lines)
    assert (lines[-1]["items"], lines[-1]["total"], lines[-1]["new"], lines[-1]["phase"]) == (30, 30, 30, "write")
    (report,) = json.loads(done.stdout)
    assert (lines[-1]["chunks"], report["new"]) == (report["chunks"], 30)
    page = (Path(__file__).parents[1] / "docs/indexing.md").read_text(encoding="utf-8")
    (told,) = re.findall(r'^\{"phase".*?\}$', page, re.MULTILINE | re.DOTALL)
    assert set(json.loads(told)) == KEYS
    failed = run(folder, "index", "bad.jsonl", "--progress", "json", code=1).stderr.splitlines()
    assert json.loads(failed[0])["total"] == 1
    assert next(line for line in failed if not line.startswith("{")).startswith("error: 20 documents in a row")


def test_lines_and_none(folder: Path) -> None:
    for style in ("none", "lines", "auto"):  # it is done before the first line is due
        assert run(folder, "index", "docs", "--progress", style).stderr == ""
    assert (
        "'fast' is not one of 'auto', 'bar', 'lines', 'json', 'none'"
        in run(folder, "index", "docs", "--progress", "fast", code=2).stderr
    )


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def state(phase: Phase = "embed", **values: float) -> Progress:
    zeros = dict.fromkeys(("items", "new", "changed", "unchanged", "failed", "chunks", "embedded", "seconds"), 0)
    return Progress(phase=phase, **(zeros | values))  # type: ignore[arg-type]  # whole numbers are seconds too


def shown(meter: Meter, width: int) -> str:
    """What a terminal of this width shows, without colour."""
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(frames(meter, console)())
    return captured.get().removesuffix("\n").rstrip()


def test_rate_and_time_left_are_those_of_the_last_seconds() -> None:
    clock = Clock()
    meter = Meter(clock)
    assert (str(meter), meter.left()) == ("looking at the files", None)
    for second in range(1, 201):  # 100 chunks and a file a second, and twice as fast after 100 seconds
        clock.now = second
        done = second + max(0, second - 100)
        meter.tell(state("read", items=done, new=done, chunks=100 * done, total=1000))
    assert meter.rate() == pytest.approx(200)
    assert meter.left() == pytest.approx((1000 - 300) / 2)
    clock.now += 20  # nothing more is heard
    assert meter.rate() == pytest.approx(200 / 20)
    meter.tell(state("read", items=302, new=302, chunks=30_100, total=0))
    assert meter.left() is None


def test_the_first_file_of_one_is_not_done_when_it_is_begun() -> None:
    clock = Clock()
    meter = Meter(clock)
    clock.now = 10
    meter.tell(state("read", items=1, total=1, chunks=500))
    assert (meter.done(), meter.left(), meter.rate()) == (0, None, 50)
    clock.now = 20  # a file of a million lines, of which the first are settled and the next are embedded
    meter.tell(state(items=1, total=1, new=400, chunks=1000, embedded=900, pending_bytes=1000))
    assert (meter.done(), meter.left(), meter.rate()) == (0, None, 45)


def test_what_is_read_but_not_embedded_is_not_done() -> None:
    """300 files are one batch that is read in a second and embedded in a minute, 256 of 2,400 texts every six seconds."""
    clock = Clock()
    meter = Meter(clock)
    for tick in range(1, 113):
        clock.now = tick / 2
        embedded = 256 * int(clock.now / 6)
        meter.tell(state(items=300, total=300, chunks=2400, embedded=embedded, pending_bytes=800_000))
        assert meter.done() == pytest.approx(300 * embedded / 2400)
        if embedded == 0:
            assert (meter.rate(), meter.left()) == (0, None)
        else:
            assert meter.rate() == pytest.approx(256 / 6)
            assert meter.left() == pytest.approx((2400 - embedded) * 6 / 256)
    assert shown(meter, 200).startswith("━" * 23 + " ")
    meter.tell(state("write", items=300, total=300, new=300, chunks=2400, embedded=2400))
    assert (meter.done(), meter.left()) == (300, 0)


def test_a_second_batch_begins_where_the_first_ended() -> None:
    clock = Clock()
    meter = Meter(clock)
    for second, new, embedded, done in ((1, 0, 0, 0), (2, 0, 500, 50), (3, 100, 1000, 100), (4, 100, 1500, 150)):
        clock.now = second
        pending = 0 if second == 3 else 9  # while one is confirmed, the one after it is not counted
        meter.tell(state(items=200, total=200, new=new, chunks=2000, embedded=embedded, pending_bytes=pending))
        assert meter.done() == done


def test_nothing_is_left_is_not_said_while_a_second_embedder_is_at_work() -> None:
    clock = Clock()
    meter = Meter(clock)
    clock.now = 10
    meter.tell(state(items=9, total=9, chunks=100, embedded=150, pending_bytes=9))
    assert meter.left() is None


def test_files_with_many_documents_are_done_when_a_batch_is() -> None:
    """Ten files of 100 documents each did not change; 90 new ones are embedded."""
    clock = Clock()
    meter = Meter(clock)
    clock.now = 1
    meter.tell(state("read", items=10, total=100, unchanged=1000))
    assert meter.done() == 9
    for embedded, done in ((0, 0), (450, 49.5), (900, 99)):
        meter.tell(state(items=100, total=100, unchanged=1000, chunks=900, embedded=embedded, pending_bytes=9))
        assert meter.done() == done


@pytest.mark.parametrize("width", [10, 20, 40, 60, 80, 120, 200])
@pytest.mark.parametrize("total", [0, 1_000_000])
def test_the_bar_is_one_line_that_fits(width: int, total: int) -> None:
    clock = Clock()
    meter = Meter(clock)
    clock.now = 30
    meter.tell(
        state(
            items=500_000,
            total=total,
            new=499_000,
            failed=7,
            unchanged=3,
            chunks=2_000_000,
            embedded=1_998_000,
            pending_bytes=5_000_000,
        )
    )
    text = shown(meter, width)
    assert len(text) <= width - 2, "the terminal writes ^C behind it"
    assert "\n" not in text
    assert "500,000" in text or width < 20
    assert ("7 failed" in text) == (width >= 60 or (width == 40 and not total))
    if width == 200:
        before = "500,000/1,000,000 files read, 7 failed, 30 s left, " if total else "500,000 files read, 7 failed, "
        bar = "━" * 11 + "╸" + " " * 12 if total else "━" * 24  # which pulses
        after = "66,600 chunks/s, 499,000 indexed, 3 unchanged, 2,000,000 chunks, 5.0 MB in flight, 30 s so far"
        assert text == f"{bar} {before}{after}"
