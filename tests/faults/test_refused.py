"""What the command line refuses because something could be lost, with which exit code, and that what it names mends it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .world import STORE, Server, copied, documents, journal, left, server, start, write

INDEX, VERIFY = ["index", "docs"], ["verify"]


@pytest.fixture(scope="module")
def forking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = server(tmp_path_factory.mktemp("server"), "hookrag_lexical.store", "faiss", "hookrag_faiss.store")
    yield made
    made.close()


@pytest.fixture
def place(forking: Server, tmp_path: Path) -> Path:
    """An index of the documents A."""
    made = start(tmp_path / "place", STORE.format(use="faiss"))
    write(made, documents("A"))
    forking.must(made, INDEX)
    return made


def mended(forking: Server, place: Path, *commands: list[str]) -> None:
    """The commands end well, and then the index is what a fresh one would be."""
    for command in commands:
        code, told = forking.run(place, command)
        # What a repair found is a difference, and that is what its exit code says.
        assert code == (1 if "--repair" in command else 0), told
    forking.must(place, INDEX, VERIFY)
    got = forking.rows(place)
    assert left(place) == {}
    shutil.rmtree(place / ".hookrag")
    forking.must(place, INDEX)
    assert got == forking.rows(place)


def stores(place: Path) -> dict[str, Path]:
    """The folder of each store."""
    return {name: next(path for path in place.rglob(name) if path.is_dir()) for name in ("terms", "vectors")}


def refused(forking: Server, place: Path, *command: str, code: int = 3) -> str:
    before = forking.rows(place)
    got, told = forking.run(place, list(command) or INDEX)
    assert got == code, told
    assert forking.rows(place) == before
    return re.sub(r"PLACE/\.hookrag[/0-9]*", "INDEX", told.replace(str(place), "PLACE"))


# Documents that are gone.


def test_an_empty_folder(forking: Server, place: Path) -> None:
    write(place, {})
    told = refused(forking, place)
    assert told.startswith("error: 30 of 30 documents of docs are gone, and nothing at all was found there: ")
    assert "\n  and 20 more\nIf they are meant to go: hookrag index --prune PATH...\n" in told
    mended(forking, place, ["index", "--prune", "docs"])


def test_more_than_ten_documents_and_a_tenth(forking: Server, place: Path) -> None:
    write(place, dict(list(documents("A").items())[:19]))
    assert "11 of 30 documents of docs are gone, and that is more than ten" in refused(forking, place)
    mended(forking, place, ["index", "--prune", "docs"])


def test_half_a_file_of_records_loses_none_of_them(forking: Server, place: Path) -> None:
    lines = [json.dumps({"_id": f"r{n}", "text": f"record {n} of the file"}) + "\n" for n in range(8)]
    records = place / "docs" / "records.jsonl"
    records.write_text("".join(lines))
    forking.must(place, INDEX)
    records.write_text("".join(lines)[:150])
    told = refused(forking, place, *INDEX, code=4)
    assert "30 unchanged, 8 gone but kept because of what could not be read, 1 could not be read" in told
    assert "not read: PLACE/docs/records.jsonl: " in told
    records.write_text("".join(lines[:4]))
    mended(forking, place)


def test_one_path_never_removes_what_came_from_another(forking: Server, place: Path) -> None:
    (place / "more").mkdir()
    (place / "more" / "x.txt").write_text("the document of another folder")
    forking.must(place, ["index", "more"])
    shutil.rmtree(place / "docs")
    (place / "docs").mkdir()
    forking.must(place, ["index", "--prune", "docs"])
    rows = forking.rows(place)
    assert {name: len(found) for name, found in rows.items()} == {"terms": 1, "vectors": 1}


# Stores and journals that are not what they were.


def test_a_store_that_was_wiped(forking: Server, place: Path) -> None:
    shutil.rmtree(stores(place)["vectors"])
    told = refused(forking, place)
    owner = r"\[stores.vectors\] was replaced or emptied: it is the store \w{32}, the journal in INDEX filled \w{32}."
    assert re.fullmatch(f"error: {owner}\nFill it again: hookrag index --rebuild vectors PATH...\n", told), told
    mended(forking, place, ["index", "--rebuild", "vectors", "docs"])


def test_a_store_that_was_put_back(forking: Server, place: Path, tmp_path: Path) -> None:
    folder = stores(place)["vectors"]
    copied(folder, tmp_path / "copy")
    write(place, documents("B"))
    forking.must(place, INDEX)
    shutil.rmtree(folder)
    copied(tmp_path / "copy", folder)
    assert refused(forking, place) == (
        "error: [stores.vectors] is older than the journal in INDEX: the store is at epoch 1, the journal at 2.\n"
        "Was the store restored from a backup or copied? Compare and mend them: hookrag verify --repair\n"
    )
    mended(forking, place, ["verify", "--repair"])


def test_a_journal_that_was_put_back(forking: Server, place: Path, tmp_path: Path) -> None:
    shutil.copy(journal(place), tmp_path / "copy")
    write(place, documents("B"))
    forking.must(place, INDEX)
    shutil.copy(tmp_path / "copy", journal(place))
    told = refused(forking, place)
    assert "the journal in INDEX is older than [stores." in told
    assert "the store is at epoch 2, the journal at 1.\nWas the journal restored from a backup or copied?" in told
    mended(forking, place, ["verify", "--repair"])


def test_a_journal_that_was_deleted(forking: Server, place: Path) -> None:
    journal(place).unlink()
    told = refused(forking, place)
    assert "belongs to another journal: its owner is " in told
    assert "make the store this index's: hookrag index --take-over PATH...\n" in told
    mended(forking, place, ["index", "--take-over", "docs"])


def test_two_journals_on_one_store(forking: Server, place: Path, tmp_path: Path) -> None:
    """A second index whose store is a copied link to the first one's."""
    other = start(tmp_path / "other", STORE.format(use="faiss"))
    write(other, documents("B"))
    forking.must(other, INDEX)
    folder = stores(other)["vectors"]
    shutil.rmtree(folder)
    os.symlink(stores(place)["vectors"], folder)
    told = refused(forking, other)
    assert "[stores.vectors] belongs to another journal: its owner is " in told
    forking.must(other, ["index", "--take-over", "docs"], VERIFY)
    assert "[stores.vectors] belongs to another journal: its owner is " in refused(forking, place)
    folder.unlink()
    assert "[stores.vectors] was replaced or emptied" in refused(forking, other)
    mended(forking, other, ["index", "--rebuild", "vectors", "docs"])
