"""A file is replaced durably, or is as it was."""

from __future__ import annotations

import os
import threading

import pytest
from hookrag.disk import durable


@pytest.fixture
def log(monkeypatch):
    """What is forced to the disk and renamed, in order."""
    seen = []
    fsync, replace = os.fsync, os.replace

    def synced(handle):
        seen.append(("fsync", os.path.basename(os.readlink(f"/proc/self/fd/{handle}"))))
        fsync(handle)

    def replaced(source, target):
        seen.append(("replace", os.path.basename(source), os.path.basename(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    return seen


@pytest.mark.parametrize("content", [b"\0\xff\r\n", "grüße\r\n"])
def test_the_content_is_durable_before_the_name_and_the_name_before_the_return(tmp_path, log, content):
    path = tmp_path / "folder" / "file.json"
    path.parent.mkdir()
    path.write_text("old")
    durable.write(path, content)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert log == [("fsync", "file.json.part"), ("replace", "file.json.part", "file.json"), ("fsync", "folder")]
    assert os.listdir(path.parent) == ["file.json"]


def test_windows_forces_no_folder_to_the_disk(tmp_path, log, monkeypatch):
    monkeypatch.setattr(durable, "_WINDOWS", True)
    durable.write(tmp_path / "file", "new")
    assert log == [("fsync", "file.part"), ("replace", "file.part", "file")]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("shared", [False, True])
def test_an_error_while_it_is_written_leaves_the_file_as_it_was(tmp_path, log, kind, shared):
    path = tmp_path / "file"
    path.write_text("old")

    def write():
        with durable.replacing(path, shared=shared) as part:
            part.write_text("half")
            raise kind

    with pytest.raises(kind):
        write()
    assert (path.read_text(), os.listdir(tmp_path), log) == ("old", ["file"], [])


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_an_error_of_the_system_leaves_the_file_as_it_was(tmp_path, monkeypatch, name):
    path = tmp_path / "file"
    path.write_text("old")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, name, refuse)
    with pytest.raises(OSError, match="No space left"):
        durable.write(path, "new")
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["file"])


def test_what_a_killed_process_has_left_is_no_part_of_the_next_file(tmp_path):
    path = tmp_path / "file"
    (tmp_path / "file.part").write_text("of another time, and longer")
    with durable.replacing(path) as part:
        assert not part.exists()
        part.write_text("new")
    assert (path.read_text(), os.listdir(tmp_path)) == ("new", ["file"])


def test_a_file_that_several_write_at_once_is_that_of_one_of_them(tmp_path):
    path = tmp_path / "file"
    at_once = threading.Barrier(8)

    def write(number):
        at_once.wait()
        for _ in range(20):
            with durable.replacing(path, shared=True) as part:
                part.write_text(f"{number}" * 10_000)

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(path.read_text()) == 10_000
    assert len(set(path.read_text())) == 1
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_in_no_folder_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        durable.write(tmp_path / "nowhere" / "file", "new")
    assert error.value.filename == str(tmp_path / "nowhere" / "file.part")
