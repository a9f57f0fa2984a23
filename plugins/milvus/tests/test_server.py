"""The connection to a server: real calls to Milvus Lite in server mode, and a server of our own that fails on purpose."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import numpy as np
import pytest
from hookrag import Document, HookragError, Row, TransientError, chunk_of, parse_filter
from hookrag_milvus.connection import RETRIES
from hookrag_milvus.errors import NotLoaded, Refused, TooLarge, translated
from hookrag_milvus.store import Milvus
from pymilvus.exceptions import DataNotMatchException, MilvusException, ParamError
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc


def make_rows(n: int) -> list[Row]:
    rows = []
    for number in range(n):
        document = Document(f"d{number}", f"text {number}", metadata={"n": number})
        rows.append(Row(chunk_of(document, 0, len(document.text)), "o", number, np.array([1, number], np.float32)))
    return rows


@pytest.fixture
def lite_server(tmp_path: Path) -> Iterator[str]:
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    server, database, port = start_server_in_thread(str(tmp_path / "served.db"), port=0)
    yield f"http://127.0.0.1:{port}"
    server.stop(grace=0).wait()
    database.close()


@pytest.mark.parametrize("index", ["FLAT", "HNSW"])
def test_a_store_on_a_server(lite_server: str, tmp_path: Path, index: str) -> None:
    store = Milvus(chunker=None, embedder=None, path=tmp_path / "a", uri=lite_server, index=index)
    store.open()
    first = store.card()
    assert (tmp_path / "a" / "card.json").exists()
    rows = make_rows(30)
    assert store.put(rows, version=1) == {}
    store.sync()
    elsewhere = Milvus(chunker=None, embedder=None, path=tmp_path / "b", uri=lite_server, index=index)
    elsewhere.open()
    assert elsewhere.card() == first
    assert elsewhere.count() == 30
    (hits,) = elsewhere.search_dense(np.array([[0, 1]], np.float32), k=2, where=parse_filter("n < 20"))
    assert [hit.chunk.text for hit in hits] == ["text 19", "text 18"]
    elsewhere.drop([row.chunk.id for row in rows[:29]], version=2)
    elsewhere.close()
    assert [key.check for page in store.scan() for key in page] == [29]
    store.close()


class Stub(milvus_pb2_grpc.MilvusServiceServicer):
    """A server that greets, and then does what a test says."""

    def __init__(self) -> None:
        self.calls = 0
        self.tokens: list[str] = []
        self.act: Callable[[grpc.ServicerContext], milvus_pb2.DescribeCollectionResponse] = lambda _: (
            milvus_pb2.DescribeCollectionResponse()
        )

    def Connect(self, request: object, context: grpc.ServicerContext) -> milvus_pb2.ConnectResponse:
        self.tokens += [value for key, value in context.invocation_metadata() if key == "authorization"]
        return milvus_pb2.ConnectResponse(identifier=1)

    def GetVersion(self, request: object, context: grpc.ServicerContext) -> milvus_pb2.GetVersionResponse:
        return milvus_pb2.GetVersionResponse(version="v2.5.0")

    def DescribeCollection(
        self, request: object, context: grpc.ServicerContext
    ) -> milvus_pb2.DescribeCollectionResponse:
        self.calls += 1
        return self.act(context)


@pytest.fixture
def stub() -> Iterator[tuple[Stub, str]]:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    servicer = Stub()
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"http://127.0.0.1:{port}"
    server.stop(grace=0).wait()


def test_a_server_that_hangs_is_left_after_the_timeout(stub: tuple[Stub, str], tmp_path: Path) -> None:
    servicer, uri = stub
    released = threading.Event()

    def hang(_: grpc.ServicerContext) -> milvus_pb2.DescribeCollectionResponse:
        released.wait(30)
        return milvus_pb2.DescribeCollectionResponse()

    servicer.act = hang
    with pytest.raises(TransientError, match="Deadline Exceeded"):
        Milvus(chunker=None, embedder=None, path=tmp_path, uri=uri, timeout=3.0).open()
    released.set()
    assert servicer.calls == 1


def test_a_failing_call_is_not_repeated_by_the_client(stub: tuple[Stub, str], tmp_path: Path) -> None:
    servicer, uri = stub

    def fail(context: grpc.ServicerContext) -> milvus_pb2.DescribeCollectionResponse:
        context.abort(grpc.StatusCode.UNKNOWN, "the proxy stumbled")

    servicer.act = fail
    with pytest.raises(TransientError, match="the proxy stumbled"):
        Milvus(chunker=None, embedder=None, path=tmp_path, uri=uri).open()
    assert servicer.calls == 1


@pytest.mark.parametrize("status", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE])
def test_no_call_is_repeated_by_the_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: grpc.StatusCode
) -> None:
    # The client would repeat each 75 times, for 215 s; the core repeats what is transient, until its own deadline.
    from milvus_lite.adapter.grpc.servicer import MilvusServicer

    calls: list[str] = []
    failing = threading.Event()

    def wrapped(name: str) -> Callable[..., object]:
        real = getattr(MilvusServicer, name)

        def call(self: object, request: object, context: grpc.ServicerContext) -> object:
            if failing.is_set():
                calls.append(name)
                context.abort(status, "the proxy stumbled")
            return real(self, request, context)

        return call

    for name in ("Search", "Query", "Upsert", "Delete", "Flush", "AlterCollection", "DescribeIndex"):
        monkeypatch.setattr(MilvusServicer, name, wrapped(name))
    store = Milvus(chunker=None, embedder=None, path=tmp_path)
    store.open()
    rows = make_rows(5)
    store.put(rows, version=1)
    failing.set()
    for name, use in {
        "Search": lambda: store.search_dense(rows[1].dense[None], k=1, where=None),
        "Query": lambda: list(store.scan()),
        "Upsert": lambda: store.put(rows, version=2),
        "Delete": lambda: store.drop([rows[0].chunk.id], version=2),
        "AlterCollection": lambda: store.stamp(store.card()),
    }.items():
        calls.clear()
        with pytest.raises(TransientError, match="the proxy stumbled"):
            use()
        assert calls == [name]
    for use in (store.count, lambda: store.fetch([rows[0].chunk.id])):
        calls.clear()
        with pytest.raises(TransientError, match="the proxy stumbled"):
            use()
        assert calls == ["Query"]
    failing.clear()
    assert store.put(rows, version=2) == {}
    assert store.count() == 5
    store.close()


def test_a_limit_on_the_rate_is_transient(stub: tuple[Stub, str], tmp_path: Path) -> None:
    servicer, uri = stub
    servicer.act = lambda _: milvus_pb2.DescribeCollectionResponse(
        status=common_pb2.Status(code=8, reason="request is rejected by limiter", error_code=common_pb2.RateLimit)
    )
    with pytest.raises(TransientError, match="rejected by limiter"):
        Milvus(chunker=None, embedder=None, path=tmp_path, uri=uri).open()
    assert servicer.calls == 1


def test_the_token_comes_from_the_environment(
    stub: tuple[Stub, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import base64

    servicer, uri = stub
    servicer.act = lambda _: milvus_pb2.DescribeCollectionResponse(
        status=common_pb2.Status(code=100, reason="no such collection", error_code=common_pb2.CollectionNotExists)
    )
    store = Milvus(chunker=None, embedder=None, path=tmp_path, uri=uri, token_env="MILVUS_TEST_TOKEN")
    with pytest.raises(HookragError) as caught:
        store.open()
    assert (
        str(caught.value)
        == f"{uri}: token_env names the variable MILVUS_TEST_TOKEN, which is not set: export it with the token"
    )
    monkeypatch.setenv("MILVUS_TEST_TOKEN", "root:hunter2")
    store.open()
    assert store.count() == 0
    assert base64.b64encode(b"root:hunter2").decode() in servicer.tokens
    assert "hunter2" not in repr(store)
    store.close()


def test_no_server_is_transient(tmp_path: Path) -> None:
    with pytest.raises(TransientError) as caught:
        Milvus(chunker=None, embedder=None, path=tmp_path, uri="http://127.0.0.1:1", timeout=0.5).open()
    assert str(caught.value).startswith("http://127.0.0.1:1: no connection: ")


def test_what_the_client_refuses_itself_keeps_its_kind(tmp_path: Path) -> None:
    store = Milvus(chunker=None, embedder=None, path=tmp_path)
    store.open()
    store.put(make_rows(2), version=1)
    client = store._connection.client
    for wrong in ({"pk": 5}, {"nothing": 1}):
        with pytest.raises(Refused, match=r"^.*, collection hookrag: write failed: (?!.*Retry run out)"):
            store._connection.call("write", lambda row=wrong: client.upsert("hookrag", [row], **RETRIES), writes=True)
    assert store.count() == 2
    store.close()


class Rpc(grpc.RpcError):
    def __init__(self, status: grpc.StatusCode) -> None:
        self.status = status

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str:
        return "details"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MilvusException(2, "gone"), TransientError),
        (MilvusException(8, "slow down"), TransientError),
        (MilvusException(1, "x", retriable=True), TransientError),
        (MilvusException(1, "current_seq is monotonic; tried to set 1 < 2"), TransientError),
        (MilvusException(grpc.StatusCode.UNAVAILABLE, "x"), TransientError),
        (Rpc(grpc.StatusCode.UNAVAILABLE), TransientError),
        (Rpc(grpc.StatusCode.DEADLINE_EXCEEDED), TransientError),
        (Rpc(grpc.StatusCode.RESOURCE_EXHAUSTED), TooLarge),
        (Rpc(grpc.StatusCode.UNAUTHENTICATED), HookragError),
        (Rpc(grpc.StatusCode.PERMISSION_DENIED), HookragError),
        (Rpc(grpc.StatusCode.UNIMPLEMENTED), HookragError),
        (MilvusException(101, "not loaded"), NotLoaded),
        (MilvusException(6, "expected dim 8"), Refused),
        (MilvusException(1100, "too long"), Refused),
        (MilvusException(65535, "not a number"), Refused),
        (DataNotMatchException(message="missing field"), Refused),
        (ParamError(message="bad"), Refused),
        (MilvusException(1, "[Errno 28] No space left on device"), HookragError),
        (MilvusException(100, "no such collection"), HookragError),
    ],
)  # fmt: skip
def test_what_pymilvus_raises_is_sorted(error: Exception, kind: type[HookragError]) -> None:
    found = translated(error, "there: write failed")
    assert type(found) is kind
    assert str(found).startswith("there: write failed: ")
