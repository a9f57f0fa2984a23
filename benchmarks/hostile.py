"""What happens with 200 hostile files among good ones: how many are taken, why the others are not, in what time and memory.

    .venv/bin/python benchmarks/hostile.py [--short] [--keep FOLDER]

A child process indexes them with the readers' defaults and the store `lexical`. It fails if that process dies, hangs or
takes 1.5 GB, if a good file is missing, if a file has no reason or two, if something is left in the temporary folder, or
if anything was asked over the network.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hostile_files import docx, good, hostile, zipped

SECONDS = 600
MEMORY_MB = 1500
CONFIG = """
[pipelines.default]
retriever = "bm25"
[index]
path = "../index"
[chunkers.passages]
use = "words"
[stores.terms]
use = "lexical"
chunker = "passages"
[retrievers.bm25]
use = "text"
store = "terms"
""" + "".join(f'[readers.{name}]\nuse = "{name}"\n' for name in ("html", "pdf", "docx", "pptx", "xlsx", "epub"))
SHORT = {
    "bomb-text.pptx", "laughs.xlsx", "laughs.epub", "deep.docx", "lie-large.pptx", "crc.epub", "other.docx",
    "password.xlsx", "surrogate.docx", "flipped-0.pptx", "xxe-passwd.docx", "xxe-http.xlsx",
    "xxe-http.epub", "cyclic.pdf", "count.pdf",
    "encrypted.pdf", "deep.html", "deep.jsonl", "cut.jsonl", "nul.txt", "zero.pdf", "random.docx", "cut-0.pdf",
}  # fmt: skip


def write(folder: Path, port: int, *, short: bool) -> list[socket.socket]:
    """Fills the folder; returns the sockets in it, to be closed."""
    for name, data in (*good(), *hostile(port, random.Random(7))):
        if isinstance(name, str) and short and not name.startswith("good") and name not in SHORT:
            continue
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data() if callable(data) else data)
    os.mkfifo(folder / "pipe.docx")
    listening = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(folder)  # the name of a socket has at most 108 bytes
    listening.bind("socket.pdf")
    os.chdir(here)
    os.symlink("/etc/passwd", folder / "outward.txt")
    os.symlink("nowhere.docx", folder / "dangling.docx")
    os.symlink("loop.docx", folder / "loop.docx")
    (folder / "folder.pdf").mkdir()
    (folder / "folder.pdf" / "inside.xlsx").mkdir()
    return [listening]


def moving(folder: Path, stop: threading.Event) -> None:
    """A file that grows, and one that comes and goes, for as long as the folder is read."""
    whole = zipped(docx("word " * 1000))
    grows, goes = folder / "growing.docx", folder / "vanishing.docx"
    grows.write_bytes(whole)
    while not stop.is_set():
        goes.write_bytes(whole)
        if grows.stat().st_size < 20 << 20:
            with grows.open("ab") as file:
                file.write(os.urandom(100_000))
        time.sleep(0.004)
        goes.unlink()
        time.sleep(0.004)


def index(folder: Path) -> None:
    """What runs in the child: index the folder and print a report as JSON."""
    from hookrag import Pipeline

    (folder.parent / "pipeline.toml").write_text(CONFIG.replace("../index", "index"), encoding="utf-8")
    with Pipeline.from_config(folder.parent / "pipeline.toml") as pipeline:
        start = time.perf_counter()
        report = pipeline.index_files(folder)
        seconds = time.perf_counter() - start
        found = {hit.chunk.document_id for hit in pipeline.retrieve(["gutename"], k=100)[0].hits}
    told = {"found": sorted(found), "seconds": seconds, "new": report.new, "items": report.items}
    lists = {name: [(one.locator, one.reason) for one in getattr(report, name)] for name in ("unread", "failed")}
    print(json.dumps({**told, **lists, "skipped": dict(report.skipped)}))


def listen() -> tuple[socket.socket, list[bytes]]:
    """A server that writes down whoever comes."""
    server = socket.create_server(("127.0.0.1", 0))
    came: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                guest, _ = server.accept()
            except OSError:
                return
            came.append(guest.recv(200))
            guest.close()

    threading.Thread(target=serve, daemon=True).start()
    return server, came


def run(base: Path, *, short: bool = False) -> tuple[dict[str, Any], list[str]]:
    """Makes the files under `base` and indexes them in a child; its report, and what is wrong with it."""
    folder, temporary = base / "docs", base / "tmp"
    folder.mkdir()
    temporary.mkdir()
    server, came = listen()
    sockets = write(folder, server.getsockname()[1], short=short)
    stop = threading.Event()
    mover = threading.Thread(target=moving, args=(folder, stop))
    mover.start()
    command = [sys.executable, __file__, "--index", str(folder)]
    peaks: dict[int, int] = {}
    try:
        with (base / "out").open("w") as out, (base / "err").open("w") as err:
            begun = subprocess.Popen(command, stdout=out, stderr=err, env={**os.environ, "TMPDIR": str(temporary)})
            end = time.monotonic() + SECONDS
            while begun.poll() is None and time.monotonic() < end:
                measure(begun.pid, peaks)
                time.sleep(0.02)
            begun.kill()
            code = begun.wait()
    finally:
        stop.set()
        mover.join()
        for one in (*sockets, server):
            one.close()
    if code:
        return {}, [f"the process ended with {code} after {len(peaks)} children: {(base / 'err').read_text()[-2000:]}"]
    told: dict[str, Any] = json.loads((base / "out").read_text())
    parent = peaks.pop(begun.pid)
    told |= {"parent": parent, "children": len(peaks), "child": max(peaks.values(), default=0)}
    left = [pid for pid in peaks if _memory(pid)]
    return told, [*_wrong(told, folder, temporary, came), *(f"child {pid} is still there" for pid in left)]


def measure(pid: int, peaks: dict[int, int]) -> None:
    """Notes the most memory, in MB, that the process and its children have held."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for one in (pid, *map(int, children)):
        # Until a new process runs its own program, the memory that it shows is its parent's.
        if one == pid or _command(one) != _command(pid):
            peaks[one] = max(_memory(one), peaks.get(one, 0))


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _memory(pid: int) -> int:
    """0 for a process that is not there. From /proc, for rusage would count what its parent held when it began it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM")), 0)


def _wrong(told: Mapping[str, Any], folder: Path, temporary: Path, came: list[bytes]) -> Iterator[str]:
    missing = sum(1 for _ in good()) - len({one.partition("#")[0] for one in told["found"]})
    if missing:
        yield f"{missing} good files were not found: {told['found']}"
    reasons = Counter(where for where, _ in told["unread"] + told["failed"])
    yield from (f"{where} has {count} reasons" for where, count in reasons.items() if count > 1)
    yield from (f"{where} has no reason" for where, reason in told["unread"] + told["failed"] if not reason.strip())
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()} - {"vanishing.docx"}
    unread_before = sum("cannot be looked at" in reason or "normalisation" in reason for _, reason in told["unread"])
    looked = told["items"] + unread_before + sum(told["skipped"].values())
    if not len(names) <= looked <= len(names) + 1:
        yield f"{len(names)} files, of which {looked} were counted"
    for name in ("parent", "child"):
        if told[name] > MEMORY_MB:
            yield f"the {name} took {told[name]} MB"
    yield from (f"left behind: {path.name}" for path in temporary.iterdir())
    if came:
        yield f"asked over the network: {came[0]!r}"


def _kind(reason: str) -> str:
    """A reason without what is only of its file."""
    text = reason.partition(": ")[2] if reason.startswith("/") else reason
    text = re.sub(r"\[?[\w/-]+(?:\.xml|\.rels|\.opf|\.xhtml)'?|'[^']*'", "...", text)
    text = re.sub(r"\b(?:0x)?\d[\d.]*|: line \d+.*", "n", text)
    text = re.sub(r"(an?) (?:Word|Excel|PowerPoint|EPUB) (?:document|workbook|presentation|book)", "...", text)
    return text[:118]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="about 25 hostile files")
    parser.add_argument("--keep", type=Path, help="an empty folder for the files, which stay")
    parser.add_argument("--index", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.index:
        index(given.index)
        return
    base = given.keep or Path(tempfile.mkdtemp(prefix="hostile-"))
    base.mkdir(parents=True, exist_ok=True)
    try:
        told, wrong = run(base, short=given.short)
        count = sum(1 for path in (base / "docs").rglob("*") if not path.is_dir())
    finally:
        if not given.keep:
            shutil.rmtree(base)
    if told:
        print(f"{count} files and links, {sum(1 for _ in good())} of them good")
        print(f"{told['items']} looked into, {told['new']} documents indexed, {len(told['unread'])} not read, ", end="")
        print(f"{len(told['failed'])} failed, {sum(told['skipped'].values())} skipped")
        print(f"{told['seconds']:.1f} s; peak memory {told['parent']} MB, ", end="")
        print(f"of the largest of {told['children']} children {told['child']} MB\n")
        kinds = Counter(_kind(reason) for _, reason in told["unread"] + told["failed"]) + Counter(told["skipped"])
        for reason, times in kinds.most_common():
            print(f"{times:4}  {reason}")
    for line in wrong:
        print(f"WRONG: {line}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
