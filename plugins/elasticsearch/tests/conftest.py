"""A real Elasticsearch for the tests: the one that is named, or one that the launcher beside the repository starts."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from hookrag.testing.fakes import WordChunker
from hookrag_elasticsearch.store import Elasticsearch

LAUNCHER = Path(__file__).parents[3].parent / "shared" / "elasticsearch" / "server.py"
_MISSING = (
    "no Elasticsearch: set HOOKRAG_ELASTICSEARCH_URL to the address of one "
    "(indices called hookrag-test-* are made there, and deleted)"
)


class Launched:
    """A server that the launcher runs, in a folder of its own; every call returns when it is done."""

    def __init__(self, *options: str) -> None:
        # Not pytest's folder: another user runs the server, who could not enter that.
        self.folder = Path(tempfile.mkdtemp(prefix="hookrag-elasticsearch-"))
        self.folder.chmod(0o755)
        self.options = options
        self.state: dict[str, Any] = {}

    def run(self, what: str, *options: str) -> str:
        command = [sys.executable, str(LAUNCHER), what, "--dir", str(self.folder), *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=290)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self) -> str:
        if not self.state:
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                self.port = taken.getsockname()[1] % 20_000 + 20_000  # and 100 above it, for its own transport
        self.state = json.loads(self.run("start", "--port", str(self.port), "--wait", "270", *self.options))
        return str(self.state["url"])

    def stop(self, *, kill: bool = False) -> None:
        self.run("stop", *(["--kill"] if kill else []))

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def launched() -> Iterator[Callable[..., Launched]]:
    """Starts servers of one's own, which may be stopped, killed and frozen."""
    servers: list[Launched] = []

    def launch(*options: str) -> Launched:
        if not LAUNCHER.exists():
            pytest.skip(f"needs a server to stop and freeze, and there is no launcher at {LAUNCHER}")
        servers.append(Launched(*options))
        servers[-1].start()
        return servers[-1]

    yield launch
    for server in servers:
        server.remove()


@pytest.fixture(scope="session")
def own_server(launched: Callable[..., Launched]) -> Launched:
    """A server that is the tests' own, so that they may freeze and kill it."""
    return launched()


@pytest.fixture(scope="session")
def url(request: pytest.FixtureRequest) -> str:
    """The address of a server for all tests."""
    if named := os.environ.get("HOOKRAG_ELASTICSEARCH_URL"):
        return named
    if not LAUNCHER.exists():
        pytest.skip(_MISSING)
    return str(request.getfixturevalue("own_server").state["url"])


@pytest.fixture(scope="session")
def client(url: str) -> Iterator[Any]:
    """A client of its own, to look at the server and to change it. Every index of the tests is deleted at the end."""
    from elasticsearch import Elasticsearch as Client

    made = Client(url, request_timeout=60)
    yield made
    names = list(made.indices.get(index="hookrag-test-*"))
    for start in range(0, len(names), 50):
        made.indices.delete(index=names[start : start + 50])
    made.close()


def index_of(name: object) -> str:
    """The name of an index for a test or a folder."""
    return "hookrag-test-" + blake2b(str(name).encode(), digest_size=8).hexdigest()


@pytest.fixture
def index(request: pytest.FixtureRequest, client: Any, tmp_path: Path) -> str:
    """An index name that nothing has used before."""
    return index_of(tmp_path)


@pytest.fixture
def make(url: str, index: str) -> Iterator[Callable[..., Elasticsearch]]:
    """Makes stores on the test's index, opened, and closed at the end."""
    made: list[Elasticsearch] = []

    def store(**settings: Any) -> Elasticsearch:
        made.append(Elasticsearch(**{"chunker": WordChunker(), "url": url, "index": index, **settings}))
        made[-1].open()
        return made[-1]

    yield store
    for one in made:
        one.close()
