"""Files that were damaged are named, with what was found and what to do."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hookrag import Chunk, HookragError, Row
from hookrag_lexical.content import Terms
from hookrag_lexical.store import Lexical
from hookrag_segments import files, manifest


def opened(path):
    store = Lexical(chunker=None, path=path)
    store.open()
    return store


@pytest.fixture
def path(tmp_path):
    store = opened(tmp_path / "index")
    store.put([Row(Chunk(name, "d", f"word {name}", 0, 6), "me", 1) for name in "abc"], version=1)
    store.sync()
    store.drop(["b"], version=1)
    store.sync()
    store.close()
    return tmp_path / "index"


def one(path, kind):
    [file] = path.glob(f"*.{kind}")
    return file


def rewritten(path, change):
    """Change the manifest and give it a right digest again."""
    body = (path / "manifest.json").read_bytes().rpartition(b"\n")[0]
    content = json.loads(body)
    change(content)
    body = json.dumps(content).encode()
    (path / "manifest.json").write_bytes(body + b"\n" + files.digest(body).encode())


def refused(path, text, call=lambda store: store.count()):
    with pytest.raises(HookragError) as error:
        call(opened(path))
    assert str(error.value) == text


def tail(path):
    return (
        f"Restore the folder {path} from a backup, or delete it and fill the store again by its name: "
        "hookrag index --rebuild NAME PATH..."
    )


@pytest.mark.parametrize("kind", ["segment", "dead"])
def test_a_file_that_was_cut(path, kind):
    file = one(path, kind)
    size = file.stat().st_size
    with file.open("r+b") as handle:
        handle.truncate(size - 1)
    refused(path, f"{file} is damaged: got {size - 1} bytes, expected {size}. {tail(path)}")


@pytest.mark.parametrize("kind", ["segment", "dead"])
def test_a_file_that_is_gone(path, kind):
    file = one(path, kind)
    file.unlink()
    refused(path, f"{file} is damaged: got no such file, expected a file of commit 2. {tail(path)}")


@pytest.mark.parametrize("back", [1, 12, 40])
def test_a_directory_with_another_byte(path, back):
    file = one(path, "segment")
    data = bytearray(file.read_bytes())
    data[-back] ^= 1
    file.write_bytes(data)
    with pytest.raises(HookragError) as error:
        opened(path)
    assert str(error.value).startswith(f"{file} is damaged: got digest ")
    assert str(error.value).endswith(tail(path))


def test_every_byte_of_every_array_is_covered_by_verify(path):
    opened(path).verify()
    checked = 0
    for kind in ("segment", "dead"):
        file = one(path, kind)
        whole = file.read_bytes()
        length = int.from_bytes(whole[-16:-8], "little")
        for name, (dtype, count, offset, digest) in json.loads(whole[-16 - length : -16])["arrays"].items():
            for at in {offset, offset + max(count * np.dtype(dtype).itemsize - 1, 0)} if count else ():
                file.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
                with pytest.raises(HookragError) as error:
                    opened(path).verify()
                text = str(error.value)
                if kind == "segment":
                    got = files.digest(open_array(file, name))
                    assert text == (
                        f"{file} is damaged: got digest {got} of its array {name!r}, expected {digest}. {tail(path)}"
                    )
                checked += 1
        file.write_bytes(whole)
    assert checked > 25
    opened(path).verify()


def open_array(file, name):
    whole = file.read_bytes()
    length = int.from_bytes(whole[-16:-8], "little")
    dtype, count, offset, _ = json.loads(whole[-16 - length : -16])["arrays"][name]
    return whole[offset : offset + count * np.dtype(dtype).itemsize]


def test_deletions_of_rows_that_are_not_there(path):
    file = path / "00000009-00000000.dead"
    with files.ArrayWriter(file, {"rows": ("<i4", 1)}) as writer:
        writer.append("rows", np.array([3]))
        made = writer.finish({})
    rewritten(
        path,
        lambda content: content["parts"][0].update(dead={"name": made.name, "size": made.size, "digest": made.digest}),
    )
    refused(path, f"{file} is damaged: got row 3, expected rows below 3. {tail(path)}")


def test_a_manifest_of_a_newer_format(path):
    rewritten(path, lambda content: content.update(format=3))
    refused(
        path,
        f"{path / 'manifest.json'} has format 3, expected 1 to 2: it was written by a newer version of hookrag-lexical; "
        "install that version",
    )


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]\nx", b"\xff\xfe", b'{"format": 1'])
def test_a_manifest_that_is_none(path, content):
    (path / "manifest.json").write_bytes(content)
    refused(
        path,
        f"{path / 'manifest.json'} is damaged: got {len(content)} bytes that are no manifest, expected JSON with a format. "
        f"{tail(path)}",
    )


def test_a_manifest_that_was_edited(path):
    file = path / "manifest.json"
    was = file.read_bytes()
    changed = was.replace(b'"epoch": 0', b'"epoch": 7')
    assert changed != was
    file.write_bytes(changed)
    body, _, check = changed.rpartition(b"\n")
    refused(path, f"{file} is damaged: got digest {files.digest(body)}, expected {check.decode()}. {tail(path)}")


def test_a_manifest_that_is_gone_is_not_made_anew_over_the_rows(path):
    (path / "manifest.json").unlink()
    refused(
        path,
        f"{path / 'manifest.json'} is damaged: got no such file, expected the list of the files that make up the index. "
        + tail(path),
    )
    assert len(list(path.glob("*.segment"))) == 1


def test_a_manifest_that_goes_while_the_index_is_open(path):
    store = opened(path)
    (path / "manifest.json").unlink()
    with pytest.raises(HookragError, match="the list of the files that make up the index"):
        store.count()


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "index").write_text("x")
    with pytest.raises(HookragError) as error:
        opened(tmp_path / "index")
    assert str(error.value) == (
        f"cannot open the index in {tmp_path / 'index'}: File exists: make the folder readable and writable, then try again; "
        "what was synced is safe"
    )


def test_foreign_files_in_the_folder_stay(path):
    for name in ("notes.txt", "00000001-abc.segment", "x.dead", "manifest.json.bak"):
        (path / name).write_text("mine")
    (path / "00000001-0123abcd.segment").write_text("left over by a crash")
    store = opened(path)
    store.drop(["a"], version=1)
    store.sync()
    assert not (path / "00000001-0123abcd.segment").exists()
    assert {"notes.txt", "00000001-abc.segment", "x.dead", "manifest.json.bak"} <= {
        file.name for file in path.iterdir()
    }
    assert manifest.read(path, Terms.kind).commit == 3


def test_a_file_that_was_not_finished_is_removed_at_once(tmp_path):
    def write():
        with files.ArrayWriter(tmp_path / "x", {"rows": ("<i4", 1)}) as writer:
            writer.append("rows", np.array([3]))
            raise OSError

    with pytest.raises(OSError):
        write()
    assert list(tmp_path.iterdir()) == []
