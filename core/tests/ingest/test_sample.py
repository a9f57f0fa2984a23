"""Rows fetched again: all, or some that are embedded again. What was swapped, bent or made by another model is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hookrag import HookragError, TransientError
from hookrag.ingest import Ingest
from hookrag.ingest.compare import alike, alike_sparse

from .fakes import FakeStore, Letters, run, target

DOCUMENTS = [(f"d{n}", f"line {'abcdefgh'[n % 8] * (n + 1)}\nand {'hgfedcba'[n % 8] * (n + 2)}") for n in range(10)]
OUTPUTS = ("dense", "sparse", "multi")


def filled(tmp_path, *outputs):
    letters = Letters()
    store = FakeStore(embedders=dict.fromkeys(outputs, letters))
    run(tmp_path, [store], DOCUMENTS)
    letters.texts.clear()
    return store, letters


def verify(folder, store, check=None, **options):
    made = replace(target(store), check_files=check)
    return Ingest(folder, [made], patience=0.1).verify(**options).stores[0]


def swap(store, output, one=0, other=1):
    """Two rows get each other's vectors; their checks stay."""
    ids = sorted(store.rows)
    first, second = store.rows[ids[one]], store.rows[ids[other]]
    store.rows[ids[one]] = replace(first, **{output: getattr(second, output)})
    store.rows[ids[other]] = replace(second, **{output: getattr(first, output)})
    return [f"{row.chunk.id} of {row.chunk.document_id}" for row in (first, second)]


@pytest.mark.parametrize("how", [{"sample": 3}, {"deep": True}])
@pytest.mark.parametrize("outputs", [(), ("dense",), OUTPUTS])
def test_what_is_as_it_was_sent_is_ok(how, outputs, tmp_path):
    store, letters = filled(tmp_path, *outputs)
    found = verify(tmp_path, store, **how)
    looked = 3 if "sample" in how else 20
    assert (found.ok, found.rows, found.expected, found.compared, found.examples) == (True, 20, 20, looked, {})
    # Only a sample is embedded again, and each of its rows once, whatever the outputs are.
    assert len(letters.texts) == (3 if outputs and "sample" in how else 0)


@pytest.mark.parametrize("how", [{"sample": 100}, {"deep": True}])
@pytest.mark.parametrize("output", OUTPUTS)
def test_vectors_that_were_swapped_are_found_and_made_again(how, output, tmp_path):
    store, _ = filled(tmp_path, *OUTPUTS)
    swapped = swap(store, output)
    assert verify(tmp_path, store).ok, "a scan does not look at vectors"
    found = verify(tmp_path, store, **how)
    assert (found.damaged, found.drifted, found.rebuild, found.ok) == (2, 0, False, False)
    assert sorted(found.examples["damaged"]) == sorted(swapped)
    assert verify(tmp_path, store, repair=True, **how).repaired
    assert len(store.rows) == 18
    assert run(tmp_path, [store], DOCUMENTS).written == 2
    assert verify(tmp_path, store, **how).ok


@pytest.mark.parametrize("how", [{"sample": 100}, {"deep": True}])
@pytest.mark.parametrize("outputs", [(), ("dense",)])
def test_everything_else_of_a_row_is_compared_too(how, outputs, tmp_path):
    store, _ = filled(tmp_path, *outputs)
    text, span, check, document, owner, gone = (store.rows[id] for id in sorted(store.rows)[:6])
    store.rows[text.chunk.id] = replace(text, chunk=replace(text.chunk, text=text.chunk.text.upper()))
    store.rows[span.chunk.id] = replace(span, chunk=replace(span.chunk, end=span.chunk.end + 1))
    store.rows[check.chunk.id] = replace(check, check=1)
    store.rows[document.chunk.id] = replace(document, chunk=replace(document.chunk, document_id="other"))
    store.rows[owner.chunk.id] = replace(owner, owner="somebody")
    del store.rows[gone.chunk.id]
    found = verify(tmp_path, store, **how)
    assert (found.damaged, found.wrong, found.missing, found.drifted) == (2, 2, 2, 0)
    assert {what: len(listed) for what, listed in found.examples.items()} == {"damaged": 2, "wrong": 2, "missing": 2}
    verify(tmp_path, store, repair=True, **how)
    assert store.rows.pop(owner.chunk.id).owner == "somebody", "a row of another owner is never deleted"
    assert len(store.rows) == 14


