"""`hookrag index`, killed at every journal and store call, and killed at any time: the same command makes the index whole.

`make test` takes a part of the moments; with HOOKRAG_SOAK=1 it is all of them.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from .world import STORE, Server, copied, documents, journal, left, plugins, server, start, write

SOAK = bool(os.environ.get("HOOKRAG_SOAK"))
HOOKRAG = Path(sys.executable).with_name("hookrag")
INDEX, VERIFY = ["index", "docs"], ["verify"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A second store: what its table says, what is to be imported for it, and every how many moments `make test` takes."""

    use: str
    modules: tuple[str, ...]
    stride: int
    settings: str = ""


KINDS = {
    "faiss": Kind("faiss", ("faiss", "hookrag_faiss.store"), 19),
    "milvus": Kind("milvus", ("pymilvus", "milvus_lite.server_manager", "hookrag_milvus.store"), 23),
}
if SOAK:
    # Its server takes longer to start than `make test` has for this.
    settings = 'url = "{url}"\nindex = "{index}"'
    KINDS["elasticsearch"] = Kind("elasticsearch", ("elasticsearch", "hookrag_elasticsearch.store"), 1, settings)


@dataclass(slots=True)
class Case:
    """The place of an index, how it comes to hold the documents A, and the rows that fresh indexes have."""

    server: Server
    stride: int
    place: Path
    base: Path | None
    fresh: dict[str, dict]

    def reset(self) -> None:
        """An index of A. Embedded stores are put back; it has to be the same place, for an index knows its files by path."""
        if self.base is not None:
            shutil.rmtree(self.place)
            copied(self.base, self.place)
        else:
            write(self.place, documents("A"))
            self.server.must(self.place, INDEX)

    def check(self, version: str, moment: object) -> None:
        """The same command goes on, and then nothing is lost, doubled or left over."""
        write(self.place, documents(version))
        self.server.must(self.place, INDEX, VERIFY)
        assert left(self.place) == {}, moment
        assert self.server.rows(self.place) == self.fresh[version], moment


@pytest.fixture(scope="module", params=list(KINDS))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    kind = KINDS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as ending:
        url = ending.enter_context(elasticsearch()) if kind.settings else ""
        forking = server(folder, "hookrag_lexical.store", *kind.modules)
        ending.callback(forking.close)
        fresh = {}
        for version in ("B", "B'", "A"):
            shutil.rmtree(folder / "place", ignore_errors=True)
            index = f"hookrag-faults-{os.getpid()}-{len(fresh)}"
            place = start(folder / "place", STORE.format(use=kind.use) + kind.settings.format(url=url, index=index))
            write(place, documents(version))
            forking.must(place, INDEX, VERIFY)
            fresh[version] = forking.rows(place)
        for found in fresh.values():
            assert len(found["terms"]) == len(found["vectors"]) > 60
        assert len(set(map(str, fresh.values()))) == 3
        base = None if url else copied(place, folder / "base")
        yield Case(forking, 1 if SOAK else kind.stride, place, base, fresh)


@contextmanager
def elasticsearch() -> Iterator[str]:
    """The address of the server that HOOKRAG_ELASTICSEARCH_URL names, or of one of its own."""
    if named := os.environ.get("HOOKRAG_ELASTICSEARCH_URL"):
        yield named
        return
    launcher = Path(__file__).parents[2].parent / "shared" / "elasticsearch" / "server.py"
    if not launcher.exists():
        pytest.skip("no Elasticsearch: set HOOKRAG_ELASTICSEARCH_URL to the address of one")
    # Not pytest's folder: another user runs the server, who could not enter that.
    folder = Path(tempfile.mkdtemp(prefix="hookrag-faults-"))
    folder.chmod(0o755)
    command = [sys.executable, str(launcher)]
    try:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = str(taken.getsockname()[1] % 20_000 + 20_000)
        started = subprocess.run(
            [*command, "start", "--dir", str(folder), "--port", port], capture_output=True, text=True, timeout=150
        )
        assert started.returncode == 0, started.stdout + started.stderr
        yield json.loads(started.stdout)["url"]
    finally:
        subprocess.run([*command, "stop", "--dir", str(folder), "--kill"], capture_output=True, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_fault_that_is_no_number_is_told(case: Case) -> None:
    case.reset()
    for value in ("0", "-1", "x"):
        assert case.server.run(case.place, INDEX, fault=value) == (
            2, f"error: HOOKRAG_FAULT must be a whole number of at least 1, got {value!r}: unset it outside of tests\n"
        )  # fmt: skip


@pytest.mark.parametrize("after", ["B", "B'"])
def test_killed_at_any_call_it_goes_on(case: Case, after: str) -> None:
    """From A to B, killed at the n-th call; then B again, or B', in which half of the edits are taken back."""
    for moment in itertools.count(random.randint(1, case.stride), case.stride):
        case.reset()
        write(case.place, documents("B"))
        code, told = case.server.run(case.place, INDEX, fault=moment)
        if code == 0:
            break
        assert code == -signal.SIGKILL, told
        case.check(after, moment)
    assert moment > 40, f"only {moment} calls"
    print(f"{case.place.parent.name}: survived at {moment}")
    case.check(after, "not killed")


def test_killed_at_any_time_it_goes_on(case: Case) -> None:
    """The command itself, a process of its own, from one version to another, over and over."""
    case.reset()
    lock, environment = journal(case.place).with_name("lock"), plugins(case.place.parent / "plugins")
    longest, killed = 0.0, 0
    moments = 50 if SOAK else 3
    for n in range(5 * moments):
        version = ("B", "A", "B'")[n % 3]
        write(case.place, documents(version))
        process = subprocess.Popen(
            [HOOKRAG, *INDEX], cwd=case.place, env=environment, stdout=-1, stderr=subprocess.STDOUT
        )
        while lock.read_text().split(" ")[0] != str(process.pid) and process.poll() is None:
            time.sleep(0.001)
        began = time.perf_counter()
        if n:
            time.sleep(random.uniform(0, longest))
            process.kill()
        told = process.communicate()[0]
        longest = longest or time.perf_counter() - began
        assert process.returncode in ((0, -signal.SIGKILL) if n else (0,)), told
        killed += process.returncode != 0
        case.check(("A", "B'", "B")[n % 3] if n % 2 else version, n)
        if killed == moments:
            break
    assert killed == moments
