"""A hub as huggingface_hub asks it: one model, which misbehaves as it is told."""

from __future__ import annotations

import json
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ID = "acme/tiny"


class Hub:
    """What the server has: files by path, what it was asked, and how it misbehaves."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str | None, str | None]] = []
        self.revisions = {"main": COMMIT, "refs/pr/1": COMMIT}
        self.token: str | None = None
        self.cut_after: int | None = None
        self.reply: tuple[int, bytes, dict[str, str]] | None = None
        self.published: dict[str, bytes] = {}

    def listed(self) -> list[dict]:
        """Every file with its size and its hash."""
        told = []
        for name, content in self.files.items():
            content = self.published.get(name, content)
            digest = sha1(b"blob %d\0" % len(content) + content).hexdigest()
            one = {"type": "file", "path": name, "size": len(content), "oid": digest}
            if name.endswith((".safetensors", ".onnx", ".bin")):
                one["oid"] = "0" * 40  # of the pointer
                one["lfs"] = {"oid": sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
            told.append(one)
        return told


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        hub, path = self.hub, self.path.partition("?")[0]
        hub.asked.append((self.command, path, self.headers.get("Range"), self.headers.get("Authorization")))
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self.send(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"}, body)
        if path.startswith("/api/models/"):
            if hub.reply:
                return self.send(*hub.reply, body)
            if path == f"/api/models/{ID}/tree/{COMMIT}":
                listed = json.dumps(hub.listed()).encode()
                return self.send(200, listed, {"Content-Type": "application/json"}, body)
            name, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            if name != ID:
                return self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)
            revision = (revision or "main").replace("%2F", "/")
            if revision not in (*hub.revisions, COMMIT):
                return self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body)
            info = {
                "id": ID,
                "modelId": ID,
                "sha": hub.revisions.get(revision, revision),
                "siblings": [{"rfilename": name} for name in hub.files],
                "private": False,
                "tags": [],
            }
            return self.send(200, json.dumps(info).encode(), {"Content-Type": "application/json"}, body)
        file = path.removeprefix(f"/{ID}/resolve/{COMMIT}/")
        if file not in hub.files:
            return self.send(404, b"", {"X-Error-Code": "EntryNotFound"}, body)
        content = hub.files[file]
        headers = {"ETag": f'"{sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range")
        if wanted and body:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return self.send(206, content[start:], headers, body)
        return self.send(200, content, headers, body)

    def send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            cut = self.hub.cut_after
            if cut is not None and len(content) > cut and status in (200, 206):
                self.wfile.write(content[:cut])
                self.wfile.flush()
                self.close_connection = True
                self.connection.close()
            else:
                self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
