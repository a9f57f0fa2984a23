"""What the server and the client say, sorted: what may pass, what concerns everything, what to do about it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from hookrag import HookragError, TransientError
from hookrag_elasticsearch.errors import Conflict, NotFound, Refused, TooLarge, answered, reason_of
from hookrag_elasticsearch.store import Elasticsearch


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (429, "es_rejected_execution_exception", TransientError),
        (429, "circuit_breaking_exception", TransientError),
        (429, "cluster_block_exception", TransientError),
        (503, "unavailable_shards_exception", TransientError),
        (503, "cluster_block_exception", TransientError),
        (502, None, TransientError),
        (504, None, TransientError),
        (401, "security_exception", HookragError),
        (403, "security_exception", HookragError),
        (403, "cluster_block_exception", HookragError),
        (400, "index_closed_exception", HookragError),
        (500, "io_exception", HookragError),
        (404, "index_not_found_exception", NotFound),
        (409, "version_conflict_engine_exception", Conflict),
        (400, "resource_already_exists_exception", Conflict),
        (413, None, TooLarge),
        (400, "document_parsing_exception", Refused),
    ],
)  # fmt: skip
def test_answers_are_sorted(status: int, kind: str | None, expected: type[HookragError]) -> None:
    found = answered(status, {"type": kind, "reason": "why"}, "there: write failed")
    assert type(found) is expected
    assert str(found).startswith(f"there: write failed: {kind}: why (status {status})")


def test_a_client_that_is_too_new_is_told_which_to_install() -> None:
    told = "Accept version must be either version 8 or 7, but found 9"
    assert str(answered(400, {"type": "media_type_header_exception", "reason": told}, "there: look up failed")) == (
        f"there: look up failed: media_type_header_exception: {told} (status 400): the Python client is newer than the server: "
        'install the client of the server\'s version, pip install "elasticsearch<9" for a server 8'
    )


def test_the_innermost_cause_is_told_and_long_values_are_cut() -> None:
    inner = {"type": "illegal", "reason": "immense term", "caused_by": "y" * 999}
    failed = {"type": "parsing", "reason": "x" * 999, "caused_by": inner}
    told = reason_of({"type": "search_phase", "reason": "all", "failed_shards": [{"reason": failed}]})
    assert told == f"parsing: {'x' * 288}..., caused by illegal: immense term, caused by {'y' * 297}..."


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"tagline": "You Know, for something else"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing on standard error."""


@pytest.fixture
def something_else() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_server_that_is_something_else(something_else: str) -> None:
    with pytest.raises(HookragError) as caught:
        Elasticsearch(chunker=None, url=something_else).open()
    assert str(caught.value) == (
        f"{something_else}, index hookrag: look up failed: what answers there is not Elasticsearch: check the url and its port"
    )