def test_another_model_behind_the_same_name_is_found_and_not_mended_row_by_row(tmp_path):
    store, letters = filled(tmp_path, "dense")
    before, embed = dict(store.rows), letters.embed
    letters.embed = lambda texts, **options: embed([text.upper() + "ab" for text in texts], **options)
    found = verify(tmp_path, store, sample=10, repair=True)
    assert (found.drifted, found.damaged, found.rebuild, found.repaired, found.ok) == (10, 0, True, False, False)
    assert store.rows == before
    assert verify(tmp_path, store, deep=True).ok, "the vectors are those that were sent"


def test_a_text_that_the_embedder_refuses_now_has_drifted_and_the_others_have_not(tmp_path):
    store, letters = filled(tmp_path, "dense")
    letters.embed, embed = None, letters.embed

    def picky(texts, **options):
        return embed(["POISON" if "aaaaaaaaa" in text else text for text in texts], **options)

    letters.embed = picky
    found = verify(tmp_path, store, sample=100)
    assert (found.drifted, found.compared) == (sum("aaaaaaaaa" in text for _, text in DOCUMENTS), 20)


def test_a_sample_says_that_rows_lack_though_it_did_not_meet_them(tmp_path):
    store, _ = filled(tmp_path)
    for id in sorted(store.rows)[:12]:
        del store.rows[id]
    found = verify(tmp_path, store, sample=1)
    assert (found.rows, found.expected, found.missing, found.ok) == (8, 20, 12, False)


def test_a_store_that_keeps_its_numbers_in_another_way_is_compared_by_what_the_embedder_gives(tmp_path):
    store, _ = filled(tmp_path, "dense")
    for id, row in store.rows.items():
        store.rows[id] = replace(row, dense=row.dense * np.float32(1.00001))
    assert verify(tmp_path, store, sample=100).ok
    # Nothing but the checks is there to compare with in a deep look, and all of them fail.
    found = verify(tmp_path, store, deep=True, repair=True)
    assert (found.damaged, found.rebuild, found.repaired, len(store.rows)) == (20, True, False, 20)


def test_an_embedder_or_a_store_that_fails_is_told_and_repairs_nothing(tmp_path):
    store, letters = filled(tmp_path, "dense")
    swap(store, "dense")

    def broken(*arguments, **options):
        raise TransientError("the server is away")

    letters.embed = broken
    found = verify(tmp_path, store, sample=100, repair=True)
    assert found.incomplete == "an embedder of [stores.s] failed: the server is away"
    assert (found.ok, found.repaired, len(store.rows)) == (False, False, 20)
    store.fetch = broken
    found = verify(tmp_path, store, deep=True, repair=True)
    assert found.incomplete == "[stores.s] failed in fetch: the server is away"
    assert (found.ok, found.repaired, len(store.rows)) == (False, False, 20)


def test_a_deep_look_has_the_store_check_its_files(tmp_path):
    store, _ = filled(tmp_path)

    def damaged():
        raise HookragError("terms.3: byte 17 is not what was written")

    assert verify(tmp_path, store, damaged).ok
    found = verify(tmp_path, store, damaged, deep=True, repair=True)
    assert (found.files, found.rebuild, found.repaired) == ("terms.3: byte 17 is not what was written", True, False)
    assert not found.ok


def test_the_two_ways_exclude_each_other_and_a_sample_is_a_number_of_rows(tmp_path):
    for options in ({"sample": 3, "deep": True}, {"sample": 0}, {"sample": 1.5}, {"sample": 2**63}):
        with pytest.raises(ValueError) as error:
            verify(tmp_path, FakeStore(), **options)
        assert str(error.value) == (
            "sample must be a whole number from 1 to 2**63 - 1 and not be combined with deep, got "
            f"{options['sample']!r}"
        )
    assert verify(tmp_path, filled(tmp_path)[0], sample=2**63 - 1).ok


def test_alike_is_a_cosine():
    rng = np.random.default_rng(0)
    one, noise = rng.normal(size=384).astype(np.float32), rng.normal(size=384).astype(np.float32)
    for scale, same in ((1e-6, True), (0.01, True), (0.02, False), (1.0, False)):
        other = one + np.float32(scale) * noise
        cosine = float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
        assert (alike(one, other), cosine >= 0.9999) == (same, same)
    assert not alike(one, one[:-1])
    zero = np.zeros(3, np.float32)
    assert alike(zero, zero)
    assert not alike(zero, zero + 1)
    sparse = (np.array([1, 5], np.int32), np.array([1, 2], np.float32))
    assert alike_sparse(sparse, (np.array([1, 5, 9], np.int32), np.array([1, 2, 0.01], np.float32)))
    assert not alike_sparse(sparse, (np.array([1, 6], np.int32), np.array([1, 2], np.float32)))
