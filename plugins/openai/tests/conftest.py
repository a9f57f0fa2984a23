"""A real server of a real model, and a stub that answers as it is told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hookrag_transformers.models import models_folder

HERE = Path(__file__).parent
KEY = "sk-of-the-test-server"
WEIGHTS = "smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory) -> Iterator[str]:
    """The address of a server with SmolLM2-135M-Instruct, a window of 2048 and the key KEY."""
    weights = models_folder() / WEIGHTS
    if not weights.exists():
        pytest.fail(f"{weights} is missing: hookrag models fetch smollm2-135m-instruct")
    log = tmp_path_factory.mktemp("server") / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, HERE / "serve.py", weights, KEY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            if not address:
                pytest.fail(f"the server did not start: {log.read_text()[-2000:]}")
            yield f"{address}/v1"
        finally:
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture
def smollm2_key(monkeypatch) -> None:
    monkeypatch.setenv("SMOLLM2_KEY", KEY)


class Stub:
    """Answers every POST with what `answer(path, body)` says: a status, a body (text is sent as it is), and headers."""

    def __init__(self) -> None:
        self.answer: Callable[[str, dict], tuple] = lambda path, body: (200, {})
        self.models: tuple = (404, {"error": {"message": "no such path"}})
        self.requests: list[tuple[str, dict, dict]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply(*stub.models)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                stub.requests.append((self.path, body, dict(self.headers)))
                self.reply(*stub.answer(self.path, body))

            def reply(self, status: int, body, headers=()) -> None:
                data = (body if isinstance(body, str) else json.dumps(body)).encode()
                headers = {"content-type": "application/json", "content-length": str(len(data)), **dict(headers)}
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format, *args) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"


@pytest.fixture
def stub() -> Iterator[Stub]:
    made = Stub()
    thread = Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()
