"""What must not be lost or come back when the server hangs, refuses, or dies; most of it through the real ingest."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hookrag import Document, HookragError, Row, TransientError, chunk_of
from hookrag.ingest import Given, Ingest, IngestStopped, Target
from hookrag.testing.fakes import WordChunker
from hookrag_elasticsearch.rows import Operation
from hookrag_elasticsearch.store import Elasticsearch
from hookrag_elasticsearch.writing import batches, write

pytestmark = pytest.mark.service


def row(number: int) -> Row:
    text = f"The text of row {number}."
    return Row(chunk_of(Document(f"d{number}", text), 0, len(text)), "o", number)


class Held:
    """A way to a server on which requests are held back, also when their sender has given up."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open = threading.Event()
        self.open.set()
        self.passed = threading.Semaphore(0)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self._carry, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, False), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, to_server: bool) -> None:
        try:
            while data := source.recv(2**20):
                if to_server:
                    self.open.wait()
                sink.sendall(data)
                if not to_server:
                    self.passed.release()
        except OSError:
            return  # whoever was to hear it has gone


@pytest.fixture
def held(url: str) -> Iterator[Held]:
    made = Held(int(url.rsplit(":", 1)[1].strip("/")))
    yield made
    made.open.set()
    made.listener.close()


def test_a_bulk_request_that_arrives_after_the_acknowledged_delete_brings_nothing_back(
    make: Callable[..., Any], held: Held
) -> None:
    direct, slow = make(), make(url=f"http://127.0.0.1:{held.port}", timeout=4.0)
    rows = [row(number) for number in range(25)]
    held.open.clear()
    with pytest.raises(TransientError, match="no answer in time"):
        slow.put(rows, version=100)
    direct.drop([one.chunk.id for one in rows[:20]], version=200)
    direct.sync()
    assert direct.count() == 0
    held.open.set()
    until = time.monotonic() + 30
    while direct.count() < 5 and time.monotonic() < until:
        direct.sync()
    # The five that nobody deleted show that the request came through; of the twenty none has come back.
    assert [found is None for found in direct.fetch([one.chunk.id for one in rows])] == [True] * 20 + [False] * 5
    assert direct.count() == 5


# The ingest.


def documents(count: int, start: int = 0) -> Iterator[Document]:
    for number in range(start, start + count):
        yield Document(f"d{number}", f"The words of document number {number}. " * 3)


def ingest(folder: Path, store: Elasticsearch, fault: Callable[[str], None] = lambda place: None) -> Ingest:
    target = Target("words", store, "recipe", {"x": 1}, {}, fenced=store.fenced)
    return Ingest(folder, [target], batch_bytes=20_000, patience=2.0, fault=fault)


