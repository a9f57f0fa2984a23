"""Folders of every format that was released are read, and brought up to date by the next commit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from hookrag import parse_filter
from hookrag_lexical.content import Terms
from hookrag_lexical.store import Lexical
from hookrag_segments import files, manifest


class Sparse:
    outputs = ("sparse",)


def test_format_1_is_read_and_becomes_format_2_with_the_next_commit(tmp_path):
    path = tmp_path / "index"
    shutil.copytree(Path(__file__).parent / "data" / "format-1", path)
    store = Lexical(chunker=None, embedder=Sparse(), path=path)
    # The analyzer's identity names the Unicode version of the Python that made the folder.
    body = (path / "manifest.json").read_bytes().rpartition(b"\n")[0]
    content = json.loads(body)
    assert (content["format"], content["analyzer"].keys()) == (1, dict(store.identity()).keys())
    content["analyzer"] = dict(store.identity())
    body = json.dumps(content).encode()
    (path / "manifest.json").write_bytes(body + b"\n" + files.digest(body).encode())

    store.open()
    store.verify()
    assert [hit.chunk.id for hit in store.search_text(["fox"], k=9, where=None)[0]] == ["c", "e", "a"]
    assert store.count(parse_filter('lang == "en"')) == 2
    [a, b] = store.fetch(["a", "b"], vectors=True)
    assert b is None
    assert (a.chunk.text, a.chunk.document_id, a.owner, a.check) == ("red foxes jump", "d-a", "journal", 14)
    assert [part.tolist() for part in a.sparse] == [[1], [1.0]]
    assert json.loads((path / "manifest.json").read_bytes().rpartition(b"\n")[0])["format"] == 1
    store.drop(["c"], version=3)
    store.sync()
    after = json.loads((path / "manifest.json").read_bytes().rpartition(b"\n")[0])
    assert (after["format"], after["store"]) == (manifest.FORMAT, "lexical")
    assert manifest.read(path, Terms.kind).card.uuid == content["card"]["uuid"]
    store.close()
    store.open()
    assert [hit.chunk.id for hit in store.search_text(["fox"], k=9, where=None)[0]] == ["e", "a"]
    assert np.array_equal(store.fetch(["e"], vectors=True)[0].sparse[0], [3])
