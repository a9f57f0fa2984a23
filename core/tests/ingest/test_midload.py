"""What goes wrong in the middle of a load: a key is revoked, a server has enough, the disk is full, a store is slow."""

from __future__ import annotations

import os
import resource
import time

import pytest
from hookrag import Document, HookragError, ItemRejected
from hookrag.ingest import Given, Ingest, IngestStopped

from .fakes import FakeStore, Letters, TransientError, run, target

THOUSAND = [(f"d{n:04}", f"line {n} {'abcdefgh'[n % 8] * (n % 5)}") for n in range(1000)]


class Remote(Letters):
    """An embedder behind a key and a limit: after so many texts it answers with an error, until that is taken away."""

    def __init__(self, after: int, error: Exception | None) -> None:
        super().__init__()
        self.after, self.error, self.refused = after, error, 0

    def embed(self, texts, *, role, outputs):
        if self.error is not None and len(self.texts) + len(texts) > self.after:
            self.refused += 1
            raise self.error
        return super().embed(texts, role=role, outputs=outputs)


@pytest.mark.parametrize(
    "error", [HookragError("401: the key was revoked"), TransientError("429: too many requests")], ids=["401", "429"]
)
def test_a_service_that_ends_in_mid_load_fails_no_document_and_pays_for_none_twice(tmp_path, error):
    remote = Remote(400, error)
    stores = [FakeStore("terms"), FakeStore("vectors", embedders={"dense": remote})]
    with pytest.raises(IngestStopped) as stopped:
        run(tmp_path, stores, THOUSAND, batch_bytes=1000)
    assert str(error) in str(stopped.value)
    assert "run the same command again to go on" in str(stopped.value)
    assert stopped.value.report.failed == []
    status = Ingest(tmp_path, [target(store) for store in stores]).status()
    assert (status.failed, status.last.split(" at ")[0]) == ((), "stopped")
    assert 200 < len(stores[0].rows) == len(stores[1].rows) <= 400
    before, remote.error = len(remote.texts), None
    report = run(tmp_path, stores, THOUSAND, batch_bytes=1000)
    assert (report.failed, report.new + report.unchanged) == ([], 1000)
    assert stores[0].texts == stores[1].texts == sorted(f"{id}:{text}" for id, text in THOUSAND)
    # Only what was embedded and not yet written when the run stopped is embedded again: two batches at most.
    assert len(remote.texts) <= 1000 + 2 * 100
    assert before <= 400


def test_a_limit_that_passes_is_waited_out(tmp_path):
    remote = Remote(400, TransientError("429: too many requests"))
    store = FakeStore("vectors", embedders={"dense": remote})
    embed = remote.embed

    def after_three(texts, **options):
        if remote.refused == 3:
            remote.error = None
        return embed(texts, **options)

    remote.embed = after_three
    report = run(tmp_path, [store], THOUSAND, batch_bytes=1000, patience=30)
    assert (report.new, report.failed, remote.refused, len(remote.texts)) == (1000, [], 3, 1000)


def test_one_poison_among_a_thousand_fails_alone(tmp_path):
    calls = []

    class Strict(Letters):
        def embed(self, texts, *, role, outputs):
            calls.append(len(texts))
            if "line 617 b" + "b" in texts:
                raise ItemRejected("a text is poison")
            return super().embed(texts, role=role, outputs=outputs)

    stores = [FakeStore("terms"), FakeStore("vectors", embedders={"dense": Strict()})]
    assert ("d0617", "line 617 bb") in THOUSAND
    report = run(tmp_path, stores, THOUSAND)
    assert [(one.id, one.reason) for one in report.failed] == [("d0617", "a text is poison")]
    assert report.new == len(stores[0].rows) == len(stores[1].rows) == 999
    # Bisected, not tried one by one.
    assert len(calls) < 40
    assert [one.id for one in Ingest(tmp_path, [target(store) for store in stores]).status().failed] == ["d0617"]


def test_what_is_on_its_way_does_not_grow_when_a_store_is_slow(tmp_path):
    """The source is asked for a few batches more than the store has taken, however much faster it is."""
    size, ahead = 1000, []
    taken = 0

    def source():
        nonlocal taken
        for n in range(300):
            taken += 1
            yield Document(f"d{n:03}", f"{n:0100}")

    store = FakeStore("vectors", embedders={"dense": Letters()})
    put = store.put

    def slow(rows, *, version):
        time.sleep(0.01)
        ahead.append(100 * (taken - len(store.rows)))
        return put(rows, version=version)

    store.put = slow
    ingest = Ingest(tmp_path, [target(store)], batch_bytes=size)
    assert ingest.run(Given(source(), "docs", complete=True)).new == 300
    assert len(store.puts) >= 300 * 100 / size
    assert max(ahead) <= 4 * size


@pytest.mark.parametrize("room", [0, 20_000, 60_000, 150_000, 400_000])
def test_a_disk_without_room_for_the_journal_stops_the_run_and_with_room_it_goes_on(tmp_path, room):
    """No file of the process may grow beyond `room`, as on a full disk; the store is in memory and takes everything."""
    store = FakeStore()
    documents = [(f"d{n:04}", "one\ntwo\nthree\nfour") for n in range(700)]
    run(tmp_path, [store], documents[:300], complete=False)
    grown = max(path.stat().st_size for path in tmp_path.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(IngestStopped) as stopped:
            run(tmp_path, [store], documents, batch_bytes=200)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "disk" in str(stopped.value)
    assert Ingest(tmp_path, [target(store)]).status().failed == ()
    report = run(tmp_path, [store], documents, batch_bytes=200)
    assert (report.failed, report.new + report.changed + report.unchanged) == ([], 700)
    assert len(store.rows) == 4 * 700
    assert Ingest(tmp_path, [target(store)]).verify().ok
    assert os.path.getsize(tmp_path / "journal.sqlite3") > max(grown, room) // 2
