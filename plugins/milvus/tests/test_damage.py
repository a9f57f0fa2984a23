"""Full disks, damaged and missing files: what was acknowledged is there, and what is not there is no silent loss."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hookrag import HookragError, Row
from hookrag_milvus.store import Milvus
from milvus_kit import assert_hits, brute_force, made, make_rows, random_vectors
from pymilvus.exceptions import MilvusException

MEND = "restore the folder from a backup, or move it away and index again"

FULL = """
import resource, sys
from pathlib import Path
from hookrag import HookragError
sys.path.insert(0, sys.argv[2])
from milvus_kit import made, make_rows, random_vectors

rows = make_rows(random_vectors(3_000, 128))
store = made(Path(sys.argv[1]))
store.open()
store.put(rows[:100], version=1)
acknowledged = 100
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
try:
    while acknowledged < 3_000:
        store.put(rows[acknowledged : acknowledged + 100], version=1)
        acknowledged += 100
        if acknowledged == 1_100:
            store.search_dense(rows[0].dense[None], k=1, where=None)  # moves rows to a segment
    print("it never failed")
except HookragError as error:
    print(error)
try:
    store.drop([rows[0].chunk.id], version=2)
except HookragError as error:
    print(error)
store.close()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.open()
kept = {key.check for page in store.scan() for key in page}
print(acknowledged, len(kept), sorted(set(range(acknowledged)) - kept), store.count())
print(store.put(rows, version=3), store.count())
store.close()
"""


def test_no_acknowledged_row_is_lost_when_files_cannot_grow(tmp_path: Path) -> None:
    # A limit on the size of files fails in the same calls as a full disk, and needs no rights.
    index = tmp_path / "index"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(index), str(Path(__file__).parent)], capture_output=True, text=True, check=True
    )
    failed, refused, numbers, again = done.stdout.splitlines()
    assert failed == f"{index}/milvus.db, collection hookrag: write failed: [Errno 27] File too large (MilvusException)"
    assert refused == (f"{index}/milvus.db: a write failed, so the store has to be closed and opened again: {failed}")
    acknowledged, kept, missing, count = numbers.split()
    assert missing == "[]"
    assert int(count) == int(kept) >= int(acknowledged) >= 200
    assert again == "{} 3000"


def test_a_full_disk_stops_the_run_and_not_a_document(store: Milvus, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = make_rows(random_vectors(4, 4))
    store.put(rows[:1], version=1)

    def failing(name, data, **rest):
        raise MilvusException(1, "[Errno 28] No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store._connection.client, "upsert", failing)
        with pytest.raises(HookragError) as caught:
            store.put(rows, version=1)
    failure = f"{store.path}/milvus.db, collection hookrag: write failed: [Errno 28] No space left on device (MilvusException)"
    assert str(caught.value) == failure
    store.close()
    store.open()
    assert store.put(rows, version=1) == {}
    assert store.count() == 4


@pytest.mark.parametrize("name", ["milvus.db", "old.db"])
def test_a_file_of_the_old_format_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"SQLite format 3\0")
    with pytest.raises(HookragError) as caught:
        made(tmp_path if name == "milvus.db" else file).open()
    assert str(caught.value) == (
        f"{file}: got a file, expected a folder: Milvus Lite 2 wrote it, whose format version 3 does not read; "
        "move the file away and index again"
    )


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    """An index of three files of 1,000 rows, and 20 rows in the log, as a kill leaves it."""
    folder = tmp_path_factory.mktemp("segments")
    store = made(folder / "index", index="HNSW")
    store.open()
    rows = make_rows(random_vectors(3_020, 8))
    for start in range(0, 3_020, 1_000):
        store.put(rows[start : start + 1_000], version=1)
        store.search_dense(rows[0].dense[None], k=1, where=None)
    store.sync()
    left = folder / "left"
    _wait_for(lambda: len(list((folder / "index").rglob("*.idx"))) == 3 or None)
    shutil.copytree(folder / "index", left)
    store.close()
    return left, rows


def _wait_for(found: Callable[[], object]) -> None:
    import time

    until = time.monotonic() + 30
    while not found() and time.monotonic() < until:
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("pattern", "damage", "said"),
    [
        ("data_001001_002000.parquet", "gone", "{file} is missing"),
        ("data_001001_002000.parquet", "half", "{file} is damaged: its end is missing"),
        ("data_001001_002000.parquet", "empty", "{file} is damaged: it is too short"),
        ("manifest.json", "gone", "{file} is missing"),
        ("manifest.json", "half", "{file} is damaged: Unterminated string"),
        ("schema.json", "gone", "{file} is missing"),
        ("schema.json", "half", "{file} is damaged: Unterminated string"),
    ],
)
def test_damaged_and_missing_files_are_named_and_nothing_is_deleted(
    tmp_path: Path, segments: tuple[Path, list[Row]], pattern: str, damage: str, said: str
) -> None:
    # The engine would open what is left, and after a damaged manifest.json delete the files of rows.
    source, _ = segments
    index = tmp_path / "index"
    shutil.copytree(source, index)
    (file,) = index.rglob(pattern)
    whole = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(whole[: len(whole) // 2 if damage == "half" else 2])
    with pytest.raises(HookragError) as caught:
        made(index, index="HNSW").open()
    assert str(caught.value).startswith(f"{index}/milvus.db: {said.format(file=file)}")
    assert str(caught.value).endswith(MEND)
    file.write_bytes(whole)
    assert all(there.read_bytes() == (source / there.relative_to(index)).read_bytes() for there in files_of(index))
    assert len(files_of(index)) == len(files_of(source))


def files_of(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and file.name != "LOCK"]


def test_rows_of_a_log_that_was_cut_are_in_no_scan(tmp_path: Path, segments: tuple[Path, list[Row]]) -> None:
    # Nothing in the database tells of them: the journal does, with which verify compares a scan.
    source, rows = segments
    shutil.copytree(source, tmp_path / "index")
    (log,) = (tmp_path / "index").rglob("wal_data_*.arrow")
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    store = made(tmp_path / "index", index="HNSW")
    store.open()
    scanned = {key.chunk_id for page in store.scan() for key in page}
    assert scanned == {row.chunk.id for row in rows[:3_000]}
    assert store.count() == 3_000
    store.close()


def test_a_damaged_index_is_made_anew(
    tmp_path: Path, segments: tuple[Path, list[Row]], caplog: pytest.LogCaptureFixture
) -> None:
    # The engine writes it in place: a kill leaves half of it, and no collection can be loaded until it is gone.
    source, rows = segments
    shutil.copytree(source, tmp_path / "index")
    for file in (tmp_path / "index").rglob("*.idx"):
        file.write_bytes(file.read_bytes()[:1_000])
    store = made(tmp_path / "index", index="HNSW")
    with caplog.at_level(logging.WARNING, "hookrag_milvus"):
        store.open()
    (logged,) = [record.getMessage() for record in caplog.records]
    assert logged.startswith(f"{tmp_path}/index/milvus.db: the files of the index are damaged, they are made anew: ")
    query = np.asarray(rows[5].dense)
    assert store.search_dense(query[None], k=1, where=None)[0][0].chunk == rows[5].chunk
    assert store.count() == len(rows)
    store.close()
    store.open()
    assert_hits(store.search_dense(query[None], k=1, where=None)[0], brute_force(rows, query, 1))
    store.close()


def test_a_process_that_died_before_it_made_the_collection_is_no_hindrance(tmp_path: Path) -> None:
    # The engine's answer to such a folder is that the file exists, at every attempt.
    folder = tmp_path / "milvus.db" / "collections" / "hookrag"
    folder.mkdir(parents=True)
    (folder / "schema.json.tmp").write_text("{")
    store = made(tmp_path)
    store.open()
    assert store.put(make_rows(random_vectors(2, 4)), version=1) == {}
    assert store.count() == 2
    store.close()
