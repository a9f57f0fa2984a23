"""Stores that are closed at the end of a test, and a real Milvus server where there is one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for milvus_kit

from hookrag import HookragError  # noqa: E402
from hookrag_milvus.store import Milvus  # noqa: E402
from milvus_kit import made, remove  # noqa: E402

START_SECONDS = 180
HOW = (
    "no Milvus server: set HOOKRAG_MILVUS_URI to the address of one, or HOOKRAG_MILVUS_SERVER to the program milvus-server of "
    "an environment with the packages milvus==2.3.5 and setuptools<70 (Linux, with unshare)"
)


@pytest.fixture
def opened() -> Iterator[list[Milvus]]:
    """A list: what a test adds to it is closed at its end."""
    stores: list[Milvus] = []
    yield stores
    for store in stores:
        store.close()


@pytest.fixture
def store(tmp_path: Path, opened: list[Milvus]) -> Milvus:
    """An empty embedded store with the default settings, open."""
    store = made(tmp_path / "index")
    store.open()
    opened.append(store)
    return store


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Milvus server."""
    address = os.environ.get("HOOKRAG_MILVUS_URI")
    if address:
        yield address
        return
    program = os.environ.get("HOOKRAG_MILVUS_SERVER")
    unshare = shutil.which("unshare")
    if not program or not unshare:
        pytest.skip(HOW)
    folder = tmp_path_factory.mktemp("milvus")
    isolated = [unshare, "-rn", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable]
    with socket.create_server(("127.0.0.1", 0)) as listening, (folder / "log").open("wb") as log:
        number = listening.fileno()
        command = [*isolated, str(HERE / "serve_milvus.py"), str(number), program, "--data", str(folder / "data")]
        process = subprocess.Popen(command, pass_fds=[number], stdout=log, stderr=log)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        _wait(address, process, folder)
        yield address
    finally:
        process.kill()  # and with it all processes of its namespace
        process.wait()
        shutil.rmtree(folder / "data", ignore_errors=True)


def _wait(address: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            store = made(folder / "probe", uri=address, timeout=5.0)
            store.open()
            store.close()
            return
        except HookragError as error:
            if process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"the server did not start: {error}\n{(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.5)


@pytest.fixture
def served(server: str, tmp_path: Path) -> Iterator[Callable[..., Milvus]]:
    """Makes stores on the server, in one index of their own, opens them, and removes all in the end."""
    collection = f"test_{uuid.uuid4().hex}"
    stores: list[Milvus] = []

    def make(folder: str = "index", **settings: object) -> Milvus:
        store = made(tmp_path / folder, uri=server, collection=collection, **settings)
        stores.append(store)
        store.open()
        return store

    yield make
    for store in stores:
        store.close()
    remove(server, collection)
