"""Files as a source: which are read, what they are called, and what becomes of the others."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hookrag import Document, ReadError
from hookrag.components.readers import Csv, JsonLines, Markdown, Text
from hookrag.ingest import Item, Skipped, Unread
from hookrag.ingest.files import Files

from .fakes import FakeStore, run

READERS = {suffix: one for one in (Text(), Markdown(), JsonLines(), Csv()) for suffix in one.suffixes}


def files(path, **options):
    return Files(path, READERS, **options)


def kinds(found):
    return {one.id: type(one).__name__ if isinstance(one, Item) else one.reason for one in found}


def write(path, content="text"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_regular_files_with_a_reader_are_items_in_order(tmp_path):
    for name in ("b.txt", "a/z.md", "a/b.TXT", "c.jsonl"):
        write(tmp_path / name)
    found = list(files(tmp_path))
    assert [(one.id, one.locator) for one in found] == [
        ("a/b.TXT", str(tmp_path / "a/b.TXT")),
        ("a/z.md", str(tmp_path / "a/z.md")),
        ("b.txt", str(tmp_path / "b.txt")),
        ("c.jsonl", str(tmp_path / "c.jsonl")),
    ]
    assert list(found[0].load()) == [Document("a/b.TXT", "text")]
    assert files(tmp_path).count() == 4
    assert files(tmp_path).under == ""


def test_the_key_depends_on_the_bytes_and_the_reader_and_on_nothing_else(tmp_path):
    write(tmp_path / "a.txt", "one")
    (first,) = files(tmp_path)
    os.utime(tmp_path / "a.txt", (0, 0))
    assert next(iter(files(tmp_path))).key == first.key
    assert next(iter(files(tmp_path, recipes={".txt": "other"}))).key != first.key
    write(tmp_path / "a.txt", "two")
    os.utime(tmp_path / "a.txt", (0, 0))
    assert next(iter(files(tmp_path))).key != first.key


def test_what_is_no_document_is_skipped_with_a_reason(tmp_path):
    outside = tmp_path / "outside.txt"
    write(outside, "secret")
    root = tmp_path / "root"
    write(root / "a.txt")
    write(root / ".hidden.txt")
    write(root / ".hookrag/journal.txt")
    write(root / "image.png", b"\x89PNG")
    write(root / "Makefile")
    write(root / "zeros.txt", b"a\0b")
    write(root / "sub/b.txt")
    os.mkfifo(root / "pipe.txt")
    (root / "out.txt").symlink_to(outside)
    (root / "up.txt").symlink_to("../root/../outside.txt")
    (root / "folder").symlink_to(root / "sub")
    (root / "again.txt").symlink_to("sub/b.txt")
    (root / "lost.txt").symlink_to("nowhere.txt")
    (root / "self.txt").symlink_to("self.txt")
    assert kinds(files(root)) == {
        "a.txt": "Item",
        "again.txt": "Item",
        "sub/b.txt": "Item",
        ".hidden.txt": "hidden",
        ".hookrag": "hidden",
        "image.png": "no reader for .png",
        "Makefile": "no reader for files without a suffix",
        "zeros.txt": "binary, though its name says text",
        "pipe.txt": "not a regular file",
        "out.txt": "a link that leads out of the folder",
        "up.txt": "a link that leads out of the folder",
        "folder": "a link to a folder",
        "lost.txt": "cannot be looked at: No such file or directory",
        "self.txt": "cannot be looked at: Too many levels of symbolic links",
    }


def test_ids_are_nfc_and_bytes_that_do_not_decode_are_escaped(tmp_path):
    write(tmp_path / unicodedata.normalize("NFD", "é/ü.txt"))
    with open(os.fsencode(tmp_path) + b"/latin-\xe9.txt", "wb") as file:
        file.write(b"text")
    found = {one.id: one for one in files(tmp_path)}
    assert set(found) == {"é/ü.txt", "latin-%E9.txt"}
    assert found["latin-%E9.txt"].locator == f"{tmp_path}/latin-\\xe9.txt"
    assert [document.text for one in found.values() for document in one.load()] == ["text", "text"]


def test_names_that_become_one_are_both_left_unread(tmp_path):
    for form in ("NFC", "NFD"):
        write(tmp_path / unicodedata.normalize(form, "é.txt"))
        write(tmp_path / "sub" / unicodedata.normalize(form, "ü") / "a.txt")
    write(tmp_path / "other.txt")
    found = list(files(tmp_path))
    reason = "another name in the folder is the same after Unicode normalisation: rename one"
    assert [(one.id, getattr(one, "reason", "")) for one in found] == [
        ("other.txt", ""), ("sub/ü", reason), ("sub/ü", reason), ("é.txt", reason), ("é.txt", reason),
    ]  # fmt: skip
    assert sum(isinstance(one, Unread) for one in found) == 4


def test_a_folder_that_cannot_be_listed_is_unread(tmp_path, monkeypatch):
    write(tmp_path / "a.txt")
    write(tmp_path / "sub/b.txt")
    store = FakeStore()
    run(tmp_path / "index", [store], list(files(tmp_path)))
    scandir = os.scandir

    def closed(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    report = run(tmp_path / "index", [store], list(files(tmp_path)), root=tmp_path)
    assert [(one.id, one.reason) for one in report.unread] == [
        ("sub/", "the folder cannot be listed: Permission denied")
    ]
    assert (report.removed, store.texts) == (0, ["a.txt:text", "sub/b.txt:text"])


def test_a_file_that_cannot_be_opened_is_unread(tmp_path, monkeypatch):
    write(tmp_path / "a.txt")

    def closed(path, flags):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", closed)
    assert kinds(files(tmp_path)) == {"a.txt": "cannot be read: Permission denied"}


def test_a_file_that_becomes_a_pipe_while_it_is_listed_does_not_block(tmp_path, monkeypatch):
    write(tmp_path / "a.txt")
    listed = os.lstat(tmp_path / "a.txt")
    (tmp_path / "a.txt").unlink()
    os.mkfifo(tmp_path / "a.txt")
    monkeypatch.setattr(os, "lstat", lambda path, **options: listed)
    (found,) = files(tmp_path)._folder(str(tmp_path), "")
    assert found.reason == "cannot be read: it is no regular file any more"


def test_one_file_has_the_id_that_it_has_in_its_folder(tmp_path):
    write(tmp_path / "sub/a.txt")
    one = files(tmp_path / "sub/a.txt", root=tmp_path)
    assert ([item.id for item in one], one.under, one.count()) == (["sub/a.txt"], "sub/a.txt", 1)
    assert [item.id for item in files(tmp_path / "sub/a.txt")] == ["a.txt"]
    assert [item.id for item in files(tmp_path / "sub", root=tmp_path)] == ["sub/a.txt"]
    assert files(tmp_path / "sub", root=tmp_path).under == "sub"


def test_a_path_that_is_not_there_or_lies_elsewhere(tmp_path):
    with pytest.raises(ReadError, match=f"{tmp_path}/none: there is no such file or folder"):
        files(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ReadError, match=f"{tmp_path}/pipe is neither a file nor a folder"):
        files(tmp_path / "pipe")
    write(tmp_path / "a.txt")
    (tmp_path / "sub").mkdir()
    with pytest.raises(
        ReadError, match=f"{tmp_path}/a.txt does not lie in {tmp_path}/sub: ids are paths relative to it"
    ):
        files(tmp_path / "a.txt", root=tmp_path / "sub")


def test_indexing_a_folder_again_reads_only_what_changed(tmp_path):
    docs = tmp_path / "docs"
    write(docs / "a.md", "# A\none")
    write(docs / "corpus.jsonl", '{"_id": "7", "title": "T", "text": "seven"}\n{"_id": "8", "text": "eight"}\n')
    write(docs / "zeros.txt", b"\0")
    store = FakeStore()
    report = run(tmp_path / "index", [store], list(files(docs)), root=docs)
    assert (report.new, report.skipped) == (3, {"binary, though its name says text": 1})
    assert store.texts == ["7:seven", "8:eight", "a.md:# A", "a.md:one"]
    write(docs / "corpus.jsonl", '{"_id": "7", "title": "T", "text": "seven"}\n{"_id": "8"')
    report = run(tmp_path / "index", [store], list(files(docs)), root=docs)
    (problem,) = report.unread
    assert problem.id == "corpus.jsonl"
    assert problem.reason.startswith(f"{docs}/corpus.jsonl:2: expected one JSON object on the line, got ")
    assert (report.unchanged, len(store.rows)) == (1, 4)
    write(docs / "a.md", b"\0\0\0\0")
    report = run(tmp_path / "index", [store], list(files(docs)), root=docs)
    assert ({one.id for one in report.unread}, report.skipped, len(store.rows)) == (
        {"a.md", "corpus.jsonl"}, {"binary, though its name says text": 1}, 4,
    )  # fmt: skip
    assert isinstance(next(iter(files(docs))), Skipped)


@pytest.mark.parametrize("becomes", ["two", None])
def test_a_file_that_changes_while_it_is_read_is_read_again_the_next_time(tmp_path, becomes):
    docs = tmp_path / "docs"
    write(docs / "a.txt", "one")

    class Slow(Text):
        def read(self, path, /, *, id):
            yield from super().read(path, id=id)
            write(path, becomes) if becomes else path.unlink()

    store = FakeStore()
    report = run(tmp_path / "index", [store], list(Files(docs, {".txt": Slow()})), root=docs)
    assert [(one.id, one.reason) for one in report.unread] == [
        ("a.txt", f"{docs}/a.txt changed while it was read: index it again")
    ]
    write(docs / "a.txt", "two")
    report = run(tmp_path / "index", [store], list(files(docs)), root=docs)
    assert (report.unread, store.texts) == ([], ["a.txt:two"])


def test_parts_of_a_folder_are_indexed_by_themselves(tmp_path):
    docs = tmp_path / "docs"
    for name in ("a.txt", "sub/b.txt", "sub/c.txt", "subs/d.txt"):
        write(docs / name, name)
    store = FakeStore()

    def index(path):
        found = files(path, root=docs)
        return run(tmp_path / "index", [store], list(found), source=str(docs), under=found.under, root=path)

    assert index(docs).new == 4
    write(docs / "sub/b.txt", "changed")
    for name in ("a.txt", "sub/c.txt", "subs/d.txt"):
        (docs / name).unlink()
    report = index(docs / "sub/b.txt")
    assert (report.changed, report.removed) == (1, 0)
    report = index(docs / "sub")
    assert (report.unchanged, report.removed) == (1, 1)
    assert store.texts == ["a.txt:a.txt", "sub/b.txt:changed", "subs/d.txt:subs/d.txt"]
    assert index(docs).removed == 2
