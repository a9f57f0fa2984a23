"""What a hostile file can do to whoever reads it: nothing but fail, with one reason."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import hookrag_readers.pool as pool
import pytest
from hookrag import ReadError
from hookrag_readers.files import Docx, Pdf, Xlsx

REAL = pool._BOOT
RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"


def instead(code: str) -> str:
    """What starts a child whose parser of Word documents is `code`."""
    fake = f"m = types.ModuleType('fake'); exec({code!r}, m.__dict__); sys.modules['hookrag_readers.parsers.docx'] = m"
    return REAL.replace("import sys;", "import sys, types;").replace("from hookrag", f"{fake}; from hookrag", 1)


def write(path: Path, body: bytes = b"<p><t>Good.</t></p>", method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        target = f'<Relationship Id="a" Type="{RELATION}" Target="word/document.xml"/>'
        archive.writestr("_rels/.rels", f"<Relationships>{target}</Relationships>")
        archive.writestr("word/document.xml", b"<document>" + body + b"</document>")
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "a.docx")


def refusal(reader, path: Path) -> str:
    with pytest.raises(ReadError) as error:
        list(reader.read(path, id="a"))
    told, _, reason = str(error.value).partition(": ")
    assert told == str(path)
    return reason


SLOW = "took longer than the 1 s allowed: raise seconds, split the file, or leave it out"
CRASH = "the process that read it {}: the file is damaged, made to do harm, or needs more than memory_mb = 256"
NONSENSE = "its parser answered with nonsense: the file is damaged, or made to do harm"
CASES = {
    "sleeps": ("import time\ndef parse(task, sink): time.sleep(999)", SLOW),
    "loops": ("import re\ndef parse(task, sink): re.match('(a*)*b', 'a' * 40)", SLOW),
    "crashes": ("import ctypes\ndef parse(task, sink): ctypes.string_at(0)", CRASH.format("crashed (SIGSEGV)")),
    "aborts": ("import os\ndef parse(task, sink): os.abort()", CRASH.format("crashed (SIGABRT)")),
    "exits": ("import os\ndef parse(task, sink): os._exit(3)", CRASH.format("ended by itself (exit code 3)")),
    "eats memory": (
        "def parse(task, sink): x = bytearray(300 << 20)",
        "needs more than the 256 MB of memory allowed: raise memory_mb, or split the file",
    ),
    "fails": ("def parse(task, sink): raise KeyError('x')", "is damaged: KeyError: 'x'"),
    "recurses": (
        "def parse(task, sink): parse(task, sink)",
        "is nested too deeply to be read: the file is damaged, or made to do harm",
    ),
    "lies": (
        "import os\ndef parse(task, sink):\n for at in range(3, 9):\n  try: os.write(at, b'x' * 99)\n  except OSError: pass",
        NONSENSE,
    ),
    "opens much": (
        "import os\ndef parse(task, sink):\n  while True: os.dup(0)",
        "cannot be read: Too many open files",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_parser_that_misbehaves_costs_one_file_with_its_reason(path, monkeypatch, name):
    code, reason = CASES[name]
    reader = Docx(seconds=1.0, memory_mb=256)
    monkeypatch.setattr(pool, "_BOOT", instead(code))
    assert refusal(reader, path) == reason
    reader.close()
    monkeypatch.setattr(pool, "_BOOT", REAL)
    reader.seconds = 60.0
    (document,) = reader.read(path, id="a")
    assert document.text == "Good."
    reader.close()


def test_the_text_that_comes_back_is_limited_on_both_sides(path, monkeypatch):
    flood = "def parse(task, sink):\n  for at in range(40): sink.text('x' * 60000)\n  sink.end()"
    monkeypatch.setattr(pool, "_BOOT", instead(flood))
    reader = Docx(text_mb=1)
    assert refusal(reader, path) == "holds more than the 1 MB of text allowed: raise text_mb, or split the file"
    turned = flood.replace("for at", "object.__setattr__(task.limits, 'text', 1 << 40)\n  for at")
    monkeypatch.setattr(pool, "_BOOT", instead(turned))
    reader.close()
    assert refusal(reader, path) == "holds more than the 1 MB of text allowed"
    reader.close()


def test_a_child_can_write_no_file(path, tmp_path, monkeypatch):
    code = f"def parse(task, sink):\n  with open({str(tmp_path / 'left')!r}, 'w') as file: file.write('x')"
    monkeypatch.setattr(pool, "_BOOT", instead(code))
    reader = Docx()
    assert refusal(reader, path) == "cannot be read: File too large"
    reader.close()
    assert not (tmp_path / "left").read_bytes()


def children() -> list[int]:
    return [int(one) for one in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()]


def test_one_child_serves_many_files_and_goes_when_the_reader_is_closed(path):
    before = set(children())
    reader = Docx()
    assert set(children()) == before  # nothing is started for files that never come
    for _ in range(5):
        list(reader.read(path, id="a"))
    (child,) = set(children()) - before
    os.kill(child, signal.SIGKILL)  # as the system does when memory is short
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    (document,) = reader.read(path, id="a")
    assert document.text == "Good."
    (other,) = set(children()) - before - {child}
    reader.close()
    assert not Path(f"/proc/{other}").exists()


def test_a_child_is_replaced_after_so_many_files(path, monkeypatch):
    monkeypatch.setattr(pool, "FILES_PER_CHILD", 2)
    reader = Docx()
    seen = []
    for _ in range(5):
        list(reader.read(path, id="a"))
        seen.append([child._process.pid for child in reader._pool._idle])
    reader.close()
    assert seen[0] != seen[2] != seen[4]
    assert seen[1] == seen[3] == []


def test_a_child_whose_memory_has_grown_is_replaced(path, monkeypatch):
    monkeypatch.setattr(pool, "_BOOT", instead("def parse(task, sink): x = b'x' * (60 << 20); sink.end()"))
    reader = Docx(memory_mb=200)
    list(reader.read(path, id="a"))
    assert not reader._pool._idle
    reader.close()


def test_whoever_stops_in_the_middle_leaves_no_child_behind(tmp_path, monkeypatch):
    before = set(children())
    monkeypatch.setattr(
        pool, "_BOOT", instead("import time\ndef parse(task, sink): sink.text('a'); sink.end(); time.sleep(999)")
    )
    documents = Docx().read(write(tmp_path / "a.docx"), id="a")
    assert next(documents).text == "a"
    documents.close()
    assert set(children()) == before


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("code", ["import time\ndef parse(task, sink): time.sleep(999)", CASES["loops"][0]])
def test_no_child_outlives_its_parent(path, how, code):
    program = (
        "import sys, hookrag_readers.pool as pool\nfrom pathlib import Path\nfrom hookrag_readers.files import Docx\n"
    )
    program += f"pool._BOOT = {instead(code)!r}\nlist(Docx().read(Path({str(path)!r}), id='a'))"
    parent = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    listed = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    while not listed.read_text():
        time.sleep(0.01)
    child = int(listed.read_text())
    while b"-S" not in Path(f"/proc/{child}/cmdline").read_bytes():
        time.sleep(0.01)
    time.sleep(0.2)
    parent.send_signal(how)
    parent.wait()
    for _ in range(500):
        status = Path(f"/proc/{child}/stat")
        # Without somebody who waits for it, it stays in the list of processes as a zombie.
        if not status.exists() or status.read_text().rpartition(") ")[2].startswith("Z"):
            return
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    raise AssertionError("the child is still there")


def test_a_child_gets_nothing_of_the_environment(path, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    monkeypatch.setattr(
        pool, "_BOOT", instead("import os\ndef parse(task, sink): sink.text(' '.join(os.environ)); sink.end()")
    )
    reader = Docx()
    (document,) = reader.read(path, id="a")
    reader.close()
    assert "SECRET_KEY" not in document.text


def test_what_is_printed_does_not_get_into_the_answer(path, monkeypatch):
    noise = "import os\ndef parse(task, sink): print('x'); os.write(1, b'y'); os.write(2, b'z'); sink.text('fine'); sink.end()"
    monkeypatch.setattr(pool, "_BOOT", instead(noise))
    reader = Docx()
    assert [document.text for document in reader.read(path, id="a")] == ["fine"]
    reader.close()


def test_bombs_are_refused_by_what_they_declare_and_by_what_they_are(tmp_path):
    reader = Docx(unpacked_mb=32, ratio=200)
    bomb = write(tmp_path / "bomb.docx", b" " * (40 << 20))
    assert refusal(reader, bomb) == (
        "unpacks to 40 MB, more than the 32 MB allowed: raise unpacked_mb if it is trusted, or split the file"
    )
    dense = write(tmp_path / "dense.docx", b" " * (20 << 20))
    told = re.sub("[0-9]{4} times its", "N times its", refusal(reader, dense))
    assert told == "unpacks to 20 MB, N times its size, more than the 200 times allowed: raise ratio if it is trusted"
    lying = bytearray(write(tmp_path / "lie.docx", b"<p/>" * 100).read_bytes())
    at = lying.rfind(b"PK\1\2")
    lying[at + 24 : at + 28] = (9).to_bytes(4, "little")
    (tmp_path / "lie.docx").write_bytes(lying)
    assert "is damaged: the part word/document.xml cannot be unpacked: Bad CRC-32" in refusal(
        reader, tmp_path / "lie.docx"
    )
    reader.close()


def test_only_regular_files_are_opened_and_links_are_not_followed_by_the_child(tmp_path, path):
    reader = Docx()
    os.mkfifo(tmp_path / "pipe.docx")
    assert refusal(reader, tmp_path / "pipe.docx") == "is not a regular file"
    assert refusal(reader, tmp_path) == "is not a regular file"
    assert refusal(reader, tmp_path / "none.docx") == "cannot be read: No such file or directory"
    os.symlink("a.docx", tmp_path / "link.docx")
    assert [one.text for one in reader.read(tmp_path / "link.docx", id="a")] == ["Good."]
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.docx")
    os.rename(path, odd)
    assert [one.text for one in reader.read(Path(odd), id="a")] == ["Good."]
    reader.close()


def test_limits_that_make_no_sense_are_refused():
    for make, message in (
        (lambda: Pdf(memory_mb=64), "memory_mb must be at least 128, got 64"),
        (lambda: Pdf(seconds=0.0), "seconds must be at least 0.1, got 0.0"),
        (lambda: Xlsx(ratio=0), "ratio must be at least 1, got 0"),
    ):
        with pytest.raises(ValueError) as error:
            make()
        assert str(error.value) == message