class AtPut:
    """Does something before the second batch is written."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act
        self.seen = 0

    def __call__(self, place: str) -> None:
        self.seen += place == "words put: before"
        if self.seen == 2:
            self.seen += 1
            self.act()


def stopped_and_gone_on_with(
    folder: Path, make: Callable[..., Any], act: Callable[[], object], undo: Callable[[], object], message: str
) -> None:
    """A run of 400 documents is stopped by what `act` does, nothing has failed, and after `undo` it goes on to the end."""
    with pytest.raises(IngestStopped, match=message) as caught:
        ingest(folder, make(), AtPut(act)).run(Given(documents(400), "s", complete=True))
    assert caught.value.report.failed == []
    undo()
    run = ingest(folder, make())
    report = run.run(Given(documents(400), "s", complete=True))
    assert (report.failed, report.failed_before, run.status().failed) == ([], 0, ())
    assert report.new > 0
    assert report.unchanged > 0
    assert run.verify().ok
    assert make().count() == 400


def test_an_index_made_read_only(tmp_path: Path, make: Callable[..., Any], client: Any, index: str) -> None:
    def block(value: bool) -> None:
        client.indices.put_settings(index=index, settings={"index.blocks.write": value})

    message = "cluster_block_exception.*remove the block, then go on"
    stopped_and_gone_on_with(tmp_path, make, lambda: block(True), lambda: block(False), message)


def test_a_server_that_has_too_much_to_do(tmp_path: Path, make: Callable[..., Any], client: Any) -> None:
    def limit(value: str | None) -> None:
        client.cluster.put_settings(persistent={"network.breaker.inflight_requests.limit": value})

    try:
        message = "circuit_breaking_exception.*status 429"
        stopped_and_gone_on_with(tmp_path, make, lambda: limit("4kb"), lambda: limit(None), message)
    finally:
        limit(None)


def test_one_poisoned_document_fails_alone(tmp_path: Path, make: Callable[..., Any]) -> None:
    store = make()
    poisoned = Document("x" * 40_000, "A document whose id no index of the server can hold.")
    run = ingest(tmp_path, store)
    report = run.run(Given([*documents(200), poisoned, *documents(200, 200)], "s", complete=True))
    assert [problem.id for problem in report.failed] == [poisoned.id]
    assert store.count() == 400
    assert run.verify().ok


@pytest.mark.soak
def test_a_server_that_is_killed_has_every_row_that_it_acknowledged(
    launched: Callable[..., Any], tmp_path: Path
) -> None:
    server = launched()
    store = Elasticsearch(chunker=None, url=server.state["url"], timeout=10.0)
    store.open()
    acknowledged: list[str] = []
    dropped: list[str] = []
    ended = threading.Event()

    def load() -> None:
        try:
            for start in range(0, 200_000, 50):
                rows = [row(number) for number in range(start, start + 50)]
                store.put(rows, version=start + 1)
                acknowledged.extend(one.chunk.id for one in rows)
                store.drop([rows[0].chunk.id], version=start + 2)
                dropped.append(rows[0].chunk.id)
        except HookragError:
            ended.set()

    loading = threading.Thread(target=load)
    loading.start()
    while len(acknowledged) < 2_000:
        time.sleep(0.02)
    server.stop(kill=True)
    loading.join(60)
    assert ended.is_set(), "the load ended before the server was killed"
    server.start()
    store.close()
    store.open()
    store.sync()
    kept = {key.chunk_id for page in store.scan() for key in page}
    assert set(acknowledged) - set(dropped) - kept - {acknowledged[-50]} == set()
    assert kept & set(dropped) == set()
    store.close()


def made_key(client: Any, rights: Any) -> Any:
    """An API key. While the server makes its index for keys, which the first one asks for, it refuses every password."""
    from elasticsearch import AuthenticationException

    until = time.monotonic() + 60
    while True:
        try:
            return client.security.create_api_key(name="hookrag-test", role_descriptors={"r": rights})
        except AuthenticationException:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


@pytest.mark.soak
def test_credentials_certificates_and_a_key_that_is_revoked(
    launched: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from elasticsearch import Elasticsearch as Client

    server = launched("--tls").state
    monkeypatch.setenv("ES_USER", server["username"])
    monkeypatch.setenv("ES_PASSWORD", server["password"])
    monkeypatch.setenv("ES_WRONG", "wrong-hunter2")
    url, authority = server["url"], Path(server["ca"])

    def refused(**settings: Any) -> str:
        store = Elasticsearch(chunker=None, url=url, **settings)
        with pytest.raises(HookragError) as caught:
            store.open()
        assert "hunter2" not in f"{caught.value!r}{store!r}"
        assert server["password"] not in f"{caught.value!r}{store!r}"
        return str(caught.value)

    credentials = {"username_env": "ES_USER", "password_env": "ES_PASSWORD"}
    assert "certificate was not accepted: name its authority's file by ca_file" in refused(**credentials)
    assert "(status 401): the server refuses the credentials: check the variables that username_env" in refused(
        ca_file=authority, username_env="ES_USER", password_env="ES_WRONG"
    )
    assert "(status 401)" in refused(ca_file=authority)
    assert refused(ca_file=tmp_path / "no.crt").endswith("no.crt, and there is no such file")

    with Client(url, basic_auth=(server["username"], server["password"]), ca_certs=str(authority)) as client:
        rights = {"index": [{"names": ["keyed*", "rows_of_keyed*"], "privileges": ["all"]}]}
        keys = [made_key(client, rights) for _ in range(2)]
        made: list[Elasticsearch] = []

        def make() -> Elasticsearch:
            monkeypatch.setenv("ES_KEY", keys[len(made) > 0]["encoded"])
            made.append(
                Elasticsearch(chunker=WordChunker(), url=url, ca_file=authority, api_key_env="ES_KEY", index="keyed")
            )
            made[-1].open()
            return made[-1]

        def revoke() -> None:
            client.security.invalidate_api_key(ids=[keys[0]["id"]])

        stopped_and_gone_on_with(tmp_path, make, revoke, lambda: None, "the server refuses the credentials")
        for store in made:
            store.close()
        monkeypatch.setenv("ES_KEY", keys[1]["encoded"])
        assert "(status 403): the user or API key lacks a privilege" in refused(
            ca_file=authority, api_key_env="ES_KEY", index="another"
        )


# The size of requests.


class Small:
    """A client of a server that takes requests of so many bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.sizes: list[int] = []

    def bulk(self, *, operations: list[bytes], **given: Any) -> dict[str, Any]:
        from elastic_transport import ApiError, ApiResponseMeta, HttpHeaders, NodeConfig

        assert given == {"index": "target", "require_alias": True}
        size = sum(map(len, operations))
        if size > self.limit:
            node = NodeConfig("http", "localhost", 1)
            raise ApiError("too large", ApiResponseMeta(413, "1.1", HttpHeaders(), 0.0, node), "entity too large")
        self.sizes.append(size)
        return {"errors": False}


def test_a_request_that_is_too_large_is_halved_until_it_is_one_row() -> None:
    from hookrag_elasticsearch.connection import Connection

    client: Any = Small(100)
    operations = [Operation(str(n), (b"x" * 10, b"y" * (120 if n == 5 else 10))) for n in range(12)]
    refused = write(Connection(client, "http://there", "target"), operations)
    assert refused == {"5": "http://there, index target: write failed: entity too large (status 413)"}
    assert sum(client.sizes) == 11 * 20
    assert max(client.sizes) <= 100


def test_batches_are_bounded_in_bytes_and_number() -> None:
    large = [Operation(str(n), (b"x" * 3_000_000,)) for n in range(5)]
    small = [Operation(str(n), (b"x",)) for n in range(4_001)]
    sizes = [sum(one.size for one in batch) for batch in batches([*large, *small])]
    assert max(sizes) <= 8 * 2**20
    assert sum(len(batch) for batch in batches([*large, *small])) == 4_006
    assert max(len(batch) for batch in batches(small)) == 2_000
